#!/bin/bash
# cli_vlbert.sh BUILD - VL-BERT from the outside: it learns drawn products, resumes to the bit,
# is evaluated, starts from a BERT and from regions, and says what does not go with it.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 240
cat >"$WORK/two.json" <<'EOT'
{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
 "fashionbert": {"system": "vlbert", "image_size": 32, "grid": 4, "geometry_frequencies": 8}}
EOT
SMALL="--system vlbert --vocab-size 120 --max-text 16 --batch 32 --threads 2 --quiet --seed 3
    --catalog $C"
T="$FB train $SMALL --config $WORK/two.json --encoder pixels"
E="$FB evaluate --catalog $C --split test --protocol sampled --negatives any --negative-count 10
    --min-candidates 10 --seed 1 --json --quiet --threads 2"
number() { sed -n "s/.*\"$1\": \([-0-9.e]*\),\?$/\1/p" "$WORK/stdout" | head -1; }
least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

ok "train" $T --losses mvrc,tia --dropout 0 --lr 3e-3 --epochs 60 --checkpoint-every 60 \
    --out "$WORK/m" --json
best=$(number best_val_accuracy)
check "it learns drawn products: $best" least "$best" 0.9
check "the log has its losses" grep -q '"mvrc": *[0-9].*"tia": *[0-9]' "$WORK/m/log.jsonl"
check "config.json names it" grep -q '"system": *"vlbert"' "$WORK/m/config.json"
check "and its geometry" grep -q '"geometry_frequencies": 8' "$WORK/m/config.json"
ok "evaluate" $E --model "$WORK/m"
check "a sum of recalls" grep -q '"sum_r": *[0-9]' "$WORK/stdout"
check "accuracy of the test split: $(number accuracy)" least "$(number accuracy)" 0.85
check "it scores by alignment" grep -q '"score": *"tia"' "$WORK/stdout"
ok "match" "$FB" match --model "$WORK/m" --text "red circle on blue" --image "$C/images/1.png"
fails 1 "no vectors" "$FB" encode --model "$WORK/m" --catalog "$C" --out "$WORK/v" --quiet

K="$T --steps 24 --checkpoint-every 5 --validate-pairs 8 --alignment block --hard-negatives 3
    --patch-keep 0.5"
ok "the run that nobody touches" $K --out "$WORK/whole"
check "blocks give masked words and objects too" \
    grep -q '"mlm": *[0-9].*"mvrc": *[0-9].*"tia": *[0-9]' "$WORK/whole/log.jsonl"
$K --out "$WORK/killed" >/dev/null 2>&1 &
pid=$!
for try in $(seq 400); do
    [ -e "$WORK/killed/last/model.safetensors" ] && break
    sleep 0.02
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "resumed" $K --out "$WORK/killed" --resume
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done

ok "start from a BERT" "$FB" train $SMALL --init "$(dirname "$0")/../golden/pretrained/bare" \
    --encoder pixels --image-size 32 --max-text 8 --steps 1 --batch 8 --out "$WORK/b"
ok "go on from a model" "$FB" train $SMALL --init "$WORK/m" --steps 1 --out "$WORK/n"
ok "regions of a detector" "$BUILD/tests/make_regions" toy "$C" "$WORK/toy.tsv"
ok "import them" "$FB" import --from regions --quiet "$WORK/toy.tsv" --catalog "$C" \
    --out "$WORK/toy.features"
sed 's/"geometry_frequencies": 8/"mvrc_target": "classes", "visual_classes": 2000/' \
    "$WORK/two.json" >"$WORK/classes.json"
ok "train on regions" "$FB" train $SMALL --config "$WORK/two.json" --steps 2 --out "$WORK/r" \
    --regions "$WORK/toy.features"
ok "evaluate on regions" $E --model "$WORK/r" --regions "$WORK/toy.features"

X="$T --steps 1 --out $WORK/x"
fails 2 "vlbert has no vectors" $X --itc 1
fails 2 "vlbert has no vectors" $X --negatives hard
fails 2 "--losses needs tia" $X --losses mlm,mvrc
fails 2 "off [CLS]" $X --alignment-head product
fails 2 "they need --alignment block" $X --text-mask 0.1
fails 1 "max_position_embeddings" $X --max-text 512
fails 2 "mvrc_target classes" "$FB" train $SMALL --config "$WORK/classes.json" --encoder pixels \
    --steps 1 --out "$WORK/x"
finish
