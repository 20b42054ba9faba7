#!/bin/bash
# cli_locale.sh BUILD - a host program's locale changes nothing: under de_DE, where the
# decimal point is a comma, and under tr_TR, where i is no small I, files and answers are
# what they are without, byte for byte; and what reads them finds what was written.
. "$(dirname "$0")/cli_lib.sh"
command -v localedef >/dev/null && [ -f /usr/share/i18n/locales/de_DE ] || {
    echo "skipped: no locale sources (Debian: locales)"
    exit 77
}
HOST=$(find "$BUILD/tests" -name 'libhost_locale.so' | head -1)
mkdir "$WORK/locales"
for name in de_DE tr_TR; do
    localedef -i $name -f UTF-8 "$WORK/locales/$name.UTF-8" >"$WORK/localedef" 2>&1
    check "$name is made" test -f "$WORK/locales/$name.UTF-8/LC_NUMERIC"
done
# under LOCALE CMD...: in a program of that locale; plain: in one that asks for none.
under() {
    local locale=$1
    shift
    if [ "$locale" = plain ]; then "$@"; else
        LOCPATH=$WORK/locales LC_ALL=$locale.UTF-8 LD_PRELOAD=$HOST "$@"
    fi
}

# What is read here has numbers with points, and letters I in names.
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 60
mkdir "$WORK/photos"
cp "$C"/images/*.png "$WORK/photos"
for i in 1 2 3 4; do mv "$WORK/photos/$i.png" "$WORK/photos/$i.PNG"; done
{
    echo "ID,TITLE,PRICE,IMAGE"
    for i in $(seq 1 30); do
        name=$i.png
        [ "$i" -gt 4 ] || name=$i.PNG
        echo "p$i,Red thing $i,$i.25,$name"
    done
} >"$WORK/shop.csv"

# run LOCALE: everything once, in a folder of that name.
run() {
    local l=$1 o=$WORK/$1
    mkdir -p "$o"
    cd "$o" || return 1
    ok "$l: import" under "$l" "$FB" import --out shop --split 80/10/10 --quiet --json \
        --map 'id=ID,title=TITLE,price=PRICE,image=photos/{IMAGE}' "$WORK/shop.csv"
    sed '/second\|_per_s/d' "$WORK/stdout" >import.json
    ok "$l: inspect" under "$l" "$FB" inspect "$C" --floor --json --html inspect.html \
        --min-candidates 3 --negatives any
    sed '/seconds/d' "$WORK/stdout" >inspect.json
    ok "$l: train" under "$l" "$FB" train --objective itc --encoder pixels --vector-size 16 \
        --itc 0.5 --dropout 0.25 --catalog "$C" --out model $TINY --steps 6 --seed 3
    ok "$l: resume" under "$l" "$FB" train --out model --resume --quiet
    ok "$l: evaluate" under "$l" "$FB" evaluate --model model --catalog "$C" --json --quiet \
        --min-candidates 3 --negatives any --trec test --candidates lists.jsonl --threads 2
    sed '/seconds/d' "$WORK/stdout" >evaluate.json
    ok "$l: once more" under "$l" "$FB" evaluate --model model --catalog "$C" --json --quiet \
        --min-candidates 3 --negatives any --candidates lists.jsonl --threads 2
    ok "$l: encode" under "$l" "$FB" encode --model model --catalog "$C" --out vectors \
        --text-weight 0.25 --quiet --threads 2
    ok "$l: encode again" under "$l" "$FB" encode --model model --catalog "$C" \
        --out vectors --text-weight 0.25 --quiet --threads 2
    ok "$l: index" under "$l" "$FB" index --model model --catalog "$C" --out index \
        --text-weight 0.25 --quiet --json --threads 2
    ok "$l: search" under "$l" "$FB" search --model model --index index --json \
        --text "red circle on blue" --k 5 --rerank 5 --threads 2
    grep -v '"\(encode\|search\|rerank\|total\)"' "$WORK/stdout" >search.json
    ok "$l: match" under "$l" "$FB" match --model model --text "red circle" \
        --image "$C/images/5.png" --json --threads 2
    cp "$WORK/stdout" match.json
    ok "$l: explain" under "$l" "$FB" explain --model model --text "red circle" \
        --image "$C/images/5.png" --json --out heat.png --threads 2
    cp "$WORK/stdout" explain.json
    fails 2 "0 to 0.95" under "$l" "$FB" train --objective match --catalog "$C" --out x \
        --dropout 1.5 --quiet
    cp "$WORK/stderr" sentence
    cd - >/dev/null || return 1
}
export FASHIONBERT_DTYPE=f32
run plain
run de_DE
run tr_TR
for l in de_DE tr_TR; do
    for file in import.json shop/metadata.jsonl inspect.json inspect.html evaluate.json \
        lists.jsonl model/config.json search.json match.json explain.json heat.png sentence \
        vectors/product.json vectors/product.npy index/000001.vectors.npy \
        test.image_to_text.0.run test.text_to_image.0.qrels; do
        check "$l: $file is there" test -s "$WORK/plain/$file"
        check "$l: $file is what it is without" cmp -s "$WORK/plain/$file" "$WORK/$l/$file"
    done
    check "$l: the log" cmp -s <(steady_log "$WORK/plain/model/log.jsonl") \
        <(steady_log "$WORK/$l/model/log.jsonl")
done

# What the parts hold of themselves, they hold there too.
for test in test_json test_option test_fold test_svg_plot test_metrics \
    test_candidate_file test_model_config test_index test_pg_copy; do
    program=$(find "$BUILD/tests" -maxdepth 1 -name "$test" | head -1)
    [ -z "$program" ] || ok "$test under de_DE" under de_DE "$program"
done
finish
