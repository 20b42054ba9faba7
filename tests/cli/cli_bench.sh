#!/bin/bash
# cli_bench.sh BUILD - the runs that `bench` makes and the keys of its JSON, at sizes that
# take a second; no clock is judged.
. "$(dirname "$0")/cli_lib.sh"
SMALL="--quiet --threads 2 --batch 2 --encoder-batch 2 --text-tokens 3 --repeats 1"

# value KEY: its values, one a line, of the JSON in $WORK/stdout, where every key has a line.
value() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "$WORK/stdout"; }
# are KEY VALUES...: the key's values in all runs, in order.
are() {
    local key=$1
    shift
    check "$key: $(value "$key" | tr '\n' ' ')" test "$(value "$key" | tr '\n' ' ')" = "$* "
}
# positive COUNT KEY: so many of its values are numbers above zero, the others null.
positive() {
    check "$1 of $2 are positive" test \
        "$(value "$2" | grep -v null | awk '$1 > 0' | wc -l)" -eq "$1"
    check "no other $2" test "$(value "$2" | grep -vc null)" -eq "$1"
}

ok "bench" "$FB" bench $SMALL --presets mini --encoders pixels,thin --json \
    --image-folder "$WORK/jpegs"
are encoder null null null '"thin"' '"thin"' '"thin"'
are preset '"mini"' '"mini"' '"mini"' null null '"mini"'
are mode '"score"' '"score"' '"train"' '"features"' '"features"' '"train"'
check "the second of score and of features is of int8 products" test \
    "$(value dtype | grep -n int8 | tr '\n' ' ')" = '2:"int8" 5:"int8" '
are image_size 256 256 256 96 96 96
are threads 2
positive 4 pairs_per_s
positive 4 images_per_s # of the features twice, and of two JPEGs
positive 6 tflops
positive 6 fraction
positive 6 peak_memory_bytes
check "a fraction is TFLOP/s over the machine's" awk -v gemm="$(value gemm_tflops)" \
    -v int8="$(value gemm_tops)" '
    { error = $1 / (NR == 2 || NR == 5 ? int8 : gemm) - $2; bad += !(error < 1e-9 && error > -1e-9) }
    END { exit !(NR == 6 && !bad) }' <(paste <(value tflops) <(value fraction))
are width 60 1600
are height 80 1600
are size 256 256
check "the JPEGs are as long as they are said to be" test \
    "$(value jpeg_bytes | tr '\n' ' ')" = \
    "$(cat "$WORK/jpegs/60x80.jpg" | wc -c) $(cat "$WORK/jpegs/1600x1600.jpg" | wc -c) "
check "they are JPEGs" test "$(head -c 3 "$WORK/jpegs/60x80.jpg" | od -An -tx1)" = " ff d8 ff"

ok "int8 alone" "$FB" bench $SMALL --presets mini --encoders pixels,thin --dtype int8 \
    --modes score,train,features --json
are mode '"score"' '"features"'
are dtype '"int8"' '"int8"'
positive 1 gemm_tops
fails 2 "--dtype int8 is of scoring and features, which --modes train,images lacks" "$FB" \
    bench $SMALL --dtype int8 --modes train,images

ok "networks alone" "$FB" bench $SMALL --modes features --encoders resnet18,resnet50 --json
are encoder '"resnet18"' '"resnet18"' '"resnet50"' '"resnet50"'
are mode '"features"' '"features"' '"features"' '"features"'
check "each is run by int8 products too" test \
    "$(value dtype | grep -n int8 | tr '\n' ' ')" = '2:"int8" 4:"int8" '
are image_size 256 256 256 256
positive 4 images_per_s
check "no images are read" grep -q '"images": \[\]' "$WORK/stdout"

SYSTEMS="dcca vlbert vse vse++ vilbert scan pfan"
ok "systems" "$FB" bench $SMALL --modes score,train --presets mini --json \
    --systems "cca,$(echo $SYSTEMS | tr ' ' ,)"
are system '"cca"' $(for s in $SYSTEMS; do echo "\"$s\" \"$s\""; done)
are mode '"score"' $(for s in $SYSTEMS; do echo '"score" "train"'; done)
positive 15 pairs_per_s
positive 15 fraction
fails 2 "it does not match titles with images" "$FB" bench $SMALL --modes score \
    --systems selfie

ok "operations of a network" "$FB" bench $SMALL --modes train --encoders thin --profile --json \
    --encoder-preset mini --dtype f32
are encoder '"thin"'
are dtype '"f32"'
for operation in conv "batch norm" linear adamw; do positive 1 "$operation"; done

ok "as tables" "$FB" bench $SMALL --modes features,images --encoders thin
check "a row of the network" grep -qE '^thin +- +features ' "$WORK/stdout"
check "a row of an image" grep -qE '^ *1600 +1600 ' "$WORK/stdout"
fails 2 '--encoders: "pixels,huge"' "$FB" bench --encoders pixels,huge
fails 1 "$WORK/jpegs/60x80.jpg" "$FB" bench $SMALL --modes images \
    --image-folder "$WORK/jpegs/60x80.jpg"
finish
