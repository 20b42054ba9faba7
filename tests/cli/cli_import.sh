#!/bin/bash
# cli_import.sh BUILD - other people's products become a catalogue: what is read, what is
# refused and how, and an import that is killed.
. "$(dirname "$0")/cli_lib.sh"
export FASHIONBERT_THREADS=2

# shop FOLDER COUNT: styles.csv and images/ID.png.
shop() {
    rm -rf "$1"
    "$MAKE" "$1" "$2" || exit 1
    {
        echo "id,articleType,productDisplayName"
        sed 's/.*"product_id": "p\([0-9]*\)", "title": "\([^"]*\)", "category": "\([^"]*\)".*/\1,\3,\2/' \
            "$1/metadata.jsonl" | tr -d '\r' | sed 's/^\([0-9]*,[a-z]*,[^,]*\), model/\1 model/'
    } >"$1/styles.csv"
    rm "$1/metadata.jsonl"
}
MAP="title=productDisplayName,category=articleType,image=images/{id}.png"
S=$WORK/shop
C=$WORK/catalogue
I="$FB import $S --from csv --map $MAP --split 70/15/15 --quiet --out $C"
# left: nothing of an import that failed.
left() { check "nothing is left behind by: $1" test ! -e "$C" -a ! -e "$C.part"; }
lines() { wc -l <"$1"; }

# ---- what is read ------------------------------------------------------------------------
shop "$S" 300
ok "import a folder with a CSV" $I --json
check "all products came" test "$(lines "$C/metadata.jsonl")" -eq 300
check "the log is gone" test ! -e "$C/import.log"
check "splits are of those products" grep -q '"train": 2[0-9][0-9],' "$WORK/stdout"
check "id, title and category" grep -q \
    '"product_id": "17", "title": "[a-z]* [a-z]* on [a-z]* model 17", "category": "[a-z]*"' \
    "$C/metadata.jsonl"
check "images are kept to the byte" cmp "$S/images/17.png" "$C/images/000/000018.png"
ok "it can be trained on" "$FB" train $TINY --catalog "$C" --out "$WORK/model" --steps 2
cp "$C/metadata.jsonl" "$WORK/first.jsonl"
rm -rf "$C"
ok "recognised without --from" "$FB" import "$S/styles.csv" --map "$MAP" --split 70/15/15 \
    --quiet --out "$C"
check "the same catalogue" cmp "$WORK/first.jsonl" "$C/metadata.jsonl"
fails 2 "is there already" $I
rm -rf "$C"

# Rows added behind change the split of no other, and --split-by keeps equal ones together.
shop "$WORK/more" 330
ok "import thirty more" "$FB" import "$WORK/more" --map "$MAP" --split 70/15/15 --quiet \
    --out "$C"
check "the first three hundred stay where they were" cmp "$WORK/first.jsonl" \
    <(head -n 300 "$C/metadata.jsonl")
rm -rf "$C" "$WORK/more"
ok "split by category" $I --split 34/33/33 --split-by articleType
check "a category is in one split" test \
    "$(sed 's/.*"category": \("[a-z]*"\).*"split": \("[a-z]*"\).*/\1 \2/' "$C/metadata.jsonl" |
        sort -u | wc -l)" -le 3
rm -rf "$C"

# Of two files the one that --map fits is read.
printf 'filename,link\n1.png,http://x/1.png\n' >"$S/images.csv"
ok "two CSV files" $I
check "the right one" cmp "$WORK/first.jsonl" "$C/metadata.jsonl"
rm -rf "$C"
fails 2 "images.csv, styles.csv" "$FB" import "$S" --map "title=nowhere" --out "$C"
rm "$S/images.csv"

# How CSV is written.
csv() { # TEXT: a file of it with two images
    rm -rf "$WORK/form" "$C"
    mkdir "$WORK/form"
    cp "$S/images/1.png" "$S/images/2.png" "$WORK/form/"
    printf "$1" >"$WORK/form/${2:-p.csv}"
}
titles() { sed 's/.*"title": "\(.*\)", "colour".*/\1/' "$C/metadata.jsonl"; }
form() { # WHAT OPTIONS...: read, and both titles are right
    local what=$1
    shift
    ok "$what" "$FB" import "$WORK/form" --quiet --out "$C" "$@"
    check "$what: $(titles | tr '\n' '|')" test "$(titles | tr '\n' '|')" = \
        'Caf\"é\", red|Two lines|'
}
csv '\357\273\277image,title,colour\r\n1.png,"Caf""é"", red",red\r\n\r\n2.png,"Two\r\nlines",blue\r\n'
form "a byte order mark, CR LF, quotes, an empty line and a line end in a field"
csv 'image;title;colour\n1.png;Caf"é", red;red\n2.png;Two lines;blue'
form "semicolons, quotes within a field, no line end at the end"
csv 'image\ttitle\tcolour\n1.png\tCaf"é", red\tred\n2.png\tTwo  lines\tblue\n' p.tsv
form "tabs"
csv 'image,title,colour\n1.png,"Caf""\351"", red",red\n2.png,Two lines,blue\n'
form "latin-1" --encoding latin-1
rm -rf "$C"
"$FB" import "$WORK/form" --quiet --out "$C" 2>"$WORK/stderr"
check "other bytes are named" grep -qF "p.csv:2: field 2 has a byte 0xe9 that is not UTF-8" \
    "$WORK/stderr"
left "latin-1 read as UTF-8"

# ---- folders of images -------------------------------------------------------------------
F=$WORK/folder
mkdir -p "$F/Shoes/boots" "$F/Hats"
cp "$S/images/3.png" "$F/Shoes/boots/brown-leather_boot.png"
cp "$S/images/4.png" "$F/Hats/straw-hat.png"
cp "$S/images/5.png" "$F/Hats/0001.png"
echo "no image" >"$F/Hats/notes.txt"
ok "a folder without metadata" "$FB" import "$F" --quiet --out "$WORK/f1" --skip-bad --json
check "one has no title" grep -q '"title": 1' "$WORK/stdout"
check "titles and categories" test "$(sed 's/"split".*//; s/.*png", //' "$WORK/f1/metadata.jsonl" |
    tr '\n' '|')" = '"title": "straw hat", "category": "Hats", |"title": "brown leather boot", "category": "Shoes", "subcategory": "boots", |'
ok "categories as titles" "$FB" import "$F" --map title=category --quiet --out "$WORK/f2"
check "all three" test "$(lines "$WORK/f2/metadata.jsonl")" -eq 3
mkdir "$WORK/splits"
cp -r "$F" "$WORK/splits/train"
cp -r "$F" "$WORK/splits/validation"
rm -r "$WORK/splits/validation/Hats" "$WORK/splits/train/Shoes"
printf 'file_name,title\nstraw-hat.png,Hat\n' >"$WORK/splits/train/metadata.csv"
mv "$WORK/splits/train/Hats/straw-hat.png" "$WORK/splits/train/"
ok "folders of splits, one with metadata" "$FB" import "$WORK/splits" --quiet --out "$WORK/f3"
check "each has its split" test "$(sed 's/.*"title": //' "$WORK/f3/metadata.jsonl" | tr '\n' '|')" = \
    '"Hat", "split": "train"}|"brown leather boot", "category": "Shoes", "subcategory": "boots", "split": "val"}|'
cp "$WORK/splits/train/straw-hat.png" "$WORK/splits/validation/Shoes/boots/red-hat.png"
ok "a photo in two splits" "$FB" import "$WORK/splits" --quiet --out "$WORK/f5" --json
check "is moved" grep -q '"moved": 1,' "$WORK/stdout"
check "into one" grep -q '"red hat".*"split": "train"' "$WORK/f5/metadata.jsonl"
ok "unless told to keep to the source" "$FB" import "$WORK/splits" --quiet --out "$WORK/f6" \
    --split source --json
check "which is counted" grep -q '"straddling": 1,' "$WORK/stdout"
check "and told" grep -q "1 items have a copy in another split" "$WORK/stderr"
check "it stays" grep -q '"red hat".*"split": "val"' "$WORK/f6/metadata.jsonl"
ok "a catalogue is an imagefolder" "$FB" import "$WORK/f3" --quiet --out "$WORK/f4"
check "and comes out as it was" cmp "$WORK/f3/metadata.jsonl" "$WORK/f4/metadata.jsonl"

# ---- what is refused ---------------------------------------------------------------------
# bad LINE-TO-ADD SENTENCE KIND: alone it ends the import, with --skip-bad it is left out.
bad() {
    shop "$S" 12
    cp "$S/images/1.png" "$S/images/extra.png"
    head -c 90 "$S/images/1.png" >"$S/images/cut.png"
    printf "$1\n" >>"$S/styles.csv"
    $I >"$WORK/stdout" 2>"$WORK/stderr"
    check "$3 ends it with 1" test $? -eq 1
    check "$3: $(cat "$WORK/stderr")" grep -qF "$S/styles.csv:14: $2" "$WORK/stderr"
    left "$3"
    ok "--skip-bad leaves $3 out" $I --skip-bad --json
    check "and counts it" grep -q "\"$3\": 1" "$WORK/stdout"
    check "and names it" grep -qF "styles.csv:14: $2" "$WORK/stderr"
    check "the rest is there" test "$(lines "$C/metadata.jsonl")" -eq 12
    rm -rf "$C"
}
bad '77,Shirts' '2 fields where the header has 3' row
bad '77,"Shirts" x,Red shirt' 'text behind the closing quote of field 2' row
bad '77,Shirts,"never closed' 'the quote that opens field 3 is never closed' row
bad 'extra,Shirts,Caf\351' 'field 3 has a byte 0xe9 that is not UTF-8' text
bad 'extra,Shirts, ' 'no title' title
bad '77,Shirts,No image' "$S/images/77.png: cannot open" no_image
bad 'cut,Shirts,Half an image' "$S/images/cut.png" image
bad '5,Shirts,Again' 'id "5" is also that of record 6' repeated
bad '../../etc/x,Shirts,Outside' 'image "images/../../etc/x.png" leaves' path
bad '/etc/x,Shirts,Outside' 'image "images//etc/x.png" leaves' path

# Commas that were not quoted belong to a last column that is the title, to no other one.
shop "$S" 12
echo "extra,Shirts,Red, white and blue" >>"$S/styles.csv"
cp "$S/images/1.png" "$S/images/extra.png"
ok "commas in the title" $I
check "are kept" grep -q '"title": "Red, white and blue"' "$C/metadata.jsonl"
check "and told: $(cat "$WORK/stderr")" grep -q "styles.csv:14" "$WORK/stderr"
rm -rf "$C"
$FB import "$S" --map "title=articleType,image=images/{id}.png" --quiet --out "$C" 2>"$WORK/stderr"
check "are ragged elsewhere: $(cat "$WORK/stderr")" grep -q \
    "styles.csv:14: 4 fields where the header has 3" "$WORK/stderr"

# Twenty are named, all are counted.
shop "$S" 12
ok "few products" $I --split 0/0/100
check "no split without items but those asked for" test ! -s "$WORK/stderr"
rm -rf "$C"
ok "fewer than splits" "$FB" import "$WORK/splits" --split 98/1/1 --quiet --out "$C"
check "an empty split is told: $(cat "$WORK/stderr")" test \
    "$(grep -c "no item is in split" "$WORK/stderr")" -eq 2
rm -rf "$C"
for i in $(seq 100 129); do echo "$i,Shirts,Shirt $i"; done >>"$S/styles.csv"
ok "thirty bad ones" $I --skip-bad --json
check "twenty are named" test "$(grep -c 'styles.csv:' "$WORK/stderr")" -eq 20
check "thirty are counted" grep -q '"no_image": 30' "$WORK/stdout"
rm -rf "$C"
fails 2 'has no column "name"; it has id, articleType, productDisplayName' \
    "$FB" import "$S" --map title=name --out "$C"
fails 2 'nothing is called "image"' "$FB" import "$S" --map title=articleType --out "$C"
fails 2 "TARGET=FIELD" "$FB" import "$S" --map title --out "$C"
fails 2 "--split-by: nothing is called" $I --split-by brand
fails 2 "90/5/6" $I --split 90/5/6
fails 1 "nowhere" "$FB" import "$WORK/nowhere" --out "$C"
fails 2 "not recognised" "$FB" import "$S/images/1.png" --out "$C"
left "options"

# ---- an import that is killed ------------------------------------------------------------
# A limit on the size of files kills it while it writes its log, within a line.
shop "$S" 300
ok "import at one go" "$FB" import "$S" --map "$MAP" --quiet --out "$WORK/whole"
K="$FB import $S --map $MAP --quiet --out $C"
cut_off() {
    rm -rf "$C" "$C.part"
    bash -c "ulimit -c 0 -f 60; $K; exit \$?" >/dev/null 2>&1
    check "it was killed" test $? -gt 128
    check "there is no catalogue" test ! -e "$C"
    check "there is a log" test -s "$C.part/import.log"
}
cut_off
fails 2 "has no column" "$FB" import "$S" --map title=name --out "$C" --quiet
ok "it goes on" $K --json
check "from where it was: $(grep resumed "$WORK/stdout")" \
    grep -q '"resumed": 1[0-9][0-9],' "$WORK/stdout"
check "to the same catalogue" diff -r "$WORK/whole" "$C"
# What changed in between is seen, in the source and in what was stored.
cut_off
cp "$S/images/7.png" "$S/images/3.png"
cp "$S/images/9.png" "$C.part/images/000/000021.png"
cp "$S/images/9.png" "$C.part/images/000/000022.jpg"
mkdir "$C.part/images/001"
cp "$S/images/9.png" "$C.part/images/001/001001.png"
ok "it goes on after changes" $K
ok "import the new source at one go" "$FB" import "$S" --map "$MAP" --quiet --out "$WORK/new"
check "to the same catalogue as anew" diff -r "$WORK/new" "$C"
cut_off
ok "it begins anew with another store" $K --store resized --image-size 32 --json
check "nothing was resumed" grep -q '"resumed": 0,' "$WORK/stdout"
rm -rf "$C"
mkdir "$C.part" # killed before it had a log
ok "begun over an empty folder" $K
rm -rf "$C"
mkdir "$C.part"
touch "$C.part/something"
fails 2 "not of an import" $K
finish
