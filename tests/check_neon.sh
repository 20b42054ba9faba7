#!/bin/bash
# check_neon.sh - the int8 kernels of ARM64 under emulation: NEON, with and without dot
# products, gives the bits of the plain loops. Skipped where there is no cross compiler
# (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross) or emulator (qemu-user-static).
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # also when called as `sh check_neon.sh`
set -u
cd "$(dirname "$0")/.." || exit 1
compiler=aarch64-linux-gnu-gcc
for tool in $compiler qemu-aarch64-static; do
    command -v $tool >/dev/null || { echo "check_neon: skipped, no $tool here"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
vector=src/backend/cpu/vector
flags="-std=c17 -O3 -fopenmp-simd -ffp-contract=fast -fno-math-errno -fno-trapping-math
    -Wall -Wextra -Wconversion -Werror -D_GNU_SOURCE -Isrc -Iinclude"
# set_of NAME FLAGS...: its int8 kernels, and the activations that they call
set_of() {
    local name=$1 source
    shift
    for source in int8 elementwise; do
        $compiler $flags -DFB_ISA="$name" "$@" -c $vector/vector_$source.c \
            -o "$work/$source-$name.o" || exit 1
    done
}
set_of plain -DFB_INT8_PORTABLE
set_of neon
set_of dotprod -march=armv8.2-a+dotprod
$compiler $flags -fsyntax-only src/backend/cpu/cpu_detect.c || exit 1
count() { "${compiler%gcc}objdump" -d "$work/int8-$1.o" | grep -c "[[:space:]]$2[[:space:]]"; }
[ "$(count dotprod sdot)" -gt 0 ] || { echo "check_neon: no dot products"; exit 1; }
[ "$(count neon sadalp)" -gt 0 ] || { echo "check_neon: no pairwise sums"; exit 1; }
$compiler $flags tests/programs/int8_neon.c "$work"/*.o -static -lm -o "$work/int8_neon" || exit 1
qemu-aarch64-static -cpu max "$work/int8_neon" || exit 1
echo "check_neon: NEON products have the bits of the plain loops"
