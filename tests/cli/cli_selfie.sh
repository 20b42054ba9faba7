#!/bin/bash
# cli_selfie.sh BUILD - pre-training of the image encoder from the outside: it learns to
# point, other runs start from it, it resumes to the bit, and it scores nothing.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 120
cat >"$WORK/four.json" <<'EOT'
{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 64, "fashionbert": {"image_size": 48, "grid": 4}}
EOT
# One thread: two on one busy core wait for each other at every convolution.
SMALL="--catalog $C --config $WORK/four.json --vocab-size 120 --max-text 16 --batch 16
    --threads 1 --quiet"
SELFIE="$FB train --objective selfie $SMALL --seed 3 --lr 3e-3"
# number KEY FILE: the last value of a JSON key
number() { grep -o "\"$1\": *[0-9.e-]*" "$2" | tail -1 | sed 's/.*: *//'; }
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

ok "pre-training" $SELFIE --out "$WORK/a" --steps 80 --json
cp "$WORK/stdout" "$WORK/report"
check "chance is a quarter: 4 of 16 are masked" test "$(number chance "$WORK/report")" = 0.25
reached=$(number best_val_accuracy "$WORK/report")
check "pointing is well above chance: $reached" above "$reached" 0.375
check "and the log says the same" test "$(number chance "$WORK/a/log.jsonl")" = 0.25
best=$(grep "\"step\": *$(number best_step "$WORK/report")," "$WORK/a/log.jsonl")
check "the best step was the best on the validation split" test \
    "$(number val_pointing_accuracy <(echo "$best"))" = "$reached"
check "a line a step has the loss and its accuracy" test \
    "$(grep -c '"selfie": *[0-9].*"pointing_accuracy": *[0-9].*"chance"' "$WORK/a/log.jsonl")" -eq 80
check "the config says what it is" grep -q '"system": *"selfie"' "$WORK/a/config.json"
ok "the table" $SELFIE --out "$WORK/t" --steps 1
check "shows accuracy beside chance" grep -q 'pointing accuracy.*chance' "$WORK/stdout"

fails 1 "scores no pairs" "$FB" evaluate --model "$WORK/a" --catalog "$C"
fails 1 "scores no pairs" "$FB" match --model "$WORK/a" --text a --image "$C/images/1.png"

ok "start again from it, standing still" "$FB" train --objective selfie --init "$WORK/a" \
    --catalog "$C" --batch 16 --out "$WORK/b" --steps 1 --lr 0 --json --threads 1 --quiet
check "it points at once" above "$(number best_val_accuracy "$WORK/stdout")" 0.375
MATCH="$FB train --objective match --losses tia --catalog $C --batch 8 --steps 2
    --threads 1 --quiet"
ok "FashionBERT over each patch" $MATCH --init "$WORK/a" --out "$WORK/c"
check "with its shape" grep -q '"patches": *"each"' "$WORK/c/config.json"
ok "over the whole image" $MATCH --init "$WORK/a" --patches grid --image-size 48 --out "$WORK/d"
check "the same network" grep -q '"patches": *"grid"' "$WORK/d/config.json"
ok "its weights alone" $MATCH --encoder thin --encoder-weights "$WORK/a/model.safetensors" \
    --out "$WORK/e"
check "make FashionBERT" grep -q '"system": *"fashionbert"' "$WORK/e/config.json"
fails 1 "layer1.1.conv1.weight" $MATCH --encoder resnet18 --out "$WORK/x" \
    --encoder-weights "$WORK/a/model.safetensors"

fails 2 "needs --patches each" $SELFIE --out "$WORK/x" --patches grid
fails 2 "trains an image network" $SELFIE --out "$WORK/x" --encoder pixels
fails 2 "trains an image network" $SELFIE --out "$WORK/x" --freeze-encoder
fails 2 "takes no --losses" $SELFIE --out "$WORK/x" --losses tia
fails 2 "takes no --losses" $SELFIE --out "$WORK/x" --itc 1

RUN="$SELFIE --steps 40 --checkpoint-every 3 --flip 0.5 --shift 0.05 --validate-pairs 8"
ok "the run that nobody touches" $RUN --out "$WORK/whole"
kills=0
for try in $(seq 1 30); do
    $RUN --out "$WORK/killed" --resume >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $((100 + try * 37 % 250 + try * 20)))"
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null && break
done
check "it was killed at least once ($kills times)" test $kills -ge 1
ok "the last start" $RUN --out "$WORK/killed" --resume
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done
check "the log is the same" cmp -s <(steady_log "$WORK/whole/log.jsonl") \
    <(steady_log "$WORK/killed/log.jsonl")
finish
