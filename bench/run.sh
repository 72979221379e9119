#!/usr/bin/env bash
# The performance promises, as ratios against a named reference in the same run on the same machine.
#
# usage: bench/run.sh [decide|snapshot|http|resp|lone|overload|settle|soak]...     all when none is named
#        BUILD=directory      where the programs are (build); data goes there too, not to a tmpfs
#        ROUNDS=3 SECONDS_EACH=4 CONNECTIONS=256 CUSTOMERS=20000      of http; of resp too: ROUNDS, CUSTOMERS
#        RESP_REQUESTS=100000                                         of resp, each; four times as many in pipelines
#        OVERLOAD='10 8000' CGROUP=directory                          of overload: its seconds and connections; of
#                             a cgroup with a quota of the processor, for the server to be put into
#        SOAK='--customers 100000 --decisions 1000000'                of soak
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../build}
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-4}
connections=${CONNECTIONS:-256}
customers=${CUSTOMERS:-20000}
resp_requests=${RESP_REQUESTS:-100000}
read -ra soak <<<"${SOAK:---customers 100000 --decisions 1000000}"
read -ra overload <<<"${OVERLOAD:-10 8000}"
parts=("$@")
[ $# -gt 0 ] || parts=(decide snapshot http resp lone overload settle soak)

mkdir -p "$build"
folder=$(realpath "$(mktemp -d "$build/bench.XXXXXX")")
chmod 711 "$folder" # PostgreSQL goes through it as a user of its own
servers=()
leave() {
    local server
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
    done
    wait
    rm -rf "$folder"
}
trap leave EXIT

need() {
    command -v "$1" >/dev/null || { echo "$1 is missing: make bench installs it" >&2 && exit 1; }
}

# $1: what answers once the server is there
wait_for() {
    local tries=0
    until curl -sf -o /dev/null "$1"; do
        tries=$((tries + 1))
        if [ $tries -gt 200 ]; then
            echo "nothing answers at $1" >&2
            cat "$folder"/*.log >&2
            exit 1
        fi
        sleep 0.05
    done
}

start_weir() {
    "$build/weir" serve --data "$folder/data" --policy "$here/policy.yaml" --http 127.0.0.1:0 \
        --resp 127.0.0.1:0 --grpc off \
        >"$folder/weir.log" 2>&1 &
    servers+=($!)
    local tries=0
    until weir=$(grep -o 'http://.*' "$folder/weir.log"); do
        tries=$((tries + 1))
        [ $tries -le 200 ] || { cat "$folder/weir.log" >&2 && exit 1; }
        sleep 0.05
    done
    wait_for "$weir/readyz"
}

consume() { # URL, feature; prints the whole answer, header and body
    curl -si --json "{\"customer\":\"customer-000001\",\"feature\":\"$2\",\"quantities\":{\"requests\":1}}" "$1"
}

start_nginx() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    nginx=http://127.0.0.1:$port
    cat >"$folder/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    default_type application/json;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location /ready { return 200; }
        location /free { return 200 '$1'; }
        location /metered { return 200 '$2'; }
    }
}
CONF
    "$nginx_program" -p "$folder" -c "$folder/nginx.conf" -e "$folder/nginx.log" &
    servers+=($!)
    wait_for "$nginx/ready"
}

# A body that makes nginx's whole answer as long as Weir's, whose header is another.
padding_for() { # feature
    local nginx_header_bytes=148 answer_bytes
    answer_bytes=$(consume "$weir/v1/consume" "$1" | wc -c)
    printf '%*s' $((answer_bytes - nginx_header_bytes)) '' | tr ' ' x
}

measure() { # label, feature, URL, path
    wrk -t1 "-c$connections" "-d${seconds}s" -s "$here/consume.lua" "$3" -- "$4" "$2" "$customers" \
        >"$folder/wrk.out"
    if grep -q 'Non-2xx\|Socket errors' "$folder/wrk.out"; then
        cat "$folder/wrk.out" >&2
        exit 1
    fi
    awk -v key="$2 $1" '/^Requests\/sec/ { print key, $2 }' "$folder/wrk.out" >>"$folder/results"
}

# Medians of lines "kind server number", kind by kind: the reference, then Weir.
tell_medians() { # file, what a kind is, what is counted, the reference, kinds...
    local file=$1 kind=$2 unit=$3 reference=$4
    shift 4
    sort -k1,2 -k3,3n "$file" | awk -v kind="$kind" -v unit="$unit" -v reference="$reference" -v kinds="$*" '
        { key = $1 " " $2; n[key]++; value[key, n[key]] = $3 }
        function median(key,    m) {
            m = n[key]
            return m % 2 ? value[key, (m + 1) / 2] : (value[key, m / 2] + value[key, m / 2 + 1]) / 2
        }
        function row(kind, server,    key) {
            key = kind " " server
            printf "  %-12s %-8s %12d %12d %12d %10.2f\n", kind, server, median(key), \
                value[key, 1], value[key, n[key]], median(key) / median(kind " " tolower(reference))
        }
        END {
            printf "  %-12s %-8s %12s %12s %12s %10s\n", kind, "server", unit, "least", "most", "of " reference
            count = split(kinds, list, " ")
            for (i = 1; i <= count; i++) {
                row(list[i], tolower(reference))
                row(list[i], "weir")
            }
        }'
}

bench_decide() {
    "$build/bench/decide"
}

bench_snapshot() {
    "$build/bench/snapshot" "$folder/snapshot"
}

bench_http() {
    local feature round free metered ours theirs
    need wrk
    need "$nginx_program"
    free=$(padding_for free)
    metered=$(padding_for metered)
    start_nginx "$free" "$metered"
    echo "durable consume over HTTP/1.1 and nginx 'return 200', in turn: wrk -t1 -c$connections," \
        "$rounds rounds of $seconds s, $customers customers"
    for feature in free metered; do
        ours=$(consume "$weir/v1/consume" "$feature" | wc -c)
        theirs=$(consume "$nginx/$feature" "$feature" | wc -c)
        [ "$ours" = "$theirs" ] || { echo "answers differ: $ours, $theirs bytes" >&2 && exit 1; }
        echo "  $feature: whole answers of $ours bytes, both"
    done
    for ((round = 0; round < rounds; round++)); do
        for feature in free metered; do
            measure nginx "$feature" "$nginx" "/$feature"
            measure weir "$feature" "$weir" /v1/consume
        done
    done
    tell_medians "$folder/results" feature requests/s nginx free metered
}

bench_lone() {
    echo "a lone client, one request at a time, and one page written over and synced, in turn"
    "$build/bench/lone" "$weir" "$folder/page" 2000
}

bench_overload() {
    echo "jobs offered by time, whatever became of those before, at multiples of what can be done:" \
        "${overload[0]} s and at most ${overload[1]} connections each"
    [ -z "${CGROUP:-}" ] || echo "${servers[0]}" >"$CGROUP/cgroup.procs"
    "$build/bench/overload" "$weir" "${servers[0]}" "${overload[@]}"
}

start_redis() {
    local tries=0
    redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir -p "$folder/redis"
    redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$folder/redis" --save '' --appendonly yes \
        --appendfsync always --daemonize no >"$folder/redis.log" &
    servers+=($!)
    until waterfall=$(redis-cli -p "$redis_port" SCRIPT LOAD "$(cat "$here/waterfall.lua")" 2>/dev/null) &&
        [ ${#waterfall} = 40 ]; do
        tries=$((tries + 1))
        [ $tries -le 200 ] || { cat "$folder/redis.log" >&2 && exit 1; }
        sleep 0.05
    done
}

measure_resp() { # label, server, port, depth, requests, command...
    local key="$1 $2" port=$3 depth=$4 requests=$5
    shift 5
    redis-benchmark -p "$port" -c 64 -P "$depth" -n "$requests" -r "$customers" --csv "$@" \
        >"$folder/benchmark.out" 2>"$folder/benchmark.err"
    if grep -qi 'error' "$folder/benchmark.out"; then
        cat "$folder/benchmark.out" >&2
        exit 1
    fi
    tail -1 "$folder/benchmark.out" | awk -F'","' -v key="$key" '{ print key, $2 }' >>"$folder/resp"
}

info_of_weir() {
    redis-cli -p "$resp_port" INFO | tr -d '\r' | awk -F: -v name="$1" '$1 == name { print $2 }'
}

bench_resp() {
    local round depth label requests began resp_port
    local ours=(WEIR.CONSUME customer-__rand_int__ - metered - requests 1)
    need redis-server
    need redis-benchmark
    resp_port=$(grep -o 'redis://.*' "$folder/weir.log" | sed 's/.*://')
    start_redis
    echo "durable decisions over RESP and a Lua waterfall in Redis $(redis-server --version | grep -o 'v=[^ ]*')" \
        "with appendfsync always, in turn: redis-benchmark -c 64, $rounds rounds, $customers customers"
    echo "  Weir:  $(redis-cli -p "$resp_port" "${ours[@]}" | tr '\n' ' ')"
    echo "  Redis: $(redis-cli -p "$redis_port" EVALSHA "$waterfall" 1 customer-1 1 1000000000 604800 | tr '\n' ' ')"
    for ((round = 0; round < rounds; round++)); do
        for depth in 1 32; do
            label=pipelined
            requests=$((resp_requests * 4))
            [ $depth -gt 1 ] || { label=unpipelined && requests=$resp_requests; }
            measure_resp "$label" redis "$redis_port" "$depth" "$requests" \
                EVALSHA "$waterfall" 1 customer-__rand_int__ 1 1000000000 604800
            measure_resp "$label" weir "$resp_port" "$depth" "$requests" "${ours[@]}"
        done
    done
    began=$(date +%s%N)
    until [ "$(info_of_weir journal_batch_settled)" = "$(info_of_weir journal_batch_durable)" ]; do
        sleep 0.1
    done
    tell_medians "$folder/resp" '64 clients' decisions/s Redis unpipelined pipelined
    awk -v ns=$(($(date +%s%N) - began)) -v all="$(info_of_weir total_decisions)" \
        'BEGIN { printf "  the books followed beside, and had all %d decisions %.1f s after the last\n", all, ns / 1e9 }'
}

bench_settle() {
    local reference ours
    reference=$(TMPDIR=$folder "$here/settle_postgres.sh" 1000000 15 16) || reference=
    echo "${reference:-PostgreSQL 15 is not here: no reference}"
    TMPDIR=$folder "$build/bench/settle" 1000000 1000000 | tee "$folder/settle.out"
    [ -n "$reference" ] || return 0
    ours=$(awk '/at once/ { print $3 }' "$folder/settle.out")
    awk -v ours="$ours" -v theirs="$(grep -o '[0-9]* decisions/s' <<<"$reference")" \
        'BEGIN { printf "  %.1f times PostgreSQL, both durable\n", ours / theirs }'
}

bench_soak() {
    need sqlite3
    need curl
    "$build/bench/soak" "$build/weir" "$here/soak.yaml" "$folder" "${soak[@]}"
}

nginx_program=$(PATH=$PATH:/usr/sbin command -v nginx || echo nginx)
for part in "${parts[@]}"; do
    declare -F "bench_$part" >/dev/null || { echo "no such part: $part" >&2 && exit 2; }
done
echo "$(nproc) processors, Linux $(uname -r), data on $(stat -f -c %T "$folder")"
for part in "${parts[@]}"; do
    echo
    case $part in
    decide | snapshot | settle | soak) ;;
    *) [ -n "${weir:-}" ] || start_weir ;;
    esac
    "bench_$part"
done
