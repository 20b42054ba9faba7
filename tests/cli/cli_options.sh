#!/bin/bash
# cli_options.sh BUILD - the command line from outside: help, misuse, environment, and what
# happens when standard output cannot be written. No model is needed.
set -u
command="$1/fashionbert"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in ${!FASHIONBERT_@}; do unset "$name"; done
failures=0

fail() {
    echo "FAIL: $*" >&2
    failures=$((failures + 1))
}

# status STATUS WORDS...: run, keep stdout and stderr, compare the exit status.
status() {
    local expected=$1 got=0
    shift
    "$command" "$@" >"$folder/out" 2>"$folder/err" </dev/null || got=$?
    [ "$got" = "$expected" ] || fail "fashionbert $*: exit status $got, not $expected"
}

# misused PART WORDS...: exit 2, nothing on stdout, one line on stderr that holds PART.
misused() {
    local part=$1
    shift
    status 2 "$@"
    [ ! -s "$folder/out" ] || fail "fashionbert $*: results on stdout"
    [ "$(wc -l <"$folder/err")" = 1 ] || fail "fashionbert $*: stderr is not one line"
    grep -q "^fashionbert: " "$folder/err" || fail "fashionbert $*: no \"fashionbert: \""
    grep -qF -- "$part" "$folder/err" ||
        fail "fashionbert $*: \"$(cat "$folder/err")\" does not say \"$part\""
}

# options_of VERB: the names in its list of options, with rows that verbs share in their
# place, also where those name rows that they share themselves. A row's first quoted word
# is its name.
lists=$(dirname "$0")/../../include/fashionbert
options_of() {
    awk '
        function name(line) { match(line, /"[^"]*"/); return substr(line, RSTART + 1, RLENGTH - 2) }
        function word(text) { match(text, /FB_[A-Z_]+/); return substr(text, RSTART, RLENGTH) }
        function all(shared, parts, count, i, out) {
            count = split(rows[shared], parts)
            for (i = 1; i <= count; i++)
                out = out " " (parts[i] ~ /^FB_/ ? all(parts[i]) : parts[i])
            return out
        }
        /^#define FB_[A-Z]+_(OPTIONS|ROWS?)\(X/ { shared = word($2) }
        /^ +X\([A-Z]/ { rows[shared] = rows[shared] " " name($0) }
        /^ +FB_[A-Z]+_ROWS?\(X/ { rows[shared] = rows[shared] " " word($0) }
        /^FB_(OPTION|COMMAND|LIST|COMMAND_LIST)\(/ { print name($0) }
        /^FB_[A-Z]+_OPTIONS\(/ { print all(word($0)) }
    ' "$lists/option_lists.h" "$lists/$1.def"
}

status 0 help --man
cp "$folder/out" "$folder/man"
for verb in import inspect train evaluate quantize match explain encode index search serve bench; do
    status 0 "$verb" --help
    [ ! -s "$folder/err" ] || fail "$verb --help: talk on stderr"
    grep -q "^  fashionbert $verb " "$folder/out" || fail "$verb --help: no example"
    [ "$(wc -L <"$folder/out")" -le 90 ] || fail "$verb --help: wider than 90 columns"
    cp "$folder/out" "$folder/help"
    status 0 help "$verb"
    cmp -s "$folder/out" "$folder/help" || fail "help $verb is not $verb --help"
    options=$(options_of "$verb")
    for option in $options; do
        # From this option's row up to the next.
        row=$(awk -v name="--$option" '
            /^  --/ { on = ($1 == name) } /^$/ { on = 0 } on' "$folder/help" |
            tr -s ' \n' ' ')
        case "$row" in
        *"(required"* | *"(default "* | *"; default "*) ;;
        *) fail "$verb --help: --$option stands without its default: \"$row\"" ;;
        esac
        variable=FASHIONBERT_$(echo "$option" | tr 'a-z-' 'A-Z_')
        grep -q "Environment: $variable\.$" "$folder/man" ||
            fail "help --man: no $variable"
    done
    rows=$(grep -c '^  --' "$folder/help")
    [ "$rows" = "$(echo $options | wc -w)" ] || fail "$verb --help: $rows options"
    [ "$rows" -ge 9 ] || fail "$verb.def: only $rows rows are read"
done
! grep -vE '^\.(TH|SH|B|br|TP|PP|RS|RE|nf|fi)|^[^.]' "$folder/man" ||
    fail "help --man: a line that is no roff"

status 0 --help
grep -q "evaluate" "$folder/out" || fail "--help does not list the verbs"
status 0 help
status 0 --version
grep -qE '^fashionbert [0-9]+\.[0-9]+\.[0-9]+$' "$folder/out" || fail "--version"
status 2
[ ! -s "$folder/out" ] && grep -q "usage:" "$folder/err" || fail "no verb: no usage"

misused 'did you mean train?' trian
misused '"xyzzy"' xyzzy
misused '"xyzzy"' help xyzzy
misused 'did you mean --catalog?' train --catalogue c --out o
misused '--frobnicate' bench --frobnicate
misused '--batch: "many" is not a whole number from 2' train --catalog c --out o --batch many
misused '--batch: "1"' train --catalog c --out o --batch=1
misused '--lr: "nan"' train --catalog c --out o --lr nan
misused '--loader-threads: "0" is not a whole number from 1 to 64' train --catalog c --out o \
    --loader-threads 0
misused '--patch-keep: "0" is not a number from 0.01 to 1' train --catalog c --out o --patch-keep 0
misused '--lr: "11" is not a number from 0 to 10' train --catalog c --out o --lr 11
misused '--presets: "mini,huge"' bench --presets mini,huge
misused '--protocol: "half"' evaluate --model m --catalog c --protocol half
misused '--catalog DIR' train --out o
misused '--out DIR' train --catalog c
misused '--out DIR' train --resume
misused '--sources PATH' import --out o
misused '--text TEXT' match --model m --image i
misused '--image FILE' match --model m --text t
misused '--model needs a value' evaluate --model
misused '"loose"' train loose --catalog c --out o
misused '--top: "-1"' match --model m --text t --image i --top -1
misused '--text -' match --model m --text - --image i
misused 'unknown option --a?b' train $'--a\nb'

# The environment counts, is named when wrong, and yields to the command line.
FASHIONBERT_BATCH=lots misused 'FASHIONBERT_BATCH: "lots"' train --catalog c --out o
FASHIONBERT_CHECKPOINT_EVERY=-1 misused FASHIONBERT_CHECKPOINT_EVERY train
FASHIONBERT_CATALOG=c misused '--out DIR' train
FASHIONBERT_LR='' misused '--catalog DIR' train
FASHIONBERT_OUT=o FASHIONBERT_CATALOG="$folder/none" status 1 train --quiet
grep -qF "$folder/none" "$folder/err" || fail "train does not name the catalogue it lacks"
FASHIONBERT_CATALOG=c status 1 train --out "$folder/o" --catalog "$folder/typed" --quiet
grep -qF "$folder/typed" "$folder/err" || fail "the command line does not win"

# A result that nobody can read is a failure.
if [ -w /dev/full ]; then
    "$command" train --help >/dev/full 2>"$folder/err" && fail "full output: exit status 0"
    grep -q "standard output" "$folder/err" || fail "full output: not told"
fi
"$command" train --help 2>"$folder/err" | true
[ "${PIPESTATUS[0]}" -le 1 ] || fail "closed pipe: exit status ${PIPESTATUS[0]}"

[ "$failures" = 0 ] || exit 1
echo "ok"
