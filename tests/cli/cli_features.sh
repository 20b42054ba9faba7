#!/bin/bash
# cli_features.sh BUILD - a frozen image network's features: computed once, found again,
# refused for another run, taken up again after a SIGKILL; and training on them is
# training on pixels.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 720
cat >"$WORK/small.json" <<'EOF'
{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 64, "fashionbert": {"image_size": 96, "grid": 8}}
EOF
SMALL="--config $WORK/small.json --vocab-size 120 --max-text 16 --batch 8 --threads 2"
T="$FB train --encoder thin --freeze-encoder $SMALL --steps 20 --seed 3 --lr 2e-3"
T="$T --checkpoint-every 7 --validate-pairs 8"
ROWS=635 # of 720 products, those of train and val

ok "a run that computes features" $T --catalog "$C" --out "$WORK/a"
check "all of train and val" grep -q "features: $ROWS images computed, 0 were there" \
    "$WORK/stderr"
check "the cache is whole" test -s "$WORK/a/features.cache" -a ! -e "$WORK/a/features.cache.part"
check "no moments of the network" sh -c "! grep -q image.encoder '$WORK/a/last/optimizer.safetensors'"
check "but its weights" grep -q image.encoder.conv1.weight "$WORK/a/last/model.safetensors"

# The same losses as with pixels, to the rounding of bf16.
losses() { sed 's/.*"loss": *\([0-9.e-]*\).*"mlm": *\([0-9.e-]*\).*"tia": *\([0-9.e-]*\).*"mpm": *\([0-9.e-]*\).*/\1 \2 \3 \4/' "$1"; }
same_losses() {
    paste -d' ' <(losses "$1") <(losses "$2") | awk '
        NF != 8 { bad = 1 }
        { for (i = 1; i <= 4; i++) { d = $i - $(i + 4); if (d < 0) d = -d
              if (!(d <= 0.01 * $i)) bad = 1 } }
        END { exit bad || NR != 20 }'
}
for dtype in auto f32; do
    ok "the network in every step, $dtype" $T --catalog "$C" --out "$WORK/pixels.$dtype" \
        --feature-cache none --dtype $dtype
    check "keeps no cache" test ! -e "$WORK/pixels.$dtype/features.cache"
    ok "features once, $dtype" $T --catalog "$C" --out "$WORK/once.$dtype" --dtype $dtype
    check "the same losses, $dtype" same_losses "$WORK/pixels.$dtype/log.jsonl" \
        "$WORK/once.$dtype/log.jsonl"
done
ok "another seed" $T --catalog "$C" --out "$WORK/other" --seed 4
if same_losses "$WORK/other/log.jsonl" "$WORK/a/log.jsonl"; then
    fail "losses of another seed passed as the same"
else pass; fi

# Found again.
ok "a named cache is used again" $T --catalog "$C" --out "$WORK/b" \
    --feature-cache "$WORK/a/features.cache"
check "without computing" grep -q "features: $ROWS images from $WORK/a/features.cache" "$WORK/stderr"
check "no second file" test ! -e "$WORK/b/features.cache"
check "the same model" cmp -s "$WORK/a/model.safetensors" "$WORK/b/model.safetensors"

# Killed while features are computed, then started again.
killed=0
for try in 1 2 3 4 5; do
    rm -rf "$WORK/k"
    $T --catalog "$C" --out "$WORK/k" --threads 1 --loader-threads 1 >/dev/null 2>&1 &
    pid=$!
    part=$WORK/k/features.cache.part
    for wait in $(seq 1 2000); do # until the first block's checksum is there
        if [ -n "$(od -An -tx8 -j4096 -N8 "$part" 2>/dev/null | tr -d ' 0\n')" ]; then break; fi
        sleep 0.01
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ -e "$part" ]; then killed=1 && break; fi
done
check "killed in the middle" test $killed -eq 1
check "nothing that looks whole" test ! -e "$WORK/k/features.cache"
ok "the same command again" $T --catalog "$C" --out "$WORK/k"
there=$(sed -n 's/^features: .* computed, \([0-9]*\) were there.*/\1/p' "$WORK/stderr")
check "goes on behind the blocks that were there ($there)" test "${there:-0}" -ge 64
check "the same features" cmp -s "$WORK/a/features.cache" "$WORK/k/features.cache"
check "the same model" cmp -s "$WORK/a/model.safetensors" "$WORK/k/model.safetensors"

# Killed while it trains on them, then resumed on the cache that it was started with.
$T --catalog "$C" --out "$WORK/r" --steps 400 --feature-cache "$WORK/a/features.cache" \
    >/dev/null 2>&1 &
pid=$!
for wait in $(seq 1 2000); do
    if [ -s "$WORK/r/log.jsonl" ] && [ "$(wc -l <"$WORK/r/log.jsonl")" -ge 17 ]; then break; fi
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "it was not done" test "$(wc -l <"$WORK/r/log.jsonl")" -lt 400
ok "resumed" "$FB" train --out "$WORK/r" --resume --threads 2
check "on the cache it was started with" grep -q "images from $WORK/a/features.cache" "$WORK/stderr"
ok "never touched" $T --catalog "$C" --out "$WORK/whole" --steps 400
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "resumed, $f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/r/$f"
done
check "and the log" cmp -s <(steady_log "$WORK/whole/log.jsonl") <(steady_log "$WORK/r/log.jsonl")

# Refused: a named cache of something else, and nothing is left behind.
Q="$T --quiet --catalog $C --out $WORK/x --feature-cache"
N=$WORK/a/features.cache
fails 1 "other weights of thin" $Q "$N" --seed 4
fails 1 "fit pad, not squash" $Q "$N" --fit squash
ok "make another catalogue" "$MAKE" "$WORK/other_catalogue" 60
fails 1 "another catalogue" $T --quiet --catalog "$WORK/other_catalogue" --out "$WORK/x" \
    --vocab "$WORK/a/vocab.txt" --feature-cache "$N"
head -c 100000 "$N" >"$WORK/short.cache"
fails 1 "100000 bytes, its header says" $Q "$WORK/short.cache"
(printf 'FBFEAT01' && head -c 5000 /dev/zero) >"$WORK/bad.cache"
fails 1 "its header is damaged" $Q "$WORK/bad.cache"
fails 1 "not a feature cache" $Q "$WORK/small.json"
fails 1 "cannot open" $Q "$WORK/none/features.cache"
fails 2 "--flip, --shift and --zoom" $T --quiet --catalog "$C" --out "$WORK/x" --flip 0.5
fails 2 "it needs --freeze-encoder" "$FB" train --quiet --catalog "$C" --out "$WORK/x" --steps 1 \
    --encoder thin --feature-cache "$WORK/y"
fails 2 "it needs --freeze-encoder" "$FB" train --quiet --catalog "$C" --out "$WORK/x" --steps 1 \
    --encoder pixels --freeze-encoder --feature-cache "$WORK/y"
check "refusals leave no folder" test ! -e "$WORK/x"
ok "flipped without a cache" $T --quiet --catalog "$C" --out "$WORK/z" --flip 0.5 --shift 0.1 \
    --feature-cache none
# The image network of a model folder alone: its kind and size, its weights, its features.
F="--vocab-size 120 --max-text 16 --batch 8 --threads 2 --steps 3 --seed 9 --freeze-encoder"
ok "the network of a folder" "$FB" train --objective itc --catalog "$C" --out "$WORK/n" $F \
    --preset mini --encoder-weights "$WORK/a" --feature-cache "$N"
check "its features are the folder's" grep -q "$ROWS images from $N" "$WORK/stderr"
fails 1 "other weights of thin" "$FB" train --quiet --objective itc --catalog "$C" --out "$WORK/x" \
    $F --preset mini --encoder thin --feature-cache "$N"
fails 2 "an image network of another kind, thin" "$FB" train --quiet --catalog "$C" \
    --out "$WORK/x" $F --encoder resnet18 --encoder-weights "$WORK/a"
ok "a model of pixels" "$FB" train --quiet --encoder pixels $SMALL --steps 1 --catalog "$C" \
    --out "$WORK/p"
fails 2 "which has no weights" "$FB" train --quiet --catalog "$C" --out "$WORK/x" $F \
    --encoder-weights "$WORK/p"
fails 2 "is of --system selfie, not of fashionbert" "$FB" train --quiet --catalog "$C" \
    --out "$WORK/x" --system fashionbert --objective selfie
fails 2 "fashionbert, selfie" "$FB" train --quiet --catalog "$C" --out "$WORK/x" --system bert
ok "a system by its name" "$FB" train --quiet --catalog "$C" --out "$WORK/sys" --system selfie \
    --steps 1 --batch 4 --threads 2
check "is that system" grep -q '"objective": "selfie"' "$WORK/sys/last/training_state.json"
# The model folder's own cache is made anew instead.
mkdir "$WORK/own"
cp "$N" "$WORK/own/features.cache"
ok "an own cache of something else" $T --catalog "$C" --out "$WORK/own" --seed 4
check "is computed again" grep -q "features: $ROWS images computed, 0 were there" "$WORK/stderr"
check "as it should be" cmp -s "$WORK/own/features.cache" "$WORK/other/features.cache"
finish
