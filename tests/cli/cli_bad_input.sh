#!/bin/bash
# cli_bad_input.sh BUILD - hostile and broken input: a clear sentence, the right exit
# status, and nothing lost.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 60
T="$FB train $TINY --steps 6 --checkpoint-every 3"
ok "a model to break" $T --catalog "$C" --out "$WORK/model"
E="$FB evaluate --catalog $C --quiet --min-candidates 1"

# The catalogue.
fails 1 "$WORK/nowhere" $T --catalog "$WORK/nowhere" --out "$WORK/x"
broken() { # LINE-NUMBER TEXT: a catalogue whose line is that text
    rm -rf "$WORK/broken"
    cp -r "$C" "$WORK/broken"
    awk -v n="$1" -v t="$2" 'NR == n { print t; next } { print }' "$C/metadata.jsonl" \
        >"$WORK/broken/metadata.jsonl"
}
broken 17 '{"file_name": "images/1.png", "title": '
fails 1 "metadata.jsonl:17" $T --catalog "$WORK/broken" --out "$WORK/x"
broken 3 '{"title": "no image"}'
fails 1 "metadata.jsonl:3" $T --catalog "$WORK/broken" --out "$WORK/x"
broken 5 '{"file_name": "../../etc/passwd", "title": "outside"}'
fails 1 "metadata.jsonl:5" $T --catalog "$WORK/broken" --out "$WORK/x"
broken 6 '{"file_name": "/etc/passwd", "title": "outside"}'
fails 1 "metadata.jsonl:6" $T --catalog "$WORK/broken" --out "$WORK/x"
broken 9 '{"file_name": "images/none.png", "title": "not there"}'
fails 1 "metadata.jsonl:9" $T --catalog "$WORK/broken" --out "$WORK/x"
check "nothing was left of those" test ! -e "$WORK/x/last"

# Images.
rm -rf "$WORK/broken"
cp -r "$C" "$WORK/broken"
for i in $(seq 0 59); do
    head -c 60 "$C/images/$i.png" >"$WORK/broken/images/$i.png"
done
fails 1 ".png" $T --catalog "$WORK/broken" --out "$WORK/y"
printf 'not an image at all' >"$WORK/no.jpg"
fails 1 "no.jpg" "$FB" match --model "$WORK/model" --text x --image "$WORK/no.jpg"
fails 1 "gone.jpg" "$FB" match --model "$WORK/model" --text x --image "$WORK/gone.jpg"

# The model folder.
fails 1 "$WORK/nomodel" $E --model "$WORK/nomodel"
spoil() { # FILE: a copy of the model without it
    rm -rf "$WORK/spoilt"
    cp -r "$WORK/model" "$WORK/spoilt"
}
spoil
head -c 3000 "$WORK/model/model.safetensors" >"$WORK/spoilt/model.safetensors"
fails 1 "model.safetensors" $E --model "$WORK/spoilt"
spoil
sed 's/"hidden_size": *32/"hidden_size": 64/' "$WORK/model/config.json" >"$WORK/spoilt/config.json"
fails 1 "shape" $E --model "$WORK/spoilt"
spoil
sed 's/"num_hidden_layers": *2/"num_hidden_layers": 3/' "$WORK/model/config.json" \
    >"$WORK/spoilt/config.json"
fails 1 "missing bert.encoder.layer.2" $E --model "$WORK/spoilt"
spoil
size=$(stat -c %s "$WORK/model/model.safetensors")
printf '\377\377\377\177' | dd of="$WORK/spoilt/model.safetensors" bs=1 seek=$((size - 400)) \
    conv=notrunc 2>/dev/null
fails 1 "NaN" $E --model "$WORK/spoilt"
spoil
echo '{"hidden_size": "wide"}' >"$WORK/spoilt/config.json"
fails 1 "hidden_size" $E --model "$WORK/spoilt"
spoil
head -n 20 "$WORK/model/vocab.txt" >"$WORK/spoilt/vocab.txt"
fails 1 "vocab.txt" $E --model "$WORK/spoilt"
spoil
echo '{"step": 3' >"$WORK/spoilt/last/training_state.json"
fails 1 "training_state.json" $T --catalog "$C" --out "$WORK/spoilt" --resume
ok "another catalogue" "$MAKE" "$WORK/other" 50
spoil
fails 1 "not the catalogue" $T --catalog "$WORK/other" --out "$WORK/spoilt" --resume

# Options.
fails 2 "--batchh" $T --batchh 3 --catalog "$C" --out "$WORK/x"
fails 2 "--lr" $T --lr fast --catalog "$C" --out "$WORK/x"
fails 2 "mini" "$FB" train --preset huge --catalog "$C" --out "$WORK/x"
fails 2 "already" $T --catalog "$C" --out "$WORK/model"
fails 2 "blue" $E --model "$WORK/model" --split blue
fails 1 "min-candidates" "$FB" evaluate --catalog "$C" --quiet --model "$WORK/model" \
    --min-candidates 90

# A full disk: the old checkpoint stays whole, and with room the run goes on.
small=$WORK/disk
mkdir -p "$small"
if mount -t tmpfs -o size=900k tmpfs "$small" 2>/dev/null; then
    trap 'umount "$small" 2>/dev/null; rm -rf "$WORK"' EXIT
    R="$FB train $TINY --steps 60 --checkpoint-every 2 --catalog $C --out $small/model"
    $R >/dev/null 2>"$WORK/stderr"
    check "a full disk ends the run with 1" test $? -eq 1
    check "and says so: $(head -c 300 "$WORK/stderr")" grep -qi "space" "$WORK/stderr"
    if [ -e "$small/model/last" ]; then
        for f in model.safetensors optimizer.safetensors training_state.json; do
            check "last/$f is whole" test -s "$small/model/last/$f"
        done
    fi
    check "more room" mount -o remount,size=20m "$small"
    ok "the run goes on" $R --resume
    umount "$small"
else
    echo "skipped: no right to mount a small tmpfs"
fi
finish
