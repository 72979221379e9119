"""kill -9 under pipelines: what was answered over RESP stays, byte for byte, and each key has one effect.

Clients send pipelines of keyed commands over bare connections, and record each answer that came. The
server is killed in between, at a random moment, and started on the same directory; then every command is
asked again. What was answered must be answered the same; what was not takes effect once; in the end the
balance is what the answers add up to.
"""

import random
import threading
import time

from policies import policy
from resp_client import Decision, Wire, multibulk
from weir_client import nano

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")
ROUNDS = 6
CLIENTS = 3
DEPTH = 32


class Client:
    def __init__(self, name, customer):
        self.name, self.customer = name, customer
        self.asked = {}  # key: (command, answer or None)

    def commands(self, draw, count):
        for _ in range(count):
            key = f"{self.name}-{len(self.asked)}"
            call, ttl = ("WEIR.CONSUME", []) if draw.random() < 0.7 else ("WEIR.AUTHORIZE", ["TTL", 86_400_000])
            command = multibulk(call, self.customer.name, "-", "chat", key, *ttl, "requests",
                                draw.randint(1, 3))
            self.asked[key] = (command, None)
            yield key, command

    def run(self, weir, draw, stopping):
        """Until the connection breaks."""
        try:
            with Wire(weir) as wire:
                while not stopping.is_set():
                    batch = list(self.commands(draw, DEPTH))
                    wire.send(b"".join(command for _, command in batch))
                    for key, command in batch:
                        answer = wire.read()
                        if answer is None:
                            return
                        if not isinstance(answer, str):
                            self.asked[key] = (command, answer)
        except OSError:
            pass

    def judge(self, weir):
        """Asks everything again; answers how much it knew already."""
        known = 0
        with Wire(weir) as wire:
            for key, (command, answer) in self.asked.items():
                wire.send(command)
                again = wire.read()
                assert not isinstance(again, str), again
                if answer is not None:
                    assert again == answer, key
                    known += 1
                self.asked[key] = (command, again)
        return known


def test_what_was_answered_in_a_pipeline_stays(fresh, new_customer):
    seed = 20260701
    draw = random.Random(seed)
    weir = fresh(clock=None)
    customer = new_customer(weir, plan="base")
    customer.grant("1000000")
    clients = [Client(f"c{n}", customer) for n in range(CLIENTS)]
    known = 0
    for number in range(ROUNDS):
        stopping = threading.Event()
        threads = [threading.Thread(target=client.run,
                                    args=(weir, random.Random(f"{seed}/{number}/{client.name}"), stopping))
                   for client in clients]
        for thread in threads:
            thread.start()
        before = sum(len(client.asked) for client in clients)
        deadline = time.monotonic() + 30
        wanted = before + draw.randint(200, 1500)
        while sum(len(client.asked) for client in clients) < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        weir.kill()
        stopping.set()
        for thread in threads:
            thread.join()
        weir.start()
        known = sum(client.judge(weir) for client in clients)
    decisions = [Decision(answer) for client in clients for _, answer in client.asked.values()]
    assert known > 1000 and {decision.outcome for decision in decisions} == {"allow"}
    assert len({decision.id for decision in decisions}) == len(decisions)
    balance = customer.balance()
    spent = sum(nano(decision.charged) for decision in decisions)
    assert nano(balance["available"]) == nano("1000000") - spent
