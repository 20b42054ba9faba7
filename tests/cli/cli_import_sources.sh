#!/bin/bash
# cli_import_sources.sh BUILD - WebDataset shards, Fashion-Gen's files, composed queries:
# what becomes of them, what is refused and how, and that it can be trained on.
. "$(dirname "$0")/cli_lib.sh"
export FASHIONBERT_THREADS=2
C=$WORK/catalogue
left() { check "nothing is left behind by: $1" test ! -e "$C" -a ! -e "$C.part"; }
lines() { wc -l <"$1"; }

# ---- WebDataset shards -------------------------------------------------------------------
# samples FOLDER COUNT: FOLDER/00017.png and .json
samples() {
    "$MAKE" "$WORK/drawn" "$2" || exit 1
    mkdir -p "$1"
    local i=0
    while read -r line; do
        cp "$WORK/drawn/images/$i.png" "$1/$(printf %05d $i).png"
        echo "$line" | sed 's/"file_name": "[^"]*", //; s/, "split": "[a-z]*"//' \
            >"$1/$(printf %05d $i).json"
        i=$((i + 1))
    done <"$WORK/drawn/metadata.jsonl"
}
samples "$WORK/s" 60
shard() { # NAME TAR-OPTION FIRST-LAST
    (cd "$WORK/s" && tar "$2" -cf "$WORK/$1" --sort=name ./000$3.*)
}
shard shop-00.tar --format=gnu "[0-2]?"
shard shop-01.tar --format=pax "[34]?"
(cd "$WORK/s" && tar -czf "$WORK/shop-02.tar" --sort=name 0005?.*)
ok "import shards by a pattern" "$FB" import "$WORK/shop-{00..02}.tar" --quiet --json \
    --out "$C" --compose-queries "{category} of a shop"
check "all products came" test "$(lines "$C/metadata.jsonl")" -eq 60
check "title, category and id" grep -q '"product_id": "p17", "title": "[a-z ]*, model 17", "category": "[a-z]*", "id": "00017"' \
    "$C/metadata.jsonl"
check "images are kept to the byte" cmp "$WORK/s/00017.png" "$C/images/000/000018.png"
check "queries are marked as composed" grep -q \
    '"queries": \["[a-z]* of a shop"\], "queries_composed": true' "$C/metadata.jsonl"
check "and counted" grep -q '"composed": 60' "$WORK/stdout"
ok "it can be trained on" "$FB" train $TINY --catalog "$C" --out "$WORK/model" --steps 2
cp "$C/metadata.jsonl" "$WORK/first.jsonl"
rm -rf "$C"
ok "shards one by one" "$FB" import "$WORK"/shop-0?.tar --from webdataset --quiet --out "$C"
check "the same catalogue" cmp "$C/metadata.jsonl" \
    <(sed 's/"queries": \[[^]]*\], "queries_composed": true, //' "$WORK/first.jsonl")
rm -rf "$C"

# ---- a click log beside ------------------------------------------------------------------
printf 'query\tproduct_id\tclicked\tcount\nred dress\tp17\t1\t\nred  Dress\tp17\t0\t3\n' |
    sed 's/\t$//' >"$WORK/clicks.tsv"
ok "a click log" "$FB" import "$WORK/shop-{00..02}.tar" --quiet --json --out "$C" \
    --clicks "$WORK/clicks.tsv"
check "its rows are counted" grep -q '"clicks": 2,' "$WORK/stdout"
check "it lies beside the catalogue" grep -qP '^red dress\tp17\t0\t3$' "$C/clicks.tsv"
rm -rf "$C"
printf 'red dress\tp17\t1\nblue\tp99\t1\nblue\tp1\n' >"$WORK/clicks.tsv"
"$FB" import "$WORK/shop-{00..02}.tar" --quiet --out "$C" --clicks "$WORK/clicks.tsv" \
    >/dev/null 2>"$WORK/stderr"
check "bad rows end it" test $? -eq 1
check "an unknown product" grep -qF 'clicks.tsv:2: product "p99" is not in the catalogue' \
    "$WORK/stderr"
check "a row of two fields" grep -qF 'clicks.tsv:3:' "$WORK/stderr"
left "bad rows of a click log"
ok "with --skip-bad" "$FB" import "$WORK/shop-{00..02}.tar" --quiet --json --out "$C" \
    --clicks "$WORK/clicks.tsv" --skip-bad
check "they are left out" grep -q '"clicks_skipped": 2' "$WORK/stdout"
check "the good one is there" test "$(lines "$C/clicks.tsv")" -eq 2
rm -rf "$C"
fails 1 "none.tsv: no such click log" "$FB" import "$WORK/shop-00.tar" --quiet --out "$C" \
    --clicks "$WORK/none.tsv"
left "no click log"

W="$FB import --quiet --out $C"
fails 1 "shop-03.tar" $W "$WORK/shop-{00..03}.tar"
left "a shard that is not there"
fails 2 "a brace without its partner" $W "$WORK/shop-00.tar" --compose-queries "{category"
left "a broken template"
# bad NAME MEMBERS...: a shard with a good sample and what tar is told to add
bad() {
    local name=$1
    shift
    (cd "$WORK/s" && tar -P -cf "$WORK/$name" 00000.png 00000.json "$@" 2>/dev/null)
}
# refused WORDS NAME: stderr says it, the command fails, and goes on with --skip-bad
refused() {
    $W "$WORK/$2" >/dev/null 2>"$WORK/stderr"
    check "exit status 1 for $2" test $? -eq 1
    check "$2: stderr says '$1': $(head -c 300 "$WORK/stderr")" grep -qF -- "$1" "$WORK/stderr"
    left "$2"
    ok "$2 with --skip-bad" $W "$WORK/$2" --skip-bad --split 100/0/0
    check "$2: the good one is there" test "$(lines "$C/metadata.jsonl")" -eq 1
    rm -rf "$C"
}
cp "$WORK/s/00001.png" "$WORK/absolute.png"
bad absolute.tar "$WORK/absolute.png"
refused "absolute.tar: member $WORK/absolute.png: an absolute name" absolute.tar
bad parent.tar ../absolute.png
refused "parent.tar: member ../absolute.png: a name that leaves the archive" parent.tar
ln -s /etc/passwd "$WORK/s/link.png"
bad link.tar link.png
refused "link.tar: member link.png: a link" link.tar
rm "$WORK/s/link.png"
echo '{"title": ' >"$WORK/s/x.json"
cp "$WORK/s/00001.png" "$WORK/s/x.png"
bad json.tar x.json x.png
refused "json.tar: member x.png: its json" json.tar
echo '{"title": "no image"}' >"$WORK/s/x.json"
bad image.tar x.json
refused "image.tar: member x: no image" image.tar
head -c 60 "$WORK/s/00001.png" >"$WORK/s/x.png"
bad short.tar x.json x.png
refused "short.tar: member x.png:" short.tar
bad cut.tar 00001.png 00001.json
head -c 4000 "$WORK/cut.tar" >"$WORK/cut2.tar"
refused "cut2.tar: member 00001.json: not a readable tar archive" cut2.tar

# ---- Fashion-Gen -------------------------------------------------------------------------
H=$BUILD/tests/make_fashiongen
if [ -x "$H" ]; then
    "$H" "$WORK/fashiongen_256_256_train.h5" 300 48 1 || exit 1
    "$H" "$WORK/fashiongen_256_256_validation.h5" 60 48 2 || exit 1
    ok "import both files" "$FB" import "$WORK"/fashiongen_*.h5 --quiet --json --out "$C" \
        --split source
    check "the validation file is the test split" grep -q '"test": 60,' "$WORK/stdout"
    check "Latin-1 became UTF-8" grep -q \
        '"title": "[A-Z][a-z]* [a-z]*. Drapé [a-z ]*. Model 1017."' "$C/metadata.jsonl"
    check "categories" grep -q '"category": "SHAPES", "subcategory": "circleS"' \
        "$C/metadata.jsonl"
    rm -rf "$C"
    ok "other fields by --map" "$FB" import "$WORK/fashiongen_256_256_train.h5" --quiet \
        --out "$C" --map "title={name} by {brand}" --only-mapped
    check "the title is what it was told to be" grep -q \
        '"title": "[A-Z][a-z]* [a-z]* by Café [0-2]"' "$C/metadata.jsonl"
    rm -rf "$C"
    fails 2 'nothing is called "colour"' $W "$WORK/fashiongen_256_256_train.h5" \
        --compose-queries "{colour} {category}"
    left "a field that is not there"
    "$H" "$WORK/without.h5" 10 16 1 input_description || exit 1
    fails 1 "without.h5: not a Fashion-Gen file: without the datasets input_description" \
        $W "$WORK/without.h5"
    left "a file without the fields"
    head -c 20000 "$WORK/fashiongen_256_256_train.h5" >"$WORK/cut.h5"
    fails 1 "cut.h5: cannot be read as HDF5" $W "$WORK/cut.h5"
    left "a file that is cut"
else
    echo "skipped: built without HDF5"
fi
finish
