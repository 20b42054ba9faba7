#!/bin/bash
# cli_inspect.sh BUILD - inspect from outside: JSON keys and numbers, tables, the page, the
# floor, and catalogues with something wrong in them.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 300
I="$FB inspect --quiet --threads 2"

# number KEY: the first value of that key in the JSON that was printed last.
number() { sed -n "s/^ *\"$1\": \([-0-9.e]*\),\{0,1\}$/\1/p" "$WORK/stdout" | head -1; }
is() { check "$1 is $2, not $(number "$1")" test "$(number "$1")" = "$2"; }
# holds A OP B: a comparison of decimals.
holds() { awk "BEGIN { exit !($1 $2 $3) }"; }

# JSON: the keys that others rely on.
ok "inspect" $I "$C" --json
for key in items products titles splits duplicates near_duplicates \
    near_duplicates_across_splits duplicates_across_splits titles_across_splits \
    products_across_splits duplicate_titles words title_words title_characters queries \
    images broken_images fields category_level categories seconds; do
    check "JSON has $key" grep -q "^  \"$key\": " "$WORK/stdout"
done
is items 300
train=$(number train) val=$(number val) test=$(number test)
count() { grep -c "\"split\": \"$1\"" "$C/metadata.jsonl"; }
check "train is counted" test "$train" = "$(count train)"
check "val is counted" test "$val" = "$(count val)"
check "test is counted" test "$test" = "$(count test)"
is duplicates 0
is broken 0
check "no floor unless asked" bash -c "! grep -q '\"floor\"' $WORK/stdout"
check "3 categories" test "$(grep -c '"name": "\(circle\|square\|stripe\)"' "$WORK/stdout")" = 3
near=$(number near_duplicates_across_splits)
ok "--catalog and the word are one" $I --json --catalog "$C"
is items 300

# A copy of a training image in test: one duplicate more, and no near one within a split.
cp -r "$C" "$WORK/copied"
train_image=$(grep '"split": "train"' "$C/metadata.jsonl" | head -1 | sed 's/.*"file_name": "\([^"]*\)".*/\1/')
cp "$C/$train_image" "$WORK/copied/images/copy.png"
echo '{"file_name": "images/copy.png", "title": "a copy", "split": "test"}' \
    >>"$WORK/copied/metadata.jsonl"
ok "inspect the copy" $I "$WORK/copied" --json
is duplicates 1
is duplicates_across_splits 1
is near_duplicates_across_splits $((near + 1))

# Tables.
ok "tables" $I "$C" --show 2
check "the tables fit 120 columns" test "$(wc -L <"$WORK/stdout")" -le 120
check "categories that are not shown are summed" grep -q '^(1 more)' "$WORK/stdout"
check "no line ends in a blank" bash -c "! grep -q ' $' $WORK/stdout"

# The page.
ok "a page" $I "$C" --html "$WORK/page.html"
check "has pictures" grep -q 'src="data:image/jpeg;base64,' "$WORK/page.html"
check "needs no other file" bash -c "! grep -qE 'https?:|<script|<link' $WORK/page.html"
fails 1 "nowhere" $I "$C" --html "$WORK/nowhere/page.html"

# The floor: colours and shapes can be read off these images, the model's number cannot.
# Many items share colours and shape, so that only the tenth place tells.
ok "the floor" $I "$C" --json --floor --draws 2
for key in image_to_text text_to_image cosine; do
    check "the floor has $key" grep -q "\"$key\": {" "$WORK/stdout"
done
check "R@10 $(number r10) is high" holds "$(number r10)" ">" 0.8
check "R@1 $(number r1) is above chance $(number chance_r1)" \
    holds "$(number r1)" ">" "5 * $(number chance_r1)"
cp "$WORK/stdout" "$WORK/floor"
ok "once more" $I "$C" --json --floor --draws 2 --threads 1
check "the same numbers on one thread" \
    cmp <(grep -v seconds "$WORK/floor") <(grep -v seconds "$WORK/stdout")
ok "the whole split" $I "$C" --json --floor --protocol full
check "says what was ranked" grep -q '"negatives": "all"' "$WORK/stdout"
ok "candidates are kept" $I "$C" --json --floor --candidates "$WORK/lists.jsonl"
check "in a file" grep -q fashionbert-candidates "$WORK/lists.jsonl"
r1=$(number r1)
ok "and read again" $I "$C" --json --floor --candidates "$WORK/lists.jsonl"
check "to the same end" test "$r1" = "$(number r1)"
fails 2 "--candidates goes with" $I "$C" --floor --protocol full --candidates "$WORK/x"
fails 1 "min-candidates" $I "$C" --floor --min-candidates 200

# Images that cannot be read are named and counted, and stop only the floor.
rm -rf "$WORK/broken"
cp -r "$C" "$WORK/broken"
head -c 90 "$C/images/4.png" >"$WORK/broken/images/4.png"
rm "$WORK/broken/images/7.png"
ok "inspect broken images" $I "$WORK/broken" --json
is broken 2
is read 298
check "the cut one is named" grep -q 'images/4.png' "$WORK/stdout"
check "the missing one is named" grep -q 'images/7.png' "$WORK/stdout"
check "with their lines" test "$(grep -c '"line": \(5\|8\),' "$WORK/stdout")" = 2
ok "in the table too" $I "$WORK/broken"
check "both are there" test "$(grep -c 'images/[47].png' "$WORK/stdout")" = 2
fails 1 "images/7.png" $I "$WORK/broken" --floor

# Rows that break the rules stop with their line.
printf '{"file_name": "images/1.png", "title": "\xff"}\n' >>"$WORK/broken/metadata.jsonl"
fails 1 "metadata.jsonl:301" $I "$WORK/broken"
fails 1 "$WORK/none" $I "$WORK/none"
mkdir "$WORK/empty"
: >"$WORK/empty/metadata.jsonl"
fails 1 "no rows" $I "$WORK/empty"

# Regions, beside patches and what the article counted.
check "no regions unless asked" bash -c "! $I '$C' --json | grep -q '\"regions\"'"
ok "inspect --regions" $I "$C" --regions --region-images 20 --json
check "proposed" grep -q '"from": "single"' "$WORK/stdout"
check "of 20 images" grep -q '"images": 20,' "$WORK/stdout"
is ms_coco 19.8
is e_commerce 6.4
check "more than the images alone" holds "$(number regions)" '>' 20
check "the product is covered" holds "$(number product_covered)" '>' 0.8
ok "with a sheet" $I "$C" --sheet "$WORK/sheet.png" --region-images 20 --regions-most 5 --html "$WORK/page.html"
check "a line of patches" grep -q '^patches *20 *64.0 ' "$WORK/stdout"
check "the article's lines" grep -q '^e-commerce (article) *- *6.4 ' "$WORK/stdout"
check "the sheet is a PNG" bash -c "head -c 4 $WORK/sheet.png | grep -q PNG"
check "the page has it too" grep -q '<h2>Regions</h2>' "$WORK/page.html"
fails 1 "nothing.features" $I "$C" --regions-file "$WORK/nothing.features"
fails 2 "proposals have no classes" $I "$C" --regions --class-names "$WORK/nothing"
fails 2 "--regions-most" $I "$C" --regions --regions-most 0

# Misuse.
fails 2 "--catalog" $I
fails 2 "one catalogue" $I "$C" "$C"
fails 2 "blue" $I "$C" --floor --split blue
fails 2 "--show" $I "$C" --show 0
finish
