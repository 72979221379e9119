"""The features and prices that most tests share; a test brings the plans.

Prices are chosen so that every expected number can be worked out in the head:

| feature | unit                     | price                                                      |
|---------|--------------------------|------------------------------------------------------------|
| chat    | requests                 | 1 credit                                                   |
| pair    | requests                 | 2 credits                                                  |
| third   | requests                 | 1/3 credit: 333,333,333 nano-credits and a third           |
| least   | requests                 | 0.5 credit, at least 4 credits a request                   |
| video   | seconds, indivisible     | 1 credit, times 4 for 720p, times 1.5 for 600p             |
| clip    | seconds                  | 1 credit                                                   |
| codex   | cost                     | 125,000 / 12,500 / 750,000 nano-credits per token, by model|
| fine    | cost                     | 0.0125 credits per million: 12.5 nano-credits per token    |
| picky   | requests                 | only for the models small (1), large (3), large+fast (7)   |
"""

import textwrap

FEATURES = """
chat:  {meters: [requests], unit: requests, divisible: true, prices: chat}
pair:  {meters: [requests], unit: requests, divisible: true, prices: pair}
third: {meters: [requests], unit: requests, divisible: true, prices: third}
least: {meters: [requests], unit: requests, divisible: true, prices: least}
video: {meters: [requests, seconds], unit: seconds, divisible: false, prices: video}
clip:  {meters: [requests, seconds], unit: seconds, divisible: true, prices: clip}
codex: {meters: [requests, input_tokens, cached_tokens, output_tokens], unit: cost, divisible: true, prices: codex}
fine:  {meters: [tokens], unit: cost, divisible: true, prices: fine}
picky: {meters: [requests], unit: requests, divisible: true, prices: picky}
"""

PRICES = """
chat:
  - {name: message, rates: {requests: {credits: "1", per: 1}}}
pair:
  - {name: pair, rates: {requests: {credits: "2", per: 1}}}
third:
  - {name: third, rates: {requests: {credits: "1", per: 3}}}
least:
  - {name: least, rates: {requests: {credits: "0.5", per: 1}}, minimum: "4"}
video:
  - name: video
    rates: {seconds: {credits: "1", per: 1}}
    multiply: {resolution: {480p: "1", 600p: "1.5", 720p: "4"}}
clip:
  - {name: clip, rates: {seconds: {credits: "1", per: 1}}}
codex:
  - name: gpt-5.5
    match: {model: gpt-5.5}
    rates:
      input_tokens:  {credits: "125",  per: 1000000}
      cached_tokens: {credits: "12.5", per: 1000000}
      output_tokens: {credits: "750",  per: 1000000}
    multiply:
      speed: {standard: "1", fast: "2"}
  - name: default
    rates:
      input_tokens:  {credits: "62.5", per: 1000000}
      cached_tokens: {credits: "6.25", per: 1000000}
      output_tokens: {credits: "375",  per: 1000000}
fine:
  - {name: fine, rates: {tokens: {credits: "0.0125", per: 1000000}}}
picky:
  - {name: small, match: {model: small}, rates: {requests: {credits: "1", per: 1}}}
  - {name: large, match: {model: large}, rates: {requests: {credits: "3", per: 1}}}
  - {name: large-fast, match: {model: large, speed: fast}, rates: {requests: {credits: "7", per: 1}}}
"""


def block(text, spaces):
    return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * spaces)


def policy(plans, defaults="", plan="base", retention="24h", features=FEATURES, prices=PRICES):
    """A whole policy file around these plans. `plan=None` refuses strangers."""
    head = ["version: 1", "defaults:"]
    if plan:
        head.append(f"  plan: {plan}")
    head += ["  hold_ttl: 60s", f"  idempotency_retention: {retention}"]
    if defaults:
        head.append(block(defaults, 2))
    parts = [("features", features), ("prices", prices), ("plans", plans)]
    return "\n".join(head + [f"{name}:\n{block(text, 2)}" for name, text in parts]) + "\n"
