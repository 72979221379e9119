#!/bin/sh
# Measures the HTTP/1.1 server library candidates against nginx `return 200`, interleaved, on one
# machine: POST of 140 bytes, answer of 400 bytes, keep-alive. "now" answers in the handler,
# "durable" after a group commit (one fdatasync of 4 KB per batch of everything parked).
#
# Needs wrk, nginx, pkg-config and the development packages of the candidates.
# usage: run.sh [rounds] [seconds]
set -eu

rounds=${1:-3}
seconds=${2:-4}
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
servers=
leave() {
    for server in $servers; do
        kill "$server" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap leave EXIT

flags="-std=gnu17 -O2 -Wall -Wextra -Werror -DH2O_USE_LIBUV=0 -I$here -pthread"
build() { # name, pkg-config module
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} $flags $(pkg-config --cflags "$2") "$here/$1.c" "$here/committer.c" \
        -o "$folder/$1" $(pkg-config --libs "$2")
}
build h2o_server libh2o-evloop
build mhd_server libmicrohttpd
build evhttp_server libevent

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nginx_port=$port h2o_port=$((port + 1)) mhd_port=$((port + 2)) evhttp_port=$((port + 3))
mhd_thread_port=$((port + 4)) h2o_watch_port=$((port + 5))

"$folder/h2o_server" $h2o_port "$folder/h2o.data" 2>/dev/null & servers="$servers $!"
WATCH=1 "$folder/h2o_server" $h2o_watch_port "$folder/h2o_watch.data" 2>/dev/null & servers="$servers $!"
"$folder/mhd_server" $mhd_port "$folder/mhd.data" & servers="$servers $!"
INTERNAL=1 "$folder/mhd_server" $mhd_thread_port "$folder/mhd_thread.data" & servers="$servers $!"
"$folder/evhttp_server" $evhttp_port "$folder/evhttp.data" & servers="$servers $!"

wait_for() {
    tries=0
    until body=$(curl -sf -d '{}' "http://127.0.0.1:$1/now"); do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "nothing listens on port $1" >&2; exit 1; }
        sleep 0.02
    done
}
for listening in $h2o_port $h2o_watch_port $mhd_port $mhd_thread_port $evhttp_port; do
    wait_for "$listening"
done
[ ${#body} -eq 400 ]

cat > "$folder/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$nginx_port;
        default_type application/json;
        location / { return 200 '$body'; }
    }
}
CONF
nginx -p "$folder" -c "$folder/nginx.conf" -e "$folder/error.log" & servers="$servers $!"
wait_for "$nginx_port"

cat > "$folder/post.lua" <<LUA
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"subject":"customer-00001234","product":"completions","quantity":"1","pad":"$(printf '%060d' 0)"}'
wrk.body = wrk.body .. string.rep(" ", 140 - #wrk.body)
LUA

measure() { # label, port, path, connections
    wrk -t1 "-c$4" "-d${seconds}s" -s "$folder/post.lua" "http://127.0.0.1:$2/$3" > "$folder/wrk.out"
    if grep -q 'Non-2xx\|Socket errors' "$folder/wrk.out"; then
        cat "$folder/wrk.out" >&2
        exit 1
    fi
    awk -v label="$1" -v c="$4" '/^Requests\/sec/ { print label, c, $2 }' "$folder/wrk.out" \
        >> "$folder/results"
}
round=0
while [ "$round" -lt "$rounds" ]; do
    for connections in 64 256; do
        measure nginx "$nginx_port" now "$connections"
        measure h2o_now "$h2o_port" now "$connections"
        measure mhd_now "$mhd_port" now "$connections"
        measure mhd_now_thread "$mhd_thread_port" now "$connections"
        measure evhttp_now "$evhttp_port" now "$connections"
        measure h2o_durable "$h2o_port" durable "$connections"
        measure h2o_durable_watched "$h2o_watch_port" durable "$connections"
        measure mhd_durable "$mhd_port" durable "$connections"
        measure mhd_durable_thread "$mhd_thread_port" durable "$connections"
        measure evhttp_durable "$evhttp_port" durable "$connections"
    done
    round=$((round + 1))
done

echo "wrk -t1, $rounds rounds of $seconds s, medians; $(nproc) processors, $(nginx -v 2>&1)"
sort -k2,2n -k1,1 -k3,3n "$folder/results" | awk '
    { key = $1 " " $2; n[key]++; value[key, n[key]] = $3; if (n[key] == 1) order[++keys] = key }
    function median(key) {
        m = n[key]
        return m % 2 ? value[key, (m + 1) / 2] : (value[key, m / 2] + value[key, m / 2 + 1]) / 2
    }
    END {
        printf "%-22s %5s %12s %10s %10s %10s\n", "candidate", "conns", "req/s", "least", "most", "of nginx"
        for (i = 1; i <= keys; i++) {
            split(order[i], part, " ")
            printf "%-22s %5d %12d %10d %10d %10.2f\n", part[1], part[2], median(order[i]), \
                value[order[i], 1], value[order[i], n[order[i]]], \
                median(order[i]) / median("nginx " part[2])
        }
    }'
