#!/usr/bin/env bash
# Train every stage after the discrete VAE on one GPU, from what `tutortoietts train pack` wrote:
#   benchmarks/gpu_train.sh MINUTES [PACK] [MODEL]     weights and logs go to $OUT (default: results/gpu)
# MINUTES is all that may pass, 4 to 8 on an H100. MODEL (default bundled) is what GPT and CLVP begin with; set
# NEW_CODES=--new-codes where its codes are of another discrete VAE. DEVICE=cpu tries the script without a GPU.
# The vocoder trains all the while, and hears the decoder's mels as soon as that is done.
set -euo pipefail
MINUTES="${1:?minutes}" PACK="${2:-.train/pack}" MODEL="${3:-bundled}"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
OUT="${OUT:-$ROOT/results/gpu}" DEVICE="${DEVICE:-cuda}" WORK="${WORK:-/tmp/train}"
PYTHON="${PYTHON:-$ROOT/.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON=python3
export PYTHONPATH="$ROOT/src${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-3}" PYTHONUNBUFFERED=1
SECONDS=0
mkdir -p "$OUT" "$WORK"

train() { "$PYTHON" -m tutortoietts train "$1" --work "$WORK" "${@:2}"; }
share() { awk "BEGIN { print ($MINUTES - $SECONDS / 60) * $1 }"; }  # of the time that is left
excluded=(--exclude "$ROOT/benchmarks/sentences_test.txt" --exclude "$ROOT/benchmarks/sentences_dev.txt")
stage() { train "$1" --minutes "$2" --device "$DEVICE" "${@:3}" >"$OUT/$1.log" 2>&1 || tail -n 5 "$OUT/$1.log"; }
later() { stage "$1" "$2" "${excluded[@]}" --per-voice 12 --per-warp 3 "${@:3}"; }

train unpack "$PACK"
stage vocoder "$(share 0.9)" --adversary-after 0.12 &
stage clvp "$(share 0.5)" --from "$MODEL" ${NEW_CODES:-} "${excluded[@]}" &
stage gpt "$(share 0.27)" --from "$MODEL" ${NEW_CODES:-} "${excluded[@]}"
later stream "$(share 0.3)" &
later decoder "$(share 0.48)"
wait
train weights "$OUT"
echo "trained in $SECONDS seconds"
tail -qn 1 "$OUT"/*.log
