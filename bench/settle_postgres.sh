#!/usr/bin/env bash
# The reference of settlement: one PostgreSQL function, one transaction per paid decision, as a ledger
# in a database is usually written. It locks the customer's balance, carries the remainder, charges,
# and adds the same three rows as Weir's settlement (bench/settle.c). Durable (synchronous_commit=on),
# through a Unix socket, in a cluster of its own that is gone afterwards.
#
#   bench/settle_postgres.sh [CUSTOMERS [SECONDS [CLIENTS]]]      1000000 20 16
#
# Prints decisions a second. Wants postgresql-15 (Debian 12).
set -euo pipefail

customers=${1:-1000000}
seconds=${2:-20}
clients=${3:-16}
bin=$(dirname "$(readlink -f "$(command -v pgbench || echo /usr/lib/postgresql/15/bin/pgbench)")")
[ -x "$bin/pgbench" ] || bin=/usr/lib/postgresql/15/bin
if [ ! -x "$bin/initdb" ]; then
    echo "postgresql-15 is not installed" >&2
    exit 2
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-postgres-XXXXXX")
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL does not run as root
    chown postgres "$dir"
    as=(runuser -u postgres --)
fi
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT
cd "$dir"

"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust --no-sync >/dev/null
cat >>"$dir/data/postgresql.conf" <<SETTINGS
listen_addresses = ''
unix_socket_directories = '$dir'
shared_buffers = 2GB
max_wal_size = 8GB
synchronous_commit = on
SETTINGS
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null
sql=("${as[@]}" "$bin/psql" -h "$dir" -d postgres -q -v ON_ERROR_STOP=1)

"${sql[@]}" -v customers="$customers" <<'SQL'
CREATE TABLE balances(customer integer PRIMARY KEY, name text NOT NULL, grant_id bigint NOT NULL,
  after bigint NOT NULL, remainder bigint NOT NULL, updates bigint NOT NULL) WITH (fillfactor = 70);
INSERT INTO balances SELECT n, 'customer-' || n, n, 1000000000000, 0, 0
  FROM generate_series(0, :customers - 1) AS n;
CREATE TABLE usage_events(position bigserial PRIMARY KEY, at timestamptz NOT NULL,
  customer text NOT NULL, subject text NOT NULL, feature text NOT NULL, endpoint text, model text,
  attributes text NOT NULL, kind text NOT NULL, outcome text NOT NULL, reason text NOT NULL,
  status text, units_requested bigint NOT NULL, units_allowed bigint NOT NULL, asked text NOT NULL,
  actual text NOT NULL, sources text NOT NULL, charged bigint NOT NULL, duration_ms bigint);
CREATE TABLE monetization_events(position bigint PRIMARY KEY, customer text NOT NULL,
  feature text NOT NULL, price text NOT NULL, price_version bigint NOT NULL, q bigint NOT NULL,
  units bigint NOT NULL, cost numeric NOT NULL, remainder_before bigint NOT NULL,
  remainder_after bigint NOT NULL, charged bigint NOT NULL);
CREATE TABLE balance_updates(position bigint PRIMARY KEY, at timestamptz NOT NULL,
  customer text NOT NULL, number bigint NOT NULL, grant_id bigint NOT NULL, cause text NOT NULL,
  delta bigint NOT NULL, after bigint NOT NULL);

CREATE FUNCTION consume(who integer, input bigint, output bigint, took bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  held balances%ROWTYPE;
  exact bigint;
  charge bigint;
  rest bigint;
  place bigint;
  quantities text := format('{"input_tokens":%s,"output_tokens":%s}', input, output);
BEGIN
  SELECT * INTO STRICT held FROM balances WHERE customer = who FOR UPDATE;
  exact := input * 125 + output * 751;
  charge := (exact + held.remainder) / 7;
  rest := (exact + held.remainder) % 7;
  IF held.after < charge THEN
    RAISE EXCEPTION 'insufficient credits';
  END IF;
  INSERT INTO usage_events(at, customer, subject, feature, endpoint, model, attributes, kind,
    outcome, reason, status, units_requested, units_allowed, asked, actual, sources, charged,
    duration_ms)
  VALUES (now(), held.name, 'alice', 'chat', '/v1/responses', 'gpt',
    '{"endpoint":"/v1/responses","model":"gpt"}', 'consume', 'allow', 'ok', 'succeeded', charge,
    charge, quantities, quantities,
    format('[{"source":"paid","kind":"grant","grant_id":%s,"units":%s,"charged":%s}]',
      held.grant_id, charge, charge), charge, took)
  RETURNING position INTO place;
  INSERT INTO monetization_events VALUES (place, held.name, 'chat', 'chat/gpt', 1, 7, charge, exact,
    held.remainder, rest, charge);
  INSERT INTO balance_updates VALUES (place, now(), held.name, held.updates + 1, held.grant_id,
    'charge', -charge, held.after - charge);
  UPDATE balances SET after = held.after - charge, remainder = rest, updates = held.updates + 1
    WHERE customer = who;
  RETURN charge;
END $$;
VACUUM ANALYZE balances;
CHECKPOINT;
SQL

cat >"$dir/consume.sql" <<CONSUME
\\set who random(0, $((customers - 1)))
\\set input random(100, 4099)
\\set output random(1, 400)
\\set took random(1, 9000)
SELECT consume(:who, :input, :output, :took);
CONSUME
chmod 644 "$dir/consume.sql"

rate=$("${as[@]}" "$bin/pgbench" -h "$dir" -n -M prepared -c "$clients" -j 2 -T "$seconds" \
    -f "$dir/consume.sql" postgres | awk '/^tps/ {print int($3)}')
echo "PostgreSQL $("$bin/postgres" --version | awk '{print $3}'): $rate decisions/s, a function and a transaction each, $clients clients, $customers customers"
