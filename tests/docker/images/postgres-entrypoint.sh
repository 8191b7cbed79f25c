#!/usr/bin/env bash
# As the official image of Postgres starts: on an empty PGDATA, initdb and the scripts of docker-entrypoint-initdb.d,
# which reach a server on its socket alone.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
    # shellcheck disable=SC2086  options, separated by spaces
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --pgdata="$PGDATA" $POSTGRES_INITDB_ARGS
    printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        # One that may not be executed is sourced.
        if [ -x "$script" ]; then "$script"; else . "$script"; fi
    done
    pg_ctl -m fast -w stop
fi
exec "$@" -c listen_addresses='*'
