#!/bin/sh
# Copies a data directory of Weir, also beside the server that writes to it, into a new directory.
# usage: backup DATA COPY       (as the user who owns DATA)
#
# The order is what makes the copy right: whatever refers to another file is copied before it. A
# snapshot needs the key files, the books and the journal up to its moment, the books need the
# journal, and the journal nothing. What the journal has on top is made up for at the next start.
# A database is read in one transaction: without it, .backup would begin anew at every commit.
# Until it ends the database's log cannot be folded in and grows.
set -eu
if [ $# != 2 ] || [ ! -f "$1/journal.db" ]; then
    echo 'usage: backup DATA COPY, where DATA is the data directory of weir serve' >&2
    exit 2
fi
data=$1 copy=$2
umask 077
mkdir "$copy"
complain() {
    echo "backup: $1; $copy is no backup" >&2
    exit 1
}

# Two are kept; one that goes meanwhile has been followed by a newer one.
tries=0
while set -- "$data"/snapshot-*.weir && [ -e "$1" ] && ! cp -p "$@" "$copy" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 10 ] || complain 'the snapshots do not stay long enough to be copied'
    rm -f "$copy"/snapshot-*.weir
done
# A key file goes when all in it is over, so one that is missing is missed by nobody.
if [ -e "$data/keys.weir" ]; then
    cp -p "$data/keys.weir" "$copy"
    cp -p "$data"/keys-*.weir "$copy" 2>/dev/null || true
fi
for file in ledger.db journal.db; do
    sqlite3 -bail -readonly "$data/$file" '.timeout 60000' 'BEGIN' \
        'SELECT count(*) FROM sqlite_schema' ".backup '$copy/$file'" >/dev/null ||
        complain "$file cannot be copied"
done
sync "$copy"/* "$copy"
