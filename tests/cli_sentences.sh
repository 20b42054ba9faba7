#!/bin/bash
# cli_sentences.sh BUILD - sentence vectors of a pre-trained BERT equal those of
# transformers, on both backends. Skipped (77) where the Python has no transformers.
#
#   FASHIONBERT_PYTHON           Python with torch and transformers (else build/venv's)
#   FASHIONBERT_SENTENCE_MODEL   a folder with an uncased BERT: config.json, vocab.txt,
#                                model.safetensors (else a tiny one of the tests)
#   FASHIONBERT_SENTENCES        one text a line (else a few here)
set -u
BUILD=$1
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${FASHIONBERT_PYTHON:-$HERE/../build/venv/bin/python}
MODEL=${FASHIONBERT_SENTENCE_MODEL:-$HERE/golden/pretrained/pretraining}
MOST=12
[ -n "${FASHIONBERT_SENTENCE_MODEL:-}" ] && MOST=128

if ! "$PYTHON" -c 'import torch, tokenizers, transformers' 2>/dev/null; then
    echo "cli_sentences: skipped, $PYTHON has no torch and transformers"
    exit 77
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
if [ -n "${FASHIONBERT_SENTENCES:-}" ]; then
    cp "$FASHIONBERT_SENTENCES" "$WORK/texts"
else
    printf '%s\n' "Blue shirt" "red linen dresses, 42" "a SHIRT in blue and red" \
        "unheard-of 4 2" "" "red red red red red red red red red red red red red red" \
        >"$WORK/texts"
fi
for backend in ref cpu; do
    "$BUILD/tests/sentence_vectors" "$MODEL" $backend $MOST <"$WORK/texts" \
        >"$WORK/vectors" || exit 1
    echo "cli_sentences: $backend"
    HF_HUB_OFFLINE=1 "$PYTHON" "$HERE/sentence_reference.py" "$MODEL" $MOST \
        "$WORK/texts" "$WORK/vectors" || exit 1
done
