#!/usr/bin/env bash
# Makes the database the first time, then serves it.
set -euo pipefail

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

if [ "$(id -u)" = 0 ]; then
    install --directory --owner=postgres --group=postgres --mode=0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups bash "$0"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$user" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust \
        --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    if [ "$database" != postgres ]; then
        # Reachable for nobody yet, so that pg_isready does not speak too soon.
        pg_ctl --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp" start
        createdb --host=/tmp --username="$user" "$database"
        pg_ctl --wait --mode=fast stop
    fi
fi

exec postgres -c listen_addresses='*'
