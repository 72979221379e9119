#!/usr/bin/env bash
# usage: tests/ops/unpack.sh DIRECTORY
#
# Puts Debian's prometheus and promtool into DIRECTORY/usr/bin, for tests/ops. The package is unpacked and
# not installed: installing it starts a server that listens on all interfaces, now and with every boot, and
# nothing here needs one. Where both programs are installed anyway, or unpacked already, nothing is done.
set -euo pipefail
directory=$1

if { command -v prometheus && command -v promtool; } >/dev/null || [ -x "$directory/usr/bin/promtool" ]; then
    exit 0
fi
command -v apt-get >/dev/null || { echo 'no apt-get here; please install prometheus' && exit 1; }
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

mkdir -p "$directory"
cd "$directory"
echo "unpacking prometheus into $PWD"
rm -rf unpacked prometheus_*.deb
apt-get download -q prometheus || { $sudo apt-get update -q && apt-get download -q prometheus; }
dpkg-deb -x prometheus_*.deb unpacked
rm -rf prometheus_*.deb usr
mv unpacked/usr usr
rm -rf unpacked
