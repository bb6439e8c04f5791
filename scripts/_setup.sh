# Shared by the scripts beside it: `. scripts/_setup.sh; setup run|serve|dev` leaves $PYTHON_ENV, a Python with the package.
#
# The first call makes .venv and installs; later calls see the stamp (a hash of what an install depends on) and do nothing.
#   PYTHON                   the Python to build .venv with (default: the newest python3 from 3.10 on)
#   TUTORTOIETTS_VENV        another place for the environment (default: .venv in the repository)
#   TUTORTOIETTS_TORCH       another torch release than the pinned one
#   TUTORTOIETTS_TORCH_INDEX a package index to take torch from, e.g. PyTorch's own index of CPU or CUDA builds
#   TUTORTOIETTS_NO_UV=1     do not use uv even if it is there

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${TUTORTOIETTS_VENV:-$ROOT/.venv}
TORCH=${TUTORTOIETTS_TORCH:-2.13.0}
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
PYTHON_ENV=$VENV/bin/python

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

python_is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.10 or newer"
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$candidate" >/dev/null && python_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

have_uv() { [ -z "${TUTORTOIETTS_NO_UV:-}" ] && command -v uv >/dev/null; }

have_nvidia_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# The builds for Linux on the usual index carry CUDA: gigabytes that a machine without an NVIDIA GPU has no use for.
wants_cpu_index() { [ -z "${PIP_FIND_LINKS:-}" ] && [ "$(uname -s)" = Linux ] && ! have_nvidia_gpu; }

make_venv() {
    if [ -x "$PYTHON_ENV" ] && python_is_new_enough "$PYTHON_ENV"; then
        "$PYTHON_ENV" -m pip --version >/dev/null 2>&1 && return
        "$PYTHON_ENV" -m ensurepip >/dev/null 2>&1 && return
    fi
    local python
    if [ -n "${PYTHON:-}" ] || find_python >/dev/null; then
        python=$(find_python)
        say "making $VENV with $("$python" -V 2>&1) ..."
        if have_uv; then
            uv venv --quiet --clear --seed --python "$python" "$VENV" && return
        fi
        "$python" -m venv --clear "$VENV" ||
            die "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
    elif have_uv; then
        say "making $VENV with a Python that uv provides ..."
        uv venv --quiet --clear --seed --python 3.12 "$VENV" || die "uv could not provide Python 3.12"
    else
        die "no Python 3.10 or newer found; install one, or name it: PYTHON=/path/to/python $0"
    fi
}

install_torch() {
    "$PYTHON_ENV" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '$TORCH')" \
        2>/dev/null && return
    say "installing torch $TORCH (large, only this once) ..."
    if [ -n "${TUTORTOIETTS_TORCH_INDEX:-}" ]; then
        "$PYTHON_ENV" -m pip install --quiet --index-url "$TUTORTOIETTS_TORCH_INDEX" "torch==$TORCH" && return
        die "torch $TORCH did not install from TUTORTOIETTS_TORCH_INDEX=$TUTORTOIETTS_TORCH_INDEX"
    fi
    # uv knows the indexes of PyTorch's builds by name. pip also sees wheels laid ready on the machine (PIP_FIND_LINKS).
    if have_uv && [ -z "${PIP_FIND_LINKS:-}" ]; then
        local backend=cpu
        have_nvidia_gpu && backend=auto
        uv pip install --quiet --python "$PYTHON_ENV" --torch-backend "$backend" "torch==$TORCH" && return
        say "uv found no torch $TORCH; trying pip ..."
    fi
    if wants_cpu_index; then
        "$PYTHON_ENV" -m pip install --quiet --timeout 20 --retries 1 --index-url "$TORCH_CPU_INDEX" "torch==$TORCH" && return
        say "no torch $TORCH at $TORCH_CPU_INDEX; trying the usual index, whose build is larger ..."
    fi
    "$PYTHON_ENV" -m pip install --quiet "torch==$TORCH" || die "torch $TORCH did not install (network? disk?)"
}

install_package() {
    local target=$ROOT
    [ "$1" = dev ] && target="$ROOT[dev,train]"
    [ "$1" = serve ] && target="$ROOT[serve-audio]"
    say "installing tutortoietts ..."
    if have_uv; then
        uv pip install --quiet --python "$PYTHON_ENV" --editable "$target" && return
        say "uv could not install it; trying pip ..."
    fi
    "$PYTHON_ENV" -m pip install --quiet --editable "$target" || die "the package did not install (see above)"
}

stamp_of() {
    { printf '%s %s %s\n' "$ROOT" "$TORCH" "${TUTORTOIETTS_TORCH_INDEX:-}"; cat "$ROOT/pyproject.toml"; } | cksum | tr ' ' '-'
}

is_ready() { [ -x "$PYTHON_ENV" ] && [ "$(cat "$VENV/.stamp-$1" 2>/dev/null)" = "$(stamp_of)" ]; }

# setup run: what speaking needs. setup serve: the server too. setup dev: the test tools too.
setup() {
    is_ready "$1" && return
    mkdir -p "$VENV"
    if command -v flock >/dev/null; then      # two first calls at once: the second waits, then finds it done
        exec 9>"$VENV.lock"
        flock 9
        is_ready "$1" && { exec 9>&-; return; }
    fi
    make_venv
    install_torch
    install_package "$1"
    stamp_of >"$VENV/.stamp-$1"
    [ "$1" != run ] && stamp_of >"$VENV/.stamp-run"
    command -v flock >/dev/null && exec 9>&-
    return 0
}
