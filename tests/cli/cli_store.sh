#!/bin/bash
# cli_store.sh BUILD - products in PostgreSQL with pgvector, from the outside: loaded,
# searched as an index folder is, in parts, with hostile names; a database that goes away
# and comes back. Against a real server, where there is one.
. "$(dirname "$0")/cli_lib.sh"
. "$(dirname "$0")/postgres_lib.sh"
[ -x "$BUILD/tests/store_session" ] || exit 77
postgres_find
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 150
# Attributes with names and values that a careless client would run or trip over; one
# product with two images; a long value.
awk 'BEGIN { long = sprintf("%4000s", ""); gsub(" ", "x", long) }
    { sub(/}$/, "") }
    { colour = NR % 3 ? "Blue" : "RED" }
    { extra = ", \"colour\": \"" colour "\", \"size of it\": \"" NR % 5 "\"" }
    NR % 4 == 0 { extra = extra ", \"x'"'"'; DROP TABLE fashionbert_products; --\": \"$1\"" }
    NR % 4 == 1 { extra = extra ", \"a\\\"b\\\\c\": \"'"'"' OR 1=1 --\", \"{1,2}\": \"%s%n{}\"" }
    NR % 7 == 0 { extra = extra ", \"story\": \"" long NR % 2 "\", \"größe\": \"weiß\"" }
    NR == 9 || NR == 10 { sub(/"product_id": *"[^"]*"/, "\"product_id\": \"twin'"'"'s\"") }
    { print $0 extra "}" }' "$C/metadata.jsonl" >"$C/new" && mv "$C/new" "$C/metadata.jsonl"
ok "a model with vectors" "$FB" train --objective itc --encoder pixels --vector-size 16 \
    --catalog "$C" --config "$WORK/tiny.json" --vocab-size 120 --max-text 16 --batch 16 \
    --threads 2 --quiet --out "$WORK/model" --steps 8
ok "the database server starts" postgres_make
for db in one part1 part2 half empty; do sql postgres "CREATE DATABASE $db" >/dev/null; done
ONE=$(store one)
PARTS="$(store part1) $(store part2)"
ok "index, then load it" "$FB" index --model "$WORK/model" --catalog "$C" \
    --out "$WORK/index" --to "$ONE" --threads 2 --quiet --json
check "all products" grep -qE '"products": *149' "$WORK/stdout"
check "and rows" grep -qE '"rows": *150' "$WORK/stdout"
check "which searches find" grep -qE '"recall10": *(1|0\.99)' "$WORK/stdout"
ok "load it in two parts" "$FB" index --out "$WORK/index" --to "$PARTS" --quiet
check "each has some of them" test "$(sql part1 'SELECT count(*) > 40 FROM fashionbert_products')$(
    sql part2 'SELECT count(*) > 40 FROM fashionbert_products')" = tt
check "the graph is there" grep -q hnsw <(sql one \
    "SELECT indexdef FROM pg_indexes WHERE tablename = 'fashionbert_products'")

# Half the bytes a number: the answers are those of f16.
ok "load it as halfvec" "$FB" index --out "$WORK/index" --to "$(store half)" \
    --vector-type halfvec --quiet --json
check "which searches find, as near as f16 tells so small a model's vectors apart: $(
    grep recall10 "$WORK/stdout")" grep -qE '"recall10": *(1|0\.9)' "$WORK/stdout"
check "the column and its graph are of that type" test "$(sql half \
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'embedding' AND
     attrelid = 'fashionbert_products'::regclass")$(sql half "SELECT count(*) FROM pg_indexes
     WHERE indexdef LIKE '%halfvec_ip_ops%'")" = "halfvec(16)1"
ok "search it" "$FB" search --model "$WORK/model" --store "$(store half)" --threads 1 \
    --text "red circle" --k 3 --json
half=$(grep product_id "$WORK/stdout")
ok "and the folder" "$FB" search --model "$WORK/model" --index "$WORK/index" --threads 1 \
    --text "red circle" --k 3 --json
check "the same three" test "$(grep product_id "$WORK/stdout")" = "$half"

# What a store answers is what the folder answers.
T=$'\t'
inject="x'; DROP TABLE fashionbert_products; --"
session() { # STORE: its answers to the lines on standard input
    "$BUILD/tests/store_session" "$WORK/index" "$1" 2>&1
}
queries() {
    for seed in 1 2 3 4; do
        echo "search$T$seed${T}10${T}exact"
        echo "search$T$seed${T}25${T}400"
        echo "search$T$seed${T}400${T}exact"
        echo "search$T$seed${T}5${T}100${T}colour${T}blue"
        echo "search$T$seed${T}8${T}exact${T}COLOUR${T}Red${T}colour${T}nothing"
        echo "search$T$seed${T}20${T}100${T}colour${T}blue${T}size of it${T}3"
        echo "search$T$seed${T}20${T}100${T}$inject${T}\$1"
        echo "search$T$seed${T}20${T}100${T}$inject${T}' OR 1=1 --"
        echo "search$T$seed${T}20${T}100${T}a\"b\\c${T}' or 1=1 --"
        echo "search$T$seed${T}20${T}100${T}{1,2}${T}%s%n{}"
        echo "search$T$seed${T}20${T}100${T}größe${T}weiß"
        echo "search$T$seed${T}3${T}exact${T}story${T}$(printf '%4000s' '' | tr ' ' X)1"
    done
    for name in colour "SIZE of it" "$inject" "a\"b\\c" "größe" category; do
        echo "values$T$name"
    done
    for id in p1 "twin's" "nobody" "' OR ''='"; do echo "find$T$id"; done
    echo "threads${T}8"
}
for places in "$ONE" "$PARTS"; do
    queries | session "$places" >"$WORK/answers"
    check "every answer is the folder's: $(grep -vn same "$WORK/answers" | head -n 3)" \
        test "$(grep -c '^same$' "$WORK/answers")" -eq "$(queries | wc -l)"
done
check "the tables are still there" test "$(sql one 'SELECT count(*) FROM fashionbert_products')" = 150

S="$FB search --model $WORK/model --threads 1"
ok "search" $S --store "$PARTS" --text "red circle" --k 3 --rerank 20 --json
check "re-ranked" grep -qE '"rerank_score": *0\.' "$WORK/stdout"
ok "search the folder" $S --index "$WORK/index" --text "red circle" --k 3 --rerank 20 --json
first=$(grep -m 1 product_id "$WORK/stdout")
$S --store "$PARTS" --text "red circle" --k 3 --rerank 20 --json >"$WORK/stdout" 2>/dev/null
check "it finds the same first" test "$(grep -m 1 product_id "$WORK/stdout")" = "$first"
fails 2 "no such attribute" $S --store "$ONE" --text red --filter "$inject-=1"
fails 2 "invalid byte sequence" $S --store "$ONE" --text red --filter $'colour=\xff\xfe'

# Loads that must not be mixed up.
fails 1 "part 1 of 2" $S --store "$(store part1)" --text red
fails 1 "given twice" $S --store "$(store part1) $(store part1)" --text red
fails 1 "no products are there" $S --store "$(store empty)" --text red
fails 1 "loading there" "$FB" index --out "$WORK/index" --to "$ONE $ONE" --quiet
ok "and the old ones still answer" $S --store "$ONE" --text red
fails 2 "store 2" $S --store "$ONE red.index" --text red
fails 2 "give --index DIR or --store URI" $S --text red
fails 1 "no index" "$FB" index --out "$WORK/none" --to "$ONE" --quiet
ok "another model" "$FB" train --objective itc --encoder pixels --vector-size 16 --seed 5 \
    --catalog "$C" --config "$WORK/tiny.json" --vocab-size 120 --max-text 16 --batch 16 \
    --threads 2 --quiet --out "$WORK/other" --steps 2
ok "one of another width" "$FB" train --objective itc --encoder pixels --vector-size 8 \
    --catalog "$C" --config "$WORK/tiny.json" --vocab-size 120 --max-text 16 --batch 16 \
    --threads 2 --quiet --out "$WORK/narrow" --steps 2
fails 1 "another model" "$FB" search --model "$WORK/other" --store "$ONE" --text red
fails 1 "have 16 numbers" "$FB" search --model "$WORK/narrow" --store "$ONE" --text red
check "no password is told" test "$(cat "$WORK/stderr" | grep -c hunter2)" -eq 0

# A program that stays: the database goes away, comes back, and is loaded anew.
coproc LIVE { "$BUILD/tests/store_session" "$WORK/index" "$PARTS" 2>&1; }
say() { # LINE: its answer
    echo "$1" >&"${LIVE[1]}"
    read -r -t 60 answer <&"${LIVE[0]}"
}
say "search${T}1${T}10${T}exact"
check "it answers" test "$answer" = same
postgres_stop
for again in 1 2; do
    say "search${T}1${T}10${T}exact"
    check "a database that is away is told: $answer" \
        grep -q '^failed search FB_E_IO postgresql:.*part1' <<<"$answer"
done
check "without the password" test "$(grep -c hunter2 <<<"$answer")" -eq 0
say "reopen"
check "nor can it be opened: $answer" grep -q '^failed reopen FB_E_IO' <<<"$answer"
postgres_start
say "search${T}1${T}10${T}exact"
check "it recovers by itself: $answer" test "$answer" = same
say "threads${T}6"
check "for all threads: $answer" test "$answer" = same
ok "the same products are loaded anew" "$FB" index --out "$WORK/index" --to "$PARTS" --quiet
say "search${T}2${T}10${T}exact"
check "and found: $answer" test "$answer" = same
(for _ in 1 2 3; do "$FB" index --out "$WORK/index" --to "$PARTS" --quiet; done) \
    >"$WORK/loads" 2>&1 &
loads=$! asked=0 same=0
while kill -0 $loads 2>/dev/null; do
    say "search${T}$((asked % 7))${T}10${T}exact"
    asked=$((asked + 1))
    [ "$answer" = same ] && same=$((same + 1)) || echo "$answer"
done
check "searches go on while it is loaded: $same of $asked" test "$same" -eq "$asked"
check "and loading while it is searched: $(tail -n 1 "$WORK/loads")" wait $loads
ok "those of another model" "$FB" index --model "$WORK/other" --catalog "$C" \
    --out "$WORK/index2" --to "$PARTS" --threads 2 --quiet
say "search${T}2${T}10${T}exact"
check "are not searched with the old: $answer" \
    grep -q '^failed search FB_E_STATE.*another model' <<<"$answer"
exec {LIVE[1]}>&-
wait "$LIVE_PID" 2>/dev/null

# The server over it: 503 while the database is away, then answers again.
if command -v curl >/dev/null && ! "$FB" serve --model "$WORK/other" --port 0 \
    --store "$(store empty)" 2>&1 | grep -q "built without"; then
    "$FB" serve --model "$WORK/other" --store "$PARTS" --threads 1 --port 0 \
        >"$WORK/access.log" 2>"$WORK/serve.err" &
    SERVER=$!
    trap 'kill $SERVER 2>/dev/null; postgres_stop 2>/dev/null; rm -rf "$WORK"' EXIT
    for _ in $(seq 200); do
        grep -q "on http" "$WORK/serve.err" && break
        sleep 0.05
    done
    URL=$(grep -o 'http://127[^ ]*' "$WORK/serve.err" | sed 's|/$||')
    post() { # its status; the answer is in $WORK/body
        curl -s -m 60 -o "$WORK/body" -w '%{http_code}' -d '{"text": "red circle", "k": 3}' \
            -H 'Content-Type: application/json' "$URL/v1/search"
    }
    check "the server searches the store" test "$(post)" = 200
    check "and finds three" test "$(grep -o '"product_id"' "$WORK/body" | wc -l)" -eq 3
    check "a product by its id" test "$(curl -s -o /dev/null -w '%{http_code}' \
        "$URL/v1/products/p1")" = 200
    postgres_stop
    check "503 while the database is away: $(head -c 300 "$WORK/body")" test "$(post)" = 503
    check "which names it, and no password" test "$(grep -c part1 "$WORK/body")$(
        grep -c hunter2 "$WORK/body")" = 10
    check "it is alive" test "$(curl -s -o /dev/null -w '%{http_code}' "$URL/health")" = 200
    postgres_start
    check "then it answers again" test "$(post)" = 200
    kill -TERM $SERVER
    wait $SERVER
    check "and ends with 0" test $? -eq 0
fi

# A load that fails half way leaves what was there.
before=$(sql one 'SELECT load FROM fashionbert_store')
sql one "ALTER DATABASE one SET default_transaction_read_only = on" >/dev/null
fails 1 "read-only" "$FB" index --out "$WORK/index" --to "$ONE" --quiet
PGOPTIONS="-c default_transaction_read_only=off" sql one "ALTER DATABASE one RESET ALL" >/dev/null
check "nothing changed" test "$(sql one 'SELECT load FROM fashionbert_store')" = "$before"
ok "then it loads" "$FB" index --out "$WORK/index" --to "$ONE" --quiet
check "and nothing is left over" test "$(sql one \
    "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'fashionbert%'")" = 3
finish
