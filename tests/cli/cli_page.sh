#!/bin/bash
# cli_page.sh BUILD - the page of `serve` in a real Chromium (page_test.py). Skipped where
# there is no Chromium or no playwright (tests/setup_python.sh).
cd "$(dirname "$0")/../.." || exit 1
PYTHON=build/venv/bin/python
if ! command -v chromium >/dev/null; then
    echo "skipped: no chromium (Debian's package of that name)"
    exit 77
fi
if ! "$PYTHON" -c 'import playwright' 2>/dev/null; then
    echo "skipped: no playwright in build/venv; tests/setup_python.sh makes it"
    exit 77
fi
. tests/cli/served_lib.sh
start one --index "$WORK/index"
check "the page" "$PYTHON" tests/cli/page_test.py "$URL" "$C/images/3.png" ${FB_SHOTS:-}
finish
