#!/bin/bash
# cli_page.sh BUILD - the page of `serve` in a real Chromium (page_test.py). Skipped where
# there is no Chromium or no playwright (tests/setup_python.sh).
cd "$(dirname "$0")/.." || exit 1
PYTHON=build/venv/bin/python
if ! command -v chromium >/dev/null; then
    echo "skipped: no chromium (Debian's package of that name)"
    exit 77
fi
if ! "$PYTHON" -c 'import playwright' 2>/dev/null; then
    echo "skipped: no playwright in build/venv; tests/setup_python.sh makes it"
    exit 77
fi
. tests/cli_lib.sh
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
check "the page" "$PYTHON" tests/page_test.py "$URL" "$C/images/3.png" ${FB_SHOTS:-}
finish
