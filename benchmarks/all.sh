#!/usr/bin/env bash
# Everything that docs/performance.md shows, in its order: benchmarks/all.sh [FOLDER] [THREADS]
# What each step prints goes to FOLDER/NAME.txt (default: results); a step that fails is named at the end.
set -uo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
OUT="${1:-results}"
THREADS="${2:-$(nproc)}"
PYTHON="${PYTHON:-$ROOT/.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON=python3
export OMP_NUM_THREADS="$THREADS"
mkdir -p "$OUT"
failed=()

step() {
    local name="$1" started=$SECONDS
    shift
    echo "== $name: $*"
    if "$PYTHON" "$@" >"$OUT/$name.txt" 2>"$OUT/$name.log"; then
        tail -n 25 "$OUT/$name.txt"
    else
        failed+=("$name")
        tail -n 5 "$OUT/$name.log" "$OUT/$name.txt"
    fi
    echo "   ($((SECONDS - started)) s)"
}

bench() {
    local name="$1"
    shift
    step "$name" -m tutortoietts bench "$@"
}

script() {
    local name="$1"
    shift
    if [ -f "benchmarks/$name.py" ]; then step "$name" "benchmarks/$name.py" "$@"; else echo "== $name: no benchmarks/$name.py"; fi
}

cd "$ROOT" || exit 1
{ date -u; uname -srm; grep -m1 "model name" /proc/cpuinfo; echo "threads $THREADS"; git rev-parse --short HEAD; } 2>/dev/null |
    tee "$OUT/machine.txt"

bench bundled
bench bundled-compare --compare --codes 100 --candidates 4
bench full-int8 --model random-full --precision int8 -p ultra_fast_optimized
bench full-fp32 --model random-full --precision fp32 -p ultra_fast_optimized --runs 1 --no-stream
bench full-one-int8 --model random-full --precision int8 -p ultra_fast_optimized --candidates 1 --diffusion-iterations 1
bench full-compare --model random-full --precision int8 -p ultra_fast_optimized --compare --candidates 1 --codes 24 \
    --runs 1 --warmup 0
script stream --precision int8
script decode --batches 1,8 --codes 48
script vocoder
script frames
script precision --no-speech
script steps
script deepspeed
script offload
step soak benchmarks/soak.py

[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
