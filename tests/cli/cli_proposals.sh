#!/bin/bash
# cli_proposals.sh BUILD - a region file without a detector, from a model's image network.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
O=$WORK/out.features
ok "make a catalogue" "$MAKE" "$C" 40
ok "a network of a grid" $FB train --catalog "$C" --out "$WORK/grid" --encoder thin --patches grid \
    --objective itc --steps 2 --seed 1 --image-size 96 --fit squash --preset mini --max-text 16 \
    --batch 8 --quiet
ok "a network of patches" $FB train --catalog "$C" --out "$WORK/each" --encoder pixels $TINY --steps 2
I="$FB import --from proposals --quiet --catalog $C --out $O"
left() { check "nothing is left behind by: $1" test ! -e "$O" -a ! -e "$O.new"; }
has() { check "$1 is $2: $(cat "$WORK/stdout")" grep -q "\"$1\": $2,\?$" "$WORK/stdout"; }
number() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$WORK/stdout"; }

ok "from a grid" $I --model "$WORK/grid" --json
has images 40
has width 256
has boxes true
has skipped 0
regions=$(number regions)
check "more than the images alone: $regions" test "$regions" -gt 120
mv "$O" "$WORK/two.features"
ok "a system reads it" $FB train --system vse++ --catalog "$C" --regions "$WORK/two.features" \
    --out "$WORK/model" --steps 2 --batch 8 --preset mini --max-text 16 --quiet
ok "and is evaluated with it" $FB evaluate --model "$WORK/model" --catalog "$C" --split train \
    --regions "$WORK/two.features" --protocol full --json --quiet
check "by a sum of recalls" grep -q '"sum_r": [0-9]' "$WORK/stdout"
fails 1 "without an image network" $I --model "$WORK/model"
ok "it is looked at" $FB inspect "$C" --regions-file "$WORK/two.features" --json --quiet
has without 0
has whole_image 40
ok "again, on one thread" $I --model "$WORK/grid" --threads 1 --dtype f32
mv "$O" "$WORK/one.features"
ok "and on two" $I --model "$WORK/grid" --threads 2 --dtype f32
check "boxes and all are the same" cmp "$O" "$WORK/one.features"
rm "$O"
ok "at most 4" $I --model "$WORK/grid" --regions-most 4 --json
has most 4
ok "in more passes" $I --model "$WORK/grid" --proposals fast --regions-most 100 --json
check "more regions" test "$(number regions)" -gt "$regions"
rm "$O"
ok "from patches" $I --model "$WORK/each" --json
has width 192
has regions "$regions"
rm "$O"

fails 2 "--catalog DIR, whose images they are of" $FB import --from proposals --out "$O"
fails 2 "--model DIR, whose network makes their features" $I
fails 2 "there is no source such as shop to read" $I shop --model "$WORK/grid"
fails 2 '--regions-most: "0" is not a whole number from 1 to 1000' $I --regions-most 0 --model "$WORK/grid"
fails 2 "--proposals: \"slow\"" $I --proposals slow --model "$WORK/grid"
fails 1 "nothing" $I --model "$WORK/nothing"
left "no such model"
fails 2 "a folder; --out names the file to make" $FB import --from proposals --catalog "$C" \
    --model "$WORK/grid" --out "$WORK"
broken=$(sed -n '7s/.*"file_name": *"\([^"]*\)".*/\1/p' "$C/metadata.jsonl")
head -c 100 "$C/$broken" >"$WORK/cut" && mv "$WORK/cut" "$C/$broken"
$I --model "$WORK/grid" >/dev/null 2>"$WORK/stderr"
check "a broken image ends it" test $? -eq 1
check "and is named: $(cat "$WORK/stderr")" grep -q "$broken.*--skip-bad leaves them out" "$WORK/stderr"
left "a broken image"
ok "or is left out" $I --model "$WORK/grid" --skip-bad --json
has images 39
has skipped 1
finish
