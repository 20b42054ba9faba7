#!/bin/bash
# cli_minutes.sh BUILD - training by the clock on the wall: --minutes plans a schedule, a
# run that is late shortens it and says so, --shorten repeats that to the bit, and a killed
# run goes on with what was decided. No test here waits for a clock to be right: a run is
# made late by stopping it.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 400
PLAIN="$FB train --catalog $C --seed 7 --config $WORK/tiny.json --vocab-size 120 --max-text 16 --batch 2 --threads 2 --validate-pairs 4 --checkpoint-every 20 --validate-every 1000"
value() { sed -n "s/^ *\"$2\": *\"\{0,1\}\([^,\"]*\)\"\{0,1\},*$/\1/p" "$1"; }
turns_of() { sed -n 's/^ *"shorten": *"\(.*\)",*$/\1/p' "$1"; }
last_lr() { tail -n 1 "$1/log.jsonl" | sed 's/.*"lr": *\([^,]*\),.*/\1/'; }

# ---- the schedule, without any clock ----------------------------------------------------
SHORT="$PLAIN --steps 120 --lr 1e-3 --shorten 40:100,60:80"
ok "a shortened schedule" $SHORT --quiet --out "$WORK/short" --json
check "ends where it says" test "$(value "$WORK/stdout" steps)" = 80
check "its learning rate has come down" awk -v r="$(last_lr "$WORK/short")" \
    'BEGIN { exit !(r > 0 && r < 4e-5) }'
check "the log says when" test "$(grep -c '"shortened_to"' "$WORK/short/log.jsonl")" = 2
check "and to what" grep -q '^{"step": 60,.*"shortened_to": 80,' "$WORK/short/log.jsonl"
ok "the plain schedule" $PLAIN --quiet --steps 120 --lr 1e-3 --out "$WORK/long"
check "is the same up to the first decision" cmp -s \
    <(steady_log "$WORK/long/log.jsonl" | head -n 39) \
    <(steady_log "$WORK/short/log.jsonl" | head -n 39)
check "but not behind it" bash -c "! cmp -s <(sed -n 45p '$WORK/long/log.jsonl' |
    sed 's/.*\"lr\"//; s/,.*//') <(sed -n 45p '$WORK/short/log.jsonl' | sed 's/.*\"lr\"//; s/,.*//')"
$SHORT --quiet --out "$WORK/killed" >/dev/null 2>&1 &
pid=$!
for try in $(seq 1 500); do
    [ -e "$WORK/killed/last/training_state.json" ] && break
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "killed and resumed" $SHORT --quiet --out "$WORK/killed" --resume
check "it is the same to the bit" cmp -s "$WORK/short/last/model.safetensors" \
    "$WORK/killed/last/model.safetensors"
for wrong in 5:200 x 5 60:50 "10:50,5:40"; do
    fails 2 "--shorten" $PLAIN --quiet --steps 120 --shorten "$wrong" --out "$WORK/none"
done
check "nothing is left of these" test ! -e "$WORK/none/config.json"

# ---- minutes ----------------------------------------------------------------------------
ok "more than enough" $PLAIN --batch 64 --minutes 60 --out "$WORK/enough" --json
check "is what the options make" test "$(value "$WORK/stdout" steps)" = "$(
    value "$WORK/enough/last/training_state.json" planned_steps)"
computes=$(sed -n '1s/^computing in \(f32\|bf16\) on 2 threads.*/\1/p' "$WORK/stderr")
check "its first line says what it computes in: $(head -n 1 "$WORK/stderr")" test -n "$computes"
check "which its state keeps" test "$computes" = "$(
    value "$WORK/enough/last/training_state.json" dtype)"
check "it says how long that takes" grep -q "^training takes about .* steps of " "$WORK/stderr"

LATE="$PLAIN --minutes 0.1 --checkpoint-every 1"
$LATE --out "$WORK/late" >"$WORK/late.out" 2>"$WORK/late.err" &
pid=$!
for try in $(seq 1 1000); do
    [ -e "$WORK/late/last/training_state.json" ] && break
    sleep 0.01
done
kill -STOP $pid
sleep 7
kill -CONT $pid
wait $pid
check "a run that was held up ends well: $(tail -n 1 "$WORK/late.err")" test $? = 0
state=$WORK/late/last/training_state.json
planned=$(value "$state" planned_steps) total=$(value "$state" total_steps)
check "with fewer steps than planned: $total of $planned" test "$total" -lt "$planned"
check "which it says" grep -q "slower than planned, .* $total steps in all" "$WORK/late.err"
check "and its log" grep -q "\"shortened_to\": $total," "$WORK/late/log.jsonl"
turns=$(turns_of "$state")
check "its state knows all decisions: $turns" test "${turns##*:}" = "$total"
check "its learning rate has come down" awk -v r="$(last_lr "$WORK/late")" \
    'BEGIN { exit !(r > 0 && r < 1e-4) }'
ok "repeated without a clock" $PLAIN --quiet --steps "$planned" --shorten "$turns" \
    --checkpoint-every 1 \
    --out "$WORK/repeated"
check "it is the same to the bit" cmp -s "$WORK/late/last/model.safetensors" \
    "$WORK/repeated/last/model.safetensors"
check "so is its log" cmp -s <(steady_log "$WORK/late/log.jsonl") \
    <(steady_log "$WORK/repeated/log.jsonl")

# Killed, it goes on with the plan, and with the time that it has taken.
$LATE --quiet --out "$WORK/again" >/dev/null 2>&1 &
pid=$!
for try in $(seq 1 1000); do
    [ -e "$WORK/again/last/training_state.json" ] && break
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
state=$WORK/again/last/training_state.json
planned=$(value "$state" planned_steps) elapsed=$(value "$state" elapsed_seconds)
check "time has been counted: $elapsed" awk -v s="$elapsed" 'BEGIN { exit !(s > 0) }'
sed -i 's/"dtype": *"[a-z0-9]*"/"dtype": "f32"/' "$state" # what it began with, as it were
ok "resumed" "$FB" train --out "$WORK/again" --resume --threads 2 --dtype auto
check "in what its state says" grep -q "^computing in f32 on 2 threads$" "$WORK/stderr"
check "and what is left" grep -q "^going on at step .* of $planned: about " "$WORK/stderr"
check "the plan stays" test "$(value "$state" planned_steps)" = "$planned"
check "so does its end" test "$(value "$state" deadline_seconds)" = 6
check "and time goes on" awk -v s="$(value "$state" elapsed_seconds)" -v t="$elapsed" \
    'BEGIN { exit !(s >= t) }'
turns=$(turns_of "$state")
ok "the same number of steps" $PLAIN --quiet --steps "$planned" --checkpoint-every 1 \
    ${turns:+--shorten "$turns"} --out "$WORK/told"
check "make the same model" cmp -s "$WORK/again/last/model.safetensors" \
    "$WORK/told/last/model.safetensors"

fails 2 "--minutes 0.001 is too little" $PLAIN --quiet --minutes 0.001 --batch 64 \
    --accumulate 64 --out "$WORK/none"
for wrong in 0 -1 nan inf soon; do
    fails 2 "--minutes" $PLAIN --quiet --minutes "$wrong" --out "$WORK/none"
done
for other in "--steps 4" "--epochs 1" "--processor-minutes 1" "--shorten 1:2"; do
    fails 2 "--minutes and ${other%% *} both say how long to train" $PLAIN --quiet \
        --minutes 1 $other --out "$WORK/none"
done
check "nothing is left of these" test ! -e "$WORK/none/config.json"

# ---- a recipe ---------------------------------------------------------------------------
ok "a small catalogue" "$MAKE" "$WORK/few" 8
ok "both stages of the vectors" "$FB" train --catalog "$WORK/few" --objective itc \
    --max-text 16 --vocab-size 120 --threads 2 --minutes 30 --out "$WORK/recipe"
check "it says what each takes" grep -q "^training takes about .*: stages of .* and " \
    "$WORK/stderr"
check "both have all of their steps" test "$(value \
    "$WORK/recipe/stages/1/last/training_state.json" total_steps) $(value \
    "$WORK/recipe/last/training_state.json" total_steps)" = "60 60"
check "and an end, the second the later" awk \
    -v a="$(value "$WORK/recipe/stages/1/last/training_state.json" deadline_seconds)" \
    -v b="$(value "$WORK/recipe/last/training_state.json" deadline_seconds)" \
    'BEGIN { exit !(a > 0 && a < b && b == 1800) }'
finish
