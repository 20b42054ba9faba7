#!/bin/bash
# run_fuzz.sh PROGRAM CORPUS - a short, repeatable fuzz run: fixed seed and number of
# inputs, begun from CORPUS if it is there. New inputs are thrown away; one that fails is
# kept and named.
set -u

program=$1
corpus=$2
folder=$(mktemp -d)
mkdir "$folder/new"
seeds=()
[ -d "$corpus" ] && seeds=("$corpus")

# The time limit is for slow machines only; the number of inputs ends the run elsewhere.
"$program" -seed=1 -runs="${FB_FUZZ_RUNS:-120000}" -max_total_time=12 -timeout=20 \
    -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 \
    -artifact_prefix="$folder/" "$folder/new" "${seeds[@]}"
status=$?
if [ $status -eq 0 ]; then
    rm -rf "$folder"
else
    echo "run_fuzz: the failing input is in $folder"
fi
exit $status
