#!/bin/bash
# cli_contrast.sh BUILD - contrastive training, starting from a model folder, hard negatives
# and the three kinds of score, from the outside.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 120
SMALL="--config $WORK/tiny.json --vocab-size 120 --max-text 16 --batch 16 --threads 2 --quiet"
ITC="$FB train --objective itc --encoder pixels --vector-size 16 --catalog $C $SMALL --seed 3"

ok "contrastive training" $ITC --out "$WORK/a" --steps 12 --group 4 --flip 0.5 --shift 0.1
check "a line a step has itc" test "$(grep -c '"itc":' "$WORK/a/log.jsonl")" -eq 12
check "and its accuracy" test "$(grep -c '"itc_accuracy":' "$WORK/a/log.jsonl")" -eq 12
check "the model scores by its vectors" grep -q '"score": *"itc"' "$WORK/a/config.json"
ok "the same again" $ITC --out "$WORK/b" --steps 12 --group 4 --flip 0.5 --shift 0.1 \
    --loader-threads 1
check "one seed, the same weights" cmp -s "$WORK/a/model.safetensors" "$WORK/b/model.safetensors"

ok "a margin" $ITC --out "$WORK/margin" --steps 3 --margin 0.2
fails 2 "--margin" $ITC --out "$WORK/x" --steps 3 --margin 2

E="$FB evaluate --catalog $C --split test --negatives any --min-candidates 2 --json --quiet"
ok "evaluate by the model's own score" $E --model "$WORK/a"
check "which is itc" grep -q '"score": *"itc"' "$WORK/stdout"
check "R@all is 1" test "$(grep -o '"r_all": *1[,}]*' "$WORK/stdout" | wc -l)" -ge 2
ok "evaluate by alignment" $E --model "$WORK/a" --score tia
check "an accuracy of another score is null" grep -q '"accuracy": *null' "$WORK/stdout"

M="$FB train --objective match --catalog $C --batch 16 --threads 2 --quiet --max-text 16 --init $WORK/a --negatives hard"
ok "hard negatives, listwise, beside itc" $M --out "$WORK/c" --steps 6 --alignment list \
    --hard-negatives 2 --itc 1 --losses mlm,mpm,tia
check "the three losses and itc are logged" test \
    "$(grep -c '"mlm": *[0-9].*"tia": *[0-9].*"mpm": *[0-9].*"itc": *[0-9]' "$WORK/c/log.jsonl")" -eq 6
check "the model scores by both" grep -q '"score": *"both"' "$WORK/c/config.json"
for kind in own tia itc both; do
    ok "evaluate by $kind" $E --model "$WORK/c" --score "$kind"
done
ok "hard negatives, pair by pair" $M --out "$WORK/d" --steps 3 --losses tia --itc 0.5
ok "blocks of three, of part of a batch" $M --out "$WORK/h" --steps 6 --losses tia --itc 1 \
    --alignment block --hard-negatives 2 --hard-items 9 --patch-keep 0.5 --rare-mask 2 \
    --soft-targets 0.5 --unmask-last 0.4
check "alignment and itc are logged" test \
    "$(grep -c '"tia": *[0-9].*"itc": *[0-9]' "$WORK/h/log.jsonl")" -eq 6
check "patches join behind the texts' layers" grep -q '"patches_from": *1' "$WORK/h/config.json"
check "and are multiplied with the words" grep -q '"alignment_head": *"product"' "$WORK/h/config.json"
ok "evaluate its alignment" $E --model "$WORK/h" --score tia
ok "going on from it keeps both" $M --init "$WORK/h" --out "$WORK/i" --steps 1 --losses tia --itc 1
check "where patches join" grep -q '"patches_from": *1' "$WORK/i/config.json"
check "what is read" grep -q '"alignment_head": *"product"' "$WORK/i/config.json"
ok "the paper's way, asked for" $M --out "$WORK/j" --steps 1 --losses tia --alignment block \
    --hard-negatives 2 --patches-from 0 --alignment-head cls
check "it is" grep -q '"patches_from": *0' "$WORK/j/config.json"
fails 1 "patches_from 3 is more than num_hidden_layers 2" $M --out "$WORK/x" --steps 1 \
    --patches-from 3
fails 2 "rare-mask" "$FB" train --objective match --catalog "$C" --out "$WORK/x" $SMALL \
    --encoder pixels --steps 1 --rare-mask 2
fails 2 "needs --alignment list or block" $M --out "$WORK/x" --steps 1 --losses tia \
    --itc 1 --soft-targets 0.5
fails 2 "unmask-last" $M --out "$WORK/x" --steps 1 --losses tia --itc 1 --unmask-last 0.5
fails 2 "losses tia" $M --out "$WORK/x" --steps 1 --alignment block --losses mlm,tia --itc 1
ok "a network, trained and frozen" "$FB" train --objective itc --preset mini --encoder thin \
    --catalog "$C" --out "$WORK/e" --vocab-size 120 --batch 8 --steps 2 --threads 2 --quiet
ok "start from it" "$FB" train --objective itc --init "$WORK/e" --freeze-encoder \
    --catalog "$C" --out "$WORK/f" --batch 8 --steps 2 --threads 2 --quiet
check "the network is under torchvision's names" \
    grep -q 'image.encoder.layer1.0.bn1.running_mean' "$WORK/f/model.safetensors"

fails 2 "negatives hard" "$FB" train --catalog "$C" --out "$WORK/x" $SMALL --alignment list
fails 1 "no vectors" sh -c "$FB train --objective match --encoder pixels --catalog $C $SMALL \
    --out $WORK/g --steps 1 && $E --model $WORK/g --score itc"
fails 1 "no such folder" "$FB" train --catalog "$C" --out "$WORK/x" --init "$WORK/none"
fails 1 "resnet18.safetensors" "$FB" train --objective itc --encoder resnet18 --catalog "$C" \
    --out "$WORK/x" --batch 4 --steps 1 --quiet --encoder-weights "$WORK/resnet18.safetensors"
finish
