#!/bin/bash
# cli_openapi.sh BUILD - schemathesis reads /openapi.json of a server and asks what it
# allows and what it forbids: no 5xx, every answer as described, what is wrong is refused.
# Skipped where there is no schemathesis (tests/setup_python.sh).
ROOT=$(cd "$(dirname "$0")/.." && pwd)
SCHEMATHESIS=$ROOT/build/venv/bin/schemathesis
if ! "$SCHEMATHESIS" --version >/dev/null 2>&1; then
    echo "skipped: no schemathesis in build/venv; tests/setup_python.sh makes it"
    exit 77
fi
. "$ROOT/tests/cli_lib.sh"
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
cd "$WORK" || exit 1
export SCHEMATHESIS_HOOKS=openapi_hooks PYTHONPATH=$ROOT/tests
if "$SCHEMATHESIS" --config-file "$ROOT/tests/schemathesis.toml" run --no-color --seed 1 \
    --phases examples,coverage,fuzzing "$URL/openapi.json" >"$WORK/report" 2>&1; then
    pass
else
    fail "schemathesis: $(grep -v '^$' "$WORK/report" | tail -n 80)"
fi
grep "^Test cases" -A 1 "$WORK/report"
kill -TERM $server
wait $server
check "the server ends with 0" test $? -eq 0
finish
