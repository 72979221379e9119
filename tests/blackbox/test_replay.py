"""`weir replay`: every command of the journal decided again gives the fact that was promised, and a
journal that promises anything else is found out though all its hashes agree (DESIGN.md section 5)."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import struct

import pytest

from books import POLICY
from weir_client import allowed, run

SEED = int(os.environ.get("WEIR_SEED", "7"))
FLIPS = int(os.environ.get("WEIR_FLIPS", "40"))


@pytest.fixture
def copy(books, tmp_path):
    target = tmp_path / "copy"
    shutil.copytree(books, target)
    return target


def replay(directory):
    status, out, err = run("replay", "--data", directory, "--json")
    assert status in (0, 1), err
    verdict = json.loads(out)
    assert verdict["clean"] == (status == 0), out
    return verdict


def counts(verdict):
    return {count["what"]: count["number"] for count in verdict["checked"]}


# ---- the journal's format, as src/journal/chain.h and src/engine/entry.h state it ----------------

def take_varint(body, at):
    value = shift = 0
    while True:
        value |= (body[at] & 0x7F) << shift
        shift += 7
        at += 1
        if body[at - 1] < 0x80:
            return value, at


def facts_of(body):
    """Where each entry's fact lies: (offset, length)."""
    at, places = 0, []
    while at < len(body):
        _, at = take_varint(body, at)           # the stamp
        length, at = take_varint(body, at)      # the command
        length, at = take_varint(body, at + length)
        places.append((at, length))
        at += length
    return places


def chain_again(directory, first):
    """Every hash from a batch on, as if what is there now had been written."""
    with sqlite3.connect(directory / "journal.db") as database:
        (previous,) = database.execute("SELECT hash FROM batch WHERE sequence<? ORDER BY sequence "
                                       "DESC LIMIT 1", (first,)).fetchone()
        for row in database.execute(
                "SELECT partition,sequence,epoch,kind,version,writer,first_ms,last_ms,entries,body "
                "FROM batch WHERE sequence>=? ORDER BY sequence", (first,)).fetchall():
            *numbers, body = row
            numbers = [number & (2**64 - 1) for number in numbers]
            head = struct.pack("<IQQIIQQQI", *numbers)
            hashed = hashlib.sha256(head + previous + body).digest()
            database.execute("UPDATE batch SET previous=?, hash=? WHERE sequence=?",
                             (previous, hashed, row[1]))
            previous = hashed


def put_body(directory, sequence, body):
    with sqlite3.connect(directory / "journal.db") as database:
        database.execute("UPDATE batch SET body=? WHERE sequence=?", (body, sequence))


def batches(directory):
    with sqlite3.connect(directory / "journal.db") as database:
        return database.execute("SELECT sequence, body FROM batch WHERE sequence>1 "
                                "ORDER BY sequence").fetchall()


def crowds(directory):
    """Positions of facts that stand for denials which came after them: how many is nobody's
    decision, so it is the one number that deciding again cannot tell."""
    with sqlite3.connect(f"file:{directory}/ledger.db?immutable=1", uri=True) as database:
        return {position for (position,) in database.execute(
            "SELECT position FROM usage_events WHERE outcome='deny' AND subject='crowd'")}


# ---- clean ---------------------------------------------------------------------------------------

def test_every_command_gives_its_fact_again(books):
    verdict = replay(books)
    assert verdict["clean"], verdict["finding"]
    checked = counts(verdict)
    entries = sum(len(facts_of(body)) for _, body in batches(books))
    decided = checked["commands decided again"] + checked["due facts drafted again"]
    assert decided == checked["entries"] == entries > 100
    assert checked["due facts drafted again"] > 0 and checked["policies compiled"] > 0


def test_a_live_server_is_replayed_without_disturbing_it(fresh, new_customer):
    server = fresh(policy=POLICY)
    alice = new_customer(server)
    alice.grant("5")
    allowed(alice.consume(1))
    verdict = replay(server.data)
    assert verdict["clean"], verdict["finding"]
    allowed(alice.consume(1))


# ---- forged --------------------------------------------------------------------------------------

def test_mending_what_is_whole_changes_nothing(copy):
    before = batches(copy)
    chain_again(copy, 2)
    assert batches(copy) == before and replay(copy)["clean"]


def test_a_flipped_bit_in_any_fact_is_found_though_every_hash_was_mended(copy):
    chooser = random.Random(SEED)
    left_out = crowds(copy)
    whole = [(sequence, body, place) for sequence, body in batches(copy)
             for index, place in enumerate(facts_of(body)) if sequence << 12 | index not in left_out]
    for _ in range(FLIPS):
        sequence, body, (at, length) = chooser.choice(whole)
        offset, bit = at + chooser.randrange(length), chooser.randrange(8)
        changed = bytearray(body)
        changed[offset] ^= 1 << bit
        put_body(copy, sequence, bytes(changed))
        chain_again(copy, sequence)
        verdict = replay(copy)
        assert not verdict["clean"], f"bit {bit} of byte {offset} of batch {sequence}, seed {SEED}"
        assert verdict["finding"]["file"] == "journal.db"
        assert f"batch {sequence}," in verdict["finding"]["place"]
        put_body(copy, sequence, body)
        chain_again(copy, sequence)
    assert replay(copy)["clean"]


def test_an_entry_that_was_left_out_is_found(copy):
    """A due fact, such as an expiry, that the journal lacks."""
    for sequence, body in batches(copy):
        places = facts_of(body)
        if len(places) < 2:
            continue
        end = places[0][0] + places[0][1]
        with sqlite3.connect(copy / "journal.db") as database:
            database.execute("UPDATE batch SET body=?, entries=entries-1 WHERE sequence=?",
                             (body[end:], sequence))
        chain_again(copy, sequence)
        assert not replay(copy)["clean"], f"the first entry of batch {sequence}"
        put_body(copy, sequence, body)
        with sqlite3.connect(copy / "journal.db") as database:
            database.execute("UPDATE batch SET entries=entries+1 WHERE sequence=?", (sequence,))
        chain_again(copy, sequence)


def test_a_journal_without_its_beginning_or_a_snapshot_is_refused(copy):
    for snapshot in copy.glob("snapshot-*.weir"):
        snapshot.unlink()
    with sqlite3.connect(copy / "journal.db") as database:
        database.execute("DELETE FROM batch WHERE sequence IN (2, 3)")
    verdict = replay(copy)
    assert not verdict["clean"] and "no snapshot" in verdict["finding"]["what"]
