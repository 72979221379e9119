#!/usr/bin/env bash
# Stops the server that demo.sh left running, and removes its data.
#
# usage: stop.sh [quietly]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
running=${BUILD:-$root/build}/demo.running
if [ ! -f "$running" ]; then
    [ "${1:-}" = quietly ] || echo "no demo is running"
    exit 0
fi
read -r pid data <"$running"
# The number may be somebody else's by now: only a weir on that very directory is ours.
if [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "weir serve --data $data/data "; then
    kill "$pid"
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 300 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    [ "${1:-}" = quietly ] || echo "stopped (process $pid)"
fi
rm -f "$running"
case $data in
*/weir-demo.??????) rm -rf "$data" ;;
esac
