#!/bin/bash
# cli_chinese.sh BUILD - titles in Chinese from the import to matching: characters are
# words, the vocabulary is learnt from them, and two texts of other characters are two
# texts.
. "$(dirname "$0")/cli_lib.sh"
export FASHIONBERT_THREADS=2
S=$WORK/shop
C=$WORK/catalogue

# Drawn products with a title in English and one in Chinese.
"$MAKE" "$S" 120 || exit 1
sed -i -E 's/"title": "([^"]*)"/"title": "\1", "title_zh_cn": "\1"/
    :again
    s/("title_zh_cn": "[^"]*)red/\1红色/; s/("title_zh_cn": "[^"]*)green/\1绿色/
    s/("title_zh_cn": "[^"]*)blue/\1蓝色/; s/("title_zh_cn": "[^"]*)yellow/\1黄色/
    s/("title_zh_cn": "[^"]*)black/\1黑色/; s/("title_zh_cn": "[^"]*)white/\1白色/
    s/("title_zh_cn": "[^"]*)purple/\1紫色/; s/("title_zh_cn": "[^"]*)orange/\1橙色/
    s/("title_zh_cn": "[^"]*)circle/\1圆形/; s/("title_zh_cn": "[^"]*)square/\1方形/
    s/("title_zh_cn": "[^"]*)stripe/\1条纹/; s/("title_zh_cn": "[^"]*) on /\1，底色/
    s/("title_zh_cn": "[^"]*), model /\1，型号/
    t again' "$S/metadata.jsonl"
check "titles in Chinese are there" grep -qE \
    '"title_zh_cn": "..色 (圆形|方形|条纹)，底色.色，型号17"' <(sed 's/"title_zh_cn": "/&x/' "$S/metadata.jsonl")

ok "import with the Chinese title" "$FB" import "$S" --map title=title_zh_cn --quiet --out "$C"
check "it is the title" grep -qE '"title": ".色 (圆形|方形|条纹)，底色.色，型号17"' \
    "$C/metadata.jsonl"
ok "train" "$FB" train $TINY --catalog "$C" --out "$WORK/model" --steps 40 --lr 1e-3
for character in 红 圆 纹 底 ， 号; do
    check "the vocabulary has $character" grep -qx "$character" "$WORK/model/vocab.txt"
done
check "no piece is longer than a character" test "$(grep -v '^[ -~]*$' "$WORK/model/vocab.txt" |
    LC_ALL=C awk '{ sub(/^##/, "") } length > 3' | wc -l)" -eq 0
ok "evaluate" "$FB" evaluate --model "$WORK/model" --catalog "$C" --split test --quiet \
    --min-candidates 1
image=$C/images/000/000001.png
ok "match" "$FB" match --model "$WORK/model" --json --image "$image" \
    --text "红色圆形，底色黄色" "蓝色方形，底色黄色" "甲乙丙丁，底色黄色" "戊己庚辛，底色黄色"
check "texts come back as they were" grep -q '"text": "红色圆形，底色黄色"' "$WORK/stdout"
scores=$(grep -o '"score": [0-9.e-]*' "$WORK/stdout")
check "four scores" test "$(echo "$scores" | wc -l)" -eq 4
check "other characters, another score" test "$(echo "$scores" | head -2 | sort -u | wc -l)" -eq 2
check "characters never seen are alike" test "$(echo "$scores" | tail -2 | sort -u | wc -l)" -eq 1
finish
