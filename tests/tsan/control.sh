#!/bin/bash
# control.sh PROGRAM - ThreadSanitizer must end tsan_control, which has a race.
said=$("$1" 2>&1)
status=$?
case $status:$said in
    66:*"WARNING: ThreadSanitizer: data race"*) exit 0 ;;
esac
echo "no race was seen: exit $status, $said"
exit 1
