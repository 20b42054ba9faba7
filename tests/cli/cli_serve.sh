#!/bin/bash
# cli_serve.sh BUILD - the HTTP server from the outside: its answers are those of the
# command, bad input of every kind gets a 4xx with a JSON error, a full queue 429; a model
# is swapped and the server ends without a lost request.
if ! command -v curl >/dev/null; then
    echo "skipped: no curl"
    exit 77
fi
. "$(dirname "$0")/served_lib.sh"

# ask WHAT STATUS CURL-OPTIONS...: the answer is in $WORK/body, its headers in $WORK/head.
ask() {
    local what=$1 wanted=$2 got
    shift 2
    got=$(curl -s -S -m 60 -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' "$@" \
        2>"$WORK/curl.err")
    if [ "$got" != "$wanted" ]; then
        fail "$what: $got, not $wanted: $(head -c 300 "$WORK/body") $(cat "$WORK/curl.err")"
    elif [ "$wanted" -ge 400 ] &&
        ! grep -q '^{"error": {"code": "[a-z_]*", "message": ".*", "request_id": "[^"]*"}}$' \
            "$WORK/body"; then
        fail "$what: no JSON error: $(head -c 300 "$WORK/body")"
    else pass; fi
}
post() { # post WHAT STATUS PATH JSON
    ask "$1" "$2" -H 'Content-Type: application/json' -d "$4" "$URL$3"
}
says() { # says WORDS: the last answer holds them
    if grep -qF -- "$1" "$WORK/body"; then pass; else
        fail "no '$1' in: $(head -c 300 "$WORK/body")"
    fi
}
is() { if [ "$2" = "$3" ]; then pass; else fail "$1: '$2', not '$3'"; fi; }
# members KEY FILE: its values, one a line, in compact or indented JSON.
members() { grep -o "\"$1\": *\(\"[^\"]*\"\|[^,}\"]*\)" "$2" | sed 's/^[^:]*: *//'; }
base64_of() { base64 -w 0 "$1"; }

start first --index "$WORK/index" --receive-timeout 1

# ---- what there is ------------------------------------------------------------------
ask "health" 200 "$URL/health"
says '"ok"'
ask "ready" 200 "$URL/ready"
ask "the page" 200 "$URL/"
check "with a policy" grep -qi "^content-security-policy: default-src 'none'" "$WORK/head"
ask "the description" 200 "$URL/openapi.json"
says '"openapi":"3.1.0"'
ask "the index" 200 "$URL/v1/index"
says '{"value": "circle"'
ask "a product" 200 "$URL/v1/products/p7"
says '"title": "'
ask "its photo" 200 "$URL/v1/products/p7/image"
check "is the file" cmp "$WORK/body" "$C/images/7.png"
ask "HEAD" 200 -I "$URL/v1/products/p7/image"

# ---- the same answers as the command's -------------------------------------------------
both() { # both WHAT JSON OPTIONS...: POST /v1/search and `search --json` agree
    local what=$1 json=$2 key
    shift 2
    ok "$what, asked here" "$FB" search --model "$WORK/m" --index "$WORK/index" --json \
        --threads 1 "$@"
    post "$what, asked there" 200 /v1/search "$json"
    for key in query product_id title image score rerank_score rank category compared \
        rerank_dropped; do
        is "$what: $key" "$(members $key "$WORK/body")" "$(members $key "$WORK/stdout")"
    done
    check "$what: something was found" test -n "$(members product_id "$WORK/body")"
}
both "by text" '{"text": "red circle", "k": 5}' --text "red circle" --k 5
both "re-ranked" '{"text": "red circle", "k": 4, "rerank": 20}' --text "red circle" --k 4 \
    --rerank 20
both "re-ranked, those near the first" \
    '{"text": "red circle", "k": 20, "rerank": 20, "rerank_margin": 0.05}' --text "red circle" \
    --k 20 --rerank 20 --rerank-margin 0.05
both "filtered" '{"text": "blue", "filter": {"category": ["stripe", "SQUARE"]}}' --text blue \
    --filter category=stripe category=square
both "exact, by titles" '{"text": "blue", "k": 2, "exact": true, "by": "text"}' --text blue \
    --k 2 --exact --by text
img=$(base64_of "$C/images/3.png")
ok "by image, asked here" "$FB" search --model "$WORK/m" --index "$WORK/index" --json \
    --threads 1 --image "$C/images/3.png" --text "x" --text-weight 0.25
post "by image" 200 /v1/search '{"text": "x", "image": "'"$img"'", "text_weight": 0.25}'
is "by image" "$(members score "$WORK/body")" "$(members score "$WORK/stdout")"
ask "by image, multipart" 200 -F text=x -F text_weight=0.25 -F "image=@$C/images/3.png" \
    "$URL/v1/search"
is "by image, multipart" "$(members score "$WORK/body")" "$(members score "$WORK/stdout")"

ok "match here" "$FB" match --model "$WORK/m" --threads 1 --json --text "red circle" blue \
    --image "$C/images/1.png" "$C/images/2.png"
ask "match there" 200 -F "texts=red circle" -F texts=blue -F "images=@$C/images/1.png" \
    -F "images=@$C/images/2.png" "$URL/v1/match"
close "match" "$(grep -o '"scores": .*' "$WORK/body" | tr -d '][}:a-z"' | tr ',' '\n' | tr -d ' ')" \
    "$(members score "$WORK/stdout")"
ask "queries are for other models" 409 -F queries=a -F texts=a -F "images=@$C/images/1.png" \
    "$URL/v1/match"
post "rerank" 200 /v1/rerank '{"text": "red", "product_ids": ["p1", "p2", "p3"], "k": 2}'
is "two of three" "$(members product_id "$WORK/body" | wc -l)" 2
check "best first" eval 'members rerank_score "$WORK/body" | sort -rg -c'
post "encode" 200 /v1/encode '{"texts": ["red", "blue"]}'
says '"vector_size": 16'
ask "encode products" 200 -F texts=red -F "images=@$C/images/1.png" "$URL/v1/encode"

# ---- what is refused ---------------------------------------------------------------------
ask "no such path" 404 "$URL/v2/search"
ask "no such product" 404 "$URL/v1/products/none"
ask "no way out of the catalogue" 404 --path-as-is "$URL/v1/products/../../../etc/passwd/image"
ask "nor encoded" 404 "$URL/v1/products/..%2F..%2Fetc%2Fpasswd/image"
ask "a broken path" 400 "$URL/v1/products/%f"
ask "another method" 405 -X DELETE "$URL/v1/products/p7"
check "and what is allowed" grep -qi '^allow: GET, HEAD' "$WORK/head"
ask "another method" 405 "$URL/v1/search"
ask "another type" 415 -H 'Content-Type: text/plain' -d '{"text": "a"}' "$URL/v1/search"
ask "no boundary" 415 -H 'Content-Type: multipart/form-data' -d 'x' "$URL/v1/search"
for path in search match rerank encode explain; do
    for body in '' '{' 'x' '[1,2' '{"text": "\ud800"}' '{"text": "a", "text": "a"}'; do
        post "$path: not JSON" 400 /v1/$path "$body"
    done
    for body in 'null' '[]' '7' '{}' '{"unknown": 1}' '{"text": 7}' '{"texts": [1]}' \
        '{"text": "", "texts": [], "image": 1}' '{"text": "a", "images": "b", "k": {}}' \
        '{"texts": "a", "product_ids": [null]}'; do
        post "$path: $body" 422 /v1/$path "$body"
    done
    ask "$path: a broken form" 400 -H 'Content-Type: multipart/form-data; boundary=X' \
        -d '--X' "$URL/v1/$path"
    head -c 10000000 /dev/zero | tr '\0' a >"$WORK/long"
    { printf '{"text": "' && cat "$WORK/long" && printf '"}'; } >"$WORK/long.json"
    ask "$path: a text of 10 MB" 422 -H 'Content-Type: application/json' \
        --data-binary "@$WORK/long.json" "$URL/v1/$path"
done
head -c 17000000 /dev/zero | tr '\0' ' ' >"$WORK/larger"
ask "17 MB" 413 -H 'Content-Type: application/json' --data-binary "@$WORK/larger" \
    "$URL/v1/search"
ask "17 MB, told before" 413 -H 'Expect: 100-continue' -H 'Content-Type: application/json' \
    --data-binary "@$WORK/larger" "$URL/v1/search"
ask "17 MB, in chunks" 413 -H 'Transfer-Encoding: chunked' -H 'Expect:' \
    -H 'Content-Type: application/json' --data-binary "@$WORK/larger" "$URL/v1/search"
printf '{"text": [%s0]}' "$(yes '0,' | head -n 30000 | tr -d '\n')" >"$WORK/values.json"
ask "30,000 values" 422 -H 'Content-Type: application/json' --data-binary "@$WORK/values.json" \
    "$URL/v1/search"
says "more than 20000 values"
printf '{"text": "a", "filter": {"category": [%s"a"]}}' \
    "$(yes '"a",' | head -n 1100 | tr -d '\n')" >"$WORK/filters.json"
ask "1,100 values of a filter" 422 -H 'Content-Type: application/json' \
    --data-binary "@$WORK/filters.json" "$URL/v1/search"
says "at most 1024"

# A body whose end two readers may see at two places is never parted into two requests.
framed() { # in one write, so that the answer does not come before the end is sent
    printf 'POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%b\r\n%b' \
        "$2" '0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n' >"$WORK/request"
    exec 9<>"/dev/tcp/127.0.0.1/${URL##*:}"
    cat "$WORK/request" >&9
    timeout 5 cat <&9 >"$WORK/framed"
    exec 9>&-
    check "$1: one answer, 400" test "$(grep -c '^HTTP/1.1 ' "$WORK/framed") $(head -c 12 \
        "$WORK/framed")" = "1 HTTP/1.1 400"
}
framed "a length and chunks" 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n'
framed "two lengths" 'Content-Length: 14\r\nContent-Length: 5\r\n'
post "an unknown filter" 422 /v1/search '{"text": "a", "filter": {"size": "XL"}}'
says size
post "an unknown product" 404 /v1/rerank '{"text": "a", "product_ids": ["p1", "none"]}'
post "too many pairs" 422 /v1/match \
    '{"texts": ['"$(yes '"a",' | head -n 199 | tr -d '\n')"'"a"], "images": ['"$(yes '"",' |
        head -n 99 | tr -d '\n')"'""]}'
says "at most 1024"

# Images: none, cut short, lying about their size, too large.
head -c 100 "$C/images/1.png" >"$WORK/cut.png"
{ head -c 16 "$C/images/1.png" && printf '\0\0\377\377\0\0\377\377' &&
    tail -c +25 "$C/images/1.png"; } >"$WORK/liar.png"
printf 'GIF89a, not ours' >"$WORK/other.gif"
: >"$WORK/empty"
for file in cut.png liar.png other.gif empty; do
    ask "search: $file" 422 -F "image=@$WORK/$file" "$URL/v1/search"
    ask "match: $file" 422 -F texts=a -F "images=@$WORK/$file" "$URL/v1/match"
    ask "encode: $file" 422 -F "images=@$C/images/1.png" -F "images=@$WORK/$file" "$URL/v1/encode"
    says 'images[1]'
    post "rerank: $file" 422 /v1/rerank \
        '{"image": "'"$(base64_of "$WORK/$file")"'", "product_ids": ["p1"]}'
done
post "broken base64" 400 /v1/search '{"image": "a=bc"}'
is "an id of the client's is kept" "$(curl -s -D - -o "$WORK/body" -H 'X-Request-Id: my-1' \
    "$URL/none" | tr -d '\r' | sed -n 's/^X-Request-Id: //p')" my-1
says '"request_id": "my-1"'

# Slow clients, and such that hang up.
host=${URL#http://}
port=${host#*:}
talk() { # talk SECONDS TEXT: send it raw, wait, then hang up; what came is in $WORK/talk
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    printf '%b' "$2" >&9
    timeout "$1" cat <&9 >"$WORK/talk"
    exec 9<&-
}
talk 5 'POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"te'
check "a slow body: $(head -c 100 "$WORK/talk")" grep -q "^HTTP/1.1 408 " "$WORK/talk"
check "with a JSON error" grep -q '"request_timeout"' "$WORK/talk"
talk 5 'POST /v1/search HTTP/1.1\r\nHo'
check "slow headers" grep -q "^HTTP/1.1 408 " "$WORK/talk"
talk 0.1 'POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"te'
talk 0.1 'POST /v1/sea'
talk 0.1 ''
exec 9<>"/dev/tcp/127.0.0.1/$port" # asks, and does not wait for the answer
body='{"text": "red", "k": 9, "rerank": 50}'
printf 'POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    ${#body} "$body" >&9
exec 9<&-
talk 2 'NONSENSE\r\n\r\n'
talk 2 'GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: lots\r\n\r\n'
both "after all that" '{"text": "red circle", "k": 5}' --text "red circle" --k 5

# ---- counters and the log ------------------------------------------------------------------
ask "metrics" 200 "$URL/metrics"
for name in requests_total errors_total queue_seconds_bucket tokenise_seconds_sum \
    decode_seconds_sum inference_seconds_count search_seconds_count batch_tokens_bucket; do
    check "metric $name" grep -q "^fashionbert_$name" "$WORK/body"
done
check "timeouts were counted" grep -q "^fashionbert_timed_out_total [2-9]" "$WORK/body"
check "no memory is left taken" grep -q "^fashionbert_body_bytes 0$" "$WORK/body"
check "nothing waits" grep -q "^fashionbert_queue_requests 0$" "$WORK/body"
check "no 5xx" eval '! grep -q "requests_total{[^}]*status=\"5" "$WORK/body"'
check "the log has the id" grep -q '"id": "my-1".*"status": 404' "$WORK/first.log"
stop "the first server"
check "every line of the log is an object" eval '! grep -qv "^{\"time\": .*}$" "$WORK/first.log"'

# ---- a full queue ----------------------------------------------------------------------------
start narrow --index "$WORK/index" --queue 1 --api-key sesame
ask "no key" 401 -H 'Content-Type: application/json' -d '{"text": "a"}' "$URL/v1/search"
ask "a wrong key" 401 -H 'Authorization: Bearer sesam' "$URL/v1/index"
ask "the key" 200 -H 'Authorization: Bearer sesame' "$URL/v1/index"
ask "no key is needed" 200 "$URL/health"
storm() { # storm N NAME: N requests at once; their statuses are in $WORK/NAME
    local i
    for i in $(seq "$1"); do
        printf 'next\nurl = "%s/v1/search"\nheader = "Content-Type: application/json"\n' "$URL"
        printf 'header = "Authorization: Bearer sesame"\n'
        printf 'data = "{\\"text\\": \\"red %d\\", \\"k\\": 80, \\"rerank\\": 80}"\n' "$i"
        printf 'output = "%s/storm.%d"\nwrite-out = "%%{http_code} %%header{retry-after}\\n"\n' \
            "$WORK" "$i"
    done | sed 1d >"$WORK/storm.curl"
    curl -s --no-progress-meter -Z --parallel-max 40 -m 60 -K "$WORK/storm.curl" >"$WORK/$2"
}
storm 40 statuses
is "each of 40 has an answer" "$(wc -l <"$WORK/statuses")" 40
is "200 or 429, with Retry-After" "$(grep -vc '^200 \|^429 [1-9]' "$WORK/statuses")" 0
check "some 429" grep -q '^429' "$WORK/statuses"
check "some 200" grep -q '^200' "$WORK/statuses"
stop "the narrow server"

# ---- swapped and ended without a lost request ----------------------------------------------
start swap --index "$WORK/index" --max-wait 3600 # the slower build is to wait too
storm 60 during &
stormer=$!
for i in 1 2 3; do
    kill -HUP $PID # again before the first is done: twice in a row
    kill -HUP $PID
    sleep 0.2
done
wait $stormer
is "all answered while swapping" "$(sort "$WORK/during" | uniq -c | tr -s ' ')" " 60 200 "
for i in $(seq 100); do # the last of them may still be opening
    grep -q "opened anew" "$WORK/swap.err" && break
    sleep 0.1
done
check "swapped" grep -q "opened anew" "$WORK/swap.err"
ok "an index of fewer" "$FB" index --out "$WORK/index" --delete p3 --quiet
kill -HUP $PID
for i in $(seq 100); do
    [ "$(curl -s "$URL/v1/index" | grep -o '"products": 79')" ] && break
    sleep 0.1
done
ask "the swapped index" 200 "$URL/v1/index"
says '"products": 79'
mv "$WORK/index" "$WORK/gone"
kill -HUP $PID
for i in $(seq 100); do
    grep -q "old model and index go on" "$WORK/swap.err" && break
    sleep 0.1
done
check "a failure is told" grep -q "old model and index go on" "$WORK/swap.err"
post "and the old one goes on" 200 /v1/search '{"text": "red"}'
mv "$WORK/gone" "$WORK/index"
storm 30 ending &
stormer=$!
sleep 0.3
stop "a busy server"
wait $stormer
is "every request that came was answered" "$(grep -c '"status": 200' "$WORK/swap.log" |
    awk -v n="$(grep -c '^200' "$WORK/ending")" '{ print ($1 >= n) }')" 1
is "none was cut" "$(grep -c aborted "$WORK/swap.log")" 0

# ---- a model of queries ----------------------------------------------------------------------
sed -i 's/"title": "[a-z]* circle/"queries": ["round"], &/; s/"title": "[a-z]* square/"queries": ["box"], &/' \
    "$C/metadata.jsonl"
sed 's/"grid": 8/"grid": 4/; s/"image_size": 64/"image_size": 32/' "$WORK/tiny.json" >"$WORK/four.json"
ok "pre-train" "$FB" train --objective match --config "$WORK/four.json" --vocab-size 120 \
    --max-text 16 --batch 16 --threads 2 --quiet --steps 2 --catalog "$C" --out "$WORK/base"
ok "train on queries" "$FB" train --objective qti --init "$WORK/base" --catalog "$C" \
    --out "$WORK/qti" --batch 16 --max-text 16 --threads 2 --quiet --steps 2
"$FB" match --model "$WORK/qti" --threads 1 --json --query thing circle --text "red circle" \
    --image "$C/images/1.png" >"$WORK/stdout"
start queries --model "$WORK/qti"
ask "match queries" 200 -F queries=thing -F queries=circle -F "texts=red circle" \
    -F "images=@$C/images/1.png" "$URL/v1/match"
close "match queries" "$(grep -o '"scores": .*' "$WORK/body" | tr -d '][}:a-z"' | tr ',' '\n' |
    tr -d ' ')" "$(members score "$WORK/stdout")"
ask "as many titles as images" 422 -F queries=a -F texts=a -F texts=b \
    -F "images=@$C/images/1.png" "$URL/v1/match"
ask "no query" 409 -F texts=a -F "images=@$C/images/1.png" "$URL/v1/match"
post "no vectors" 409 /v1/encode '{"texts": ["a"]}'
ask "nothing to explain" 409 -F text=a -F "image=@$C/images/1.png" "$URL/v1/explain"
stop "a server of a model of queries"
start ranker --index "$WORK/index" --ranker "$WORK/qti"
ok "re-ranked by it here" "$FB" search --model "$WORK/m" --index "$WORK/index" --threads 1 \
    --ranker "$WORK/qti" --text "red circle" --k 4 --rerank 20 --json
post "re-ranked by it there" 200 /v1/search '{"text": "red circle", "k": 4, "rerank": 20}'
is "the same order" "$(members product_id "$WORK/body")" "$(members product_id "$WORK/stdout")"
is "and scores" "$(members rerank_score "$WORK/body")" "$(members rerank_score "$WORK/stdout")"
ask "a photo alone is the model's" 200 -F rerank=5 -F "image=@$C/images/1.png" "$URL/v1/search"
stop "a server with a ranker"
fails 1 "no model of queries" "$FB" serve --model "$WORK/m" --ranker "$WORK/m"

# ---- what does not start ---------------------------------------------------------------------
fails 1 "no such model folder" "$FB" serve --model "$WORK/none"
fails 1 "$WORK/none" "$FB" serve --model "$WORK/m" --index "$WORK/none"
fails 1 "cannot listen" "$FB" serve --model "$WORK/m" --host 192.0.2.1
fails 2 "memory" "$FB" serve --model "$WORK/m" --memory 1 --max-body 2
start bare
post "nothing to search" 409 /v1/search '{"text": "a"}'
post "but to match" 422 /v1/match '{"texts": ["a"], "images": [""]}'
stop "a server without an index"
# A file of the index that is cut, or written over, under the server: told, and it lives.
for part in vectors.npy products; do
    rm -rf "$WORK/cut"
    cp -r "$WORK/index" "$WORK/cut"
    start "cut_$part" --index "$WORK/cut"
    ask "before" 200 -H 'Content-Type: application/json' -d '{"text": "red"}' "$URL/v1/search"
    truncate -s 100 "$WORK/cut/000001.$part"
    ask "$part is cut" 503 -H 'Content-Type: application/json' -d '{"text": "red"}' "$URL/v1/search"
    says "written over while it is open"
    ask "it lives" 200 "$URL/health"
    stop "cut_$part"
done
finish
