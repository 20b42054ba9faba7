#!/bin/bash
# cli_resume.sh BUILD - killed with SIGKILL at any moment and resumed, a run ends with the
# bits of one that was never touched.
. "$(dirname "$0")/cli_lib.sh"
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 120
RUN="$FB train --catalog $C $TINY --steps 150 --seed 7 --lr 1e-3 --checkpoint-every 7 --validate-pairs 8"

ok "the run that nobody touches" $RUN --out "$WORK/whole"

# Moments from a fixed sequence; what each hits depends on the machine, which is the point.
kills=0
moment=17
for try in $(seq 1 60); do
    $RUN --out "$WORK/killed" --resume >/dev/null 2>"$WORK/stderr" &
    pid=$!
    moment=$(((moment * 137 + 29) % 397))
    # At first within the start, later anywhere: however fast the machine, some hit.
    sleep "$(printf '0.%03d' $((30 + moment % (40 + try * 25) + try * 6)))"
    if kill -9 $pid 2>/dev/null; then
        kills=$((kills + 1))
        wait $pid 2>/dev/null
    else
        wait $pid
        check "a resumed run ends well: $(head -c 300 "$WORK/stderr")" test $? -eq 0
        break
    fi
done
check "it was killed at least once ($kills times)" test $kills -ge 1
ok "the last start" $RUN --out "$WORK/killed" --resume
echo "killed $kills times"
for f in model.safetensors last/model.safetensors last/optimizer.safetensors; do
    check "$f is the same to the bit" cmp -s "$WORK/whole/$f" "$WORK/killed/$f"
done
check "the log is the same" cmp -s <(steady_log "$WORK/whole/log.jsonl") \
    <(steady_log "$WORK/killed/log.jsonl")
mkdir "$WORK/killed/last.new" # a checkpoint that was replaced and could not be removed
ok "resumed when all is done: nothing to do" $RUN --out "$WORK/killed" --resume --json
check "nothing but the model stays" test ! -e "$WORK/killed/last.new"
check "what was not measured is null" grep -q '"loss": *null' "$WORK/stdout"
ok "an ended run" "$FB" train --out "$WORK/killed" --resume --lr 5 --quiet
check "says what changes nothing" grep -q -- "--lr 5 changes nothing" "$WORK/stderr"

# What a resumed run would pass over is refused; its own options may be typed again.
ok "a run to go on with" timeout -s KILL 60 bash -c "$RUN --steps 4000 --out '$WORK/part' &
    until [ -e '$WORK/part/last' ]; do sleep 0.05; done; kill -9 \$!; wait; true"
fails 2 "with --lr 0.001; leave out --lr 5" "$FB" train --out "$WORK/part" --resume --lr 5
fails 2 "with --steps 4000; leave out --steps 80" "$FB" train --out "$WORK/part" --resume \
    --steps 80 --lr 1e-3

# One training at a time in a folder.
$RUN --steps 4000 --out "$WORK/part" --resume >/dev/null 2>&1 &
first=$!
for i in $(seq 400); do
    [ "$(wc -l <"$WORK/part/log.jsonl")" -gt 12 ] && break
    sleep 0.05
done
fails 1 "another process is training there" $RUN --steps 4000 --out "$WORK/part" --resume
kill -9 $first
wait $first 2>/dev/null

# A start that failed is no model.
ok "all titles alike" bash -c "cp -r '$C' '$WORK/alike' &&
    sed -i 's/\"title\": *\"[^\"]*\"/\"title\": \"chair\"/' '$WORK/alike/metadata.jsonl'"
fails 2 "have the same title" "$FB" train --catalog "$WORK/alike" $TINY --objective itc \
    --encoder pixels --vector-size 16 --itc 1 --steps 2 --out "$WORK/fresh"
check "nothing is left of it" test ! -e "$WORK/fresh"
fails 2 "$WORK/killed" $RUN --out "$WORK/killed"
finish
