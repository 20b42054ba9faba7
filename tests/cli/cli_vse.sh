#!/bin/bash
# cli_vse.sh BUILD - VSE and VSE++ from the outside: they learn drawn products, resume to the
# bit, are evaluated, encoded, indexed and searched, and say what does not go with them.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 480
for S in vse vse++; do
    cat >"$WORK/$S.json" <<EOT
{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
 "fashionbert": {"system": "$S", "image_size": 32, "grid": 4, "vse_words": 24}}
EOT
done
SMALL="--vocab-size 120 --max-text 16 --batch 32 --threads 2 --quiet
    --encoder pixels --vector-size 32 --flip 0 --seed 3 --catalog $C"
E="$FB evaluate --catalog $C --split test --negatives any --negative-count 20 --min-candidates 20
    --json --quiet"
# recall KEY: the mean of a recall over both directions
recall() {
    grep -o "\"$1\": *[0-9.]*" "$WORK/stdout" |
        awk '{ sum += $2; n++ } END { print n ? sum / n : 0 }'
}
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

for S in vse vse++; do
    T="$FB train --system $S --config $WORK/$S.json $SMALL --lr 5e-3"
    ok "$S trains" $T --out "$WORK/$S" --epochs 25 --checkpoint-every 60
    check "$S logs its loss" grep -q '"hinge": *[0-9]' "$WORK/$S/log.jsonl"
    check "and recall within the batch" grep -q '"recall@1": *[0-9]' "$WORK/$S/log.jsonl"
    ok "$S is evaluated" $E --model "$WORK/$S"
    check "$S has learnt: R@1 $(recall r1)" above "$(recall r1)" 0.7
    check "R@5 $(recall r5)" above "$(recall r5)" 0.95
    check "$S scores by vectors" grep -q '"score": *"itc"' "$WORK/stdout"
    check "config.json names it" grep -qF "\"system\": \"$S\"" "$WORK/$S/config.json"
    check "and its words" grep -q '"vse_words": 24' "$WORK/$S/config.json"
    check "weights have torch's names" grep -q 'text.gru.weight_hh_l0' "$WORK/$S/model.safetensors"
done
check "the two losses learn something else" \
    test "$(cksum <"$WORK/vse/model.safetensors")" != "$(cksum <"$WORK/vse++/model.safetensors")"

T="$FB train --system vse++ --config $WORK/vse++.json $SMALL --steps 40 --checkpoint-every 7 --hard-warmup 0.5"
ok "the run that nobody touches" $T --out "$WORK/whole"
$T --out "$WORK/killed" >/dev/null 2>&1 &
pid=$!
for try in $(seq 400); do
    [ -e "$WORK/killed/last/model.safetensors" ] && break
    sleep 0.02
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "resumed" $T --out "$WORK/killed" --resume
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done

M=$WORK/vse++
ok "index" "$FB" index --model "$M" --catalog "$C" --out "$WORK/index" --quiet
ok "search" "$FB" search --index "$WORK/index" --model "$M" --text "red circle on blue" --k 5
check "red circles come first" grep -q "red circle" "$WORK/stdout"
ok "encode" "$FB" encode --model "$M" --catalog "$C" --out "$WORK/vectors" --quiet

cp -r "$M" "$WORK/broken"
sed -i 's/"vector_size": 32/"vector_size": 0/; s/"score": "itc"/"score": "tia"/' "$WORK/broken/config.json"
fails 1 "has vectors (vector_size above 0)" $E --model "$WORK/broken"
fails 1 "vse++ has vectors alone" $E --model "$M" --score tia
X="$FB train $SMALL --steps 1 --out $WORK/x --system"
fails 2 "vse is nothing but vectors" $X vse --vector-size 0
fails 2 "takes no --itc or --negatives hard" $X vse++ --itc 1
fails 2 "takes no --itc or --negatives hard" $X vse --negatives hard
fails 2 "it judges no pairs" $X vse++ --alignment list
fails 2 "takes no --losses" $X vse --losses tia
fails 2 "--margin" $X vse --margin 2
fails 2 "--objective vse is of --system vse" $X vse++ --objective vse
finish
