#!/bin/bash
# cli_init.sh BUILD - `train --init` from a BERT as Hugging Face lays it out and from a model
# folder: what starts, what it takes over, and that every misfit is one clear line.
. "$(dirname "$0")/cli_lib.sh"
GOLDEN=$(cd "$(dirname "$0")/.." && pwd)/golden/pretrained
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 60
T="$FB train --catalog $C --objective match --encoder pixels --image-size 64 --max-text 12 \
    --batch 8 --steps 2 --threads 2 --quiet"

# changed NAME: a copy of the golden BERT to spoil.
changed() {
    cp -r "$GOLDEN/pretraining" "$WORK/$1"
    echo "$WORK/$1"
}
has() { grep -q "\"$2\": $3," "$WORK/$1/config.json"; }

ok "start from a BERT" $T --init "$GOLDEN/pretraining" --out "$WORK/a"
check "its width is taken" has a hidden_size 16
check "and its depth" has a num_hidden_layers 2
check "and its vocabulary" cmp -s "$WORK/a/vocab.txt" "$GOLDEN/pretraining/vocab.txt"
cp -r "$GOLDEN/sharded" "$WORK/shards"
cp "$GOLDEN/pretraining/config.json" "$GOLDEN/pretraining/vocab.txt" "$WORK/shards"
ok "start from shards" $T --init "$WORK/shards" --out "$WORK/b"
check "the same numbers, the same run" cmp -s "$WORK/a/model.safetensors" "$WORK/b/model.safetensors"
folder=$(changed json)
rm "$folder/vocab.txt"
ok "start with a tokenizer.json" $T --init "$folder" --out "$WORK/c"
check "the same vocabulary, the same run" cmp -s "$WORK/a/model.safetensors" "$WORK/c/model.safetensors"
ok "start with the old names and no heads" $T --init "$GOLDEN/bare" --out "$WORK/d"
ok "start from its first layer" $T --init "$GOLDEN/pretraining" --layers 1 --out "$WORK/e"
check "which is all there is" has e num_hidden_layers 1

# At a rate of 0 nothing is learnt: what comes out is what went in.
ok "start and stand still" $T --init "$GOLDEN/pretraining" --lr 0 --out "$WORK/still"
ok "start from that model folder" $T --init "$WORK/still" --lr 0 --seed 9 --out "$WORK/again"
check "every number is taken over" cmp -s "$WORK/still/model.safetensors" "$WORK/again/model.safetensors"
V="$FB train --catalog $C --objective itc --batch 8 --steps 2 --threads 2 --quiet --max-text 12"
ok "a model with vectors of two layers" $V --init "$GOLDEN/pretraining" --encoder pixels \
    --image-size 64 --vector-size 8 --out "$WORK/v"
ok "its first layer" $V --init "$WORK/v" --layers 1 --out "$WORK/w"
check "vectors keep their width" has w vector_size 8
check "and pass no layer that is not there" has w vector_text_layers 1

# Patches merged in front of the stream: 16 of 64, as --init has them unless told.
ok "merge patches" $T --init "$WORK/still" --losses mlm,tia --lr 0 --pool-patches 16 \
    --out "$WORK/p"
check "it is kept" grep -q "\"pooled_patches\": 16$" "$WORK/p/config.json"
ok "go on with it" $T --init "$WORK/p" --losses tia --lr 0 --seed 9 --out "$WORK/q"
check "as merged, every number taken over" cmp -s "$WORK/p/model.safetensors" \
    "$WORK/q/model.safetensors"
ok "score with it" "$FB" match --model "$WORK/p" --threads 2 --text red \
    --image "$C/images/3.png" --json
ok "explain with it" "$FB" explain --model "$WORK/p" --threads 2 --text red \
    --image "$C/images/3.png" --json
ok "go on without it" $T --init "$WORK/p" --losses mlm,tia --pool-patches 0 --out "$WORK/r"
check "which is kept too" grep -q "\"pooled_patches\": 0$" "$WORK/r/config.json"

X="--out $WORK/x"
fails 2 "none can be predicted" $T $X --init "$WORK/p"
fails 2 "vectors alone have none" $V $X --init "$WORK/v" --pool-patches 16
fails 2 "vilbert has none to merge" "$FB" train --catalog "$C" --system vilbert $X \
    --pool-patches 16
fails 1 "pooled_patches 15 are not squares" $T $X --losses tia --pool-patches 15
fails 2 "--layers 3: $GOLDEN/pretraining has 2" $T $X --init "$GOLDEN/pretraining" --layers 3
fails 2 "--max-text takes 3 to 12" $T --max-text 64 $X --init "$GOLDEN/pretraining"
fails 2 "--config and --init" $T $X --init "$GOLDEN/pretraining" --config "$WORK/tiny.json"
fails 2 "--encoder pixels has no weights" $T $X --init "$GOLDEN/pretraining" \
    --encoder-weights "$GOLDEN/resnet"
fails 1 "no such folder" $T $X --init "$GOLDEN/pretraining/model.safetensors"
fails 1 "config.json" $T $X --init "$GOLDEN/resnet"
folder=$(changed words)
rm "$folder/vocab.txt" "$folder/tokenizer.json"
fails 1 "neither vocab.txt nor tokenizer.json" $T $X --init "$folder"
folder=$(changed vocabulary)
head -n 40 "$GOLDEN/pretraining/vocab.txt" >"$folder/vocab.txt"
fails 1 "its vocabulary has 64 tokens, the model's 40" $T $X --init "$folder"
folder=$(changed cased)
echo '{"do_lower_case": false}' >"$folder/tokenizer_config.json"
fails 1 "text is cased" $T $X --init "$folder"
folder=$(changed roberta)
sed -i 's/"model_type": "bert"/"model_type": "roberta"/' "$folder/config.json"
fails 1 "model_type roberta is not known; use bert" $T $X --init "$folder"
folder=$(changed wide)
sed -i 's/"hidden_size": 16/"hidden_size": 32/' "$folder/config.json"
fails 1 "has shape [64,16], the model [64,32]" $T $X --init "$folder"
folder=$(changed short)
truncate -s 5000 "$folder/model.safetensors"
fails 1 "cut short or damaged" $T $X --init "$folder"
folder=$(changed pickle)
mv "$folder/model.safetensors" "$folder/pytorch_model.bin"
fails 1 "tools/convert_weights.py" $T $X --init "$folder"
folder=$(changed network)
cp "$GOLDEN/resnet/model.safetensors" "$folder"
fails 1 "no tensor of a BERT" $T $X --init "$folder"
rm "$WORK"/shards/model-00002*
fails 1 "model-00002-of-00002.safetensors" $T $X --init "$WORK/shards"
check "no misfit made a model" test ! -e "$WORK/x/model.safetensors"
finish
