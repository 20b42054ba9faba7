#!/bin/sh
# demo/run.sh - from a free catalogue to a trained model and what it finds; `make demo` calls
# it after the build. Everything is written under demo/out/.
#
#   1. fetch Debian's Sweet Home 3D furniture (not installed, only unpacked)
#   2. import it as a catalogue, test products held out by title
#   3. train vectors of texts and images (mini preset), in at most five minutes
#   4. rank each test product's text and image among others of any, and of its own, category
#   5. make the test products searchable, and search them
#   6. type three texts, draw the five best of the test images
set -eu
cd "$(dirname "$0")/.."

command=build/fashionbert
out=demo/out
packages="sweethome3d sweethome3d-furniture"
share=$out/unpacked/usr/share/sweethome3d
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
rm -rf $out/catalogue $out/model $out/index $out/contact-sheet.png
say "Importing the furniture"
$command import --quiet --from sweethome3d --split 70/10/20 --split-by title --out $out/catalogue \
    $share/furniture/*.sh3f $share/sweethome3d.jar

# ---- 3 ----------------------------------------------------------------------------------
# The recipe's first two stages, or as much of them as fits in the time. The third, matching on top of them, takes as long again, and
# 661 pieces of furniture are too few for it to add to what the demo shows.
say "Training: vectors of texts and images, in at most five minutes"
$command train --objective itc --minutes 5 --catalog $out/catalogue --out $out/model --seed 1

# ---- 4 ----------------------------------------------------------------------------------
evaluate="$command evaluate --model $out/model --catalog $out/catalogue --split test --draws 5 --seed 1"
say "Held-out products: the right one among others of any category, chance beside it"
$evaluate --negatives any
say "The same among others of its own category, which is much harder"
$evaluate --negatives category
say "Beside it, a linear baseline on colours and edges, among others of its own category"
$command inspect $out/catalogue --floor --split test --draws 5 --seed 1 --negatives category

# ---- 5 ----------------------------------------------------------------------------------
say "Searching the test products"
$command index --quiet --model $out/model --catalog $out/catalogue --split test --out $out/index
$command search --model $out/model --index $out/index --text "kitchen chair" --by image --k 5

# ---- 6 ----------------------------------------------------------------------------------
say "The five best of the test images for three typed texts"
set --
for image in $(sed -n '/"split": *"test"/s/.*"file_name": *"\([^"]*\)".*/\1/p' \
    $out/catalogue/metadata.jsonl); do
    set -- "$@" "$out/catalogue/$image"
done
$command match --model $out/model --top 5 --sheet $out/contact-sheet.png \
    --text "sofa" "exterior door" "potted plant" --image "$@"

say "Look at $out/contact-sheet.png, the model in $out/model, the catalogue in $out/catalogue"
