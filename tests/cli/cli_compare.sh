#!/bin/bash
# cli_compare.sh BUILD - the compare verb: systems and model folders in one table, going
# on after a kill, what fails beside what does not, and what is refused before any work.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 150
sed 's/"image_size": 64/"image_size": 96/' "$WORK/tiny.json" >"$WORK/wide.json"
ok "an image network" "$FB" train --catalog "$C" --out "$WORK/network" $TINY \
    --config "$WORK/wide.json" --objective itc --encoder thin --vector-size 16 --steps 2 --seed 1
ok "a model from elsewhere" "$FB" train --catalog "$C" --out "$WORK/elsewhere" $TINY \
    --encoder pixels --losses tia --steps 1 --seed 1
cp -r "$WORK/elsewhere" "$WORK/constant"
python3 - "$WORK/constant/model.safetensors" <<'EOF'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    start = 8 + struct.unpack("<Q", f.read(8))[0]
    size = f.seek(0, 2)
    f.seek(start)
    f.write(bytes(size - start))
EOF
COMMON="--catalog $C --features $WORK/network --budget 0 --products 30 --min-candidates 3 --examples 2 --threads 2 --quiet"
RUN="$FB compare $COMMON"
OUT=$WORK/compared
# value FILE PATH: a number or text of compare.json, such as systems.0.sum_r.mean
value() {
    python3 -c 'import json, sys
x = json.load(open(sys.argv[1]))
for part in sys.argv[2].split("."): x = x[int(part) if part.isdigit() else part]
print(x)' "$1" "$2"
}

# ---- two seeds, folders beside systems ------------------------------------------------
ok "compare" $RUN --systems "fashionbert,$WORK/elsewhere,$WORK/constant" --seeds 2 \
    --out "$OUT" --json
cp "$WORK/stdout" "$WORK/first.json"
check "--json prints compare.json" cmp -s "$WORK/first.json" "$OUT/compare.json"
check "the contract's keys" python3 - "$WORK/first.json" <<'EOF'
import json, sys
found = json.load(open(sys.argv[1]))
for s in found["systems"]:
    assert set(s["sum_r"]) == {"mean", "sd"}, s
    for way in ("image_to_text", "text_to_image"):
        assert all(isinstance(s[way][k], float) or s[way][k] in (0, 1)
                   for k in ("r1", "r5", "r10")), s
    for key in ("name", "seeds", "train_seconds", "pairs_per_s", "parameters"):
        assert s[key] is not None, (key, s)
    way = [s[w][k] for w in ("image_to_text", "text_to_image") for k in ("r1", "r5", "r10")]
    assert abs(sum(way) - s["sum_r"]["mean"]) < 1e-9, s
first = found["systems"][0]
assert first["seeds"] == 2 and first["sum_r"]["sd"] is not None
assert first["products"] <= 30 or first["products"] < 2 * 150, first
assert first["processor_seconds"] > 0
for s in found["systems"][1:]:
    v = s["sum_r_against_first"]
    assert v["low"] <= v["difference"] <= v["high"], s
    assert abs(v["difference"] - (s["sum_r"]["mean"] - first["sum_r"]["mean"])) < 1e-9, s
EOF
check "a constant model's R@1 is 0, both ways" test \
    "$(value "$OUT/compare.json" systems.2.image_to_text.r1) $(value "$OUT/compare.json" systems.2.text_to_image.r1)" = "0 0"
ok "the model by itself" "$FB" evaluate --model "$WORK/elsewhere" --catalog "$C" \
    --min-candidates 3 --candidates "$OUT/candidates.jsonl" --threads 2 --quiet --json
close "ranks as evaluate does" "$(value "$OUT/compare.json" systems.1.sum_r.mean)" \
    "$(value "$WORK/stdout" sum_r)"
check "the CSV has a line a system" test "$(wc -l <"$OUT/compare.csv")" = 4
check "as many fields in each" python3 -c 'import csv, sys
assert len({len(r) for r in csv.reader(open(sys.argv[1]))}) == 1' "$OUT/compare.csv"
check "the LaTeX table is whole" grep -q '\\bottomrule' "$OUT/compare.tex"
check "the page's plots are well-formed, and it asks for no other file" \
    python3 - "$OUT/report.html" <<'EOF'
import re, sys, xml.etree.ElementTree as tree
page = open(sys.argv[1]).read()
plots = re.findall(r"<svg.*?</svg>", page, re.S)
assert len(plots) >= 3, len(plots)
for plot in plots:
    tree.fromstring(plot)
assert not re.search(r'(src|href)="(?!data:)', page)
assert page.count('class="photo') >= 2 * (1 + 3 * 2), page.count('class="photo')
EOF

# ---- what is done is not done again ---------------------------------------------------
stat -c '%n %Y %i' "$OUT"/results/* >"$WORK/before"
ok "again" $RUN --systems "fashionbert,$WORK/elsewhere,$WORK/constant" --seeds 2 \
    --out "$OUT" --json
check "nothing is done" test "$(value "$WORK/stdout" done) $(value "$WORK/stdout" done_before)" = "0 4"
check "results are as they were" cmp -s "$WORK/before" <(stat -c '%n %Y %i' "$OUT"/results/*)
close "and so is the table" "$(value "$WORK/stdout" systems.0.sum_r.mean)" \
    "$(value "$WORK/first.json" systems.0.sum_r.mean)"
ok "with fewer seeds, the linear floor beside them" $RUN --systems fashionbert,floor --seeds 1 \
    --out "$OUT"
cp "$WORK/stdout" "$WORK/floor"
check "a table" grep -q "^fashionbert  *1 " "$WORK/floor"
ok "inspect says so too" "$FB" inspect "$C" --floor --split test --min-candidates 3 --quiet --json
close "the floor is that of inspect" "$(value "$OUT/compare.json" systems.1.sum_r.mean)" \
    "$(value "$WORK/stdout" floor.cosine.sum_r)"

# ---- killed ---------------------------------------------------------------------------
$RUN --systems fashionbert --seeds 2 --out "$WORK/killed" >/dev/null 2>&1 &
pid=$!
for try in $(seq 1 1200); do
    [ -e "$WORK/killed/results/fashionbert-1.json" ] && break
    sleep 0.05
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
stat -c '%Y %i' "$WORK/killed/results/fashionbert-1.json" >"$WORK/before"
ok "go on" $RUN --systems fashionbert --seeds 2 --out "$WORK/killed" --json
check "the first seed is kept" cmp -s "$WORK/before" \
    <(stat -c '%Y %i' "$WORK/killed/results/fashionbert-1.json")
close "as if nobody had come between" "$(value "$WORK/stdout" systems.0.sum_r.mean)" \
    "$(value "$WORK/first.json" systems.0.sum_r.mean)"

# ---- a failure is a row ---------------------------------------------------------------
cp -r "$WORK/elsewhere" "$WORK/broken"
head -c 1000 "$WORK/elsewhere/model.safetensors" >"$WORK/broken/model.safetensors"
fails 1 "1 of the systems' trainings or models failed" $RUN \
    --systems "fashionbert,$WORK/broken,$WORK/elsewhere" --seeds 2 --out "$OUT"
check "which says why" grep -q "model.safetensors" "$WORK/stdout"
check "in JSON too" test "$(value "$OUT/compare.json" systems.1.failed)" = 1
check "the others are there" test "$(value "$OUT/compare.json" systems.2.seeds)" = 1
cp "$WORK/elsewhere/model.safetensors" "$WORK/broken/model.safetensors"
ok "mended, it is tried again" $RUN \
    --systems "fashionbert,$WORK/broken,$WORK/elsewhere" --seeds 2 --out "$OUT"

# ---- refused before any work ----------------------------------------------------------
fails 1 "was begun with --products 30, not 31" $RUN --products 31 --systems fashionbert \
    --out "$OUT"
fails 1 "was begun with --draws 1, not 2" $RUN --draws 2 --systems fashionbert --out "$OUT"
fails 1 "was begun with --candidates left out, not" $RUN --systems fashionbert --out "$OUT" \
    --candidates "$WORK/others.jsonl"
check "no other candidates were drawn" test ! -e "$WORK/others.jsonl"
ok "another catalogue" "$MAKE" "$WORK/other" 40
fails 1 "was begun with another catalogue" $RUN --catalog "$WORK/other" \
    --systems fashionbert --out "$OUT"
fails 2 "neither a system, floor nor a model folder; systems are fashionbert" $RUN \
    --systems nothing --out "$WORK/new"
fails 2 "a folder without a model" $RUN --systems "$C" --out "$WORK/new"
fails 2 "twice" $RUN --systems fashionbert,fashionbert --out "$WORK/new"
fails 2 "does not score titles with images" $RUN --systems qti --out "$WORK/new"
fails 1 "no model there" $RUN --features "$C" --systems fashionbert --out "$WORK/none"
fails 2 'split "dress"' $RUN --split dress --systems fashionbert --out "$WORK/new"
fails 2 "holds a catalogue already" $RUN --systems fashionbert --out "$WORK/other"
check "nothing was made" test ! -e "$WORK/new"

# ---- a network of its own -------------------------------------------------------------
# One small step of each stage; the budget of minutes is asked in cli_budget.sh.
ok "without --features one is trained first" "$FB" compare --catalog "$WORK/other" \
    --systems fashionbert --seeds 1 --budget 0 --products 1 --features-minutes 0 \
    --features-products 2 --negatives any --min-candidates 2 --examples 1 --threads 2 --quiet \
    --out "$WORK/alone" --json
check "and said to have been" awk -v s="$(value "$WORK/stdout" features.processor_seconds)" \
    'BEGIN { exit !(s > 0) }'
check "in its folder" test -e "$WORK/alone/features/model.safetensors"
finish
