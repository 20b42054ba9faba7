#!/bin/bash
# check_setup.sh - `setup` in front of made-up dpkg-query, apt-get, id and sudo: it installs
# what is missing and only that, renews the package lists only when it must, never asks.
set -u
cd "$(dirname "$0")/.." || exit 1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

stub() {
    cat >"$folder/$1"
    chmod +x "$folder/$1"
}

stub dpkg-query <<'END'
#!/bin/sh
for last; do :; done
case " $MISSING " in *" $last "*) exit 1 ;; esac
echo "install ok installed"
END
stub apt-get <<'END'
#!/bin/sh
echo "$* [$DEBIAN_FRONTEND]" >>"$CALLS"
case "$1" in
    update) rm -f "$CALLS.old-lists" ;;
    install) [ ! -e "$CALLS.old-lists" ] ;;
esac
END
stub id <<'END'
#!/bin/sh
echo "$USER_ID"
END
stub sudo <<'END'
#!/bin/sh
exit 1
END

export CALLS=$folder/calls

# expect NAME STATUS CALLS ARGUMENTS...: run setup, compare status and apt-get's calls.
expect() {
    local name=$1 status=$2 calls=$3 got=0
    shift 3
    : >"$CALLS"
    PATH=$folder:$PATH ./setup "$@" >"$folder/out" 2>&1 </dev/null || got=$?
    if [ "$got" -ne "$status" ] || [ "$(cat "$CALLS")" != "$calls" ]; then
        echo "FAIL: $name: exit status $got for $status, apt-get was called with:"
        cat "$CALLS" "$folder/out"
        failures=$((failures + 1))
    fi
}

install="install -y -q --no-install-recommends libwebp-dev [noninteractive]"
update="update -q [noninteractive]"
export USER_ID=0 MISSING=
expect "all there" 0 ""
MISSING=libwebp-dev
expect "one missing" 0 "$install"
MISSING="libcmocka-dev"
expect "a test's package when only building" 0 "" build
expect "what a test compares with" 0 "" python
MISSING=python3-torch
expect "the same when it is asked for" 0 \
    "install -y -q --no-install-recommends python3-torch [noninteractive]" python
expect "and only then" 0 ""
MISSING=libwebp-dev
touch "$CALLS.old-lists"
expect "old package lists" 0 "$install
$update
$install"
USER_ID=1000
expect "no way to be root" 1 ""
grep -q "apt-get install libwebp-dev" "$folder/out" || {
    echo "FAIL: the command to run as root is not named"
    failures=$((failures + 1))
}
expect "an unknown word" 2 "" nonsense

[ "$failures" -eq 0 ] && echo "check_setup: setup does what it says"
exit $((failures > 0))
