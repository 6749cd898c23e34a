#!/usr/bin/env bash
# Measures what the image of deploy/Dockerfile holds when it is unpacked, on a machine without Docker: the same steps in
# a folder. Needs root, debootstrap and the network; prints the size in MB and exits 1 above the limit.
set -euo pipefail
readonly LIMIT_MB=350
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# The mirror that this machine uses, if it names one; else debootstrap's own.
mirror=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list* 2> /dev/null | head -n 1 | tr -d ' ' || true)
debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" apt-get install -qq -y --no-install-recommends python3 > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
# The virtual environment is built in a copy that also has what compiles it, as in the Dockerfile's first stage.
cp -a "$root" "$work/build"
chroot "$work/build" apt-get install -qq -y --no-install-recommends python3-venv python3-dev gcc libc6-dev \
  > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
mkdir "$work/build/src"
git -C "$source_tree" archive HEAD pyproject.toml setup.py README.md LICENSE gateway router models deploy/install.sh |
  tar x -C "$work/build/src"
# pip finds its packages as it does on this machine.
for file in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs; do
  [[ ! -e $file ]] || tar -C / -ch "${file#/}" | tar -C "$work/build" -x
done
chroot "$work/build" env PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c 'cd /src && sh deploy/install.sh /opt/breakeven'
mkdir -p "$root/opt"
cp -a "$work/build/opt/breakeven" "$root/opt/breakeven"
# What the slim image leaves out.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info,lintian}
chroot "$root" /opt/breakeven/bin/breakeven --help > /dev/null
size=$(du -sm "$root" | cut -f 1)
printf 'image: %d MB unpacked (%d MB of it the virtual environment); limit %d MB\n' \
  "$size" "$(du -sm "$root/opt/breakeven" | cut -f 1)" "$LIMIT_MB"
((size <= LIMIT_MB))
