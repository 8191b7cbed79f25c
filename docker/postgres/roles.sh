#!/usr/bin/env bash
# Run once, by Postgres's image, on an empty volume: a role for each user of the database, and what is its own.
set -euo pipefail

psql_file=$(mktemp)
trap 'rm -f "$psql_file"' EXIT
for role in airflow mlflow cxr; do
    # Through a file for this user only: a command line is shown to every process of the machine.
    printf "CREATE ROLE %s LOGIN PASSWORD '%s';\n" "$role" "$(cat "/run/secrets/postgres_$role")" >> "$psql_file"
done
cat >> "$psql_file" <<'SQL'
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_logins OWNER mlflow;
CREATE DATABASE cxr OWNER cxr;
REVOKE CONNECT ON DATABASE airflow, mlflow, mlflow_logins, cxr FROM PUBLIC;
SQL
psql --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres --file "$psql_file"
