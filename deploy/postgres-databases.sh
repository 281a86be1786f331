#!/bin/sh
# Runs once, when PostgreSQL makes its data folder: the registry's and MLflow's databases, each with its own role.
set -eu
for name in zoo mlflow; do
  case $name in zoo) password=$ZOO_POSTGRES_PASSWORD ;; mlflow) password=$MLFLOW_POSTGRES_PASSWORD ;; esac
  psql -X -q -v ON_ERROR_STOP=1 -U postgres -d postgres -v name="$name" -v password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
