#!/bin/sh
# deploy/install.sh FOLDER: installs this source tree into a virtual environment for serving. Used by the Dockerfile and
# by image_size.sh. Training a router needs scikit-learn, which serving never loads and which is half of the whole:
# TRAINING=true keeps it.
set -eu
folder=$1
python3 -m venv "$folder"
"$folder/bin/pip" install --no-cache-dir -q '.[postgres]'
if [ "${TRAINING:-false}" != true ]; then
  "$folder/bin/pip" uninstall -q -y scikit-learn scipy joblib threadpoolctl narwhals
fi
"$folder/bin/pip" uninstall -q -y setuptools pip
