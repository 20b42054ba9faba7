#!/bin/bash
# cli_qti.sh BUILD - Query-Title-Image matching from the outside: it learns from a click
# log and from the catalogue's queries, resumes to the bit, evaluates, matches, and says
# what is wrong with a log, a model or an option.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 120
# Queries of the catalogue name its shapes in other words; the log's speak of colours.
sed -i -E 's/"title": "[a-z]+ circle/"queries": ["round thing"], &/
    s/"title": "[a-z]+ square/"queries": ["box", "Round  THING with corners"], &/
    s/"title": "[a-z]+ stripe/"queries": "lines", &/' "$C/metadata.jsonl"
cp -r "$C" "$WORK/clicked"
L=$WORK/clicked/clicks.tsv
echo "query	product_id	clicked	count" >"$L"
sed -nE 's/.*"product_id": "(p[0-9]+)".*"title": "([a-z]+) .*/\1 \2/p' "$C/metadata.jsonl" |
    awk '{ warm = $2 ~ /red|orange|yellow/; cold = $2 ~ /blue|green|purple/
           print "warm colours\t" $1 "\t" warm; print "Cold colours\t" $1 "\t" cold "\t2" }' >>"$L"
cat >"$WORK/four.json" <<'EOT'
{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 64, "fashionbert": {"image_size": 32, "grid": 4}}
EOT
# number KEY FILE: the last value of a JSON key
number() { grep -o "\"$1\": *[0-9.e-]*" "$2" | tail -1 | sed 's/.*: *//'; }
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }
PRE="$FB train --objective match --config $WORK/four.json --vocab-size 120 --max-text 16
    --batch 16 --threads 1 --quiet --steps 10 --catalog $C"
ok "pre-training on titles" $PRE --out "$WORK/base"
QTI="$FB train --objective qti --init $WORK/base --batch 32 --threads 1 --max-text 16
    --dropout 0 --lr 5e-3 --quiet"

ok "pre-training with patches in the second layer" $PRE --out "$WORK/late" --steps 1 --patches-from 1
ok "clicks, going on from it" "$FB" train --objective qti --init "$WORK/late" --batch 16 --threads 1 \
    --max-text 16 --quiet --catalog "$WORK/clicked" --out "$WORK/late.qti" --steps 2
check "query, title and image meet there too" \
    grep -q '"patches_from": *1' "$WORK/late.qti/config.json"

# ---- clicks ------------------------------------------------------------------------
ok "training on clicks" $QTI --catalog "$WORK/clicked" --out "$WORK/a" --steps 150 --json
cp "$WORK/stdout" "$WORK/report"
reached=$(number best_val_accuracy "$WORK/report")
check "accuracy is well above a half: $reached" above "$reached" 0.8
check "the report has the loss of clicks" above "$(number click "$WORK/report")" 0
check "the config says what it is" grep -q '"system": *"qti"' "$WORK/a/config.json"
check "with segments for all three" grep -q '"type_vocab_size": *3' "$WORK/a/config.json"
check "the log has what validation saw" grep -q \
    '"val_click": *[0-9].*"val_accuracy".*"val_auc".*"val_ndcg10".*"val_r1".*"val_chance_ndcg10"' \
    "$WORK/a/log.jsonl"
EVAL="$FB evaluate --split test --threads 1 --quiet"
ok "evaluation" $EVAL --model "$WORK/a" --catalog "$WORK/clicked" --min-candidates 3 --json
check "by clicks" grep -q '"wanted": *"clicks"' "$WORK/stdout"
check "tells clicked from skipped: AUC" above "$(number auc "$WORK/stdout")" 0.85
check "ranks it before: R@1" above "$(number r1 "$WORK/stdout")" "$(number chance_r1 "$WORK/stdout")"
check "NDCG is above chance" above "$(number ndcg10 "$WORK/stdout")" \
    "$(number chance_ndcg10 "$WORK/stdout")"
check "R@all is 1" test "$(number r_all "$WORK/stdout")" = 1
cp "$WORK/stdout" "$WORK/beside"
ok "the same log by name" $EVAL --model "$WORK/a" --catalog "$C" --clicks "$L" \
    --min-candidates 3 --json
check "gives the same" cmp -s <(grep -v seconds "$WORK/beside") <(grep -v seconds "$WORK/stdout")
ok "the whole split" $EVAL --model "$WORK/a" --catalog "$WORK/clicked" --protocol full \
    --trec "$WORK/t"
check "as a table" grep -q 'clicks .*2  *0' "$WORK/stdout"
check "with a run of each query" grep -q '^Cold%20colours Q0 images/' \
    "$WORK/t.query_to_product.0.run"
check "and its answers" grep -q '^warm%20colours 0 images/.* 1$' "$WORK/t.query_to_product.0.qrels"

# Of two products that pixels and titles tell apart, either query prefers its own.
warm=$(sed -nE 's/.*"file_name": "([^"]*)".*"title": "((red|orange|yellow) [^"]*)".*"test".*/\1|\2/p' "$C/metadata.jsonl" | head -1)
cold=$(sed -nE 's/.*"file_name": "([^"]*)".*"title": "((blue|green|purple) [^"]*)".*"test".*/\1|\2/p' "$C/metadata.jsonl" | head -1)
MATCH="$FB match --model $WORK/a --threads 1 --json"
ok "match a warm product" $MATCH --query "warm colours" "COLD colours" \
    --text "${warm#*|}" --image "$C/${warm%%|*}"
check "two scores" test "$(grep -c '"score"' "$WORK/stdout")" -eq 2
check "the query stands beside it" grep -q '"query": *"COLD colours"' "$WORK/stdout"
check "warm wins" above "$(number score <(head -7 "$WORK/stdout"))" "$(number score "$WORK/stdout")"
ok "match a cold product" $MATCH --query "warm colours" "COLD colours" \
    --text "${cold#*|}" --image "$C/${cold%%|*}"
check "cold wins" above "$(number score "$WORK/stdout")" "$(number score <(head -7 "$WORK/stdout"))"
ok "a sheet and a table" "$FB" match --model "$WORK/a" --threads 1 --query "warm colours" \
    --text a b --image "$C/images/1.png" "$C/images/2.png" --top 1 --sheet "$WORK/s.png"
check "of queries and titles" grep -q 'score *query *text *image' "$WORK/stdout"
check "a row a title" test "$(grep -c images/ "$WORK/stdout")" -eq 2

# ---- the catalogue's queries, every loss --------------------------------------------
ok "training on queries" $QTI --catalog "$C" --out "$WORK/b" --steps 200 --lr 5e-3
check "it learns" above "$(number val_auc "$WORK/b/log.jsonl")" 0.7
ok "evaluation by them" $EVAL --model "$WORK/b" --catalog "$C" --protocol full --json
check "says so" grep -q '"wanted": *"queries"' "$WORK/stdout"
check "and ranks four of them" test "$(number queries "$WORK/stdout")" = 4
sed 's/"queries": /"queries_composed": true, &/' "$C/metadata.jsonl" >"$C/m" && mv "$C/m" "$C/metadata.jsonl"
ok "evaluation by composed ones" $EVAL --model "$WORK/b" --catalog "$C" --protocol full --json
check "says that they are" grep -q '"wanted": *"composed"' "$WORK/stdout"
ok "all losses" $QTI --catalog "$WORK/clicked" --clicks catalog --out "$WORK/c" --steps 3 \
    --losses click,qt,qi,tia,mlm,mpm
check "are weighed" grep -q '"click".*"qt".*"qi".*"weight_mlm".*"weight_click".*"weight_qi"' \
    "$WORK/c/log.jsonl"
ok "go on from a model of queries" "$FB" train --objective qti --init "$WORK/a" --steps 1 --lr 0 \
    --catalog "$WORK/clicked" --out "$WORK/d" --threads 1 --max-text 16 --quiet --json
check "which knows them already" above "$(number best_val_accuracy "$WORK/stdout")" 0.8

RUN="$QTI --catalog $WORK/clicked --steps 30 --checkpoint-every 3 --validate-pairs 16
    --losses click,qt,mlm --dropout 0.1"
ok "the run that nobody touches" $RUN --out "$WORK/whole"
kills=0
for try in $(seq 1 30); do
    $RUN --out "$WORK/killed" --resume >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $((100 + try * 37 % 250 + try * 20)))"
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null && break
done
check "it was killed at least once ($kills times)" test $kills -ge 1
ok "the last start" $RUN --out "$WORK/killed" --resume
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done
ok "a finished run knows its catalogue" "$FB" train --out "$WORK/killed" --resume --quiet
check "the log is the same" cmp -s <(steady_log "$WORK/whole/log.jsonl") \
    <(steady_log "$WORK/killed/log.jsonl")

# ---- what is refused ------------------------------------------------------------------
fails 2 "give its folder with --init" "$FB" train --objective qti --catalog "$C" \
    --out "$WORK/x" --quiet
fails 2 "only --objective qti goes on from it" ${PRE/--config $WORK\/four.json/} --init "$WORK/a" --out "$WORK/x"
ok "vectors alone" "$FB" train --objective itc --config "$WORK/four.json" --encoder pixels \
    --vocab-size 120 --max-text 16 --steps 1 --batch 8 --threads 1 --quiet --catalog "$C" \
    --out "$WORK/vectors"
fails 2 "train its alignment first" "$FB" train --objective qti --init "$WORK/vectors" \
    --catalog "$C" --out "$WORK/x" --max-text 16 --quiet
fails 2 "click, qt and qi go with --objective qti" $PRE --losses tia,qt --out "$WORK/x"
fails 2 "--losses needs click" $QTI --catalog "$C" --losses qt,mlm --out "$WORK/x"
fails 2 "takes no --itc" $QTI --catalog "$C" --itc 1 --out "$WORK/x"
fails 2 "takes no --itc" $QTI --catalog "$C" --negatives hard --out "$WORK/x"
fails 2 "no --encoder-weights" $QTI --catalog "$C" --encoder-weights x --out "$WORK/x"
fails 2 "a click log is learnt by --objective qti" $PRE --clicks "$L" --out "$WORK/x"
fails 2 "give --query too" "$FB" match --model "$WORK/a" --text a --image "$C/images/1.png"
fails 1 "takes no query" "$FB" match --model "$WORK/base" --query a --text a \
    --image "$C/images/1.png"
fails 2 "takes no query" $EVAL --model "$WORK/base" --catalog "$C" --clicks "$L"
fails 2 "--score itc" $EVAL --model "$WORK/a" --catalog "$C" --score itc
fails 2 "--index" $EVAL --model "$WORK/a" --catalog "$C" --protocol full --index "$WORK/x"
fails 2 "--candidates" $EVAL --model "$WORK/a" --catalog "$C" --candidates "$WORK/x"
fails 1 "cannot open" $EVAL --model "$WORK/a" --catalog "$C" --clicks "$WORK/none.tsv"
ok "make a catalogue without queries" "$MAKE" "$WORK/plain" 30
fails 1 "has no queries" $QTI --catalog "$WORK/plain" --out "$WORK/x"
bad() { # bad WORDS LINE: a log that ends in this line
    printf 'warm\tp1\t1\nwarm\tp2\t0\n%b\n' "$2" >"$WORK/bad.tsv"
    fails 1 "bad.tsv:3: $1" $QTI --catalog "$C" --clicks "$WORK/bad.tsv" --out "$WORK/x"
}
bad "too few fields" 'warm p3 1'
bad "clicked must be 0 or 1" 'warm\tp3\tyes'
bad "the query is blank" ' \tp3\t1'
bad "the count must be" 'warm\tp3\t1\t-4'
bad "the query is not UTF-8" '\xff\tp3\t1'
printf 'warm\tsold out\t1\n' >"$WORK/bad.tsv"
fails 1 "none of its products is in the catalogue" $QTI --catalog "$C" \
    --clicks "$WORK/bad.tsv" --out "$WORK/x"
printf 'warm\tp1\t0\n' >"$WORK/bad.tsv"
fails 1 "no query wants a product of split train" $QTI --catalog "$C" \
    --clicks "$WORK/bad.tsv" --out "$WORK/x"
check "and nothing was made" test ! -e "$WORK/x"
sed -i 's/warm colours\tp1\t0/warm colours\tp1\t1/; s/warm colours\tp0\t0/warm colours\tp0\t1/' "$L"
cp -r "$WORK/whole" "$WORK/other"
fails 1 "its queries are not what" "$FB" train --out "$WORK/other" --resume --quiet
finish
