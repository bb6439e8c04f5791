#!/usr/bin/env bash
# Train every stage after the discrete VAE on one GPU, from what `tutortoietts train pack` wrote:
#   benchmarks/gpu_train.sh MINUTES [PACK] [MODEL]     weights and logs go to $OUT (default: results/gpu)
# MINUTES is all that may pass, 4 to 8 on an H100. MODEL (default bundled; a folder of weights that an earlier run left
# will do) is what they begin with, as far as sizes are equal; set NEW_CODES=--new-codes where its codes are of another
# discrete VAE. DEVICE=cpu tries the script without a GPU.
# Processes take turns on a GPU, so few run at once; the stage that makes sound of latents, with the vocoder, comes last.
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
stage() { train "$1" --minutes "$2" --device "$DEVICE" --from "$MODEL" "${@:3}" >"$OUT/$1.log" 2>&1 || tail -n 5 "$OUT/$1.log"; }
later() { stage "$1" "$2" "${excluded[@]}" --per-voice 12 --per-warp 3; }

train unpack "$PACK"
stage clvp "$(share 0.12)" ${NEW_CODES:-} "${excluded[@]}" &
stage ctc "$(share 0.2)" ${NEW_CODES:-} "${excluded[@]}" &
stage gpt "$(share 0.2)" ${NEW_CODES:-} "${excluded[@]}"
wait
later decoder "$(share 0.3)" &
stage vocoder "$(share 0.3)" --adversary-after 0.05
wait
later stream "$(share 0.85)"
train weights "$OUT"
echo "trained in $SECONDS seconds"
tail -qn 1 "$OUT"/*.log
