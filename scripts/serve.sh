#!/usr/bin/env bash
# Set up and serve: scripts/serve.sh [options of tutortoietts serve ...], then open http://127.0.0.1:8880/
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
setup serve
exec "$PYTHON_ENV" -m tutortoietts.cli.serve "$@"
