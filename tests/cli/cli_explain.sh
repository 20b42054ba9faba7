#!/bin/bash
# cli_explain.sh BUILD - what of a text and an image made their score, from the outside.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
SMALL="--config $WORK/tiny.json --vocab-size 120 --max-text 16 --batch 16 --threads 2 --quiet"
ok "make a catalogue" "$MAKE" "$C" 60
ok "a model with vectors" "$FB" train --objective itc --encoder pixels --vector-size 16 \
    --catalog "$C" $SMALL --out "$WORK/itc" --steps 8
ok "a model of both" "$FB" train --objective match --init "$WORK/itc" --negatives hard \
    --itc 1 --hard-negatives 2 --losses tia --catalog "$C" --batch 16 --max-text 16 \
    --threads 2 --quiet --out "$WORK/both" --steps 4
ok "a model of alignment" "$FB" train --objective match --encoder pixels --catalog "$C" \
    $SMALL --out "$WORK/tia" --steps 4
IMAGE=$C/images/0.png
TEXT="Red CIRCLE on blue, modèl 17"
E="$FB explain --image $IMAGE --dtype f32 --threads 1"

ok "explain" $E --model "$WORK/both" --text "$TEXT" --out "$WORK/heat.png"
for word in red circle on blue , model 17; do
    check "the table has $word" grep -qE "^$word +-?[0-9]" "$WORK/stdout"
done
check "the method is stated" grep -q "integrated gradients" "$WORK/stdout"
check "a PNG was written" grep -q PNG <(head -c 8 "$WORK/heat.png")
ok "the same again" $E --model "$WORK/both" --text "$TEXT" --out "$WORK/again.png"
check "is the same picture" cmp -s "$WORK/heat.png" "$WORK/again.png"

value() { grep -o "\"$1\": *[-0-9.e]*" "$WORK/stdout" | head -n 1 | sed 's/.*: *//'; }
near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(d <= t && d >= -t) }'; }
for model in itc both tia; do
    ok "explain $model as JSON" $E --model "$WORK/$model" --text "$TEXT" --steps 64 --json
    check "by its own score" grep -q "\"score_kind\": *\"$model\"" "$WORK/stdout"
    words=$(grep -o '"weight": *[-0-9.e]*' "$WORK/stdout" |
        awk -F: '{ s += $2 } END { print s }')
    patches=$(sed -n '/"patches"/,/"photo"/p' "$WORK/stdout" |
        grep -oE '^ +-?[0-9][-0-9.e]*' | awk '{ s += $1; n++ } END { print s, n }')
    check "64 patches" test "${patches#* }" = 64
    score=$(value score)
    check "$model: words share out what masking them costs" \
        near "$words" "$(awk "BEGIN { print $score - $(value without_words) }")" 1e-3
    check "$model: patches share out what a blank image costs" \
        near "${patches% *}" "$(awk "BEGIN { print $score - $(value without_image) }")" 1e-3
    probability=$(value probability)
    ok "match with $model" "$FB" match --model "$WORK/$model" --text "$TEXT" \
        --image "$IMAGE" --dtype f32 --threads 1 --json
    check "$model: the score is that of match" near "$probability" "$(value score)" 1e-4
done
ok "another score than its own" $E --model "$WORK/both" --text "$TEXT" --score tia --json
check "is what is explained" grep -q '"score_kind": *"tia"' "$WORK/stdout"
fails 2 "a text without a word" $E --model "$WORK/both" --text " ." --out "$WORK/none.png"
ok "a text longer than the model takes" $E --model "$WORK/both" --json --text \
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
check "says what it left out" grep -qE '"words_left_out": *[1-9]' "$WORK/stdout"

M="$E --model $WORK/both --text red"
fails 1 "no vectors" $E --model "$WORK/tia" --text red --score itc
fails 1 "gone.png" $M --image "$WORK/gone.png"
head -c 80 "$IMAGE" >"$WORK/cut.png"
fails 1 "cut.png" $M --image "$WORK/cut.png"
fails 1 "nowhere/heat.png" $M --out "$WORK/nowhere/heat.png"
check "then nothing is on standard output" test ! -s "$WORK/stdout"
fails 1 "no such model folder" $E --model "$WORK/none" --text red
fails 2 "--steps" $M --steps 0
fails 2 "--score" $M --score best
fails 2 "--text" "$FB" explain --model "$WORK/both" --image "$IMAGE"
finish
