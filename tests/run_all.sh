#!/bin/bash
# run_all.sh [BUILD] - build three times and test once:
#   BUILD        release
#   build-asan   AddressSanitizer, UndefinedBehaviorSanitizer, LeakSanitizer
#   build-fuzz   the fuzz targets, where clang has libFuzzer
# BUILD's CTest project has the release tests as NAME, the sanitized as asan.NAME and the
# fuzz runs as fuzz.NAME; its summary is the last that is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
release=(-G Ninja -DCMAKE_BUILD_TYPE=Release)

build_in() {
    local folder=$1
    shift
    echo "== building $folder"
    cmake -S . -B "$folder" "${release[@]}" "$@" >/dev/null
    cmake --build "$folder" -- --quiet
}

has_fuzzer() {
    command -v clang >/dev/null || return 1
    echo '#include <stddef.h>
          int LLVMFuzzerTestOneInput(const void *p, size_t n) { return p == 0 && n; }' |
        clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null
}

fuzz_folder=
if has_fuzzer; then
    fuzz_folder=$PWD/build-fuzz
    build_in build-fuzz -DCMAKE_C_COMPILER=clang -DFB_SANITIZE=ON -DFB_FUZZ=ON
else
    echo "== no clang with libFuzzer here: the fuzz runs are left out"
fi
build_in build-asan -DFB_SANITIZE=ON -DFB_TESTS=ON
build_in "$build" -DFB_TESTS=ON "-DFB_ASAN_BUILD=$PWD/build-asan" \
    "-DFB_FUZZ_BUILD=$fuzz_folder"

echo "== testing"
exec ctest --test-dir "$build" --output-on-failure --parallel "$(nproc)"
