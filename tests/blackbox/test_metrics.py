"""GET /metrics: its form, that docs/METRICS.md lists what there is, and that the numbers are those of
what was done."""

import re

import policies
import raw
from exposition import documented, family_of, one, read, scrape, total
from weir_client import SECOND, allowed, denied, expect, to_text

POLICY = policies.policy("""
base:
  features:
    chat:
      waterfall:
        - allowance: {name: some, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    clip:
      overshoot: debt
      waterfall:
        - grants: {category: paid}
""") + "pools: {gpu: {capacity: 1, per: 1s, meter: requests}}\n"


def test_every_metric_is_documented_and_every_documented_one_is_there(weir, customer):
    customer.consume(1)
    families, samples = scrape(weir)
    rows = documented()
    assert set(rows) == set(families)
    for name, (kind, _) in families.items():
        assert rows[name][0] == kind, name
    for name, labels in samples:
        family = family_of(name, families)
        found = {label for label, _ in labels} - {"le"}
        assert found == rows[family][1], name


def test_form(weir, customer):
    customer.consume(1)
    answer = weir.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families, samples = read(answer.raw.decode())
    for name, (kind, told) in families.items():
        assert kind in ("counter", "gauge", "histogram") and told.endswith(".")
        assert name.endswith("_total") == (kind == "counter"), name
        assert re.match(r"(weir|process)_", name)
    for (name, labels), value in samples.items():
        assert family_of(name, families) in families, name
        assert value >= 0
    histograms = {name for name, (kind, _) in families.items() if kind == "histogram"}
    for name in histograms:
        check_histogram(name, samples)


def check_histogram(name, samples):
    """Buckets grow and end with all there are."""
    of = {}
    for (found, labels), value in samples.items():
        if found == name + "_bucket":
            rest = tuple(pair for pair in labels if pair[0] != "le")
            of.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    for labels, buckets in of.items():
        assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (float("inf"), samples[name + "_count", labels])
        assert (name + "_sum", labels) in samples


def test_head_and_query(weir):
    assert weir.request("HEAD", "/metrics").status == 200
    assert weir.get("/metrics?x=1").status == 400


def test_syncs_are_told_apart_from_what_they_are_a_part_of(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    customer.grant("5")
    for _ in range(5):
        allowed(customer.consume(1))
    raw.until(lambda: one(scrape(server)[1], "weir_settlement_lag_batches") == 0, "settled")
    _, samples = scrape(server)
    batches = one(samples, "weir_journal_batches_total")
    for whole, sync in (("weir_journal_append", "weir_journal_sync"),
                        ("weir_settlement_transaction", "weir_settlement_sync")):
        assert one(samples, sync + "_seconds_count") == one(samples, whole + "_seconds_count") > 0
        assert 0 < one(samples, sync + "_seconds_sum") < one(samples, whole + "_seconds_sum")
    assert one(samples, "weir_journal_sync_seconds_count") == batches


def test_what_was_charged_refunded_and_left_is_what_was_granted(fresh, new_customer):
    server = fresh()
    before = scrape(server)[1]
    customer = new_customer(server)
    customer.grant("3", "promotional")
    customer.grant("10")
    allowed(customer.consume(4))                       # 2 free, 2 promotional
    held = customer.hold(5)                            # 1 promotional, 4 paid
    expect(customer.commit(held, 2))                   # 1 promotional, 1 paid
    expect(customer.release(customer.hold(3)))
    third = allowed(customer.consume(2))               # 2 paid
    expect(customer.refund(third["decision_id"], credits="0.5"))
    beyond = customer.hold(1, "clip")
    expect(customer.commit(beyond, 20))                # 7 paid, and a debt of 13
    denied(customer.authorize(1), "insufficient_credits")
    samples = scrape(server)[1]

    charged = {source: total(samples, "weir_charged_credits_total", source=source)
               for source in ("allowance", "promotional", "paid", "overage", "debt", "unlimited")}
    assert charged == {"allowance": 0, "promotional": 3, "paid": 10, "overage": 0, "debt": 13,
                       "unlimited": 0}
    assert one(samples, "weir_granted_credits_total", category="promotional") == 3
    assert one(samples, "weir_granted_credits_total", category="paid") == 10
    assert one(samples, "weir_refunded_credits_total") == 0.5
    assert one(samples, "weir_overshoot_credits_total", booked="debt") == 13
    granted = total(samples, "weir_granted_credits_total")
    left = granted + 0.5 - sum(charged.values())
    assert left == float(customer.balance()["available"]) == -12.5

    assert one(samples, "weir_holds_opened_total") == 3
    assert one(samples, "weir_holds_ended_total", how="committed") == 2
    assert one(samples, "weir_holds_ended_total", how="released") == 1
    assert one(samples, "weir_open_holds") == 0
    assert one(before, "weir_holds_opened_total") == 0
    assert total(samples, "weir_decisions_total", outcome="allow") == 5
    assert one(samples, "weir_decisions_total", feature="chat", outcome="deny",
                  reason="insufficient_credits") == 1
    assert one(samples, "weir_used_units_total", feature="clip", source="debt") == 13


def test_expired_and_voided_credits_and_late_commits(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    customer.grant("4", "promotional", expires_at=to_text(server.now + 10 * SECOND))
    paid = customer.grant("3")
    held = customer.hold(3, ttl_ms=5 * SECOND)   # 2 free, 1 promotional
    server.advance(6 * SECOND)
    expect(customer.commit(held, 3))
    server.advance(5 * SECOND)
    expect(customer.void(paid))
    samples = scrape(server)[1]
    assert one(samples, "weir_expired_credits_total") == 3
    assert one(samples, "weir_voided_credits_total") == 3
    assert one(samples, "weir_commits_late_total") == 1
    assert one(samples, "weir_holds_ended_total", how="expired") == 1
    assert one(samples, "weir_holds_ended_total", how="committed") == 1
    assert one(samples, "weir_due_total", what="hold_expiry") == 1
    assert one(samples, "weir_due_total", what="grant_expiry") == 1


def test_counters_begin_anew_with_a_start_and_gauges_are_true_at_once(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    customer.hold(1)
    server.stop()
    server.start()
    samples = scrape(server)[1]
    assert total(samples, "weir_decisions_total") == 0
    assert one(samples, "weir_open_holds") == 1
    assert one(samples, "weir_recovered_entries") >= 1
    assert one(samples, "weir_slab_records", slab="customers") == 1


def test_problems_of_every_layer_are_counted(fresh, new_customer):
    server = fresh()
    server.get("/nowhere")
    server.get("/" + "x" * 9000)
    server.request("POST", "/v1/consume", raw=b"{")
    samples = scrape(server)[1]
    assert one(samples, "weir_problems_total", code="not_found") == 1
    assert one(samples, "weir_problems_total", code="target_too_long") == 1
    assert one(samples, "weir_problems_total", code="malformed") == 1
    assert one(samples, "weir_requests_total", call="POST /v1/consume", code="400") == 1


def test_a_scrape_journals_nothing(fresh):
    server = fresh()
    first = scrape(server)[1]
    second = scrape(server)[1]
    assert one(second, "weir_requests_total", call="GET /metrics", code="200") == 1 + one(
        first, "weir_requests_total", call="GET /metrics", code="200")
    assert one(second, "weir_journal_batches_total") == one(first, "weir_journal_batches_total")
