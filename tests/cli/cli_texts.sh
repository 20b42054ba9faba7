#!/bin/bash
# Texts that are none, and options without a value: nothing is read as something else.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/shop
"$MAKE" "$C" 60 >/dev/null || exit 1
ok "a model" "$FB" train --catalog "$C" $TINY --objective itc --encoder pixels --vector-size 16 \
    --itc 1 --steps 2 --out "$WORK/m"
ok "an index" "$FB" index --model "$WORK/m" --catalog "$C" --out "$WORK/i" --quiet
IMAGE=$(ls "$C"/images/* | head -1)
M="$FB match --model $WORK/m --image $IMAGE --threads 1 --text"
S="$FB search --model $WORK/m --index $WORK/i --threads 1 --text"

for text in $'r\xe9d' $'\xc3' $'\xed\xa0\x80'; do
    fails 2 "not UTF-8" $M "$text"
    fails 2 "not UTF-8" $S "$text"
    fails 2 "not UTF-8" "$FB" explain --model "$WORK/m" --image "$IMAGE" --score itc --text "$text"
done
printf 'red\nr\xe9d\n' >"$WORK/lines"
fails 2 "not UTF-8" bash -c "$M - <'$WORK/lines'"
ok "a letter with its accent" $M "réd"

# Blank, no-break space, zero-width space, soft hyphen, ideographic space, marks alone.
for text in ' ' $'\u00a0' $'\u200b' $'\u00ad' $'\u3000' '...' '?!'; do
    fails 2 "without a word" $M "$text"
    fails 2 "without a word" $S "$text"
done
fails 2 "without a word" $M ""
fails 2 "--text" $S ""
ok "a sign that is no punctuation mark" $M "★"

mkdir "$WORK/s"
cp "$IMAGE" "$WORK/s/a.png"
cp "$(ls "$C"/images/* | tail -1)" "$WORK/s/b.png"
printf '{"file_name": "a.png", "title": "%s"}\n{"file_name": "b.png", "title": "red"}\n' \
    '\u200b\u00a0' >"$WORK/s/metadata.jsonl"
check "import leaves out a title without a word" bash -c "! '$FB' import '$WORK/s' \
    --out '$WORK/o' --split 100/0/0 --quiet 2>'$WORK/e' && grep -q 'without a word' '$WORK/e'"
fails 1 "is blank" "$FB" inspect "$WORK/s"

for option in --init --config --vocab; do
    fails 2 "$option: \"\" is no value" "$FB" train --catalog "$C" --out "$WORK/n" --steps 1 $option ""
done
ok "an empty variable of the environment is not set" env FASHIONBERT_INIT= "$FB" train $TINY \
    --objective itc --encoder pixels --vector-size 16 --itc 1 --catalog "$C" --out "$WORK/n" --steps 1
finish
