#!/usr/bin/env python3
"""Adds up the three datasets of a ledger by SQL alone, and holds every balance to the sums.

usage: tests/books_balances.py DIRECTORY      a data directory, served or a copy

It knows the tables (docs/LEDGER.md) and nothing of the program: no chain, no hash, no price rule. Each
check is one query that lists what does not agree; the first rows of it are printed. Exit status 1 when
any check lists anything.
"""
import pathlib
import sqlite3
import sys

# SQLite's sums of integers are exact, or fail when they leave 64 bits.
CHECKS = [
    ("a customer's balance is the sum of all that moved it", """
        SELECT customer, sum(delta) AS sums, last AS says FROM (
            SELECT customer, delta,
                   last_value(customer_after) OVER (PARTITION BY customer ORDER BY position,place
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last
            FROM balance_updates WHERE account<>'overage')
        GROUP BY customer HAVING sums<>says"""),
    ("an account's balance is the sum of its rows", """
        SELECT customer, account, grant_id, name, sum(delta) AS sums, last AS says FROM (
            SELECT customer, account, ifnull(grant_id,0) AS grant_id,
                   CASE WHEN grant_id IS NULL THEN ifnull(name,'') ELSE '' END AS name, delta,
                   last_value(account_after) OVER (
                       PARTITION BY customer,account,ifnull(grant_id,0),
                                    CASE WHEN grant_id IS NULL THEN ifnull(name,'') ELSE '' END
                       ORDER BY position,place
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last
            FROM balance_updates)
        GROUP BY customer,account,grant_id,name HAVING sums<>says"""),
    ("every step of an account is its row's delta", """
        SELECT * FROM (
            SELECT position, place, customer, account, delta, account_after,
                   ifnull(lag(account_after) OVER (
                       PARTITION BY customer,account,ifnull(grant_id,0),
                                    CASE WHEN grant_id IS NULL THEN ifnull(name,'') ELSE '' END
                       ORDER BY position,place),0) AS before
            FROM balance_updates)
        WHERE account_after<>before+delta"""),
    ("a customer's rows are numbered without a gap", """
        SELECT customer, count(*) AS rows_, max(number) AS last FROM balance_updates
        GROUP BY customer HAVING rows_<>last OR min(number)<>1"""),
    ("no grant is overdrawn, and no debt is an asset", """
        SELECT position, place, customer, account, account_after FROM balance_updates
        WHERE (account='grant' AND account_after<0) OR (account='debt' AND account_after>0)"""),
    ("a customer has what his grants have, and his debt", """
        SELECT customer, sum(after) AS accounts, max(settled) AS says FROM (
            SELECT DISTINCT customer, account, ifnull(grant_id,0) AS grant_id,
                   last_value(account_after) OVER (PARTITION BY customer,account,ifnull(grant_id,0)
                       ORDER BY position,place
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS after,
                   last_value(customer_after) OVER (PARTITION BY customer ORDER BY position,place
                       ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS settled
            FROM balance_updates WHERE account IN ('grant','debt','overshoot'))
        GROUP BY customer HAVING accounts<>says"""),
    ("what monetization charges is what balances were charged", """
        SELECT m.position, m.charged, ifnull(b.taken,0) AS taken FROM monetization_events m
        LEFT JOIN (SELECT position, -sum(delta) AS taken FROM balance_updates
                   WHERE cause='charge' GROUP BY position) b USING(position)
        WHERE m.charged<>ifnull(b.taken,0)"""),
    ("balances were charged for nothing else", """
        SELECT position, sum(delta) FROM balance_updates b WHERE cause IN ('charge','debt')
        AND NOT EXISTS (SELECT 1 FROM monetization_events m WHERE m.position=b.position)
        GROUP BY position"""),
    ("overshoot that is given back moves nothing, and what is booked is booked whole", """
        SELECT m.position, m.overshoot_booked, m.overshoot_charged, m.overshoot_refunded,
               ifnull(sum(b.delta),0) AS moved
        FROM monetization_events m LEFT JOIN balance_updates b ON b.position=m.position
             AND b.cause IN ('overshoot_refund','overshoot_charge','debt')
        GROUP BY m.position HAVING moved<>m.overshoot_refunded-m.overshoot_charged"""),
    ("usage and monetization say the same", """
        SELECT u.position FROM usage_events u LEFT JOIN monetization_events m USING(position)
        WHERE (u.kind IN ('consume','commit','usage')) <> (m.position IS NOT NULL)
           OR u.charged<>ifnull(m.charged,0) OR u.overshoot_units<>ifnull(m.overshoot_units,0)
           OR u.overshoot_charged<>ifnull(m.overshoot_charged,0)"""),
    ("a usage event's sources add up to it", """
        SELECT u.position, u.charged, sum(json_extract(s.value,'$.charged')) AS charged_,
               u.units_allowed, sum(json_extract(s.value,'$.units')) AS units_
        FROM usage_events u, json_each(u.sources) s WHERE u.kind NOT IN ('release','expiry')
        GROUP BY u.position HAVING charged_<>u.charged OR units_<>u.units_allowed"""),
    ("a remainder goes on where it stopped", """
        SELECT * FROM (
            SELECT position, customer, price_version, remainder_before,
                   ifnull(lag(remainder_after) OVER (PARTITION BY customer,price_version
                                                     ORDER BY position),0) AS left_
            FROM monetization_events WHERE price_version<>0)
        WHERE remainder_before<>left_"""),
    ("costs add up to charges: q times what was charged, and what remains", """
        SELECT customer, price_version, sum(CAST(cost AS INTEGER)) AS costs,
               sum(q*(charged+overshoot_charged)) + last AS charged_ FROM (
            SELECT *, last_value(remainder_after) OVER (PARTITION BY customer,price_version
                          ORDER BY position
                          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last
            FROM monetization_events m
            WHERE price_version<>0 AND length(cost)<16 AND q<1000000000000
              AND (SELECT unit FROM usage_events u WHERE u.position=m.position)<>'cost')
        GROUP BY customer, price_version HAVING costs<>charged_"""),
    ("refunds are in the balances", """
        SELECT r.position, r.credits, sum(b.delta) AS back FROM refunds r
        LEFT JOIN balance_updates b ON b.position=r.position AND b.cause='refund'
        GROUP BY r.position HAVING r.credits<>ifnull(back,0)"""),
    ("what was refunded and is gone expired or was voided", """
        SELECT r.position, r.expired, -sum(b.delta) AS gone FROM refunds r
        LEFT JOIN balance_updates b ON b.position=r.position AND b.cause IN ('expiry','void')
        GROUP BY r.position HAVING r.expired<>ifnull(gone,0)"""),
    ("grants enter with what they are of", """
        SELECT b.position, b.grant_id, b.delta, g.credits FROM balance_updates b
        LEFT JOIN grants g ON g.id=b.grant_id
        WHERE b.cause IN ('purchase','grant','renewal') AND b.delta IS NOT g.credits"""),
    ("debt is repaid by what was taken from a grant", """
        SELECT position, sum(delta) AS moved FROM balance_updates WHERE cause='repayment'
        GROUP BY position HAVING moved<>0"""),
]
NEEDS_USAGE = ("usage_events",)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1]).resolve() / "ledger.db"
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    cut = database.execute("SELECT value FROM meta WHERE name='usage_cut'").fetchone()[0]
    wrong = 0
    for name, query in CHECKS:
        if cut and any(word in query for word in NEEDS_USAGE):
            print(f"  skipped  {name} (usage events through batch {cut} were cut)")
            continue
        rows = database.execute(query).fetchmany(3)
        print(f"  {'WRONG' if rows else 'ok':8} {name}")
        for row in rows:
            print("          ", row)
        wrong += bool(rows)
    counts = [f"{database.execute(f'SELECT count(*) FROM {table}').fetchone()[0]} {table}"
              for table in ("usage_events", "monetization_events", "balance_updates")]
    print("  over " + ", ".join(counts))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
