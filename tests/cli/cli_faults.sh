#!/bin/bash
# cli_faults.sh BUILD - one call of the machine's fails, the n-th, and nothing is wrong but
# that: a verb ends with 0 and its whole result, or with 1 and one sentence; nothing is
# half-written, nothing crashes, and no product is left out or changed for it.
#
#   FAULT_SAMPLES   how many n of each verb and kind, spread over its calls (4); `all`
#                   takes every one (make torture)
. "$(dirname "$0")/cli_lib.sh"
SAMPLES=${FAULT_SAMPLES:-4}
SHIM=$(find "$BUILD/tests" -name 'libfail_nth.so' | head -1)
[ -n "$SHIM" ] || {
    echo "skipped: no libfail_nth.so"
    exit 77
}
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 24
sed -i 's/"title": "/"title": "purple striped /' "$C/metadata.jsonl"
ok "a model" "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/m" $TINY --steps 4 --seed 3
export FASHIONBERT_DTYPE=f32
RESUME=

# Each verb makes $O; whole_VERB says whether what lies there is the whole result.
run_import() { "$@" import --out "$O" --quiet --skip-bad "$C"; }
whole_import() { cmp -s "$WORK/import/metadata.jsonl" "$O/metadata.jsonl" &&
    diff -rq "$WORK/import/images" "$O/images" >/dev/null; }
run_train() {
    "$@" train --objective itc --encoder pixels --vector-size 16 --itc 1 --catalog "$C" \
        --out "$O" $TINY --steps 2 --seed 3 $RESUME
}
whole_train() { "$FB" inspect "$C" --quiet >/dev/null && cmp -s "$WORK/train/vocab.txt" \
    "$O/vocab.txt" && cmp -s "$WORK/train/model.safetensors" "$O/model.safetensors"; }
run_index() { "$@" index --model "$WORK/m" --catalog "$C" --out "$O" --quiet --threads 2; }
whole_index() { cmp -s "$WORK/index/000001.products" "$O/000001.products" &&
    cmp -s "$WORK/index/000001.vectors.npy" "$O/000001.vectors.npy" &&
    "$FB" search --model "$WORK/m" --index "$O" --text red --k 3 >/dev/null 2>&1; }

# once VERB KIND N: with its N-th call of KIND failing.
once() {
    local verb=$1 kind=$2 n=$3 status last=metadata.jsonl
    [ "$verb" = import ] || last=index.json
    rm -rf "$O" "$O".*
    "run_$verb" timeout 120 env FAIL_KIND="$kind" FAIL_AT="$n" LD_PRELOAD="$SHIM" "$FB" \
        >"$WORK/stdout" 2>"$WORK/stderr"
    status=$?
    if [ $status -eq 0 ]; then
        check "$verb, $kind $n: exit 0 with all of it" "whole_$verb"
        return
    fi
    if [ $status -ne 1 ] || [ "$(wc -l <"$WORK/stderr")" -ne 1 ] ||
        ! grep -q '^fashionbert: ...' "$WORK/stderr"; then
        fail "$verb, $kind $n: exit $status: $(head -c 300 "$WORK/stderr")"
    elif [ "$verb" = train ]; then
        # What is left goes on, or is begun anew, to the same end.
        RESUME=--resume
        ok "train, $kind $n: goes on ($(head -c 200 "$WORK/stderr"))" run_train "$FB"
        RESUME=
        check "train, $kind $n: to the same end" whole_train
    else # a folder may have been made, and only not been synced
        check "$verb, $kind $n: nothing by halves" eval "[ ! -e '$O/$last' ] || whole_$verb"
        ok "$verb, $kind $n: once more ($(head -c 200 "$WORK/stderr"))" "again_$verb"
        check "$verb, $kind $n: to the same end" "whole_$verb"
    fi
}
again_import() { [ -e "$O" ] || run_import "$FB"; }
again_index() { [ -e "$O/index.json" ] || run_index "$FB"; }

for verb in import train index; do
    O=$WORK/$verb
    ok "$verb without a fault" "run_$verb" "$FB"
    O=$WORK/out
    for kind in malloc open read write fsync rename; do
        rm -rf "$O" "$O".*
        ok "$verb: count $kind" "run_$verb" env FAIL_KIND=$kind FAIL_AT=0 \
            FAIL_COUNT="$WORK/count" LD_PRELOAD="$SHIM" "$FB"
        calls=$(cat "$WORK/count")
        check "$verb: there are calls of $kind" test "$calls" -gt 0
        samples=$SAMPLES
        { [ "$samples" = all ] || [ "$samples" -gt "$calls" ]; } && samples=$calls
        for i in $(seq 0 $((samples - 1))); do
            once $verb $kind $((1 + (2 * i + 1) * calls / (2 * samples)))
        done
    done
done

# serve: a start that fails is one sentence; a request that fails is 503, and the next one
# is answered as ever. Of the calls between two runs' counts most are the request's.
ask() { # ask FILE: its status, products and titles in FILE
    curl -s -m 20 -o "$WORK/body" -w '%{http_code}' -H 'Content-Type: application/json' \
        -d '{"text": "purple striped red circle", "k": 5}' "$URL/v1/search" >"$WORK/code"
    grep -o '"\(product_id\|title\|score\)": *[^,}]*' "$WORK/body" >"$1"
    cat "$WORK/code"
}
serve() { # serve KIND N REQUESTS: one server's life; FIRST and SECOND are its answers
    local i pid
    FIRST= SECOND= URL=
    FAIL_KIND=$1 FAIL_AT=$2 FAIL_COUNT=$WORK/count LD_PRELOAD=$SHIM "$FB" serve \
        --model "$WORK/m" --index "$WORK/index" --threads 1 --port 0 >/dev/null 2>"$WORK/stderr" &
    pid=$!
    for i in $(seq 1200); do # a busy machine
        grep -q "on http" "$WORK/stderr" && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    URL=$(grep -o 'http://127[^ ]*' "$WORK/stderr" | sed 's|/$||')
    if [ -n "$URL" ] && [ "$3" -gt 0 ]; then
        FIRST=$(ask "$WORK/first")
        SECOND=$(ask "$WORK/second")
    fi
    kill -TERM $pid 2>/dev/null
    wait $pid
}
serve_once() {
    local kind=$1 n=$2 status
    serve "$kind" "$n" 2
    status=$?
    if [ -z "$URL" ]; then
        check "serve, $kind $n: one sentence: $status, $(head -c 300 "$WORK/stderr")" \
            test "$status $(wc -l <"$WORK/stderr")" = "1 1"
        return
    fi
    check "serve, $kind $n: ends with 0, not $status" test $status -eq 0
    case $FIRST in
        200) check "serve, $kind $n: 200 is the answer" cmp -s "$WORK/right" "$WORK/first" ;;
        429 | 503) pass ;; # come back, either way
        *) fail "serve, $kind $n: answered $FIRST: $(head -c 300 "$WORK/body")" ;;
    esac
    case $FIRST-$SECOND in
        *-200) check "serve, $kind $n: then as ever" cmp -s "$WORK/right" "$WORK/second" ;;
        200-429 | 200-503) pass ;; # the one that failed was the second
        *) fail "serve, $kind $n: then answered $SECOND" ;;
    esac
}
if command -v curl >/dev/null; then
    serve none 0 1
    cp "$WORK/first" "$WORK/right"
    check "a server answers: $FIRST, $(head -c 200 "$WORK/body")" test -s "$WORK/right"
    for kind in malloc open read; do
        serve $kind 0 0
        without=$(cat "$WORK/count")
        serve $kind 0 1
        with=$(cat "$WORK/count")
        samples=$SAMPLES
        { [ "$samples" = all ] || [ "$samples" -gt "$without" ]; } && samples=$without
        for i in $(seq 0 $((samples - 1))); do
            serve_once $kind $((1 + (2 * i + 1) * without / (2 * samples)))
        done
        samples=$((with - without))
        [ "$SAMPLES" = all ] || samples=$((2 * SAMPLES))
        [ "$samples" -le $((with - without)) ] || samples=$((with - without))
        for i in $(seq 0 $((samples - 1))); do
            serve_once $kind $((without + (2 * i + 1) * (with - without) / (2 * samples)))
        done
    done
fi
finish
