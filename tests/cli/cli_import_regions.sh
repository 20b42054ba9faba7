#!/bin/bash
# cli_import_regions.sh BUILD - features of regions from others' files: what is read, how
# images are found, what is refused; SCAN's pairs.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
R=$BUILD/tests/make_regions
O=$WORK/out.features
"$MAKE" "$C" 40 || exit 1
for kind in butd.tsv lxmert.tsv objects.tsv npy.npy ids.txt; do
    "$R" ${kind%.*} "$C" "$WORK/$kind" || exit 1
done
I="$FB import --from regions --quiet --out $O"
left() { check "nothing is left behind by: $1" test ! -e "$O" -a ! -e "$O.new"; }
has() { check "$1 is $2" grep -q "\"$1\": $2,\?$" "$WORK/stdout"; }

ok "width before height, by product id" $I "$WORK/butd.tsv" --catalog "$C" --json
has images 40
has regions 119
has most 4
has width 8
has boxes true
has classes 0
has skipped 0
mv "$O" "$WORK/butd.features"
ok "height before width, by the file's name" $I "$WORK/lxmert.tsv" --catalog "$C"
check "both orders give the same file" cmp "$O" "$WORK/butd.features"
rm "$O"
ok "classes of objects" $I "$WORK/objects.tsv" --catalog "$C" --json
has classes 31
rm "$O"
ok "an array in the catalogue's order" $I "$WORK/npy.npy" --catalog "$C" --json
has regions 120
has boxes false
mv "$O" "$WORK/npy.features"
ok "an array with names beside it" $I "$WORK/npy.npy" --ids "$WORK/ids.txt"
check "the same file" cmp "$O" "$WORK/npy.features"
rm "$O"
split -n l/2 -d "$WORK/butd.tsv" "$WORK/part-"
ok "several files by a pattern" $I "$WORK/part-{00..01}" --catalog "$C"
check "the same as one" cmp "$O" "$WORK/butd.features"
rm "$O"
ok "without a catalogue" $I "$WORK/butd.tsv"
check "names are the source's" grep -qa "p17" "$O"
rm "$O"

# refused WORDS ARGUMENTS...
refused() {
    local words=$1
    shift
    $I "$@" >/dev/null 2>"$WORK/stderr"
    check "exit status 1: $words" test $? -eq 1
    check "stderr says '$words': $(head -c 300 "$WORK/stderr")" grep -qF -- "$words" "$WORK/stderr"
    left "$words"
}
head -c $(($(stat -c %s "$WORK/butd.tsv") - 20)) "$WORK/butd.tsv" >"$WORK/cut.tsv"
refused "cut.tsv:40: features: 70 characters that are no base64; is the line whole?" "$WORK/cut.tsv" --catalog "$C"
ok "and left out" $I "$WORK/cut.tsv" --catalog "$C" --skip-bad --json
has images 39
has missing 1
rm "$O"
sed '7s/\t[^\t]*$/\tAAAA/' "$WORK/butd.tsv" >"$WORK/short.tsv"
refused "short.tsv:7: features: base64 of 3 bytes" "$WORK/short.tsv"
sed '7s/\t49\t[^\t]*/\t49\tAAAA/' "$WORK/objects.tsv" >"$WORK/ids.tsv"
refused "ids.tsv:7: objects_id and objects_conf: base64 of 3 and" "$WORK/ids.tsv"
sed '9s/\t48\t/\t17\t/' "$WORK/butd.tsv" >"$WORK/box.tsv"
refused "box.tsv:9: box 0 (0, 2, 20, 48) is not within the image's 49 x 17" "$WORK/box.tsv"
sed '3p' "$WORK/butd.tsv" >"$WORK/twice.tsv"
refused "twice.tsv:4: image images/2.png was there before" "$WORK/twice.tsv" --catalog "$C"
head -n 38 "$WORK/butd.tsv" >"$WORK/fewer.tsv"
refused "images/38.png: an image of the catalogue without regions (2 bad in all)" \
    "$WORK/fewer.tsv" --catalog "$C"
sed 's/<f4/<f2/' "$WORK/npy.npy" >"$WORK/f2.npy"
refused 'f2.npy: its numbers are "<f2"; "<f4" or "<f8" is right' "$WORK/f2.npy"
head -c 2000 "$WORK/npy.npy" >"$WORK/cut.npy"
refused "cut.npy: ends in its numbers" "$WORK/cut.npy"
head -n 39 "$WORK/ids.txt" >"$WORK/ids39.txt"
refused "npy.npy: image 39: --ids has no more lines" "$WORK/npy.npy" --ids "$WORK/ids39.txt"
refused "none.tsv: no such file" "$WORK/none.tsv"

# ---- SCAN's pairs ------------------------------------------------------------------------
mkdir "$WORK/pairs"
"$R" scan "$C" "$WORK/pairs" || exit 1
S="$FB import $WORK/pairs --from scan --quiet --out $WORK/scan"
ok "pairs become a catalogue" $S --json
has items 200
check "a row a caption" test "$(wc -l <"$WORK/scan/metadata.jsonl")" -eq 200
check "five of an image" test "$(grep -c '"file_name": "test/2"' "$WORK/scan/metadata.jsonl")" -eq 5
check "the regions are there" test -s "$WORK/scan/regions.features"
rm -rf "$WORK/scan"
sed -i 1d "$WORK/pairs/dev_caps.txt"
fails 1 "dev_caps.txt: 29 lines, dev_ims.npy has 6 images" $S
check "nothing is left" test ! -e "$WORK/scan" -a ! -e "$WORK/scan.part"
echo >>"$WORK/pairs/dev_caps.txt"
$S >/dev/null 2>"$WORK/stderr"
check "an empty caption" grep -qF "dev_caps.txt:30: an empty caption" "$WORK/stderr"
check "nothing is left" test ! -e "$WORK/scan" -a ! -e "$WORK/scan.part"
finish
