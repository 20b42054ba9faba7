#!/bin/bash
# cli_openapi.sh BUILD - schemathesis reads /openapi.json of a server and asks what it
# allows and what it forbids: no 5xx, every answer as described, what is wrong is refused.
# Skipped where there is no schemathesis (tests/setup_python.sh).
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
SCHEMATHESIS=$ROOT/build/venv/bin/schemathesis
if ! "$SCHEMATHESIS" --version >/dev/null 2>&1; then
    echo "skipped: no schemathesis in build/venv; tests/setup_python.sh makes it"
    exit 77
fi
. "$ROOT/tests/cli/served_lib.sh"
start one --index "$WORK/index"
cd "$WORK" || exit 1
export SCHEMATHESIS_HOOKS=openapi_hooks PYTHONPATH=$ROOT/tests/cli
if "$SCHEMATHESIS" --config-file "$ROOT/tests/cli/schemathesis.toml" run --no-color --seed 1 \
    --phases examples,coverage,fuzzing "$URL/openapi.json" >"$WORK/report" 2>&1; then
    pass
else
    fail "schemathesis: $(grep -v '^$' "$WORK/report" | tail -n 80)"
fi
grep "^Test cases" -A 1 "$WORK/report"
stop "the server"
finish
