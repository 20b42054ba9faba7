#!/bin/bash
# cli_regions.sh BUILD - training, evaluation and use on features of regions in place of
# photos: a toy is learnt, killed and resumed to the bit; what does not fit is refused.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 400
R=$WORK/toy.features
"$BUILD/tests/make_regions" toy "$C" "$WORK/toy.tsv" || exit 1
ok "import its regions" "$FB" import --from regions --quiet "$WORK/toy.tsv" --catalog "$C" --out "$R"
cat >"$WORK/regions.json" <<'EOC'
{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
 "intermediate_size": 128}
EOC
SIZE="--config $WORK/regions.json --vocab-size 120 --max-text 16 --threads 2 --quiet"
T="$FB train --catalog $C --seed 7 $SIZE --batch 32 --lr 4e-3 --epochs 60 --dropout 0"
BARE=${T/--config $WORK\/regions.json/}
number() { sed -n "s/.*\"$1\": \([-0-9.e]*\),\?$/\1/p" "$WORK/stdout" | head -1; }
least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

head -n 390 "$WORK/toy.tsv" >"$WORK/fewer.tsv"
ok "regions of fewer images" "$FB" import --from regions --quiet "$WORK/fewer.tsv" \
    --catalog "$C" --skip-bad --out "$WORK/fewer.features"
ok "a model of photos" "$FB" train --catalog "$C" $TINY --steps 2 --out "$WORK/photos"

# ---- learnt ------------------------------------------------------------------------------
ok "train on regions" $T --regions "$R" --out "$WORK/m" --json
best=$(number best_val_accuracy)
check "the toy is learnt: $best" least "$best" 0.9
check "no image network" sh -c "! grep -q image.encoder '$WORK/m/model.safetensors'"
check "config.json says regions" grep -q '"regions": "yes"' "$WORK/m/config.json"
check "and their width" grep -q '"region_width": 8' "$WORK/m/config.json"
check "and the most of an image" grep -q '"region_most": 5' "$WORK/m/config.json"
E="$FB evaluate --model $WORK/m --catalog $C --seed 1 --threads 2 --quiet --json"
ok "evaluate on regions" $E --regions "$R" --min-candidates 3
check "accuracy of the test split: $(number accuracy)" least "$(number accuracy)" 0.9
ok "ranked in full" $E --regions "$R" --protocol full --split val
ok "the first three regions alone" $T --regions "$R" --regions-most 3 --out "$WORK/m3" \
    --epochs 1
check "config.json says three" grep -q '"region_most": 3' "$WORK/m3/config.json"
ok "an image's regions are cut to three" "$FB" evaluate --model "$WORK/m3" --catalog "$C" \
    --regions "$R" --min-candidates 3 --quiet --threads 2

# ---- resumed -----------------------------------------------------------------------------
K="$T --regions $R --epochs 12 --checkpoint-every 5 --validate-pairs 8"
ok "the run that nobody touches" $K --out "$WORK/whole"
kills=0
for try in $(seq 1 40); do
    $K --out "$WORK/killed" --resume >/dev/null 2>"$WORK/stderr" &
    pid=$!
    sleep "$(printf '0.%03d' $((60 + (try * 137) % 200 + try * 15)))"
    if kill -9 $pid 2>/dev/null; then
        kills=$((kills + 1))
        wait $pid 2>/dev/null
    else
        wait $pid
        break
    fi
done
check "it was killed at least once ($kills times)" test $kills -ge 1
mv "$R" "$WORK/moved.features"
if [ -e "$WORK/killed/last/training_state.json" ]; then
    ok "the file may move" "$FB" train --out "$WORK/killed" --resume --threads 2 --quiet \
        --regions "$WORK/moved.features"
fi
mv "$WORK/moved.features" "$R"
ok "the last start" $K --out "$WORK/killed" --resume
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done
"$BUILD/tests/make_regions" butd "$C" "$WORK/butd.tsv" || exit 1
ok "import others" "$FB" import --from regions --quiet "$WORK/butd.tsv" --catalog "$C" \
    --out "$WORK/butd.features"
fails 1 "or its regions are not what" "$FB" train --out "$WORK/killed" --resume --quiet \
    --regions "$WORK/butd.features" --threads 2
ok "start from a model of regions" $BARE --regions "$R" --init "$WORK/m" \
    --epochs 1 --out "$WORK/m2"

# ---- vectors -----------------------------------------------------------------------------
ok "vectors of regions" $T --regions "$R" --objective itc --vector-size 16 --epochs 40 \
    --out "$WORK/v"
X="--model $WORK/v --threads 2"
ok "evaluate them" "$FB" evaluate $X --catalog "$C" --regions "$R" --min-candidates 3 \
    --quiet --json
check "they know the toy: $(number accuracy)" least "$(number accuracy)" 0.85
ok "encode" "$FB" encode $X --catalog "$C" --regions "$R" --out "$WORK/vectors" --quiet
ok "index" "$FB" index $X --catalog "$C" --regions "$R" --out "$WORK/i" --quiet
ok "search by words" "$FB" search $X --index "$WORK/i" --text "red circle on blue" --json
check "finds red circles on blue" grep -q '"title": "red circle on blue' "$WORK/stdout"
image=$(ls "$C"/images/*.png | head -1)
ok "search by an image with regions" "$FB" search $X --index "$WORK/i" --image "$image" \
    --regions "$R" --rerank 5
ok "match" "$FB" match --model "$WORK/m" --regions "$R" --text "red circle" --image "$image"
ok "text vectors need no regions" "$FB" encode $X --catalog "$C" --what text \
    --out "$WORK/texts" --quiet

# ---- SCAN's files: no photos at all ---------------------------------------------------------
mkdir "$WORK/pairs"
"$BUILD/tests/make_regions" scan "$C" "$WORK/pairs" || exit 1
ok "import SCAN's pairs" "$FB" import "$WORK/pairs" --from scan --quiet --out "$WORK/scan"
ok "train without a photo" "$FB" train --catalog "$WORK/scan" $SIZE --epochs 1 --batch 32 \
    --regions "$WORK/scan/regions.features" --out "$WORK/s"
ok "evaluate without a photo" "$FB" evaluate --model "$WORK/s" --catalog "$WORK/scan" --quiet \
    --regions "$WORK/scan/regions.features" --negatives any --threads 2

# ---- systems that read boxes, and classes where there are some ------------------------------
"$BUILD/tests/make_regions" objects "$C" "$WORK/objects.tsv" || exit 1
ok "import classes of objects" "$FB" import --from regions --quiet "$WORK/objects.tsv" \
    --catalog "$C" --out "$WORK/objects.features"
"$BUILD/tests/make_regions" npy "$C" "$WORK/bare.npy" || exit 1
ok "import without boxes" "$FB" import --from regions --quiet "$WORK/bare.npy" \
    --catalog "$C" --out "$WORK/bare.features"
for system in vilbert vlbert; do
    S="$FB train --system $system --catalog $C $SIZE --batch 16 --steps 3"
    ok "$system on regions" $S --regions "$WORK/objects.features" --out "$WORK/$system"
    check "$system: config.json says 31 classes" grep -q '"region_classes": 31' \
        "$WORK/$system/config.json"
    ok "$system is evaluated" "$FB" evaluate --model "$WORK/$system" --catalog "$C" --quiet \
        --regions "$R" --queries 10 --min-candidates 3 --threads 2
    fails 2 "bare.features has no boxes, which $system needs" $S \
        --regions "$WORK/bare.features" --out "$WORK/none"
    fails 2 "bare.features has no boxes, which $system needs" "$FB" evaluate --quiet \
        --model "$WORK/$system" --catalog "$C" --regions "$WORK/bare.features"
done
check "vlbert guesses classes" grep -q '"mvrc_target": "classes"' "$WORK/vlbert/config.json"
check "vilbert guesses classes" grep -q '"visual_target": "classes"' "$WORK/vilbert/config.json"

# ---- compared ----------------------------------------------------------------------------
V="$FB compare --catalog $C --products 200 --budget 0 --seeds 1 --min-candidates 3 --quiet"
V="$V --threads 2 --out $WORK/compared"
ok "compare on regions" $V --systems vse,cca,"$WORK/photos","$WORK/m" --regions "$R" --json
check "none failed" grep -q '"failed": 0' "$WORK/stdout"
check "no image network was trained" test ! -e "$WORK/compared/features"
check "the report says so" grep -q "Features of regions of" "$WORK/compared/report.html"
fails 1 "was begun with --regions" $V --systems vse
fails 2 "systems learn from one of the two" $V --features "$WORK/photos" --regions "$R"
fails 1 "has no regions of images/390.png" $V --systems vse \
    --regions "$WORK/fewer.features" --out "$WORK/none"

# ---- refused -----------------------------------------------------------------------------
N="--out $WORK/none"
fails 1 "has no regions of images/390.png" $T --regions "$WORK/fewer.features" $N
fails 1 "has no regions of images" "$FB" evaluate --model "$WORK/m" --catalog "$C" \
    --regions "$WORK/fewer.features" --quiet
fails 1 "none.features" $T --regions "$WORK/none.features" $N
fails 1 "not a region file of this program" $T --regions "$WORK/toy.tsv" $N
fails 2 "selfie reads no regions" $BARE --regions "$R" --objective selfie $N
fails 2 "--flip is about photos" $T --regions "$R" --flip 0.5 $N
fails 2 "--encoder is about photos" $T --regions "$R" --encoder thin $N
fails 2 "--regions-most 3 is of --regions FILE" $T --regions-most 3 $N
fails 2 "a model of regions; give their features" $BARE --init "$WORK/m" $N
fails 2 "a model of photos, from which there is no going on" $BARE \
    --regions "$R" --init "$WORK/photos" $N
fails 2 "it was trained without --regions" "$FB" evaluate --model "$WORK/photos" \
    --catalog "$C" --regions "$R" --quiet
fails 2 "was trained with --regions: it needs those" $E
fails 2 "was trained with --regions: it needs those" "$FB" match --model "$WORK/m" \
    --text "red circle" --image "$image"
fails 2 "was trained with --regions: it needs those" "$FB" encode $X --catalog "$C" \
    --out "$WORK/n" --quiet
fails 1 "has no regions of $MAKE" "$FB" match --model "$WORK/m" --regions "$R" \
    --text "red circle" --image "$MAKE"
fails 1 "was trained with --regions and reads no photos" "$FB" explain --model "$WORK/m" \
    --text "red circle" --image "$image"
fails 1 "was trained with --regions and reads no photos" "$FB" serve --model "$WORK/m"
fails 1 "was trained with --regions and reads no photos" "$FB" search $X --index "$WORK/i" \
    --image "$image"
"$BUILD/tests/make_regions" wide "$C" "$WORK/wide.tsv" || exit 1
ok "regions of another width" "$FB" import --from regions --quiet "$WORK/wide.tsv" \
    --catalog "$C" --out "$WORK/wide.features"
fails 2 "has features of 16 numbers a region; $WORK/m reads 8" "$FB" evaluate --quiet \
    --model "$WORK/m" --catalog "$C" --regions "$WORK/wide.features"
fails 2 "has features of 16 numbers a region; $WORK/m reads 8" $BARE \
    --regions "$WORK/wide.features" --init "$WORK/m" $N
check "nothing is left behind" test ! -e "$WORK/none"
finish
