# cli_lib.sh - shared by the shell tests of the command; source it with the build folder.
#
#   FB, MAKE    the command, and the maker of test catalogues
#   WORK        a fresh folder, removed at the end
#   TINY        options of a model that trains in a second
#   ok TEXT CMD...            the command succeeds
#   fails CODE WORDS CMD...   it exits with CODE, one line on stderr, holding WORDS
#   close WHAT GOT WANTED     numbers, equal but for rounding
set -u
BUILD=$1
FB=$BUILD/fashionbert
MAKE=$BUILD/tests/make_catalogue
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export OMP_NUM_THREADS=2
export XDG_CACHE_HOME=$WORK/cache # all of a test computes in what its first command chose
passed=0
failed=0

cat >"$WORK/tiny.json" <<'EOF'
{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 64, "fashionbert": {"image_size": 64, "grid": 8}}
EOF
TINY="--config $WORK/tiny.json --vocab-size 120 --max-text 16 --batch 16 --threads 2 --quiet"

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
}
ok() {
    local what=$1
    shift
    if "$@" >"$WORK/stdout" 2>"$WORK/stderr"; then pass; else
        fail "$what: exit $?: $(head -c 600 "$WORK/stderr")"
    fi
}
fails() {
    local code=$1 words=$2 status
    shift 2
    "$@" >"$WORK/stdout" 2>"$WORK/stderr"
    status=$?
    if [ $status -ne "$code" ]; then
        fail "exit $status, not $code: $*: $(head -c 600 "$WORK/stderr")"
    elif ! grep -qF -- "$words" "$WORK/stderr"; then
        fail "stderr does not say '$words': $*: $(head -c 600 "$WORK/stderr")"
    elif [ "$(wc -l <"$WORK/stderr")" -ne 1 ]; then
        fail "stderr is not one line: $*: $(head -c 600 "$WORK/stderr")"
    else pass; fi
}
check() {
    local what=$1
    shift
    if "$@"; then pass; else fail "$what"; fi
}
# close WHAT GOT WANTED: as many numbers, equal to 1e-5. The last digits of a number that
# was computed beside others differ on some processors by what these others are.
close() {
    if awk -v got="$2" -v wanted="$3" 'BEGIN {
        n = split(got, a); m = split(wanted, b); bad = n != m || n == 0
        for (i = 1; i <= n; i++) {
            d = a[i] - b[i]; most = 1e-5 * (1 + (b[i] < 0 ? -b[i] : b[i]))
            bad = bad || a[i] !~ /^[-+.0-9]/ || !(d <= most && -d <= most)
        }
        exit bad }'; then pass; else fail "$1: '$2', not '$3'"; fi
}
# The log without what a clock says.
steady_log() { sed 's/, *"wait_ms":.*//' "$1"; }
finish() {
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}
