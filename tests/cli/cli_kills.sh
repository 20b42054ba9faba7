#!/bin/bash
# cli_kills.sh BUILD - killed with SIGKILL at any instant, train, import, encode and index
# leave what opens whole or nothing, and begun again end with the bits of a run that nobody
# touched.
#
#   KILLS   how many (20; make torture takes 200)
. "$(dirname "$0")/cli_lib.sh"
KILLS=${KILLS:-20}
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 60
ok "a model" "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/m" $TINY --steps 4 --seed 3
export FASHIONBERT_DTYPE=f32

# Each verb makes $O; more_VERB begins it again; whole_VERB: what is there is all of it;
# opens_VERB: it can be used, or there is nothing yet.
run_train() {
    exec "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
        --catalog "$C" --out "$O" $TINY --steps 40 --seed 3 --checkpoint-every 5 --resume
}
whole_train() {
    for f in model.safetensors last/model.safetensors last/optimizer.safetensors vocab.txt; do
        cmp -s "$WORK/train/$f" "$O/$f" || return 1
    done
}
opens_train() {
    rm -rf "$WORK/opened"
    [ ! -e "$O/last" ] || "$FB" encode --model "$O/last" --catalog "$C" --split val \
        --out "$WORK/opened" --quiet >/dev/null 2>&1
}
run_import() { exec "$FB" import --out "$O" --quiet "$C"; }
whole_import() {
    diff -rq "$WORK/import" "$O" >/dev/null
}
opens_import() { [ ! -e "$O" ] || whole_import; }
run_encode() {
    exec "$FB" encode --model "$WORK/m" --catalog "$C" --out "$O" --quiet --threads 2
}
whole_encode() { cmp -s "$WORK/encode/product.npy" "$O/product.npy" &&
    cmp -s "$WORK/encode/product.ids.txt" "$O/product.ids.txt"; }
opens_encode() { [ ! -e "$O/product.npy" ] || whole_encode; }
run_index() {
    exec "$FB" index --model "$WORK/m" --catalog "$C" --out "$O" --quiet --threads 2
}
whole_index() {
    "$FB" search --model "$WORK/m" --index "$O" --text "red circle" --k 60 --json \
        2>/dev/null | grep -v '"\(encode\|search\|rerank\|total\)"' |
        cmp -s - "$WORK/index.found"
}
opens_index() { [ ! -e "$O/index.json" ] || whole_index; }

verbs=(train import encode index)
declare -A took
for verb in "${verbs[@]}"; do
    O=$WORK/$verb
    begun=$(date +%s%N)
    ok "$verb, nobody touches" eval "( run_$verb )"
    took[$verb]=$((($(date +%s%N) - begun) / 1000))
done
"$FB" search --model "$WORK/m" --index "$WORK/index" --text "red circle" --k 60 --json |
    grep -v '"\(encode\|search\|rerank\|total\)"' >"$WORK/index.found"
check "the search finds all" test "$(grep -c '"product_id"' "$WORK/index.found")" -eq 60

# Instants from a fixed sequence; what each hits depends on the machine, which is the point.
killed=0 moment=17
for k in $(seq 0 $((KILLS - 1))); do
    verb=${verbs[k % 4]}
    moment=$(((moment * 137 + 29) % 397))
    O=$WORK/out.$verb # three kills of each go on where the one before has left off
    (eval "run_$verb") >/dev/null 2>"$WORK/stderr" &
    pid=$!
    sleep "$(awk "BEGIN { printf \"%.4f\", $moment / 397 * ${took[$verb]} / 1e6 }")"
    kill -9 $pid 2>/dev/null && killed=$((killed + 1))
    wait $pid 2>/dev/null
    check "$verb, kill $k: what is there opens" "opens_$verb"
    if [ $((k % 12)) -ge 8 ] || [ "$k" -ge $((KILLS - 4)) ]; then
        if [ "$verb" != import ] || [ ! -e "$O" ]; then
            ok "$verb, kill $k: begun again" eval "( run_$verb )"
        fi
        check "$verb, kill $k: to the bit" "whole_$verb"
        rm -rf "$O" "$O".*
    fi
done
echo "killed $killed times"
check "some were killed" test $((5 * killed)) -ge "$KILLS"
finish
