#!/bin/bash
# run_all.sh [BUILD] - build four times and test once:
#   BUILD        release
#   build-asan   AddressSanitizer, UndefinedBehaviorSanitizer, LeakSanitizer
#   build-fuzz   the fuzz targets, where clang has libFuzzer
#   build-tsan   what threads share, by clang's ThreadSanitizer where it is there
# BUILD's CTest project has the release tests as NAME, the sanitized as asan.NAME and
# tsan.NAME and the fuzz runs as fuzz.NAME; its summary is the last that is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
release=(-G Ninja -DCMAKE_BUILD_TYPE=Release)

# build_in FOLDER TARGET OPTIONS...
build_in() {
    local folder=$1 target=$2
    shift 2
    echo "== building $folder"
    cmake -S . -B "$folder" "${release[@]}" "$@" >/dev/null
    cmake --build "$folder" --target "$target" -- --quiet
}

has_fuzzer() {
    command -v clang >/dev/null || return 1
    echo '#include <stddef.h>
          int LLVMFuzzerTestOneInput(const void *p, size_t n) { return p == 0 && n; }' |
        clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null
}

# Whether what it is built into starts, too: that fails where addresses are laid out with
# more randomness than it knows.
has_tsan() {
    command -v clang >/dev/null || return 1
    local program status=0
    program=$(mktemp)
    echo 'int main(void) { return 0; }' |
        clang -fsanitize=thread -x c - -o "$program" 2>/dev/null && "$program" || status=1
    rm -f "$program"
    return $status
}

fuzz_folder=
if has_fuzzer; then
    fuzz_folder=$PWD/build-fuzz
    build_in build-fuzz all -DCMAKE_C_COMPILER=clang -DFB_SANITIZE=ON -DFB_FUZZ=ON
else
    echo "== no clang with libFuzzer here: the fuzz runs are left out"
fi
tsan_folder=
if has_tsan; then
    tsan_folder=$PWD/build-tsan
    build_in build-tsan tsan_tests -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        -DFB_TSAN=ON -DFB_TESTS=ON
else
    echo "== no clang with ThreadSanitizer here: its tests are left out"
fi
build_in build-asan all -DFB_SANITIZE=ON -DFB_TESTS=ON
build_in "$build" all -DFB_TESTS=ON "-DFB_ASAN_BUILD=$PWD/build-asan" \
    "-DFB_FUZZ_BUILD=$fuzz_folder" "-DFB_TSAN_BUILD=$tsan_folder"

echo "== testing"
exec ctest --test-dir "$build" --output-on-failure --parallel "$(nproc)"
