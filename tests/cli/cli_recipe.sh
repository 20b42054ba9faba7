#!/bin/bash
# cli_recipe.sh BUILD - the stages of a recipe one after another, killed between and within
# them, resumed.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 8
RUN="$FB train --catalog $C --objective itc --max-text 16 --vocab-size 120 --threads 2 \
    --checkpoint-every 30"

ok "both stages of the vectors" $RUN --out "$WORK/whole"
check "it says which stage it is in" grep -q "stage 2 of 2" "$WORK/stderr"
check "the first lies in a folder of its own" test -f "$WORK/whole/stages/1/model.safetensors"
check "which says so" grep -q '"stage": *1' "$WORK/whole/stages/1/last/training_state.json"
check "the last at the top" grep -q '"stage": *2' "$WORK/whole/last/training_state.json"
check "the model scores by its vectors" grep -q '"score": *"itc"' "$WORK/whole/config.json"
fails 2 "holds the stages of a recipe already" $RUN --out "$WORK/whole"
ok "resumed when all is done: nothing to do" $RUN --out "$WORK/whole" --resume

# Killed once in the first stage and once in the second.
for stage in 1 2; do
    log=$WORK/killed/log.jsonl
    [ $stage = 1 ] && log=$WORK/killed/stages/1/log.jsonl
    "$FB" train $([ $stage = 1 ] && echo "${RUN#* train}" || echo --threads 2) \
        --out "$WORK/killed" --resume >/dev/null 2>"$WORK/stderr" &
    pid=$!
    for try in $(seq 1 3000); do
        [ "$(cat "$log" 2>/dev/null | wc -l)" -ge 35 ] && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.02
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    check "stage $stage had begun when it was killed" test -s "$log"
done
ok "the last start, told nothing but the folder" "$FB" train --out "$WORK/killed" --resume --threads 2
for f in stages/1/model.safetensors model.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done
check "the log is the same" cmp -s <(steady_log "$WORK/whole/log.jsonl") \
    <(steady_log "$WORK/killed/log.jsonl")

ok "one word more is a single run" $RUN --out "$WORK/single" --steps 2
check "without stages" test ! -e "$WORK/single/stages"
finish
