#!/bin/sh
# Create .venv with the locked versions of everything. On a fault: a line that says why, and nothing half-made.
#
#   PYTHON=PATH        the Python to use; without it the first one on the path that is new enough
#   UV=no              use pip even where uv, which is several times faster, is on the path
#   TORCH_INDEX=URL    take torch and torchvision from this package index, one with builds without CUDA
set -u

size="about 7 GB, most of it CUDA's libraries"
needed=6700000
if [ -n "${TORCH_INDEX:-}" ]; then
    size="about 2 GB"
    needed=2000000
fi

say() {
    echo "set-up: $1"
}

fail() {
    echo "set-up: $1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
    why="as PYTHON says"
else
    set -- python3 python3.13 python3.12 python3.11
    why="the first on the path that is 3.11 or newer"
fi
old=""
for candidate in "$@"; do
    version=$(version_of "$candidate") || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$candidate
        break
    fi
    old="$old; $candidate is $version"
done
[ -n "${python:-}" ] ||
    fail "no Python 3.11 or newer found among: $*$old; install one, or name it: make PYTHON=/path/to/python3.12"
say "Python $version, $(command -v "$python"), $why"

log=$(mktemp) || fail "no temporary file can be written; is the disk full?"
rm -rf .venv
trap 'rm -f "$log"; [ -e .venv/.complete ] || rm -rf .venv' EXIT
trap 'exit 130' INT TERM
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "${free:-$needed}" -ge "$needed" ] ||
    fail "$((free / 1000)) MB are free here and .venv takes $size; free some space and run make again"

if ! "$python" -m venv .venv >"$log" 2>&1; then
    case $(cat "$log") in
    *ensurepip* | *"No module named venv"*)
        fail "$python cannot make virtual environments; install its venv module (Debian: apt install python${version%.*}-venv)" ;;
    *) fail "$python cannot make the virtual environment .venv: $(tail -n 1 "$log")" ;;
    esac
fi

if [ "${UV:-}" != no ] && command -v uv >/dev/null; then
    installer=uv
    install() { uv pip install --python .venv/bin/python "$@"; }
else
    installer=pip
    install() { .venv/bin/python -m pip install --disable-pip-version-check "$@"; }
fi

# At a terminal the installer shows its progress; elsewhere, and to learn why it failed there, its words go to the log.
try() {
    { [ -t 1 ] && install "$@"; } || install "$@" >"$log" 2>&1 || explain
}

explain() {
    words="$installer: $(grep -iE 'error|no space|mismatch|failed|caused by' "$log" | tail -n 1 | sed 's/^ *//')"
    case $(cat "$log") in
    *"No space left"* | *"Disk quota"*)
        fail "the disk is full: .venv takes $size; free some space and run make again ($words)" ;;
    *HASHES* | *"ash mismatch"*)
        fail "a package is not the one that requirements.lock names: its download was altered; run make again, and if that \
fails again do not trust the package index ($words)" ;;
    *NewConnectionError* | *"Temporary failure"* | *"timed out"* | *ConnectionError* | *ProxyError* | *"dns error"* | \
        *"tcp connect error"* | *"Failed to fetch"* | *"error sending request"*)
        fail "the packages cannot be downloaded; check the network (or the package index that $installer is set to) and \
run make again ($words)" ;;
    *"No matching distribution"* | *"No solution found"*)
        fail "the package index lacks a package for Python $version on $(uname -sm); try another Python: \
make PYTHON=/path/to/python3.12 ($words)" ;;
    *) fail "$words" ;;
    esac
}

if [ -z "${TORCH_INDEX:-}" ]; then
    say "installing the locked packages into .venv by $installer ($size)"
    try --require-hashes -r requirements.lock
else
    # Another index has other files, so these two have the locked versions, but not the locked hashes.
    say "installing the locked packages but torch into .venv by $installer ($size)"
    awk '/^[^ #]/ { skip = /^(torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)==/ } !skip' requirements.lock >.venv/others.lock
    try --require-hashes --no-deps -r .venv/others.lock
    torch=$(grep -oE '^(torch|torchvision)==[^ ;]+' requirements.lock)
    say "installing $(echo $torch) from $TORCH_INDEX, without hashes"
    # shellcheck disable=SC2086 - two packages
    try --no-deps --index-url "$TORCH_INDEX" $torch
fi
say "installing sharpness itself"
try --no-deps --no-build-isolation -e .
touch .venv/.complete
say "done; source .venv/bin/activate lets you use it"
