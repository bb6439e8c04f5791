#!/bin/sh
# Start the server in a container: everything that is written goes to DATA, and nobody comes in without a key.
set -eu
data=${DATA:-/data}
python=${PYTHON:-/opt/tutortoietts/venv/bin/python}
export HOME="$data" TUTORTOIETTS_VOICES="${TUTORTOIETTS_VOICES:-$data/voices}"
export TUTORTOIETTS_CACHE="${TUTORTOIETTS_CACHE:-$data/cache}" HF_HOME="${HF_HOME:-$data/huggingface}"
export TUTORTOIETTS_SERVE_HOST="${TUTORTOIETTS_SERVE_HOST:-0.0.0.0}"
mkdir -p "$TUTORTOIETTS_VOICES" "$TUTORTOIETTS_CACHE" || {
    echo "error: $data cannot be written by user $(id -u): mount a folder that belongs to it" >&2
    exit 1
}
if [ -z "${TUTORTOIETTS_SERVE_API_KEY_FILE:-}${TUTORTOIETTS_SERVE_API_KEY:-}${TUTORTOIETTS_SERVE_INSECURE:-}" ]; then
    export TUTORTOIETTS_SERVE_API_KEY_FILE="$data/api-keys"
    if [ ! -s "$data/api-keys" ]; then
        (umask 077 && "$python" -c 'import secrets; print("first:" + secrets.token_urlsafe(32))' >"$data/api-keys")
        echo "an API key was made: it is in $data/api-keys" >&2
    fi
fi
exec "$python" -m tutortoietts.cli.serve "$@"
