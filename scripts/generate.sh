#!/usr/bin/env bash
# Speak: scripts/generate.sh "TEXT" [-p PRESET] [-v VOICE] [-o FILE] ...   (all options: scripts/generate.sh --help)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
setup run
exec "$PYTHON_ENV" -m tutortoietts.cli.generate "$@"
