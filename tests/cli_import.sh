#!/bin/bash
# cli_import.sh BUILD - other people's products become a catalogue: what is read, what is
# refused and how, and an import that is killed.
. "$(dirname "$0")/cli_lib.sh"
export FASHIONBERT_THREADS=2

# shop FOLDER COUNT: styles.csv and images/ID.png.
shop() {
    rm -rf "$1"
    "$MAKE" "$1" "$2" || exit 1
    {
        echo "id,articleType,productDisplayName"
        sed 's/.*"product_id": "p\([0-9]*\)", "title": "\([^"]*\)", "category": "\([^"]*\)".*/\1,\3,\2/' \
            "$1/metadata.jsonl" | tr -d '\r' | sed 's/^\([0-9]*,[a-z]*,[^,]*\), model/\1 model/'
    } >"$1/styles.csv"
    rm "$1/metadata.jsonl"
}
MAP="title=productDisplayName,category=articleType,image=images/{id}.png"
S=$WORK/shop
C=$WORK/catalogue
I="$FB import $S --from csv --map $MAP --split 70/15/15 --quiet --out $C"
# left: nothing of an import that failed.
left() { check "nothing is left behind by: $1" test ! -e "$C" -a ! -e "$C.part"; }
lines() { wc -l <"$1"; }

# ---- what is read ------------------------------------------------------------------------
shop "$S" 300
ok "import a folder with a CSV" $I --json
check "all products came" test "$(lines "$C/metadata.jsonl")" -eq 300
check "the log is gone" test ! -e "$C/import.log"
check "splits are of those products" grep -q '"train": 2[0-9][0-9],' "$WORK/stdout"
check "id, title and category" grep -q \
    '"product_id": "17", "title": "[a-z]* [a-z]* on [a-z]* model 17", "category": "[a-z]*"' \
    "$C/metadata.jsonl"
check "images are kept to the byte" cmp "$S/images/17.png" "$C/images/000/000018.png"
ok "it can be trained on" "$FB" train $TINY --catalog "$C" --out "$WORK/model" --steps 2
cp "$C/metadata.jsonl" "$WORK/first.jsonl"
rm -rf "$C"
ok "recognised without --from" "$FB" import "$S/styles.csv" --map "$MAP" --split 70/15/15 \
    --quiet --out "$C"
check "the same catalogue" cmp "$WORK/first.jsonl" "$C/metadata.jsonl"
fails 2 "is there already" $I
rm -rf "$C"

finish
