#!/bin/bash
# fuzz_long.sh MINUTES - each fuzz target for that long, begun from its corpus, which grows
# by what reaches new code (merged, so that little is added). Stops at the first input that
# fails and names it.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=$1
case $minutes in
    '' | *[!0-9]* | 0) echo "fuzz: MINUTES=$minutes is not a number of minutes" >&2 && exit 2 ;;
esac
cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang \
    -DFB_SANITIZE=ON -DFB_FUZZ=ON >/dev/null
cmake --build build-fuzz -- --quiet
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    corpus=tests/fuzz/corpus/$name
    found=$(mktemp -d)
    mkdir -p "$corpus"
    echo "== $name, $minutes min"
    "build-fuzz/$name" -max_total_time=$((60 * minutes)) -timeout=20 -rss_limit_mb=4096 \
        -verbosity=0 -print_final_stats=1 -artifact_prefix="$PWD/build-fuzz/$name-" \
        "$found" "$corpus" || {
        echo "fuzz: the failing input is build-fuzz/$name-*" >&2
        exit 1
    }
    "build-fuzz/$name" -merge=1 -verbosity=0 "$corpus" "$found"
    rm -rf "$found"
done
git status --short tests/fuzz/corpus | sed 's/^/grown: /' || true
