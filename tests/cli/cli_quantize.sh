#!/bin/bash
# cli_quantize.sh BUILD - a model made ready for int8, and the verbs that score then: by
# int8 unless told otherwise, indexes of one type searched in another, data that are not
# the model's.
. "$(dirname "$0")/served_lib.sh"
Q="$FB quantize --catalog $C --quiet --threads 2"
DATA=$WORK/m/quantization.json

# value KEY: the first of its values in the JSON in $WORK/stdout.
value() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "$WORK/stdout" | head -1; }
IMAGES="$C/images/0.png $C/images/1.png $C/images/2.png"
match() { "$FB" match --model "$WORK/m" --text "red dress" shirt --image $IMAGES --json "$@"; }
scores() { match "$@" | grep -o '"score": *[0-9.e-]*'; }

fails 1 "dtype int8 needs it: fashionbert quantize --model $WORK/m" match --dtype int8
fails 2 "--dtype" $FB train --catalog "$C" --out "$WORK/x" $TINY --steps 1 --dtype int8
fails 2 "--model" $FB quantize --catalog "$C"
fails 2 "--tolerance" $Q --model "$WORK/m" --tolerance 2
fails 1 "no such model folder" $Q --model "$WORK/none"
F32=$(scores --dtype f32)
ok "an index in f32" "$FB" index --model "$WORK/m" --catalog "$C" --out "$WORK/f32" --quiet \
    --dtype f32
search() { "$FB" search --model "$WORK/m" --text "red dress" --rerank 5 --json "$@"; }

ok "quantize" $Q --model "$WORK/m" --split train --tolerance 1 --json
check "it was written" test "$(value written)" = true
check "$(value layers) layers" test "$(value layers)" -ge 10
check "pairs were scored" test "$(value pairs_scored)" -gt 100
check "both models have figures" test "$(grep -c '"auc": [0-9.]' "$WORK/stdout")" -eq 2
check "nothing else was left in the folder" test -z "$(ls "$WORK/m" | grep new)"
ok "as a table" $Q --model "$WORK/m" --split train --tolerance 1
check "with a row of each" test "$(grep -cE '^(f32|int8) +(image|text)' "$WORK/stdout")" -eq 4

INT8=$(scores --dtype int8)
check "int8 is what is taken" test "$(scores)" = "$INT8"
check "its scores are not those of f32" test "$INT8" != "$F32"
check "which are there still" test "$(scores --dtype f32)" = "$F32"
close "plain loops agree with the fast ones" "$(scores --backend ref | tr -dc '0-9.\n' | tr '\n' ' ')" \
    "$(echo "$INT8" | tr -dc '0-9.\n' | tr '\n' ' ')"
"$FB" evaluate --model "$WORK/m" --catalog "$C" --split train --queries 2 --threads 2 \
    2>"$WORK/stderr" >"$WORK/stdout"
check "what multiplies is said once: $(cat "$WORK/stderr")" test \
    "$(grep -c '^computing in int8 products by .*, the rest in f32 on 2 threads' "$WORK/stderr")" -eq 1
E="$FB evaluate --model $WORK/m --catalog $C --split train --quiet --json"
ok "evaluate in int8" $E
check "R@all is 1" test "$(grep -c '"r_all": 1,' "$WORK/stdout")" -ge 2
ok "and in f32" $E --dtype f32
ok "encode" "$FB" encode --model "$WORK/m" --catalog "$C" --out "$WORK/vectors" --what text --quiet
ok "encode in f32" "$FB" encode --model "$WORK/m" --catalog "$C" --out "$WORK/vectors32" \
    --what text --quiet --dtype f32
check "vectors of int8 are others" test "$(cmp -s "$WORK/vectors/text.npy" \
    "$WORK/vectors32/text.npy" && echo same)" != same

ok "search an index made in f32" search --index "$WORK/f32"
check "finds" test "$(grep -c product_id "$WORK/stdout")" -gt 3
ok "an index in int8" "$FB" index --model "$WORK/m" --catalog "$C" --out "$WORK/int8" --quiet
ok "searched in f32" search --index "$WORK/int8" --dtype f32
ok "more products, in the other type" "$FB" index --model "$WORK/m" --catalog "$C" \
    --out "$WORK/int8" --quiet --replace --dtype f32
start int8 --index "$WORK/f32"
ok "serve in int8" curl -sf -F "texts=red dress" -F "images=@$C/images/0.png" "$URL/v1/match"
check "with the score of match" grep -qF \
    "$(echo "$INT8" | grep -o '0\.[0-9]\{4\}' | head -1)" "$WORK/stdout"
stop int8
ok "explain" "$FB" explain --model "$WORK/m" --text "red dress" --image "$C/images/0.png"

cp "$DATA" "$WORK/data"
cp "$WORK/data" "$WORK/itc/quantization.json"
fails 1 "made for another model" "$FB" match --model "$WORK/itc" --text a --image $IMAGES
rm "$WORK/itc/quantization.json"
head -c 700 "$WORK/data" >"$DATA"
fails 1 "$DATA" match
sed 's/"scales": "......../"scales": "AADAfwAA/' "$WORK/data" >"$DATA"
fails 1 "must be finite and not negative" match
cp "$WORK/data" "$DATA"
ok "as it was" match
check "with the same scores" test "$(scores)" = "$INT8"

ok "training over it" "$FB" train --objective match --init "$WORK/itc" --catalog "$C" \
    --out "$WORK/again" --batch 16 --threads 2 --quiet --negatives hard --itc 1 --steps 2
cp "$WORK/data" "$WORK/again/quantization.json"
ok "resumed with more steps" "$FB" train --objective match --init "$WORK/itc" --catalog "$C" \
    --out "$WORK/again" --batch 16 --threads 2 --quiet --negatives hard --itc 1 --steps 2 \
    --resume
fails 1 "quantize it again" "$FB" match --model "$WORK/again" --text a --image $IMAGES
finish
