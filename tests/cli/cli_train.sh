#!/bin/bash
# cli_train.sh BUILD - train, evaluate and match from the outside: files, contract, and that
# one seed gives one result.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 240

ok "train" "$FB" train --catalog "$C" --out "$WORK/a" $TINY --steps 60 --seed 3 --lr 2e-3 \
    --checkpoint-every 20
for f in config.json vocab.txt model.safetensors log.jsonl last/model.safetensors \
    last/optimizer.safetensors last/training_state.json; do
    check "$f is there" test -s "$WORK/a/$f"
done
check "an event file is there" ls "$WORK"/a/events.out.tfevents.* >/dev/null
check "a line a step" test "$(wc -l <"$WORK/a/log.jsonl")" -eq 60
for key in step loss mlm mpm tia weight_mlm weight_mpm weight_tia wait_ms; do
    check "each line has $key" test "$(grep -c "\"$key\":" "$WORK/a/log.jsonl")" -eq 60
done
check "validation every 20 steps" test "$(grep -c val_accuracy "$WORK/a/log.jsonl")" -eq 3

ok "the same again" "$FB" train --catalog "$C" --out "$WORK/b" $TINY --steps 60 --seed 3 \
    --lr 2e-3 --checkpoint-every 20 --loader-threads 1
check "one seed, the same weights" cmp -s "$WORK/a/model.safetensors" "$WORK/b/model.safetensors"
check "one seed, the same moments" cmp -s "$WORK/a/last/optimizer.safetensors" \
    "$WORK/b/last/optimizer.safetensors"
check "one seed, the same log" cmp -s <(steady_log "$WORK/a/log.jsonl") \
    <(steady_log "$WORK/b/log.jsonl")
ok "another seed" "$FB" train --catalog "$C" --out "$WORK/c" $TINY --steps 20 --seed 4 --lr 2e-3
if cmp -s "$WORK/a/model.safetensors" "$WORK/c/model.safetensors"; then
    fail "another seed gave the same weights"
else pass; fi

ok "an epoch or two" "$FB" train --catalog "$C" --out "$WORK/d" $TINY --epochs 2 --adaptive softmax
ok "accumulated, squashed, fixed" "$FB" train --catalog "$C" --out "$WORK/e" $TINY --steps 4 \
    --accumulate 3 --fit squash --adaptive fixed --losses tia --backend cpu --dtype f32
ok "norms over shared parameters" "$FB" train --catalog "$C" --out "$WORK/f" $TINY --steps 3 \
    --adaptive gradient --adaptive-norm shared
ok "the reference backend" "$FB" train --catalog "$C" --out "$WORK/g" $TINY --steps 2 --backend ref

E="$FB evaluate --model $WORK/a --catalog $C --split test --protocol sampled --negatives category"
ok "evaluate" $E --seed 1 --draws 5 --json --quiet --candidates "$WORK/pools.jsonl" \
    --trec "$WORK/run"
cp "$WORK/stdout" "$WORK/first.json"
for key in protocol negatives seed image_to_text text_to_image queries candidates_mean r1 r5 \
    r10 mrr median_rank sum_r accuracy auc; do
    check "evaluate prints $key" grep -q "\"$key\":" "$WORK/first.json"
done
check "R@all is 1" test "$(grep -o '"r_all": *1[,}]*' "$WORK/first.json" | wc -l)" -ge 2
for f in image_to_text.0.run image_to_text.0.qrels text_to_image.4.run; do
    check "TREC $f" test -s "$WORK/run.$f"
done
ok "evaluate over saved pools" $E --seed 1 --draws 5 --json --quiet \
    --candidates "$WORK/pools.jsonl"
check "the same numbers" cmp -s <(sed 's/"seconds": *[0-9.e-]*//' "$WORK/first.json") \
    <(sed 's/"seconds": *[0-9.e-]*//' "$WORK/stdout")
ok "evaluate in full" "$FB" evaluate --model "$WORK/a" --catalog "$C" --split test \
    --protocol full --json --quiet
ok "evaluate as a table" $E --quiet
check "the table shows chance" grep -qi chance "$WORK/stdout"

ok "match" "$FB" match --model "$WORK/a" --text "red circle on blue" "green stripe" \
    --image "$C/images/1.png" "$C/images/2.png" "$C/images/3.png" --json
check "six scores" test "$(grep -o '"score":' "$WORK/stdout" | wc -l)" -eq 6
ok "match --top" "$FB" match --model "$WORK/a" --text "red circle on blue" "green stripe" \
    --image "$C/images/1.png" "$C/images/2.png" "$C/images/3.png" --json --top 2 \
    --sheet "$WORK/sheet.png"
check "four scores" test "$(grep -o '"score":' "$WORK/stdout" | wc -l)" -eq 4
scores=$(sed -n 's/.*"score": *//p' "$WORK/stdout" | head -2)
check "best first" test "$(echo "$scores" | sort -gr)" = "$scores"
check "the sheet is a PNG" grep -q PNG "$WORK/sheet.png"
fails 1 "sheet.png" "$FB" match --model "$WORK/a" --text x --image "$C/images/1.png" \
    --sheet "$WORK/no/sheet.png"
check "nothing printed without its sheet" test ! -s "$WORK/stdout"
finish
