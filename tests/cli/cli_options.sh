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

# Every option of the contract, verb by verb.
import="sources from out map only-mapped encoding split compose-queries clicks split-by store
    image-size skip-bad language catalog ids threads json quiet"
train="catalog out resume preset config vocab vocab-size objective init clicks layers encoder
    encoder-weights patches patch-size image-size freeze-encoder feature-cache encoder-lr fit max-text epochs
    steps itc vector-size vector-text-layers patches-from alignment-head hard-negatives alignment group flip shift zoom hard-items text-mask rare-mask patch-keep unmask-last
    hardness hard-warmup margin soft-targets
    batch accumulate lr weight-decay clip warmup beta1 beta2 dropout adaptive
    adaptive-detach adaptive-norm losses negatives masked-on-mismatched seed checkpoint-every
    validate-every validate-pairs backend dtype threads loader-threads json quiet"
evaluate="model catalog split clicks protocol negatives queries index rerank negative-count min-candidates score
    draws seed candidates trec backend dtype threads per-category json quiet"
inspect="catalog html show floor split protocol negatives queries negative-count min-candidates
    draws seed candidates threads json quiet"
match="model query text image top sheet backend dtype threads json"
explain="model text image out score steps backend dtype threads json"
encode="model catalog out split what text-weight backend dtype threads json quiet"
index="model catalog out add replace delete split what text-weight kind keep vectors
    to links build-effort search-effort
    backend dtype threads json quiet"
search="model index store text image k rerank ranker filter text-weight by exact effort backend dtype
    threads json"
serve="model index store ranker host port api-key access-log workers readers queue max-wait batch-tokens
    max-body max-megapixels memory connections receive-timeout drain-timeout backend dtype
    threads quiet"
bench="presets modes batch text-tokens repeats encoders encoder-preset encoder-batch
    image-folder backend dtype threads profile json quiet"

status 0 help --man
cp "$folder/out" "$folder/man"
for verb in import inspect train evaluate match explain encode index search serve bench; do
    status 0 "$verb" --help
    [ ! -s "$folder/err" ] || fail "$verb --help: talk on stderr"
    grep -q "^  fashionbert $verb " "$folder/out" || fail "$verb --help: no example"
    [ "$(wc -L <"$folder/out")" -le 90 ] || fail "$verb --help: wider than 90 columns"
    cp "$folder/out" "$folder/help"
    status 0 help "$verb"
    cmp -s "$folder/out" "$folder/help" || fail "help $verb is not $verb --help"
    for option in ${!verb}; do
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
    [ "$rows" = "$(echo ${!verb} | wc -w)" ] || fail "$verb --help: $rows options"
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
