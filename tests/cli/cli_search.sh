#!/bin/bash
# cli_search.sh BUILD - index and search from the outside: make, search by text and image,
# filter, re-rank, add, replace, delete; what is refused.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
D=$WORK/more
ok "make a catalogue" "$MAKE" "$C" 120
ok "train a few steps" "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/itc" $TINY --steps 30 --seed 3
ok "and alignment on top" "$FB" train --objective match --init "$WORK/itc" --catalog "$C" \
    --out "$WORK/m" --batch 16 --threads 2 --quiet --negatives hard --itc 1 --steps 6
# So small a model's vectors of like images are as near as bf16 rounds.
export FASHIONBERT_DTYPE=f32
M="--model $WORK/m --threads 2"
I=$WORK/index

# values KEY [FILE]: the values of a key in the JSON on standard output, in order, a line.
values() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "${2:-$WORK/stdout}" | tr -d '"'; }
is() { # is WHAT GOT WANTED
    if [ "$2" = "$3" ]; then pass; else fail "$1: '$2', not '$3'"; fi
}
keys() { grep -o '^ *"[a-z_0-9]*":' "$WORK/stdout" | tr -d ' ":' | sort -u | tr '\n' ' '; }
down() { values "$1" | sort -rg -c; }
search() { "$FB" search $M --index "$I" --json "$@"; }
index() { "$FB" index --out "$I" --quiet --json "$@"; }

ok "index" index $M --catalog "$C"
is "all products are in" "$(values products) $(values added) $(values kind)" "120 120 exact"
ok "search by text" search --text "red circle on blue" --k 7
is "the keys" "$(keys)" "attributes category compared encode image product_id query rank \
rerank rerank_dropped rerank_score results score search title took_ms total "
is "the query" "$(values query)" "red circle on blue"
is "so many hits, distinct" "$(values product_id | sort -u | wc -l)" 7
is "not re-ranked" "$(values rerank_score | sort -u)" null
check "best first" down score
check "images are files" ls $(values image) >"$WORK/ls"
cp "$WORK/stdout" "$WORK/first"
ok "search on one thread" search --text "red circle on blue" --k 7 --threads 1
is "the same products" "$(values product_id)" "$(values product_id "$WORK/first")"

# Vectors in fewer bytes: the same products, by all ways to ask, after changes too.
# Rounding moves a similarity by less than .005, so what is nearer than that to the last of
# them may change places with it: farther N names those of the answer that are not.
first=$(values product_id "$WORK/first")
ok "all by f32" search --text "red circle on blue" --k 120
paste <(values product_id) <(values score) >"$WORK/scores"
farther() {
    awk -v n="$1" 'NR == FNR { score[$1] = $2; if (FNR == n) least = $2 - .005; next }
        !($1 in score) || score[$1] < least' "$WORK/scores" <(values product_id)
}
for storage in bf16 int8; do
    S=$WORK/$storage
    ok "index as $storage" "$FB" index --out "$S" --quiet --json $M --catalog "$C" \
        --storage $storage
    is "it is said" "$(values storage) $(values products)" "$storage 120"
    check "in fewer bytes" test "$(cat "$S"/*.npy | wc -c)" -lt "$(cat "$I"/*.npy | wc -c)"
    ok "search $storage" "$FB" search $M --index "$S" --json --text "red circle on blue" --k 7
    is "seven products" "$(values product_id | sort -u | wc -l)" 7
    is "as near as the seven" "$(farther 7)" ""
    ok "delete the first" "$FB" index --out "$S" --quiet --json --delete $(head -1 <<<"$first")
    is "it stays $storage" "$(values storage) $(values products)" "$storage 119"
    ok "search again" "$FB" search $M --index "$S" --json --text "red circle on blue" --k 6
    is "six others" "$(values product_id | sort -u | grep -vx "$(head -1 <<<"$first")" | wc -l)" 6
    is "as near as the seven, too" "$(farther 7)" ""
    ok "put it back" "$FB" index --out "$S" --quiet --json --replace $M --catalog "$C"
    is "all are there" "$(values storage) $(values products)" "$storage 120"
    ok "by image" "$FB" search $M --index "$S" --json --image "$C/images/5.png" --by image --k 3
    is "finds itself" "$(values product_id | grep -c '^p5$')" 1
done
fails 2 "not one of" index $M --catalog "$C" --storage f16
cp "$WORK/first" "$WORK/stdout"

title=$(values title | head -1)
ok "a product's own title" search --text "$title" --by text --k 1
is "finds it by titles" "$(values title)" "$title"
ok "its image" search --image "$C/images/5.png" --by image --k 1
is "finds it by images" "$(values product_id)" p5
ok "text and image" search --text "red circle" --image "$C/images/5.png" --rerank 10 --k 3
is "both are the query" "$(values query) $(values query_image)" "red circle $C/images/5.png"

ok "filter" search --text "red" --k 200 --filter category=CIRCLE
is "only circles" "$(values category | sort -u)" circle
is "all of them" "$(values category | wc -l)" "$(grep -c '"category": "circle"' "$C/metadata.jsonl")"
is "counted" "$(values compared)" "$(values category | wc -l)"
ok "two of one name: either" search --text "red" --k 200 --filter category=circle category=square
is "both shapes" "$(values category | sort -u | tr '\n' ' ')" "circle square "
ok "a value that nothing has" search --text "red" --filter category=dress
is "finds nothing" "$(values compared) $(values product_id)" "0 "
fails 2 "they have category" search --text red --filter colour=red
fails 2 "NAME=VALUE" search --text red --filter category

ok "re-rank" search --text "red circle on blue" --k 5 --rerank 20
check "by the model's score" down rerank_score
is "from within the nearest" "$(values rank | awk '$1 < 1 || $1 > 20' | wc -l)" 0
cp "$WORK/stdout" "$WORK/reranked"
is "none was left out" "$(values rerank_dropped)" 0

# Early exit: as many as lie within the third's distance of the nearest.
ok "the nearest" search --text "red circle on blue" --k 20
cp "$WORK/stdout" "$WORK/nearest"
margin=$(values score | awk 'NR == 1 { first = $1 } NR == 3 { a = $1 } NR > 3 && $1 < a - 1e-5 \
    { print first - (a + $1) / 2; exit }')
near=$(values score | awk -v m="$margin" 'NR == 1 { first = $1 } first - $1 <= m' | wc -l)
ok "re-rank these alone" search --text "red circle on blue" --k 20 --rerank 20 \
    --rerank-margin "$margin"
is "the others were left out" "$(values rerank_dropped)" $((20 - near))
is "and have no score of it" "$(values rerank_score | grep -c null)" $((20 - near))
is "they follow as the vectors have them" "$(values product_id | tail -n +$((near + 1)))" \
    "$(values product_id "$WORK/nearest" | tail -n +$((near + 1)))"
values rerank_score | head -"$near" >"$WORK/kept"
check "those that are near by the model's score" sort -rgc "$WORK/kept"
ok "said in words too" "$FB" search $M --index "$I" --text "red circle on blue" --rerank 20 \
    --rerank-margin "$margin"
check "how many" grep -q "^$((20 - near)) of 20 were not re-ranked" "$WORK/stderr"
ok "a margin that leaves none out" search --text "red circle on blue" --k 5 --rerank 20 \
    --rerank-margin 2
is "is none" "$(values product_id)" "$(values product_id "$WORK/reranked")"
fails 2 "it needs rerank" search --text red --rerank-margin 0.1
fails 2 "rerank-margin" search --text red --rerank 5 --rerank-margin 3
ok "re-rank by images" search --text "red circle on blue" --k 5 --rerank 20 --by image
score=$(values rerank_score | head -1)
ok "match scores the same pair" "$FB" match $M --json --text "red circle on blue" \
    --image "$(values image | head -1)"
check "as re-ranking did" awk "BEGIN { d = $(values score) - $score; exit !(d * d < 4e-6) }"

# The same model with a CSLS hubness correction: vectors of training products.
cp -r "$WORK/m" "$WORK/near"
for what in image text; do
    ok "vectors of ${what}s" "$FB" encode --model "$WORK/m" --catalog "$C" --split train \
        --what $what --out "$WORK/bank" --quiet
    cp "$WORK/bank/$what.npy" "$WORK/near/neighbours.$what.npy"
done
ok "neighbours that count" sed -i 's/"neighbour_weight": [0-9.]*/"neighbour_weight": 0.3/' \
    "$WORK/near/config.json"
ok "re-rank with the hubness correction" "$FB" search --model "$WORK/near" --threads 2 \
    --index "$I" --json --text "red circle on blue" --k 5 --rerank 20 --by image
near=$(values rerank_score | head -1)
ok "match the same pair" "$FB" match --model "$WORK/near" --threads 2 --json \
    --text "red circle on blue" --image "$(values image | head -1)"
check "as re-ranking did" awk "BEGIN { d = $(values score) - $near; exit !(d * d < 4e-6) }"
check "which is another score" awk "BEGIN { d = $near - $score; exit !(d * d > 1e-5) }"
ok "re-rank products" "$FB" search --model "$WORK/near" --threads 2 --index "$I" --json \
    --text "red circle on blue" --k 5 --rerank 20
check "by the model's score" down rerank_score

for keep in none pixels; do
    ok "an index that keeps $keep" "$FB" index $M --catalog "$C" --out "$WORK/k" --quiet \
        --keep $keep
    ok "re-rank with it" "$FB" search $M --index "$WORK/k" --json --text "red circle on blue" \
        --k 5 --rerank 20
    is "$keep: the same order" "$(values product_id)" "$(values product_id "$WORK/reranked")"
    is "$keep: the same scores" "$(values rerank_score)" "$(values rerank_score "$WORK/reranked")"
done
fails 2 "no image network" "$FB" index $M --catalog "$C" --out "$WORK/k" --quiet --keep features

ok "more products" "$MAKE" "$D" 20
sed -i 's/"product_id": "p/"product_id": "n/' "$D/metadata.jsonl"
ok "add them" index $M --catalog "$D" --add
is "they are there too" "$(values products) $(values added)" "140 20"
ok "by their own image" search --image "$D/images/3.png" --by image --k 3
is "both of the image's products, and its near-duplicate" \
    "$(values product_id | sort | tr '\n' ' ')" "n3 p3 p77 "
fails 2 "already" index $M --catalog "$D" --add
ok "replace them" index $M --catalog "$D" --replace
is "as many as before" "$(values products) $(values added) $(values deleted)" "140 20 20"
ok "delete" index --delete p3 n3
is "two fewer" "$(values products) $(values deleted)" "138 2"
ok "search again" search --image "$D/images/3.png" --by image --k 200
is "they are gone" "$(values product_id | grep -c '^[pn]3$')" 0
is "the others are there" "$(values product_id | sort -u | wc -l)" 138
fails 1 "product p3 is not in" index --delete p4 p3
ok "search once more" search --text red --k 200
is "so nothing was deleted" "$(values product_id | wc -l)" 138
is "no file is left over" "$(find "$I" -name '*.new' | wc -l)" 0
for i in 5 6 7 8 9 10 11 12; do
    index --delete p$i >"$WORK/stdout" 2>&1 || fail "delete p$i"
done
is "eight fewer" "$(values products)" 130
check "segments stay few" test "$(ls "$I" | grep -c products)" -le 3

# The example of the library, which computes in whatever is fastest, finds the same.
FASHIONBERT_DTYPE=auto ok "an image's neighbours" search --image "$C/images/5.png" --k 4
ids=$(values product_id)
ok "the example" "$BUILD/examples/find_similar" "$WORK/m" "$I" "$C/images/5.png" 4
is "finds the same products" "$(awk '{ print $2 }' "$WORK/stdout")" "$ids"
fails 1 "no index there" "$BUILD/examples/find_similar" "$WORK/m" "$WORK/none" "$C/images/5.png"

# A model of queries re-ranks an index of another model.
cp -r "$C" "$WORK/queries"
ok "titles as queries" sed -i 's/"title": "\([^,"]*\),\([^"]*\)"/"title": "\1,\2", "queries": ["\1"]/' \
    "$WORK/queries/metadata.jsonl"
ok "train on them" "$FB" train --objective qti --init "$WORK/m" --catalog "$WORK/queries" --out "$WORK/q" \
    --batch 8 --steps 2 --threads 2 --quiet
ok "re-rank by queries" search --text "red circle on blue" --k 5 --ranker "$WORK/q"
check "by its score" down rerank_score
title=$(values title | head -1)
score=$(values rerank_score | head -1)
ok "match scores the same triple" "$FB" match --model "$WORK/q" --threads 2 --json \
    --query "red circle on blue" --text "$title" --image "$(values image | head -1)"
check "as re-ranking did" awk "BEGIN { d = $(values score) - $score; exit !(d * d < 4e-6) }"
fails 2 "needs a text" search --image "$C/images/5.png" --ranker "$WORK/q"
fails 1 "no vectors" "$FB" search --model "$WORK/q" --index "$I" --text red

# Approximate kinds, where the program has them.
if "$FB" index $M --catalog "$C" --out "$WORK/h" --quiet --json --kind hnsw \
    >"$WORK/stdout" 2>"$WORK/stderr"; then
    check "recall is measured" awk "BEGIN { exit !($(values recall10) >= 0.98) }"
    ok "search a graph" "$FB" search $M --index "$WORK/h" --json --text "red circle on blue" --k 7 \
        --effort 500
    is "the same products" "$(values product_id)" "$(values product_id "$WORK/first")"
    ok "under a filter" "$FB" search $M --index "$WORK/h" --json --text "red circle on blue" \
        --k 7 --filter category=circle
    is "only circles" "$(values category | sort -u)" circle
    fails 1 "too few to learn" "$FB" index $M --catalog "$C" --out "$WORK/h" --quiet --kind ivfpq
    ok "after which the index is as it was" "$FB" search $M --index "$WORK/h" --text red
else
    check "or says that it has not" grep -q "built without FAISS" "$WORK/stderr"
fi

# Both stages, evaluated on the index.
V="$FB evaluate $M --catalog $C --split test --protocol full --quiet --json"
ok "evaluate" $V
cp "$WORK/stdout" "$WORK/plain"
ok "evaluate by the index" $V --index "$WORK/k" --rerank 100
is "re-ranking all is ranking all" "$(values r1 | sed -n '1p;2p')" "$(values r1 "$WORK/plain" | sed -n '1p;2p')"
is "the ceiling of all is 1" "$(sed -n '/"ceiling"/,/}/p' "$WORK/stdout" | grep -c '": 1,\{0,1\}$')" 2
ok "by vectors alone" $V --score itc
cp "$WORK/stdout" "$WORK/plain"
ok "the first stage" $V --index "$WORK/k" --rerank 0
is "is ranking by vectors" "$(values r1 | sed -n '1p;2p')" "$(values r1 "$WORK/plain" | sed -n '1p;2p')"
ok "a few, of few queries" $V --index "$WORK/k" --rerank 2 --queries 3
is "so many pairs" "$(values pairs_scored) $(values queries | head -1)" "12 3"
fails 2 "goes with --protocol full" "$FB" evaluate $M --catalog "$C" --index "$WORK/k"

# Vectors in files, which make the same index.
E="$FB encode $M --catalog $C --quiet --json"
ok "encode" $E --out "$WORK/v"
is "all products" "$(values vectors) $(values resumed) $(values vector_size)" "120 0 16"
is "an id a line" "$(sed -n '6p' "$WORK/v/product.ids.txt") $(wc -l <"$WORK/v/product.ids.txt")" "p5 120"
is "its length" "$(stat -c %s "$WORK/v/product.npy")" $((128 + 120 * 16 * 4))
ok "encode again" $E --out "$WORK/v"
is "nothing is left to do" "$(values resumed)" 120
cp "$WORK/v/product.npy" "$WORK/whole.npy"
mv "$WORK/v/product.npy" "$WORK/v/product.npy.part" # as a run killed behind 70 rows left it
sed -i 's/"done": 120/"done": 70/' "$WORK/v/product.json"
dd if=/dev/zero of="$WORK/v/product.npy.part" bs=1 seek=$((128 + 70 * 64)) count=$((50 * 64)) \
    conv=notrunc status=none
ok "go on" $E --out "$WORK/v"
is "behind what was there" "$(values resumed)" 70
check "the same bytes there" cmp -n $((128 + 70 * 64)) "$WORK/whole.npy" "$WORK/v/product.npy"
floats() { od -A n -t f4 -v -w4 -j 128 "$1"; }
close "and the same vectors" "$(floats "$WORK/v/product.npy")" "$(floats "$WORK/whole.npy")"
fails 1 "vectors of something else" $E --out "$WORK/v" --text-weight 0.25
for what in image text; do
    ok "encode $what" $E --out "$WORK/v" --what $what
done
fails 1 "has \`queries\`" $E --out "$WORK/v" --what query
ok "encode queries" "$FB" encode $M --catalog "$WORK/queries" --quiet --json --out "$WORK/v2" --what query
is "one of each product" "$(values vectors)" 120
ok "an index of given vectors" "$FB" index $M --catalog "$C" --out "$WORK/w" --quiet \
    --vectors "$WORK/v/product.npy"
ok "search it" "$FB" search $M --index "$WORK/w" --json --text "red circle on blue" --k 7
is "the same products" "$(values product_id)" "$(values product_id "$WORK/first")"
ok "of vectors alone, without a model" "$FB" index --catalog "$C" --out "$WORK/w" --quiet \
    --vectors "$WORK/v/image.npy" --what image
ok "searched with one" "$FB" search $M --index "$WORK/w" --json --image "$C/images/5.png" --k 1
is "finds the image" "$(values product_id)" p5
fails 2 "has 120 vectors" "$FB" index $M --catalog "$C" --out "$WORK/w" --quiet --split test \
    --vectors "$WORK/v/product.npy"
head -c 5000 "$WORK/v/product.npy" >"$WORK/cut.npy"
fails 1 "its shape says" "$FB" index $M --catalog "$C" --out "$WORK/w" --vectors "$WORK/cut.npy"

ok "an index of another catalogue" "$FB" index $M --catalog "$D" --out "$WORK/d" --quiet
fails 1 "make the index of this catalogue" $V --index "$WORK/d"
fails 1 "no index there" "$FB" search $M --index "$WORK/none" --text red
fails 1 "another model" "$FB" search --model "$WORK/itc" --index "$I" --text red
fails 2 "--text, --image or both" search
fails 1 "gives no vectors" sh -c "$FB train --objective match --encoder pixels --catalog $C $TINY \
    --out $WORK/g --steps 1 && $FB index --model $WORK/g --catalog $C --out $WORK/x --quiet"
mkdir "$WORK/other" && touch "$WORK/other/photo.jpg"
fails 1 "holds other things" "$FB" index $M --catalog "$C" --out "$WORK/other" --quiet
file=$(ls "$I"/*.vectors.npy | head -1)
printf 'x' | dd of="$file" bs=1 seek=300 conv=notrunc status=none
fails 1 "damaged" search --text red
finish
