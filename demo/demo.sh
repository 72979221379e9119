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

# The default port, or a free one if somebody has it.
port=$(python3 - <<'PYTHON'
import socket

with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", 7878))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1])
PYTHON
)
url=http://127.0.0.1:$port

# A test clock: five hours pass when they are told to, and the trace's day in seconds.
setsid "$weir" serve --data "$data/data" --policy "$root/examples/policy.yaml" \
    --http "127.0.0.1:$port" --test-clock 2026-05-04T09:00:00Z \
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

echo "A trace on its own time: every request is authorized with an estimate, committed with the actual."
echo
input=(--generate 4000 --seed 7)
[ -z "$trace" ] || input=("$trace")
verdict=0
"$weir" load "${input[@]}" --server "$url" --clock --customers 40 --plan plus \
    --grant promotional=5,paid=25 --attribute model=gpt-5.5 --record "$data/played.ndjson" || verdict=$?

echo
echo "The same server flat out: 1,000 customers, 256 connections, no waiting for a clock."
"$weir" load --generate 20000 --server "$url" --customers 1000 --customer-prefix fast- \
    --plan enterprise --connections 256 | sed -n '2s/^/  /p; /^Latency/,/commit/p' || verdict=$?

shown=${weir#"$PWD"/}
server=
[ "$port" = 7878 ] || server=" --server $url"
cat <<TEXT

The server goes on at $url (data and log: $data). Try, in this order:

  curl -s --json '{"advance_ms":18000000}' $url/v1/clock
  curl -s --json '{"customer":"acme","feature":"chat","quantities":{"requests":46},"explain":true}' $url/v1/consume
  curl -s $url/v1/customers/acme/balance
  $shown status acme$server

Five hours pass, so 45 messages are included again; one is paid; the balance has moved by it.
Stop the server with: make demo-stop   (or: kill $pid)
TEXT
exit "$verdict"
