#!/bin/bash
# check_functions.sh [BUILD] - no function of src/ and include/, and no pointer to one, takes
# more than 8 parameters: past that, a struct that is named by what it is. No function has
# more than 65 lines: past that, look for the seam. The script first proves on made-up files
# that it sees what it must.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # also when called as `sh check_functions.sh`
set -u
cd "$(dirname "$0")/.." || exit 1

# functions MODE FILE...: a line for each function of too many parameters (MODE parameters)
# or lines (MODE lines). Relies on clang-format: what stands outside of functions begins in
# the first column, and a function's braces stand there alone.
functions() {
    local mode=$1
    shift
    awk -v mode="$mode" -v most_parameters=8 -v most_lines=65 '
        FNR == 1 { comment = body = 0; text = "" }
        {
            line = $0
            if (body) {
                if (line ~ /^}/) {
                    body = 0
                    if (mode == "lines" && FNR - first + 1 > most_lines)
                        printf "%s:%d: %s has %d lines, at most %d\n", FILENAME, first, name, FNR - first + 1, most_lines
                }
                next
            }
            if (comment) {
                if (!match(line, /\*\//))
                    next
                line = substr(line, RSTART + 2)
                comment = 0
            }
            gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
            while ((from = index(line, "/*")) > 0) {
                rest = substr(line, from + 2)
                if ((to = index(rest, "*/")) == 0) {
                    line = substr(line, 1, from - 1)
                    comment = 1
                    break
                }
                line = substr(line, 1, from - 1) substr(rest, to + 2)
            }
            sub(/\/\/.*/, "", line)
            if (line ~ /^{/) {
                body = text_was_function
                next
            }
            if (text == "" && line !~ /^[A-Za-z_].*[^)]$|^[A-Za-z_].*\)$/ && line !~ /\(\*[a-z_0-9]+\)\(/)
                next
            if (text == "")
                first = FNR
            text = text " " line
            opened = gsub(/\(/, "(", text)
            if (opened == 0) {
                text_was_function = 0
                text = line ~ /[;{},:]$/ ? "" : text
                next
            }
            if (opened > gsub(/\)/, ")", text))
                next
            read(text)
            text = ""
        }
        function read(text,    at, depth, commas, c, i) {
            text_was_function = text !~ /;[ ]*$/
            if (match(text, /\(\*[A-Za-z_0-9]+\)\(/)) {
                name = substr(text, RSTART + 2, RLENGTH - 4)
                at = RSTART + RLENGTH - 1
            } else if (match(text, /[A-Za-z_0-9]+\(/)) {
                name = substr(text, RSTART, RLENGTH - 1)
                at = RSTART + RLENGTH - 1
            } else
                return
            for (i = at; i <= length(text); i++) {
                c = substr(text, i, 1)
                depth += c == "(" ? 1 : c == ")" ? -1 : 0
                commas += c == "," && depth == 1
                if (depth == 0)
                    break
            }
            if (mode == "parameters" && commas + 1 > most_parameters)
                printf "%s:%d: %s has %d parameters, at most %d\n", FILENAME, first, name, commas + 1, most_parameters
        }' "$@"
}

# expect MODE COUNT NAME TEXT: functions() finds so many faults in a file of this text.
expect() {
    local mode=$1 count=$2 name=$3 text=$4 file found
    file=$(mktemp)
    printf '%s\n' "$text" >"$file"
    found=$(functions "$mode" "$file" | wc -l)
    rm -f "$file"
    if [ "$found" -ne "$count" ]; then
        echo "self-check: $name must give $count faults and gave $found"
        exit 1
    fi
}

self_check() {
    local eight='int a, int b, int c, int d, int e,
      int f, int g, int h'
    expect parameters 0 "eight parameters" "int fb_x($eight);"
    expect parameters 1 "nine parameters" "int fb_x($eight, int i);"
    expect parameters 1 "nine of a static function" "static int x($eight, int i)
{
}"
    expect parameters 1 "a comment among them" "int fb_x($eight, /* , */
      int i);"
    expect parameters 1 "nine behind a function" "static int x(void)
{
    call(1, 2, 3, 4, 5, 6, 7, 8, 9);
}
int fb_y($eight, int i);"
    expect parameters 0 "a call of nine" "static int x(void)
{
    call(1, 2, 3, 4, 5, 6, 7, 8, 9);
}"
    expect parameters 1 "a pointer in a struct" "typedef struct fb_x {
    int (*score)($eight, int i);
} fb_x;"
    expect parameters 1 "a type of function" "typedef int (*fb_x)($eight, int i);"
    expect parameters 0 "nine in a comment" "/* fb_x(a, b, c, d, e, f, g, h, i)
 * fb_x(a, b, c, d, e, f, g, h, i) */
int fb_x(void);"
    expect parameters 0 "a parameter that is a function" "int fb_x(int (*f)(int, int), int b, int c, int d, int e, int g);"
    expect lines 1 "66 lines" "static int x(void)
{
$(yes '    y();' | head -n 63)
}"
    expect lines 0 "65 lines" "static int x(void)
{
$(yes '    y();' | head -n 62)
}"
}

self_check
mapfile -t files < <(find src include -name '*.[ch]' -o -name '*.cpp' | LC_ALL=C sort)
[ "${#files[@]}" -gt 100 ] || { echo "check_functions: the sources are not here" && exit 1; }
faults=$(functions parameters "${files[@]}" && functions lines "${files[@]}")
if [ -n "$faults" ]; then
    echo "$faults"
    echo "check_functions: these take too many parameters or are too long"
    exit 1
fi
echo "check_functions: no function takes more than 8 parameters or has more than 65 lines"
