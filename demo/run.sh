#!/bin/sh
# demo/run.sh - from a free catalogue to a trained model and what it finds; `make demo` calls
# it after the build. Everything is written under demo/out/.
#
#   1. fetch Debian's Sweet Home 3D furniture (not installed, only unpacked)
#   2. import it as a catalogue, test products held out by title
#   3. train the mini preset: at most some five minutes
#   4. rank each test product's text and image among others of any, and of its own, category
#   5. type three texts, see the five best of the test images
set -eu
cd "$(dirname "$0")/.."

command=build/fashionbert
out=demo/out
packages="sweethome3d sweethome3d-furniture"
share=$out/unpacked/usr/share/sweethome3d
batch=64
max_steps=1500    # of training, where the machine is fast enough
train_seconds=240 # else as many as fit in here

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

[ -x "$command" ] || fail "$command is not there; run make first"

# ---- 1 ----------------------------------------------------------------------------------
download() {
    (cd $out/packages && apt-get -q -o APT::Sandbox::User="$(id -un)" download $packages) \
        >$out/download.log 2>&1
}

update_lists() {
    if [ "$(id -u)" -eq 0 ]; then
        apt-get update -q >>$out/download.log 2>&1
    elif command -v sudo >/dev/null; then
        sudo -n apt-get update -q >>$out/download.log 2>&1
    fi
}

fetch() {
    command -v apt-get >/dev/null ||
        fail "needs Debian's apt-get to fetch the packages $packages"
    rm -rf $out/packages $out/unpacked
    mkdir -p $out/packages
    # A first failure may only mean that the package lists are old or not there.
    download || { update_lists && download; } || {
        cat $out/download.log >&2
        fail "cannot fetch $packages; see above"
    }
    for package in $out/packages/*.deb; do
        dpkg -x "$package" $out/unpacked
    done
    rm -rf $out/packages
    : >$out/unpacked/complete
}

mkdir -p $out
if [ ! -e $out/unpacked/complete ]; then
    say "Fetching Debian's $packages (some 140 MB, once)"
    fetch
fi

# ---- 2 ----------------------------------------------------------------------------------
rm -rf $out/catalogue $out/model $out/probe $out/contact-sheet.png
say "Importing the furniture"
$command import --quiet --from sweethome3d --split 70/10/20 --split-by title --out $out/catalogue \
    $share/furniture/*.sh3f $share/sweethome3d.jar

# ---- 3 ----------------------------------------------------------------------------------
# The learning rate falls towards the last step, so their number must be known before: a few
# steps are timed first. 660 pieces of furniture are too few to tell the chairs apart, and in
# so few minutes masked words and patches would only delay what is shown here: so matching
# alone is learnt, against pieces of any category.
train="$command train --catalog $out/catalogue --preset mini --losses tia --negatives any \
    --batch $batch --seed 1"
say "Timing a few training steps"
$train --out $out/probe --steps 8 --validate-pairs 8 --quiet >/dev/null
steps=$(sed -n 's/.*"pairs_per_s": *\([0-9.]*\).*/\1/p' $out/probe/log.jsonl | sort -n |
    awk -v seconds=$train_seconds -v batch=$batch -v most=$max_steps '
        { rate[NR] = $1 }
        END {
            steps = int(seconds * rate[int((NR + 1) / 2)] / batch)
            if (steps > most) steps = most
            if (steps < 20) steps = 20
            print steps
        }')
rm -rf $out/probe
say "Training $steps steps of $batch pairs"
$train --out $out/model --steps "$steps" --checkpoint-every 50

# ---- 4 ----------------------------------------------------------------------------------
evaluate="$command evaluate --model $out/model --catalog $out/catalogue --split test --draws 5 --seed 1"
say "Held-out products: the right one among others of any category, chance beside it"
$evaluate --negatives any
say "The same among others of its own category, which is much harder"
$evaluate --negatives category

# ---- 5 ----------------------------------------------------------------------------------
say "The five best of the test images for three typed texts"
set --
for image in $(sed -n '/"split": *"test"/s/.*"file_name": *"\([^"]*\)".*/\1/p' \
    $out/catalogue/metadata.jsonl); do
    set -- "$@" "$out/catalogue/$image"
done
$command match --model $out/model --top 5 --sheet $out/contact-sheet.png \
    --text "sofa" "exterior door" "potted plant" --image "$@"

say "Look at $out/contact-sheet.png, the model in $out/model, the catalogue in $out/catalogue"
