#!/bin/bash
# cli_canonical.sh BUILD - cca and dcca from the outside: trained from nothing and over the
# features of a frozen network, evaluated, indexed and searched; dcca killed and resumed to
# the bit; what they refuse before work begins.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 240
COMMON="--catalog $C --preset mini --vocab-size 120 --max-text 16 --threads 2 --quiet --seed 1"
E="$FB evaluate --catalog $C --split test --negatives any --min-candidates 2 --json --quiet"
# recall DIRECTION K: of the evaluation in $WORK/stdout
recall() {
    python3 -c "import json, sys; print(json.load(open('$WORK/stdout'))['$1']['$2'])"
}
number() { awk "BEGIN { exit !($1) }"; }

# ---- cca

ok "cca from nothing" "$FB" train --system cca $COMMON --epochs 1 --out "$WORK/cca"
ok "the same again" "$FB" train --system cca $COMMON --epochs 1 --out "$WORK/again" \
    --loader-threads 1
check "one seed, the same weights" cmp -s "$WORK/cca/model.safetensors" \
    "$WORK/again/model.safetensors"
ok "evaluate cca" $E --model "$WORK/cca"
r5=$(recall text_to_image r5)
check "it ranks drawn shapes (R@5 $r5)" number "$r5 >= 0.9"
ok "encode" "$FB" encode --model "$WORK/cca" --catalog "$C" --split test --out "$WORK/vectors" --quiet
ok "index" "$FB" index --model "$WORK/cca" --catalog "$C" --out "$WORK/index" --quiet
ok "search" "$FB" search --model "$WORK/cca" --index "$WORK/index" --text "red circle on blue" --k 5
check "and find it" grep -q "red circle on blue" "$WORK/stdout"
ok "match" "$FB" match --model "$WORK/cca" --text "red circle on blue" --image "$C"/images/*1.png
fails 1 "tia" "$FB" evaluate --model "$WORK/cca" --catalog "$C" --score tia --quiet

cat >"$WORK/linear.json" <<'END'
{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
 "fashionbert": {"image_size": 16, "grid": 8, "system": "cca", "cca_image_kernel": 0,
                 "cca_text_kernel": 64, "cca_image_cells": 4, "cca_power": 2,
                 "cca_image_ridge": 0.01, "cca_text_ridge": 0.02}}
END
ok "its own keys" "$FB" train --system cca $COMMON --epochs 1 --config "$WORK/linear.json" \
    --out "$WORK/linear" --vector-size 20
check "are the model's" grep -q '"cca_image_cells": *4' "$WORK/linear/config.json"
ok "evaluate it" $E --model "$WORK/linear"
fails 2 "cca does not train the image network" "$FB" train --system cca $COMMON \
    --encoder thin --out "$WORK/x"
"$MAKE" "$C.small" 30 >/dev/null
fails 2 "products of split train" "$FB" train --system cca $COMMON --config "$WORK/linear.json" \
    --vector-size 64 --out "$WORK/x" --catalog "$C.small"
fails 2 "coordinates at most" "$FB" train --system cca $COMMON --vector-size 4000 --out "$WORK/x"

# ---- dcca

SMALL="$COMMON --encoder pixels --image-size 16 --batch 64 --vector-size 12 --lr 3e-3 --flip 0"
ok "dcca" "$FB" train --system dcca $SMALL --epochs 30 --out "$WORK/dcca"
# A mean over patches does not know shapes, which are the categories: colours alone.
ok "evaluate dcca" $E --model "$WORK/dcca" --negatives category
r5=$(recall text_to_image r5)
check "it ranks drawn colours (R@5 $r5)" number "$r5 >= 0.9"
check "a line a step has the loss" test "$(grep -c '"trace_norm": *-' "$WORK/dcca/log.jsonl")" -ge 60
ok "index it" "$FB" index --model "$WORK/dcca" --catalog "$C" --out "$WORK/index2" --quiet
fails 2 "--batch 64 is too small for dcca's --vector-size 64, its batches need at least 65" \
    "$FB" train --system dcca $SMALL --vector-size 64 --out "$WORK/x"

RUN="$FB train --system dcca $SMALL --epochs 6 --checkpoint-every 2"
ok "an uninterrupted run" $RUN --out "$WORK/whole"
kills=0
for _ in 1 2 3 4; do
    $RUN --out "$WORK/killed" --resume >/dev/null 2>"$WORK/stderr" &
    pid=$!
    sleep 0.4
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
ok "the last start" $RUN --out "$WORK/killed" --resume
check "killed ($kills times), it ends where it would have" cmp -s "$WORK/whole/model.safetensors" \
    "$WORK/killed/model.safetensors"

# ---- over one frozen network's features

ok "a network" "$FB" train --objective itc $COMMON --batch 32 --steps 2 --encoder thin --out "$WORK/net"
FROZEN="--encoder thin --encoder-weights $WORK/net --freeze-encoder --feature-cache $WORK/features"
ok "cca over its features" "$FB" train --system cca $COMMON --epochs 1 $FROZEN --out "$WORK/f1"
ok "dcca over the same" "$FB" train --system dcca $COMMON --epochs 1 --batch 64 $FROZEN --out "$WORK/f2"
ok "evaluate the one" $E --model "$WORK/f1"
ok "and the other" $E --model "$WORK/f2"
finish
