#!/bin/sh
# Create .venv with the locked versions of everything. On a fault: one line that says why, and nothing half-made.
set -u

fail() {
    echo "set-up: $1" >&2
    rm -rf .venv
    exit 1
}

for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "${python:-}" ] || fail "no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3.12"

echo "set-up: installing the locked packages into .venv (about 6 GB with CUDA's libraries, some minutes)"
rm -rf .venv
"$python" -m venv .venv || fail "$python cannot make a virtual environment; install its venv module (Debian: python3-venv)"
log=$(mktemp) || fail "no temporary file can be written; is the disk full?"
trap 'rm -f "$log"' EXIT
if ! .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock >"$log" 2>&1 ||
    ! .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . >>"$log" 2>&1; then
    case $(cat "$log") in
    *"No space left"* | *"Disk quota"*) fail "the disk is full; free about 7 GB and run make again" ;;
    *"HASHES"*) fail "a package is not the one that requirements.lock names; the download was altered, try again" ;;
    *"NewConnectionError"* | *"Temporary failure"* | *"timed out"* | *"ConnectionError"* | *"ProxyError"* | *"No matching distribution"*)
        fail "the packages cannot be downloaded; check the network (or the package index that pip is set to) and run make again" ;;
    *) fail "pip failed: $(grep -i error "$log" | tail -n 1)" ;;
    esac
fi
touch .venv/.complete
