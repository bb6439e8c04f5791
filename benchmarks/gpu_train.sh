#!/usr/bin/env bash
# Train GPT, CLVP, decoder and streaming decoder on one GPU, from what `tutortoietts train pack` wrote:
#   benchmarks/gpu_train.sh MINUTES [PACK] [MODEL]     weights and logs go to $OUT (default: results/gpu)
# MINUTES is all that may pass, 4 to 8 on an H100. MODEL (default bundled) is what training begins with; set
# NEW_CODES=--new-codes where its codes are of another discrete VAE. DEVICE=cpu tries the script without a GPU.
# On the machine where the vocoder is: tutortoietts train export FOLDER --from $OUT.
set -euo pipefail
MINUTES="${1:?minutes}" PACK="${2:-.train/pack}" MODEL="${3:-bundled}"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
OUT="${OUT:-$ROOT/results/gpu}" DEVICE="${DEVICE:-cuda}" WORK="${WORK:-/tmp/train}"
PYTHON="${PYTHON:-$ROOT/.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON=python3
export PYTHONPATH="$ROOT/src${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
SECONDS=0
mkdir -p "$OUT" "$WORK"

train() { "$PYTHON" -m tutortoietts train "$1" --work "$WORK" "${@:2}"; }
share() { awk "BEGIN { print ($MINUTES - $SECONDS / 60) * $1 }"; }  # of the time that is left
excluded=(--exclude "$ROOT/benchmarks/sentences_test.txt" --exclude "$ROOT/benchmarks/sentences_dev.txt")
stage() { train "$1" --minutes "$2" --from "$MODEL" --device "$DEVICE" "${excluded[@]}" "${@:3}" >"$OUT/$1.log" 2>&1; }

train unpack "$PACK"
stage clvp "$(share 0.4)" ${NEW_CODES:-} &
ranking=$!
stage gpt "$(share 0.5)" ${NEW_CODES:-}
wait $ranking
stage stream "$(share 0.5)" --per-voice 12 --per-warp 3 &
streaming=$!
stage decoder "$(share 0.8)" --per-voice 12 --per-warp 3
wait $streaming
train weights "$OUT"
rm -f "$OUT/vocoder.safetensors"
echo "trained in $SECONDS seconds"
tail -qn 1 "$OUT"/*.log
