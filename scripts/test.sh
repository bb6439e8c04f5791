#!/usr/bin/env bash
# Every check: lint, types, tests. Arguments go to pytest: scripts/test.sh tests/cli -k stdin
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
setup dev
cd "$ROOT"
"$PYTHON_ENV" -m ruff check .
"$PYTHON_ENV" -m mypy
"$PYTHON_ENV" -m pytest -q "$@"
