#!/bin/bash
# cli_budget.sh BUILD - training's budgets: --products, and --processor-minutes, which
# plans a schedule that ends when it says, is to the bit the run of that many steps, and
# goes on after a kill with the number that was found.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 120
PLAIN="$FB train --catalog $C --seed 7 --config $WORK/tiny.json --vocab-size 120 --max-text 16 --batch 16 --threads 2 --validate-pairs 8"
value() { sed -n "s/^ *\"$2\": *\([^,]*\),*$/\1/p" "$1"; }

# 8 matched pairs a step.
ok "a limit of products" $PLAIN --quiet --steps 30 --products 100 --out "$WORK/few" --json
check "twelve whole steps of eight" test "$(value "$WORK/stdout" steps)" = 12
check "are 96 products" test "$(value "$WORK/stdout" products)" = 96
check "processor seconds are told" awk -v s="$(value "$WORK/stdout" processor_seconds)" \
    'BEGIN { exit !(s > 0) }'
check "and parameters" test "$(value "$WORK/stdout" parameters)" -gt 1000
ok "a wide limit" $PLAIN --quiet --steps 5 --products 100000 --out "$WORK/wide" --json
check "leaves the steps" test "$(value "$WORK/stdout" steps)" = 5
ok "by epochs" $PLAIN --quiet --epochs 2 --products 40 --out "$WORK/epochs" --json
check "too" test "$(value "$WORK/stdout" steps)" = 5

RUN="$PLAIN --steps 1000000 --processor-minutes 0.06 --checkpoint-every 9"
ok "a plan" $RUN --out "$WORK/planned" --json
cp "$WORK/stderr" "$WORK/plan"
steps=$(value "$WORK/stdout" steps)
check "which is said: $(cat "$WORK/plan")" grep -q "^plan: $steps steps, " "$WORK/plan"
check "the schedule ends within the budget, or nearly: $(value "$WORK/stdout" processor_seconds)" \
    awk -v s="$(value "$WORK/stdout" processor_seconds)" 'BEGIN { exit !(s < 6.5) }'
check "its learning rate has come down" awk -v rate="$(tail -1 "$WORK/planned/log.jsonl" |
    sed 's/.*"lr": *\([^,]*\),.*/\1/')" 'BEGIN { exit !(rate < 1e-4) }'
ok "the same number of steps" $PLAIN --quiet --steps "$steps" --checkpoint-every 9 \
    --out "$WORK/told"
for f in model.safetensors last/optimizer.safetensors; do
    check "$f of the planned run is that of as many steps" \
        cmp -s "$WORK/planned/$f" "$WORK/told/$f"
done
check "so is its log" cmp -s <(steady_log "$WORK/planned/log.jsonl") \
    <(steady_log "$WORK/told/log.jsonl")

ok "as much as the options make" $PLAIN --steps 4 --processor-minutes 60 \
    --out "$WORK/short" --json
check "and no more" test "$(value "$WORK/stdout" steps)" = 4
fails 2 "--processor-minutes 1e-06 is too little" $PLAIN --quiet --steps 30 \
    --processor-minutes 0.000001 --out "$WORK/none"
check "nothing is left of it" test ! -e "$WORK/none/config.json"

# Killed once it has a checkpoint, the run goes on with the number of steps found.
$RUN --quiet --out "$WORK/killed" >/dev/null 2>&1 &
pid=$!
for try in $(seq 1 200); do
    [ -e "$WORK/killed/last/training_state.json" ] && break
    sleep 0.05
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
found=$(value "$WORK/killed/last/training_state.json" total_steps)
ok "resumed" $RUN --quiet --out "$WORK/killed" --resume --json
check "the number stays: $found" test "$(value "$WORK/stdout" steps)" = "$found"
ok "as many steps again" $PLAIN --quiet --steps "$found" --checkpoint-every 9 \
    --out "$WORK/again"
check "to the bit" cmp -s "$WORK/killed/last/model.safetensors" \
    "$WORK/again/last/model.safetensors"
finish
