#!/bin/bash
# check_exports.sh [BUILD] - libfashionbert.so in the build folder exports the functions that
# the headers of include/ declare, all of them and nothing else. The script first proves on
# made-up lists and a made-up header that it sees each fault.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # also when called as `sh check_exports.sh`
set -u
cd "$(dirname "$0")/.." || exit 1
library=${1:-build}/libfashionbert.so

# functions_of FOLDER: names of the functions that its headers declare, one a line.
functions_of() {
    local header
    for header in "$1"/*.h; do
        "${CC:-cc}" -E -P -I"$1" "$header" || return 1
    done | tr '\n' ' ' | sed -E ':again; s/\{[^{}]*\}//g; t again' | tr ';' '\n' |
        sed -nE '/typedef/d; s/.*\b(fb_[a-z0-9_]+) *\(.*/\1/p' | LC_ALL=C sort -u
}

# exports_of LIBRARY: names of the symbols that it defines for others, one a line.
exports_of() {
    nm -D --defined-only "$1" | awk '{print $NF}' | LC_ALL=C sort -u
}

# compare DECLARED EXPORTED: print what only one of the two lists has.
compare() {
    local faults
    faults=$(
        LC_ALL=C comm -23 <(echo "$1") <(echo "$2") | sed '/^$/d; s/$/: declared in include\/, not exported/'
        LC_ALL=C comm -13 <(echo "$1") <(echo "$2") | sed '/^$/d; s/$/: exported, not declared in include\//'
    )
    [ -z "$faults" ] || { echo "$faults" && return 1; }
}

self_check() {
    local two one folder found
    one=$(printf 'fb_a\n')
    two=$(printf 'fb_a\nfb_b\n')
    compare "$two" "$two" >/dev/null || { echo "self-check: equal lists differ" && exit 1; }
    ! compare "$two" "$one" >/dev/null || { echo "self-check: a missing export passes" && exit 1; }
    ! compare "$one" "$two" >/dev/null || { echo "self-check: a needless export passes" && exit 1; }
    folder=$(mktemp -d)
    cat >"$folder/made_up.h" <<'END'
typedef struct fb_thing { void (*fb_member)(int); enum { FB_X } kind; } fb_thing;
typedef int (*fb_callback)(void *self); /* fb_comment(void); */
int fb_plain(void);
const char *fb_text(const fb_thing *thing,
                    int more); fb_thing *fb_made(void);
END
    found=$(functions_of "$folder" | tr '\n' ' ')
    rm -rf "$folder"
    if [ "$found" != "fb_made fb_plain fb_text " ]; then
        echo "self-check: read as functions: $found" && exit 1
    fi
}

self_check
[ -f "$library" ] || { echo "check_exports: no $library" && exit 1; }
declared=$(functions_of include) && exported=$(exports_of "$library") || exit 1
if [ -z "$declared" ] || ! compare "$declared" "$exported"; then
    echo "check_exports: $library and include/ differ"
    exit 1
fi
echo "check_exports: $(echo "$declared" | wc -l) functions, declared and exported"
