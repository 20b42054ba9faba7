#!/bin/bash
# check_arrows.sh [BUILD] - the house rules of src/ that a script can check:
#   - an include points down (to a lower rank) or stays in its own folder; equal ranks do
#     not see each other; cli/ and server/ see fashionbert.h, base/ and themselves only
#   - no two files share a base name but a header and its source
#   - no file of src/ is longer than 700 lines
# The build folder is not needed; every test script is given it. The script first proves
# on small made-up trees that it sees each fault.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # also when called as `sh check_arrows.sh`
set -u
cd "$(dirname "$0")/.." || exit 1

MAX_LINES=700

rank_of() {
    case "$1" in
        base) echo 0 ;;
        tensor | comm) echo 1 ;;
        backend) echo 2 ;;
        ops) echo 3 ;;
        nn) echo 4 ;;
        models | data | retrieval) echo 5 ;;
        engine) echo 6 ;;
        training) echo 7 ;;
        tasks) echo 8 ;;
        cli | server) echo 9 ;;
        *) echo unknown ;;
    esac
}

# check_include FOLDER INCLUDE: a sentence when the include is wrong.
check_include() {
    local folder=$1 include=$2 target from to
    case "$include" in fashionbert.h | fashionbert_status.h) return ;; esac
    case "$include" in
        */../* | ../* | /*) echo "leaves its folder" && return ;;
        */*) target=${include%%/*} ;;
        *) echo "names no folder, write \"$folder/$include\"" && return ;;
    esac
    [ "$target" = "$folder" ] && return
    from=$(rank_of "$folder")
    to=$(rank_of "$target")
    if [ "$from" = unknown ] || [ "$to" = unknown ]; then
        echo "is from a folder without a rank"
    elif [ "$from" -eq 9 ] && [ "$target" != base ]; then
        echo "is not for a client of fashionbert.h, which may see base/ only"
    elif [ "$to" -ge "$from" ]; then
        echo "points up or sideways ($folder has rank $from, $target has $to)"
    fi
}

# check_tree ROOT: print every fault under ROOT/src; the status says whether there was one.
check_tree() {
    local root=$1 faults=0 place line include folder fault
    while IFS=: read -r place line include; do
        include=${include#*[\"<]}
        include=${include%%[\">]*}
        folder=${place#"$root"/src/}
        folder=${folder%%/*}
        fault=$(check_include "$folder" "$include")
        if [ -n "$fault" ]; then
            echo "$place:$line: include \"$include\" $fault"
            faults=$((faults + 1))
        fi
    done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*("|<(base|tensor|comm|backend|ops|nn|models|data|retrieval|engine|training|tasks|cli|server)/)' \
        --include='*.c' --include='*.h' --include='*.cc' --include='*.cu' \
        --include='*.cuh' --include='*.inc' "$root/src")
    while read -r twin; do
        echo "$twin: two files of this name"
        faults=$((faults + 1))
    done < <(find "$root/src" -type f | sed 's|.*/||' | sort | uniq -d)
    # A source may share its stem with a header, but only with one beside it.
    while read -r stem; do
        if [ "$(find "$root/src" -type f -name "$stem.*" -exec dirname {} + | sort -u |
            wc -l)" -gt 1 ]; then
            echo "$stem: files of this base name in more than one folder"
            faults=$((faults + 1))
        fi
    done < <(find "$root/src" -type f | sed 's|.*/||; s|\.[^.]*$||' | sort | uniq -d)
    while read -r count path; do
        if [ "$path" != total ] && [ "$count" -gt "$MAX_LINES" ]; then
            echo "$path: $count lines, at most $MAX_LINES: look for the seam"
            faults=$((faults + 1))
        fi
    done < <(find "$root/src" -type f -exec wc -l {} +)
    [ "$faults" -eq 0 ]
}

# expect WANT NAME FILE TEXT: a tree with FILE beside a good one is WANT (good or bad).
expect() {
    local want=$1 name=$2 file=$3 text=$4 root got=good
    root=$(mktemp -d)
    mkdir -p "$root/src/base" "$root/src/ops" "$root/$(dirname "$file")"
    printf '/* */\n' >"$root/src/base/status.h"
    printf '#include "base/status.h"\n#include "fashionbert.h"\n' >"$root/src/ops/add.c"
    printf '%s\n' "$text" >"$root/$file"
    check_tree "$root" >/dev/null || got=bad
    rm -rf "$root"
    if [ "$got" != "$want" ]; then
        echo "self-check: $name must be $want and was found $got"
        exit 1
    fi
}

self_check() {
    expect good "an include that points down" src/nn/x.c '#include "ops/add.h"'
    expect good "an include of its own folder" src/nn/x.c '#include "nn/y.h"'
    expect good "base/ in the command" src/cli/x.c '#include "base/file.h"'
    expect good "a system header" src/base/x.c '#include <stdio.h>'
    expect good "a library's header" src/base/x.c '#include <oneapi/dnnl/dnnl.h>'
    expect good "a header beside its source" src/ops/add.h '/* */'
    expect bad "an include that points up" src/ops/x.c '#include "nn/y.h"'
    expect bad "an include that points up, spaced" src/ops/x.c '  #  include "nn/y.h"'
    expect bad "an include that points up, in <>" src/ops/x.c '#include <nn/y.h>'
    expect bad "an include that points sideways" src/data/x.c '#include "models/y.h"'
    expect bad "an include from a deeper folder" src/backend/ref/x.c '#include "ops/add.h"'
    expect bad "the command that looks inside" src/cli/x.c '#include "tasks/y.h"'
    expect bad "the command that looks at nn" src/cli/x.c '#include "nn/y.h"'
    expect bad "an include of the command" src/tasks/x.c '#include "cli/y.h"'
    expect bad "an include by ..," src/ops/x.c '#include "../base/status.h"'
    expect bad "an include without folder" src/ops/x.c '#include "add.h"'
    expect bad "a folder without a rank" src/misc/x.c '#include "base/status.h"'
    expect bad "two files of one name" src/base/add.c '/* */'
    expect bad "one base name in two folders" src/base/add.h '/* */'
    expect bad "a file too long" src/ops/x.c "$(yes '/* */' | head -n 701)"
}

self_check
if ! check_tree .; then
    echo "check_arrows: the faults above are in the tree"
    exit 1
fi
echo "check_arrows: all includes point down"
