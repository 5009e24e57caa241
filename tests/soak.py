"""`make soak`: round after round of requests, with every fault and with killed functions, until the time is over.

Each round has a stream of its own and is checked by itself. The seed of a round gives the same requests and the same
schedule of faults again: `python tests/soak.py --seed 17 --first-round 42 --rounds 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import conftest  # noqa: F401  # no way to a real AWS account
import support
from delivery import SHORT_READ_TIMEOUT, WIRE_FAULTS, FaultProxy, Sandbox, Stream, schedule
from model import RECORDS, Deletion, Place, Request, is_some_serial_order
from support import Tables
from worker import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model import Delivered

LANES = 4
# Half a second for the handler's own work, beside what it reserves: some requests run out of time.
SHORT_TIME = 5.0
HARMLESS = ("UnprocessedKeys", "Stale", *REFUSALS)


def requests_of(random: Random, days: int, hours: int, most_points: int) -> list[Delivered]:
    """Return a few requests and deletions that overlap in records, days, hours, values and receive times."""
    requests: list[Delivered] = [
        Request(
            random.randrange(4),
            {
                Place(
                    random.randrange(len(RECORDS)), f"2022-10-{random.randint(1, days):02}", random.randrange(hours)
                ): random.choice([-1.0, 0.0, 0.5, 1.0])
                for _ in range(random.randint(1, most_points))
            },
        )
        for _ in range(random.randint(1, 5))
    ]
    return requests + [deletion_of(random, days) for _ in range(random.choice([0, 0, 1, 2]))]


def deletion_of(random: Random, days: int) -> Deletion:
    first, last = sorted(f"2022-10-{random.randint(1, days):02}" for _ in range(2))
    bounds = random.choice([(None, None), (None, 2), (1, None), (1, 3)])
    return Deletion(random.randrange(5), random.randrange(len(RECORDS)), first, last, random.random() < 0.3, *bounds)


def lanes_of(random: Random, requests: Sequence[Delivered], most: int) -> list[list[Delivered]]:
    """Return every request up to `most` times, in any order, spread over the lanes."""
    order = [request for request in requests for _ in range(random.randint(1, most))]
    random.shuffle(order)
    lanes: list[list[Delivered]] = [[] for _ in range(LANES)]
    for request in order:
        random.choice(lanes).append(request)
    return [lane for lane in lanes if lane]


def exact_round(random: Random, stream: Stream, sandboxes: Sequence[Sandbox], proxy: FaultProxy) -> None:
    """Everything that leaves no doubt about what was executed: the counts are those of some serial order."""
    proxy.plan()
    lanes = lanes_of(random, requests_of(random, days=2, hours=3, most_points=6), most=2)
    rates = dict.fromkeys(random.sample(HARMLESS, 3), random.choice([0.0, 0.1, 0.3]))
    seed, single_days = random.randrange(1000), random.random() < 0.5
    counts = stream.deliver_all(sandboxes, lanes, rates=rates, seed=seed, single_days=single_days)
    complete = all(answer.status != 503 for answer in stream.answers)
    stream.repeat(sandboxes[0], [request for lane in lanes for request in lane])
    stream.assert_complete([request for lane in lanes for request in lane])
    if complete:
        assert is_some_serial_order(lanes, counts), f"no serial order gives {counts}"


def chaotic_round(random: Random, stream: Stream, sandboxes: Sequence[Sandbox], proxy: FaultProxy) -> None:
    """Every fault, functions that are killed, functions with little time."""
    kinds = random.choices([None, *WIRE_FAULTS], [len(WIRE_FAULTS), *[1] * len(WIRE_FAULTS)], k=random.randrange(40))
    proxy.plan(*schedule(kinds))
    lanes = lanes_of(random, requests_of(random, days=28, hours=24, most_points=120), most=3)
    rates = dict.fromkeys(random.sample([*HARMLESS, "Executed"], 3), random.choice([0.0, 0.1, 0.2]))

    def way() -> dict[str, Any]:
        single_days = random.random() < 0.2
        return {
            "read_timeout": SHORT_READ_TIMEOUT,
            "rates": rates,
            "seed": random.randrange(1000),
            "single_days": single_days,
            # Days one after the other: each delivery looks at all of them, for which half a second is no time.
            "timeout_seconds": 26 if single_days else random.choice([26, 26, SHORT_TIME]),
            "kill_after": random.uniform(0, 0.1) if random.random() < 0.1 else None,
        }

    how = [[way() for _ in lane] for lane in lanes]

    def run(sandbox: Sandbox, lane: Sequence[Delivered], how: Sequence[dict[str, Any]]) -> None:
        for request, one in zip(lane, how, strict=True):
            stream.complete(sandbox, request, **one)

    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(run, sandboxes, lanes, how))
    fired = proxy.fired()
    proxy.plan()
    stream.repeat(sandboxes[0], [request for lane in lanes for request in lane])
    stream.assert_complete([request for lane in lanes for request in lane])
    stream.faults.update(kind for kind, fired in zip(kinds, fired, strict=True) if kind and fired)


def soak(seconds: float, seed: int, first_round: int, rounds: int | None) -> bool:
    """Run rounds until `seconds` are over. Returns whether all was well."""
    totals: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    well = True
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(support.dynamodb_local())
        proxy = FaultProxy(endpoint)
        stack.callback(proxy.stop)
        tables = Tables(support.local_client(endpoint), "soak-streams", "soak-metrics")
        support.create_table(tables.client, "StreamsTable", tables.streams)
        support.create_table(tables.client, "MetricsTable", tables.metrics)
        environment = {
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "STREAMS_TABLE": tables.streams,
            "METRICS_TABLE": tables.metrics,
            "MAX_SERIES_PER_METRIC": "100000",
        }
        sandboxes = [Sandbox(environment) for _ in range(LANES)]
        for sandbox in sandboxes:
            stack.callback(sandbox.stop)
        last = itertools.count(first_round) if rounds is None else range(first_round, first_round + rounds)
        for number in last:
            if time.monotonic() > ends:
                break
            stream = Stream(tables, f"{seed}-{number}")
            random = Random(f"{seed}-{number}")  # noqa: S311  # reproducible is what it must be
            kind: Callable[..., None] = exact_round if number % 3 == 0 else chaotic_round
            try:
                kind(random, stream, sandboxes, proxy)
            except AssertionError as exc:
                well = False
                print(f"VIOLATION in round {number} ({kind.__name__}): {exc}")
                print(f"again: python tests/soak.py --seed {seed} --first-round {number} --rounds 1", flush=True)
            totals["rounds"] += 1
            totals["requests delivered"] += len(stream.answers) + stream.killed
            totals["answered 200 (deletions)"] += sum(answer.status == 200 for answer in stream.answers)
            totals["points deleted"] += sum(answer.body.get("deleted", 0) for answer in stream.answers)
            totals["answered 201"] += sum(answer.status == 201 for answer in stream.answers)
            totals["answered 503"] += sum(answer.status == 503 for answer in stream.answers)
            totals["points received"] += sum(answer.body.get("received", 0) for answer in stream.answers)
            faults["function killed"] += stream.killed
            faults.update(stream.faults)
            for answer in stream.answers:
                faults.update(answer.faults)
    for counter in (totals, faults):
        print(*(f"{count:10,} {name}" for name, count in sorted(counter.items())), sep="\n", end="\n\n")
    print(f"seed {seed}: {'no violation' if well else 'VIOLATIONS, see above'}")
    return well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--first-round", type=int, default=0)
    parser.add_argument("--rounds", type=int)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.minutes:g} minutes", flush=True)
    return 0 if soak(chosen.minutes * 60, chosen.seed, chosen.first_round, chosen.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
