#!/usr/bin/env bash
# A server with examples/policy.yaml on a temporary data directory, one customer's story, a request
# trace, and the server left running to be played with.
#
# usage: demo.sh [TRACE.csv]        or: TRACE=file.csv demo.sh
# TRACE is CSV with TIMESTAMP,ContextTokens,GeneratedTokens; without it a day is invented (seed 7).
# BUILD says where the program is: build/ when not set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
build=${BUILD:-$root/build}
weir=$build/weir
trace=${1:-${TRACE:-}}

"$here/stop.sh" quietly
data=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo.XXXXXX")

# The default ports, or free ones if somebody has them.
ports=$(python3 - <<'PYTHON'
import socket

for usual in (7878, 7879):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", usual))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1])
PYTHON
)
read -r port resp_port <<<"${ports//$'\n'/ }"
url=http://127.0.0.1:$port

# A test clock: five hours pass when they are told to, and the trace's day in seconds.
setsid "$weir" serve --data "$data/data" --policy "$root/examples/policy.yaml" \
    --http "127.0.0.1:$port" --resp "127.0.0.1:$resp_port" --grpc 127.0.0.1:0 \
    --test-clock 2026-05-04T09:00:00Z \
    >"$data/serve.log" 2>&1 </dev/null &
pid=$!
printf '%s %s\n' "$pid" "$data" >"$build/demo.running"

tries=0
until curl -sf -o /dev/null "$url/readyz"; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 "$pid" 2>/dev/null; then
        echo "the server did not come up:" >&2
        cat "$data/serve.log" >&2
        exit 1
    fi
    sleep 0.05
done

echo
python3 "$here/story.py" "$url"

name="an invented day of a coding assistant, 4,000 requests of 40 customers"
input=(--generate 4000 --seed 7)
if [ -n "$trace" ]; then
    name=$(basename "$trace")
    input=("$trace")
fi
verdict=0
echo "A trace: $name; authorized with an estimate, committed with the actual."
echo
"$weir" load "${input[@]}" --server "$url" --clock --customers 40 --plan plus \
    --grant promotional=5,paid=25 --attribute model=gpt-5.5 --record "$data/played.ndjson" \
    --json >"$data/day.json" || verdict=$?
"$weir" load --generate 20000 --server "$url" --customers 1000 --customer-prefix fast- \
    --plan enterprise --connections 256 --json >"$data/fast.json" || verdict=$?
python3 "$here/summary.py" load "$data/day.json" "$data/fast.json"

echo
echo "The proof, beside the running server, from its files alone."
echo
for proof in verify reconcile replay; do
    "$weir" "$proof" --data "$data/data" --json >"$data/$proof.json" || verdict=$?
    python3 "$here/summary.py" proof "$proof" "$data/$proof.json" || verdict=$?
done

shown=${weir#"$PWD"/}
server=
[ "$port" = 7878 ] || server=" --server $url"
cat <<TEXT

Your turn; the server goes on at $url. Let five hours pass, spend, and ask where the money went:

  curl -s --json '{"advance_ms":18000000}' $url/v1/clock
  curl -s --json '{"customer":"acme","feature":"chat","quantities":{"requests":46},"explain":true}' $url/v1/consume
  curl -s '$url/v1/customers/acme/ledger?limit=3'
  redis-cli -p $resp_port WEIR.CONSUME acme - chat - requests 1      (any Redis client)

  $shown status acme$server
  $shown top$server
  make demo-stop        (data and log: $data)
TEXT
exit "$verdict"
