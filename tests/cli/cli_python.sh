#!/bin/bash
# cli_python.sh BUILD - the Python clients (python_clients.py): over HTTP with the standard
# library alone, and through libfashionbert.so with NumPy, where there is one.
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=$(command -v python3)
for python in "$ROOT/build/venv/bin/python" /usr/bin/python3; do # one with NumPy, if any
    "$python" -c 'import numpy' 2>/dev/null && PYTHON=$python && break
done
if [ -z "$PYTHON" ]; then
    echo "skipped: no python3"
    exit 77
fi
. "$(dirname "$0")/served_lib.sh"
start one --index "$WORK/index"
# A library with sanitizers does not open in a Python without them.
grep -q "FB_SANITIZE:BOOL=ON" "$BUILD/CMakeCache.txt" ||
    export FASHIONBERT_LIBRARY=$BUILD/libfashionbert.so
check "the clients" "$PYTHON" "$ROOT/tests/cli/python_clients.py" "$C" "$WORK/m" "$WORK/index" "$URL"
finish
