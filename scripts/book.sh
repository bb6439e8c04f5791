#!/usr/bin/env bash
# Make an audiobook: scripts/book.sh BOOK.epub [-v VOICE] [-o BOOK.m4b] ...   (all options: scripts/book.sh --help)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
setup run
"$PYTHON_ENV" -c 'import av, docx, lxml, pypdf, selectolax' 2>/dev/null ||
    "$PYTHON_ENV" -m pip install --quiet "$ROOT[book]"
exec "$PYTHON_ENV" -m tutortoietts book make "$@"
