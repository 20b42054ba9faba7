#!/bin/bash
# check_arrows.sh [BUILD] - the house rules of src/ that a script can check:
#   - an include points down (to a lower rank) or stays in its own folder; equal ranks do
#     not see each other; cli/ and server/ see fashionbert.h, base/ and themselves only.
#     The folders inside data/ and retrieval/ have ranks too.
#   - systems, image encoders and losses are named in their rooms and lists alone
#   - above backend/ nobody reaches into a tensor's memory but by backend/memory.h
#   - outside the terminal (cli/) no number is read or written by the host's locale, nor
#     letters compared by it, but through base/number_text.h and base/ascii.h
#   - no two files share a base name but a header and its source
#   - a file's first line names it: /* NAME - what it is
#   - a header that a comment or a document names is there
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

# The folders inside a folder that is a small house itself.
inner_rank_of() {
    case "$1" in
        data/text | retrieval/index | retrieval/ranking) echo 0 ;;
        data/catalogue | retrieval/postgres) echo 1 ;;
        data/image) echo 2 ;;
        data/import) echo 3 ;;
        data/regions) echo 4 ;;
        data/batch) echo 5 ;;
        *) echo unknown ;;
    esac
}

# check_inner FOLDER INCLUDE: the same inside data/ or retrieval/.
check_inner() {
    local folder=$1 include=$2 from to
    [ "${include%/*}" = "$folder" ] && return
    from=$(inner_rank_of "$folder")
    to=$(inner_rank_of "${include%/*}")
    if [ "$from" = unknown ] || [ "$to" = unknown ]; then
        echo "is from a folder without a rank inside ${folder%%/*}/"
    elif [ "$to" -ge "$from" ]; then
        echo "points up or sideways ($folder has rank $from, ${include%/*} has $to)"
    fi
}

# check_include FOLDER INCLUDE: a sentence when the include is wrong; FOLDER below src/.
check_include() {
    local inner=$1 folder=${1%%/*} include=$2 target from to
    case "$include" in fashionbert.h | fashionbert_status.h | fashionbert/*.def) return ;; esac
    case "$include" in
        */../* | ../* | /*) echo "leaves its folder" && return ;;
        */*) target=${include%%/*} ;;
        *) echo "names no folder, write \"$folder/$include\"" && return ;;
    esac
    if [ "$target" = "$folder" ]; then
        case "$folder" in data | retrieval) check_inner "$inner" "$include" ;; esac
        return
    fi
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

# Names of systems (their folders; "fashionbert" is the program's name too), losses and
# image encoders, and what in code stands for one.
ENCODERS='pixels|thin|resnet[0-9]+|resnext[0-9a-z_]+'
LOSSES='mlm|mpm|tia|itc|click|qt|qi'
NAME_CODE='FB_SYSTEM_[A-Z]|FB_LOSS_[A-Z]|(fb_train_)?is_(qti|selfie)|has_(itc|selfie)|fb_[a-z]+_system\b'
# Where such a name may stand outside of src/models/ and src/nn/encoders/, FILE:NAME: in an
# index it says what is kept of images; in training options it is the name of an option; in
# an import it is whose files they are.
NAMES_ALLOWED='
src/retrieval/index/index_manifest.c:pixels
src/training/recipe.c:itc
src/tasks/import.c:scan
'

# How code reaches into a tensor of a backend on the host, in place of backend/memory.h.
# Bytes may be counted off: (uint8_t *)t->data + n.
NUMBERS='(const )?(float|double|fb_bf16|u?int(16|32|64)_t)'
REACH="(->|\\.)data\\[|\\bmem(cpy|set|move|cmp)\\(.*(->|\\.)data\\b"
REACH="$REACH|\\b$NUMBERS \\*[a-z0-9_]+ = .*(->|\\.)data\\b|\\($NUMBERS \\*\\)[^;]*(->|\\.)data\\b"

# code_of FILE...: their lines as FILE:LINE:CODE, without comments.
code_of() {
    awk 'FNR == 1 { comment = 0 }
        {
            line = $0
            if (comment) {
                if (!(to = index(line, "*/")))
                    next
                line = substr(line, to + 2)
                comment = 0
            }
            while ((from = index(line, "/*")) > 0) {
                rest = substr(line, from + 2)
                if (!(to = index(rest, "*/"))) {
                    line = substr(line, 1, from - 1)
                    comment = 1
                    break
                }
                line = substr(line, 1, from - 1) substr(rest, to + 2)
            }
            sub(/\/\/.*/, "", line)
            if (line ~ /[^ ]/)
                print FILENAME ":" FNR ":" line
        }' "$@"
}

# check_names ROOT: print where a system, a loss or an encoder is named out of its room.
# A literal that is one of their names, or a list of them with commas, counts; a help text
# that has one among other words does not.
check_names() {
    local root=$1 systems names found files
    systems=$(find "$root/src/models" -mindepth 1 -maxdepth 1 -type d 2>/dev/null |
        sed 's|.*/||; /^fashionbert$/d' | paste -sd '|')
    names="${systems:+$systems|}$LOSSES|$ENCODERS"
    mapfile -t files < <(find "$root/src" -type f -name '*.[ch]' \
        -not -path "$root/src/models/*" -not -path "$root/src/nn/encoders/*" | LC_ALL=C sort)
    found=$(code_of "${files[@]}" |
        grep -E "\"($names)(,($names))*\"|\b($NAME_CODE)" |
        while IFS= read -r line; do
            file=${line#"$root"/}
            file=${file%%:*}
            for allowed in $NAMES_ALLOWED; do
                case "$line" in *"\"${allowed#*:}\""*)
                    [ "$file" = "${allowed%%:*}" ] && continue 2 ;;
                esac
            done
            echo "$line"
        done)
    [ -z "$found" ] || { echo "$found" | sed 's/$/    names what its room alone may name/' && return 1; }
}

# check_memory ROOT: print where code above backend/ reads or writes a tensor's memory. A
# tensor of the host is called `host`; what nn/weights*.c and safetensors.c call data are
# tensors of files, which lie there too.
check_memory() {
    local root=$1 found files
    mapfile -t files < <(find "$root/src" -type f -name '*.[ch]' |
        grep -E "^$root/src/(ops|nn|models|engine|training|tasks)/" |
        grep -vE '/src/nn/(weights|weights_import|safetensors)[.]c$' | LC_ALL=C sort)
    [ "${#files[@]}" -gt 0 ] || return 0
    found=$(code_of "${files[@]}" | sed -E 's/\bhost(->|\.)data/host/g' | grep -E "$REACH")
    [ -z "$found" ] || { echo "$found" | sed 's/$/    reaches into a backend'"'"'s memory/' && return 1; }
}

# check_locale ROOT: print where a host program's locale could change what is read or
# written: a bare strtod or scanf of a float, a bare printf of one (a list of arguments may
# hold some), letters compared or turned by the locale.
check_locale() {
    local root=$1 found files
    mapfile -t files < <(find "$root/src" -type f -name '*.[ch]' \
        -not -path "$root/src/cli/*" -not -name 'number_text.c' | LC_ALL=C sort)
    [ "${#files[@]}" -gt 0 ] || return 0
    found=$(code_of "${files[@]}" | awk '
        # A statement as one line: a call and its format may be lines apart.
        {
            split($0, at, ":")
            place = at[1] ":" at[2]
            line = substr($0, length(place) + 2)
            if (at[1] != file)
                statement = ""
            file = at[1]
            if (statement == "")
                start = place
            statement = statement line
            if (line !~ /[;{}][ \t]*$/)
                next
            literals = ""
            for (rest = statement; match(rest, /"([^"\\]|\\.)*"/);
                rest = substr(rest, RSTART + RLENGTH))
                literals = literals " " substr(rest, RSTART, RLENGTH)
            gsub(/%%/, "", literals)
            float = "%[-+ #0]*[0-9*]*([.][0-9*]*)?[lL]?[aefgAEFG]"
            bare = "(^|[^a-z_])"
            if (statement ~ bare "(strto(d|f|ld)|atof|v[a-z]*printf)\\(" ||
                statement ~ bare "(s|f|vs|vf)?scanf\\(" && literals ~ float ||
                statement ~ bare "(s|sn|f|d|as)?printf\\(" && literals ~ float ||
                statement ~ bare "(strn?casecmp|strcasestr|to(upper|lower)|strcoll|isal(pha|num))\\(")
                print start ":" statement
            statement = ""
        }')
    [ -z "$found" ] || { echo "$found" | sed 's/$/    depends on the host program'"'"'s locale/' && return 1; }
}

# check_mentions ROOT: print where a header is named that is not in the tree. Lines that
# include one, C's or Python's strings of C, are not mentions.
check_mentions() {
    local root=$1 found places
    places=$(for place in src include docs examples README.md; do
        [ ! -e "$root/$place" ] || echo "$root/$place"
    done)
    # shellcheck disable=SC2086 # several places
    found=$({
        find "$root" -name '*.h' -not -path '*/build*' | sed 's|.*/|have |'
        grep -rnE '[a-z0-9_]\.h\b' --include='*.[ch]' --include='*.cpp' \
            --include='*.md' --include='*.def' $places | grep -vE '#[[:space:]]*include'
    } | awk '
        $1 == "have" { have[$2] = 1; next }
        {
            split($0, at, ":")
            rest = substr($0, length(at[1]) + length(at[2]) + 3)
            while (match(rest, /[a-z0-9_]+\.h([^A-Za-z0-9_]|$)/)) {
                name = substr(rest, RSTART, RLENGTH)
                sub(/[^A-Za-z0-9_]$/, "", name)
                if (!(name in have))
                    print at[1] ":" at[2] ": names " name ", which is not in the tree"
                rest = substr(rest, RSTART + RLENGTH)
            }
        }')
    [ -z "$found" ] || { echo "$found" && return 1; }
}

# check_tree ROOT: print every fault under ROOT/src; the status says whether there was one.
check_tree() {
    local root=$1 faults=0 place line include folder fault pair
    local -A sentences=() # by folder, the include's folder and ending
    while IFS=: read -r place line include; do
        include=${include#*[\"<]}
        include=${include%%[\">]*}
        folder=${place#"$root"/src/}
        folder=${folder%/*}
        pair="$folder ${include%/*} ${include##*.}"
        [ "${sentences[$pair]+known}" ] ||
            sentences[$pair]=$(check_include "$folder" "$include")
        fault=${sentences[$pair]}
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
        echo "$stem: files of this base name in more than one folder"
        faults=$((faults + 1))
    done < <(find "$root/src" -type f -printf '%f %h\n' | awk '{
            sub(/\.[^.]*$/, "", $1)
            if (($1 in folder) && folder[$1] != $2)
                print $1
            folder[$1] = $2
        }' | sort -u)
    while read -r path; do
        echo "$path:1: begins with \"/* ${path##*/} - \" and what it is"
        faults=$((faults + 1))
    done < <(find "$root/src" -type f -name '*.[ch]' -exec awk 'FNR == 1 {
            name = FILENAME
            sub(/.*\//, "", name)
            if (index($0, "/* " name " - ") == 0)
                print FILENAME
        }' {} +)
    while read -r count path; do
        if [ "$path" != total ] && [ "$count" -gt "$MAX_LINES" ]; then
            echo "$path: $count lines, at most $MAX_LINES: look for the seam"
            faults=$((faults + 1))
        fi
    done < <(find "$root/src" -type f -exec wc -l {} +)
    check_mentions "$root" || faults=$((faults + 1))
    [ "$faults" -eq 0 ]
}

# expect WANT NAME FILE TEXT [CALLED]: a tree with FILE, whose first line says CALLED,
# beside a good one is WANT (good or bad).
expect() {
    local want=$1 name=$2 file=$3 text=$4 called=${5-${3##*/}} root got=good
    root=$(mktemp -d)
    mkdir -p "$root/src/base" "$root/src/ops" "$root/$(dirname "$file")"
    printf '/* status.h - */\n' >"$root/src/base/status.h"
    printf '/* add.c - */\n#include "base/status.h"\n#include "fashionbert.h"\n' \
        >"$root/src/ops/add.c"
    printf '/* %s - */\n%s\n' "$called" "$text" >"$root/$file"
    { check_tree "$root" && check_names "$root" && check_memory "$root" &&
        check_locale "$root"; } >/dev/null || got=bad
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
    expect good "import/ that reads image/" src/data/import/x.c '#include "data/image/y.h"'
    expect bad "image/ that reads import/" src/data/image/x.c '#include "data/import/y.h"'
    expect bad "index/ that reads postgres/" src/retrieval/index/x.c \
        '#include "retrieval/postgres/y.h"'
    expect bad "index/ that reads ranking/" src/retrieval/index/x.c \
        '#include "retrieval/ranking/y.h"'
    expect bad "a folder of data/ without a rank" src/data/misc/x.c \
        '#include "data/text/y.h"'
    expect bad "the command that looks inside" src/cli/x.c '#include "tasks/y.h"'
    expect bad "the command that looks at nn" src/cli/x.c '#include "nn/y.h"'
    expect bad "an include of the command" src/tasks/x.c '#include "cli/y.h"'
    expect bad "an include by ..," src/ops/x.c '#include "../base/status.h"'
    expect bad "an include without folder" src/ops/x.c '#include "add.h"'
    expect bad "a folder without a rank" src/misc/x.c '#include "base/status.h"'
    expect bad "two files of one name" src/base/add.c '/* */'
    expect bad "one base name in two folders" src/base/add.h '/* */'
    expect good "a loss in its system" src/models/fashionbert/x.c 'f("tia");'
    expect good "a loss in a comment" src/tasks/x.c '/* "tia" */'
    expect good "an encoder in a help text" src/tasks/x.c 'f("pixels, or a network");'
    expect bad "a loss out of its room" src/tasks/x.c 'f("tia");'
    expect bad "a list of losses" src/tasks/x.c 'f("mlm,mpm,tia");'
    expect bad "an encoder out of its room" src/tasks/x.c 'f("resnet18");'
    expect bad "a system's number" src/tasks/x.c 'if (s == FB_SYSTEM_QTI)'
    expect bad "a loss's number" src/tasks/x.c 'x = loss[FB_LOSS_TIA];'
    expect bad "a function that asks for a system" src/tasks/x.c 'if (is_qti(o))'
    expect good "a tensor handed on" src/ops/x.c 'f(be, t->data, n);'
    expect good "a tensor's memory named" src/ops/x.c 't->data = memory;'
    expect good "a tensor's later rows" src/nn/x.c 'f((uint8_t *)t->data + n);'
    expect good "a tensor of the host" src/nn/x.c 'float *x = host->data;'
    expect bad "an element read" src/nn/x.c 'y = w->data[0];'
    expect bad "numbers of a tensor" src/models/x.c 'const float *x = t->value.data;'
    expect bad "numbers by a cast" src/models/x.c 'y = ((const float *)t->data)[i];'
    expect bad "a tensor copied" src/nn/x.c 'memcpy(x, t.data, n);'
    expect good "a whole number read" src/nn/x.c 'x = strtoll(text, &end, 10);'
    expect good "a float in a sentence" src/nn/x.c 'fb_fail(ctx, E, "%g is wrong", x);'
    expect good "a remainder" src/nn/x.c 'printf("%d\\n", i % e);'
    expect good "a float for the terminal" src/cli/x.c 'printf("%.3f", x);'
    expect bad "a float read" src/nn/x.c 'x = strtod(text, NULL);'
    expect bad "a float read as float" src/nn/x.c 'x = strtof(text, NULL);'
    expect bad "a float scanned" src/nn/x.c 'sscanf(text, "%lf %s", &x, y);'
    expect bad "a float written" src/nn/x.c 'fprintf(out, "<td>%.*f", n, x);'
    expect bad "a float written lines below" src/nn/x.c $'snprintf(text, size,\n"%d is %g",\nn, x);'
    expect bad "arguments written" src/nn/x.c 'vsnprintf(text, size, format, list);'
    expect bad "letters by the locale" src/nn/x.c 'if (strcasecmp(a, b) == 0) {'
    expect good "a header that is named" src/base/x.c '/* see base/status.h */'
    expect bad "a header named that is not there" src/base/x.c '/* see tasks/gone.h. */'
    expect bad "one named in a document" docs/x.md 'as `gone.h` says'
    expect bad "a file that calls itself otherwise" src/base/x.c '' y.c
    expect bad "a file too long" src/ops/x.c "$(yes '/* */' | head -n 701)"
}

self_check
case "${1:-}" in --names | --memory | --locale) "check_${1#--}" . && exit 0 || exit 1 ;; esac
if ! check_tree . || ! check_names . || ! check_memory . || ! check_locale .; then
    echo "check_arrows: the faults above are in the tree"
    exit 1
fi
echo "check_arrows: all includes point down"
