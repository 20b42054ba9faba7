#!/bin/bash
# cli_python.sh BUILD - the Python clients (python_clients.py): over HTTP with the standard
# library alone, and through libfashionbert.so with NumPy, where there is one.
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=$(command -v python3)
for python in "$ROOT/build/venv/bin/python" /usr/bin/python3; do # one with NumPy, if any
    "$python" -c 'import numpy' 2>/dev/null && PYTHON=$python && break
done
if [ -z "$PYTHON" ]; then
    echo "skipped: no python3"
    exit 77
fi
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 80
ok "train a few steps" "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/itc" $TINY --steps 20 --seed 3
ok "and alignment on top" "$FB" train --objective match --init "$WORK/itc" --catalog "$C" \
    --out "$WORK/m" --batch 16 --threads 2 --quiet --negatives hard --itc 1 --steps 4
ok "index" "$FB" index --model "$WORK/m" --catalog "$C" --out "$WORK/index" --quiet
"$FB" serve --model "$WORK/m" --index "$WORK/index" --port 0 --threads 1 --access-log none \
    2>"$WORK/serve.err" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$WORK"' EXIT
for i in $(seq 200); do
    grep -q "on http" "$WORK/serve.err" && break
    sleep 0.05
done
URL=$(grep -o 'http://127[^ ]*' "$WORK/serve.err" | sed 's|/$||')
check "it serves" test -n "$URL"
# A library with sanitizers does not open in a Python without them.
grep -q "FB_SANITIZE:BOOL=ON" "$BUILD/CMakeCache.txt" ||
    export FASHIONBERT_LIBRARY=$BUILD/libfashionbert.so
check "the clients" "$PYTHON" "$ROOT/tests/python_clients.py" "$C" "$WORK/m" "$WORK/index" "$URL"
finish
