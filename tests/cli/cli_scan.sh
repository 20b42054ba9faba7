#!/bin/bash
# cli_scan.sh BUILD - SCAN and PFAN from the outside: they learn drawn products, resume to the
# bit, are evaluated and matched, keep their options, and say what does not go with them.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 240
for S in scan pfan; do
    cat >"$WORK/$S.json" <<EOT
{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
 "fashionbert": {"system": "$S", "image_size": 32, "grid": 4, "word_width": 24}}
EOT
done
SMALL="--vocab-size 120 --max-text 16 --batch 32 --threads 2 --quiet
    --encoder pixels --seed 3 --catalog $C"
E="$FB evaluate --catalog $C --split test --negatives any --negative-count 20 --min-candidates 20
    --json --quiet"
# recall KEY: the mean of a recall over both directions
recall() {
    grep -o "\"$1\": *[0-9.]*" "$WORK/stdout" |
        awk '{ sum += $2; n++ } END { print n ? sum / n : 0 }'
}
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

for S in scan pfan; do
    T="$FB train --system $S --config $WORK/$S.json $SMALL --lr 5e-3"
    ok "$S trains" $T --out "$WORK/$S" --epochs 20 --checkpoint-every 60
    check "$S logs its loss" grep -q '"hinge": *[0-9]' "$WORK/$S/log.jsonl"
    check "and recall within the batch" grep -q '"recall@1": *[0-9]' "$WORK/$S/log.jsonl"
    ok "$S is evaluated" $E --model "$WORK/$S"
    check "$S has learnt: R@5 $(recall r5)" above "$(recall r5)" 0.8
    check "$S sums up" grep -q '"sum_r": *[0-9]' "$WORK/stdout"
    check "config.json names it" grep -qF "\"system\": \"$S\"" "$WORK/$S/config.json"
    check "and its words" grep -q '"word_width": 24' "$WORK/$S/config.json"
    check "its scores are calibrated" test \
        "$(grep -o '"score_bias": *[-0-9.]*' "$WORK/$S/config.json" | grep -c -- -)" = 1
done
check "pfan knows its blocks" grep -q image.position.weight "$WORK/pfan/model.safetensors"

T="$FB train --system pfan --config $WORK/pfan.json $SMALL --steps 30 --checkpoint-every 7
    --hard-warmup 0.5 --cross-attention both --pool lse"
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
check "both ways are kept" grep -q '"cross_attention": "both"' "$WORK/killed/config.json"
check "and the pooling" grep -q '"pool": "lse"' "$WORK/killed/config.json"

# ---- regions, of which each image has its own number -------------------------------------
"$BUILD/tests/make_regions" toy "$C" "$WORK/toy.tsv" || exit 1
R=$WORK/toy.features
ok "import regions" "$FB" import --from regions --quiet "$WORK/toy.tsv" --catalog "$C" --out "$R"
cat >"$WORK/regions.json" <<EOT
{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
EOT
B="--config $WORK/regions.json --vocab-size 120 --max-text 16 --batch 32 --threads 2 --quiet
    --seed 3 --lr 5e-3 --epochs 20"
for S in scan pfan; do
    ok "$S trains on regions" "$FB" train --system $S $B --catalog "$C" --regions "$R" \
        --out "$WORK/$S-regions"
    ok "and is evaluated" $E --model "$WORK/$S-regions" --regions "$R"
    check "$S has learnt regions: R@5 $(recall r5)" above "$(recall r5)" 0.8
done
mkdir "$WORK/pairs"
"$BUILD/tests/make_regions" scan "$C" "$WORK/pairs" || exit 1
ok "import SCAN's own files" "$FB" import "$WORK/pairs" --from scan --quiet --out "$WORK/files"
B="$B --epochs 1 --catalog $WORK/files --regions $WORK/files/regions.features"
ok "scan needs no boxes" "$FB" train --system scan $B --out "$WORK/f"
fails 2 "has no boxes, which pfan needs" "$FB" train --system pfan $B --out "$WORK/x"

M=$WORK/scan
photo=$(find "$C/images" -type f | LC_ALL=C sort | head -n 1)
ok "match" "$FB" match --model "$M" --text "red circle" --image "$photo"
fails 1 "vectors" "$FB" index --model "$M" --catalog "$C" --out "$WORK/index" --quiet
fails 1 "vectors" "$FB" encode --model "$M" --catalog "$C" --out "$WORK/vectors" --quiet
fails 1 "vectors" $E --model "$M" --score itc
cp -r "$M" "$WORK/broken"
sed -i 's/"t2i_lambda1": [0-9.]*/"t2i_lambda1": 81/' "$WORK/broken/config.json"
fails 1 "t2i_lambda1" $E --model "$WORK/broken"
X="$FB train $SMALL --steps 1 --out $WORK/x --system"
fails 2 "scan takes no --losses, --itc or --negatives hard" $X scan --itc 1
fails 2 "pfan takes no --losses, --itc or --negatives hard" $X pfan --negatives hard
fails 2 "scan takes no --alignment" $X scan --alignment list
fails 2 "it takes no --vector-size" $X scan --vector-size 8
fails 2 "--cross-attention" $X scan --cross-attention t2t
fails 2 "--pool" $X pfan --pool max
finish
