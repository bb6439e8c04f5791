#!/usr/bin/env bash
# Learn a voice from clips and speak with it: scripts/clone_voice.sh NAME "SAMPLES GLOB" "TEXT" [PRESET] [options ...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
if [ $# -lt 3 ]; then
    say 'usage: scripts/clone_voice.sh NAME "SAMPLES GLOB" "TEXT" [PRESET] [options of tutortoietts clone ...]'
    say 'example: scripts/clone_voice.sh anna "recordings/anna/*.wav" "Hello, this is my voice." fast'
    exit 2
fi
setup run
name=$1 samples=$2 text=$3
shift 3
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    set -- --preset "$@"
fi
exec "$PYTHON_ENV" -m tutortoietts.cli.clone --name "$name" --samples "$samples" --text "$text" "$@"
