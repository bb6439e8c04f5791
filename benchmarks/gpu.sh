#!/usr/bin/env bash
# Tests, correctness and speed on a CUDA GPU, on a bare machine without a network: benchmarks/gpu.sh WHEELS [ARGUMENT ...]
#
# WHEELS is what scripts/gpu_wheels.sh filled; only what python3 lacks is taken from it, into a temporary folder; it need
# not exist where nothing is lacking. python3 must have torch (2.6 or newer), numpy, safetensors, tokenizers, huggingface_hub and typer. The arguments go to
# benchmarks/gpu_check.py, which says what is done: at most 290 seconds, results in $OUT (default: gpu-results).
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-python3}"
[ $# -ge 1 ] || { echo "usage: $0 WHEELS [ARGUMENT ...]" >&2; exit 2; }
WHEELS="$1"
shift

has() { "$PYTHON" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)"; }

for module in torch numpy safetensors tokenizers huggingface_hub typer; do
    has "$module" || { echo "error: $PYTHON has no $module, which is not among the wheels" >&2; exit 2; }
done
missing=()
for module in soxr soundfile anyascii cffi pycparser rich pygments markdown_it mdurl pytest iniconfig pluggy packaging; do
    has "$module" || missing+=("${module/markdown_it/markdown-it-py}")
done
if [ ${#missing[@]} -gt 0 ] && [ ! -d "$WHEELS" ]; then
    echo "error: $PYTHON has no ${missing[*]}, and there is no folder $WHEELS: fill one with scripts/gpu_wheels.sh" >&2
    exit 2
fi
SITE="$(mktemp -d)"
trap 'rm -rf "$SITE"' EXIT
if [ ${#missing[@]} -gt 0 ]; then
    echo "taking ${missing[*]} from $WHEELS"
    "$PYTHON" -m pip install --quiet --no-deps --no-index --no-compile --find-links "$WHEELS" --target "$SITE" "${missing[@]}"
fi
export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TUTORTOIETTS_CACHE="$SITE/cache"
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
cd "$ROOT"
"$PYTHON" benchmarks/gpu_check.py --out "${OUT:-gpu-results}" "$@"
