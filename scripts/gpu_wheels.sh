#!/usr/bin/env bash
# What benchmarks/gpu.sh needs on a machine that has torch but no network: wheels for Python 3.12 on 64-bit x86 Linux.
#
#   scripts/gpu_wheels.sh [FOLDER]     the default is gpu-wheels; carry it to the machine: benchmarks/gpu.sh FOLDER
#
#   PYTHON         the Python whose pip downloads (default: python3)
#   PYTHON_VERSION of the machine (default: 3.12)
set -euo pipefail
FOLDER=${1:-gpu-wheels}
PACKAGES=(
    soxr soundfile cffi pycparser anyascii              # what a machine for torch usually lacks
    rich pygments markdown-it-py mdurl                   # these are needed only where they are missing
    pytest iniconfig pluggy packaging
)
platforms=()
for glibc in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64)

mkdir -p "$FOLDER"
# --no-deps: torch and numpy are there, and would be gigabytes
"${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary :all: --implementation cp \
    --python-version "${PYTHON_VERSION:-3.12}" "${platforms[@]}" --dest "$FOLDER" "${PACKAGES[@]}"
ls -1 "$FOLDER"
