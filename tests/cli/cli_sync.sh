#!/bin/bash
# cli_sync.sh BUILD - what a power cut could take back: before a rename the files that it
# moves are synced, behind it the folder that they come into, and so is the parent of each
# folder that is made. Read off a trace of what the verbs do (programs/trace_sync.c).
. "$(dirname "$0")/cli_lib.sh"
SHIM=$(find "$BUILD/tests" -name 'libtrace_sync.so' | head -1)
[ -n "$SHIM" ] || {
    echo "skipped: no libtrace_sync.so"
    exit 77
}
C=$WORK/catalogue
ok "make a catalogue" "$MAKE" "$C" 24

# What is not safe, a line each; the last line counts the moves.
unsafe() {
    awk '
        function due(inode, what) { waits[inode] = waits[inode] what "; " }
        $2 == "all" { all = 1; delete waits }
        $1 == "sync" { synced[$2] = 1; delete waits[$2] }
        $1 == "mkdir" { due($3, "mkdir " $4) }
        $1 == "hold" { n++; held[n] = $2; name[n] = $3 }
        $1 == "move" {
            moves++
            for (i = 1; i <= n; i++)
                if (!all && !(held[i] in synced)) print "not synced before the move: " name[i]
            due($2, "move to " $3)
        }
        $1 == "move" || $1 == "kept" { n = all = 0 }
        END {
            for (i in waits) if (waits[i] != "") print "its folder is not synced: " waits[i]
            print moves + 0 " moves"
        }' "$1"
}
# traced WHAT MOVES CMD...: with at least so many renames
traced() {
    local what=$1 least=$2
    shift 2
    rm -f "$WORK/trace"
    ok "$what" env TRACE_SYNC="$WORK/trace" LD_PRELOAD="$SHIM" "$@"
    unsafe "$WORK/trace" >"$WORK/unsafe"
    check "$what: $(head -5 "$WORK/unsafe")" test "$(wc -l <"$WORK/unsafe")" -eq 1
    check "$what: $(cat "$WORK/unsafe"), at least $least" \
        test "$(awk '{print $1}' "$WORK/unsafe" | tail -1)" -ge "$least"
}

# A trace with each fault is told, or the check checks nothing.
printf 'hold 5 a.new\nmove 2 a\nsync 2\n' >"$WORK/bad"
check "a file not synced is told" grep -q "before the move: a.new" <(unsafe "$WORK/bad")
printf 'sync 5\nhold 5 a.new\nmove 2 a\n' >"$WORK/bad"
check "a folder not synced is told" grep -q "not synced: move to a" <(unsafe "$WORK/bad")
printf 'mkdir 7 2 new\nsync 7\n' >"$WORK/bad"
check "a parent not synced is told" grep -q "not synced: mkdir new" <(unsafe "$WORK/bad")

mkdir "$WORK/new"
traced "import" 1 "$FB" import --quiet --out "$WORK/new/shop" "$C"
traced "train" 4 "$FB" train --objective itc --encoder pixels --vector-size 16 --itc 1 \
    --catalog "$C" --out "$WORK/new/models/m" $TINY --steps 4 --checkpoint-every 2 --seed 3
traced "encode" 1 "$FB" encode --model "$WORK/new/models/m" --catalog "$C" --quiet \
    --out "$WORK/new/vectors"
traced "index" 1 "$FB" index --model "$WORK/new/models/m" --catalog "$C" --quiet \
    --out "$WORK/new/indexes/i"
finish
