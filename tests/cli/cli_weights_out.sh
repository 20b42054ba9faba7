#!/bin/bash
# cli_weights_out.sh BUILD - a model folder opens in transformers and torchvision and computes
# there what it computes here; what transformers saves of it starts a training again.
# Skipped (77) where the Python (FASHIONBERT_PYTHON, else build/venv's, which
# tests/setup_python.sh makes) has not both.
PYTHON=${FASHIONBERT_PYTHON:-$(cd "$(dirname "$0")/../.." && pwd)/build/venv/bin/python}
if ! "$PYTHON" -c 'import PIL, torchvision, transformers' 2>/dev/null; then
    echo "cli_weights_out: skipped, $PYTHON has no torchvision and transformers"
    exit 77
fi
. "$(dirname "$0")/cli_lib.sh"
export HF_HUB_OFFLINE=1
REFERENCE=$(dirname "$0")/weights_out_reference.py
C=$WORK/catalogue
TEXT="Red circle on BLUE, model 17"
ok "make a catalogue" "$MAKE" "$C" 60
sed 's/"grid": 8/"grid": 2/' "$WORK/tiny.json" >"$WORK/grid.json"

ok "train all parts" "$FB" train --catalog "$C" --out "$WORK/m" --config "$WORK/grid.json" \
    --encoder resnet18 --objective match --negatives hard --itc 1 --vocab-size 120 --max-text 16 \
    --batch 8 --steps 4 --lr 2e-3 --threads 2 --quiet
for backend in ref cpu; do
    ok "outputs by $backend" "$BUILD/tests/model_outputs" "$WORK/m" $backend "$TEXT" \
        "$C/images/3.png" "$WORK/outputs.safetensors"
    ok "transformers and torchvision compute what $backend does" "$PYTHON" "$REFERENCE" \
        "$WORK/m" "$TEXT" "$C/images/3.png" "$WORK/outputs.safetensors" "$WORK/back"
    cat "$WORK/stdout"
done
ok "training starts from what transformers saved" "$FB" train --catalog "$C" --init "$WORK/back" \
    --out "$WORK/again" --objective match --encoder pixels --image-size 64 --max-text 16 \
    --batch 8 --steps 2 --threads 2 --quiet
check "with the same vocabulary" cmp -s "$WORK/m/vocab.txt" "$WORK/again/vocab.txt"
finish
