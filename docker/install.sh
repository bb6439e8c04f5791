#!/bin/sh
# Install the package with its server into a new environment: install.sh SOURCE VENV TORCH_INDEX
set -eu
source=$1 venv=$2 index=$3
${PYTHON:-python3} -m venv "$venv"
"$venv/bin/python" -m pip install --no-cache-dir --index-url "$index" "torch==${TORCH:-2.13.0}"
"$venv/bin/python" -m pip install --no-cache-dir "$source[serve-audio]"
"$venv/bin/python" -m tutortoietts.cli.serve --help >/dev/null
