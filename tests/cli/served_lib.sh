# served_lib.sh - shared by the tests of `serve`; source it with the build folder, in the
# place of cli_lib.sh. Servers that still run are killed at the end.
#
#   C           a catalogue of 80 products
#   WORK/m      a model with vectors and alignment (WORK/itc: the one that it began as)
#   WORK/index  the index of C
#   start NAME OPTIONS...   a server on a free port, logs WORK/NAME.log and WORK/NAME.err;
#                           sets URL and PID
#   stop WHAT               SIGTERM ends PID with 0
. "$(dirname "${BASH_SOURCE[0]}")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 80
ok "train a few steps" "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/itc" $TINY --steps 20 --seed 3
ok "and alignment on top" "$FB" train --objective match --init "$WORK/itc" --catalog "$C" \
    --out "$WORK/m" --batch 16 --threads 2 --quiet --negatives hard --itc 1 --steps 4
ok "index" "$FB" index --model "$WORK/m" --catalog "$C" --out "$WORK/index" --quiet

servers=
start() {
    local name=$1 i
    shift
    "$FB" serve --model "$WORK/m" --threads 1 --port 0 --access-log "$WORK/$name.log" "$@" \
        2>"$WORK/$name.err" &
    PID=$!
    servers="$servers $PID"
    for i in $(seq 200); do
        grep -q "on http" "$WORK/$name.err" && break
        kill -0 $PID 2>/dev/null || break
        sleep 0.05
    done
    URL=$(grep -o 'http://127[^ ]*' "$WORK/$name.err" | sed 's|/$||')
    check "$name serves: $(head -c 300 "$WORK/$name.err")" test -n "$URL"
}
stop() {
    kill -TERM $PID
    wait $PID
    check "$1 ends with 0" test $? -eq 0
}
trap 'kill $servers 2>/dev/null; rm -rf "$WORK"' EXIT
