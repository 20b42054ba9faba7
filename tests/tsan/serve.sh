#!/bin/bash
# serve.sh TSAN-BUILD BUILD - the server under ThreadSanitizer, with two workers and two
# readers: clients search, match, fetch photos, metrics and the page side by side while the
# model is opened anew, then it ends. What BUILD has made trains and indexes.
if ! command -v curl >/dev/null; then
    echo "skipped: no curl"
    exit 77
fi
checked=$1
. "$(dirname "$0")/../cli/served_lib.sh" "$2"
FB=$checked/fashionbert
start first --index "$WORK/index" --workers 2 --readers 2

photo=$(base64 -w 0 "$C/images/7.png")
echo '{"text": "blue circle", "k": 5}' >"$WORK/words"
echo '{"text": "red square", "k": 9, "rerank": 9, "filter": {"category": "square"}}' >"$WORK/rerank"
echo "{\"image\": \"$photo\", \"k\": 5}" >"$WORK/photo"
echo '{"text": "", "k": 5' >"$WORK/broken"

# client NAME: rounds of requests of every kind; statuses in WORK/NAME.status
client() {
    local round what
    for round in $(seq 12); do
        for what in words rerank photo broken; do
            curl -s -m 120 -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' \
                --data-binary @"$WORK/$what" "$URL/v1/search"
        done
        for what in "v1/products/p$round/image" metrics health ""; do
            curl -s -m 120 -o /dev/null -w '%{http_code}\n' "$URL/$what"
        done
    done >"$WORK/$1.status"
}
clients=
for name in a b c; do
    client $name &
    clients="$clients $!"
done
for round in 1 2 3; do
    sleep 1
    kill -HUP $PID
done
wait $clients
cat "$WORK"/?.status | sort | uniq -c >"$WORK/statuses"
check "searches are answered: $(cat "$WORK/statuses")" grep -q " 200$" "$WORK/statuses"
check "a broken one is refused" grep -q " 400$" "$WORK/statuses"
check "nothing else: $(cat "$WORK/statuses")" test "$(wc -l <"$WORK/statuses")" -eq 2
stop "the server"
check "no race: $(head -c 3000 "$WORK/first.err")" \
    sh -c "! grep -q ThreadSanitizer '$WORK/first.err'"
finish
