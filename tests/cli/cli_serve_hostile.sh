#!/bin/bash
# cli_serve_hostile.sh BUILD - clients that stall, crowd or ask for too much, and a server
# that is told to end: see serve_hostile.py.
if ! command -v python3 >/dev/null; then
    echo "skipped: no python3"
    exit 77
fi
. "$(dirname "$0")/served_lib.sh"
python3 "$(dirname "$0")/serve_hostile.py" "$FB" "$WORK" "$C" 2>&1
check "the clients of serve_hostile.py" test $? -eq 0
finish
