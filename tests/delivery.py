"""Requests delivered in any order, repeated and at once, with faults on the way; and what must come of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple

from support import (
    REPOSITORY,
    STARTS_WITHIN_SECONDS,
    create_stream,
    free_port,
    local_client,
    point,
    proxy_event,
    request_body,
)

from unitstream.catalogue import MetricEntry
from unitstream.identity import Metric, record_id
from unitstream.items import RECEIVED, VALUE, day_key, metric_key, series_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support import Tables

    from unitstream.items import Key

    Version = tuple[int, float]

NOW = 1_700_000_000_000
OUTCOMES = ("created", "updated", "unchanged", "superseded")
RECORDS: tuple[tuple[str, dict[str, str]], ...] = (("orders", {}), ("orders", {"region": "eu"}), ("gigabytes", {}))

# What can happen to a call on its way, as rules of the fault proxy, with sandboxes that wait `SHORT_READ_TIMEOUT`.
SHORT_READ_TIMEOUT = 0.3
# Otherwise a machine that is busy is no fault: an answer that comes late leaves a doubt about what was executed.
LONG_READ_TIMEOUT = 20.0
HELD = {"timeout_ms": 60_000}
ANSWER_HELD = {"response": {"bandwidth_kbps": 0.001}}
THROTTLED: dict[str, dict[str, Any]] = {
    "ThrottlingException": {"error": {"code": "ThrottlingException"}},
    "ProvisionedThroughputExceededException": {"error": {"code": "ProvisionedThroughputExceededException"}},
}
FAILED: dict[str, dict[str, Any]] = {
    "InternalServerError": {"error": {"code": "InternalServerError", "status": 500}},
    "timeout, not executed": HELD,
    "timeout, executed": ANSWER_HELD,
    "timeout, executed later": {"latency": SHORT_READ_TIMEOUT * 1000 + 100},
    "reset, not executed": {"reset": True},
    "reset, executed": {"response": {"abort_bytes": 0}},
    "reset in the answer": {"response": {"abort_frac": 0.5}},
}
WIRE_FAULTS = THROTTLED | FAILED


class Place(NamedTuple):
    """An hour of a record, which is given by its place in `RECORDS`."""

    record: int
    day: str
    hour: int


@dataclass(frozen=True)
class Request:
    """A request that the gateway received so many milliseconds after `NOW`."""

    received: int
    values: Mapping[Place, float]

    @property
    def received_at(self) -> int:
        return NOW + self.received

    def event(self, token: str) -> dict[str, Any]:
        points = [
            point(f"{day} {hour:02}:00:00", value, *RECORDS[record])
            for (record, day, hour), value in self.values.items()
        ]
        return proxy_event(request_body(points, token), self.received_at)


def model(requests: Sequence[Request]) -> dict[Place, Version]:
    """What the table must hold: per point, the largest (received_at, value) that was sent."""
    table: dict[Place, Version] = {}
    for request in requests:
        for place, value in request.values.items():
            version = (request.received_at, value)
            table[place] = max(version, table.get(place, version))
    return table


def is_some_serial_order(lanes: Sequence[Sequence[Request]], counts: Sequence[Sequence[tuple[int, ...]]]) -> bool:
    """Whether the `counts` of all answers come about when the deliveries, day by day, happen one after the other.

    A day is written as a whole, a request is not, so every day may have an order of its own. Deliveries of the same
    lane keep theirs.
    """
    answers = tuple(number for lane in counts for answer in lane for number in answer)
    offsets, total = [], 0
    for lane in lanes:
        offsets.append(range(total, total + 4 * len(lane), 4))
        total += 4 * len(lane)
    sums = {(0,) * total}
    for record, day in {(place.record, place.day) for lane in lanes for request in lane for place in request.values}:
        queues = [
            [
                (offset, request.received_at, hours)
                for offset, request in zip(offsets[number], lane, strict=True)
                if (hours := {at.hour: value for at, value in request.values.items() if at[:2] == (record, day)})
            ]
            for number, lane in enumerate(lanes)
        ]
        vectors = _possible_counts([queue for queue in queues if queue], total)
        added = (tuple(map(int.__add__, one, other)) for one in sums for other in vectors)
        sums = {vector for vector in added if all(map(int.__le__, vector, answers))}
    return answers in sums


def _possible_counts(queues: Sequence[Sequence[tuple[int, int, dict[int, float]]]], total: int) -> set[tuple[int, ...]]:
    """The counts of all answers, from one day, in every order in which the queues can be emptied."""
    reached = {((0,) * len(queues), frozenset[tuple[int, "Version"]](), (0,) * total)}
    for _ in range(sum(map(len, queues))):
        following = set()
        for positions, stored, counts in reached:
            for number, queue in enumerate(queues):
                if positions[number] == len(queue):
                    continue
                offset, received_at, hours = queue[positions[number]]
                table, vector = dict(stored), list(counts)
                for hour, value in hours.items():
                    before = table.get(hour)
                    table[hour] = after = max((received_at, value), before or (received_at, value))
                    if before is None:
                        outcome = "created"
                    elif before[1] == value:
                        outcome = "unchanged"
                    else:
                        outcome = "updated" if after != before else "superseded"
                    vector[offset + OUTCOMES.index(outcome)] += 1
                advanced = (*positions[:number], positions[number] + 1, *positions[number + 1 :])
                following.add((advanced, frozenset(table.items()), tuple(vector)))
        reached = following
    return {counts for _, _, counts in reached}


class SandboxEnded(Exception):
    """The sandbox ended before it answered."""


@dataclass(frozen=True)
class Answer:
    """What a sandbox answers, with what the handler printed and the faults of statements that were injected."""

    status: int
    headers: Mapping[str, list[str]]
    body: dict[str, Any]
    log: Sequence[str]
    faults: Counter[str]

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(self.body[outcome] for outcome in OUTCOMES)

    def metric(self, name: str) -> float:
        """Return the one value of a metric in the handler's output (CloudWatch's embedded metric format)."""
        emitted = [document for line in self.log if "_aws" in (document := json.loads(line)) and name in document]
        ((value,),) = [document[name] for document in emitted]
        return float(value)


class Sandbox:
    """A process that serves one event at a time, as Lambda's sandboxes do."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        paths = [str(REPOSITORY / path) for path in ("layers/common", "functions", "tests")]
        self._environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)}
        self.start()

    def start(self) -> None:
        """Start, or start again after `kill`."""
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(REPOSITORY / "tests" / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            text=True,
        )

    def invoke(
        self,
        event: dict[str, Any],
        *,
        timeout_seconds: float = 26,
        read_timeout: float = LONG_READ_TIMEOUT,
        rates: Mapping[str, float] | None = None,
        seed: int = 0,
        single_days: bool = False,
    ) -> Answer:
        """Invoke the handler. Raises `SandboxEnded` when it is killed meanwhile.

        `rates` are the probabilities of faults of single statements, `seed` makes them reproducible. With `single_days`
        each day of a record is a batch of its own.
        """
        message = {
            "event": event,
            "timeout_seconds": timeout_seconds,
            "read_timeout": read_timeout,
            "rates": rates or {},
            "seed": seed,
            "single_days": single_days,
        }
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise SandboxEnded from exc
        assert select.select([self._process.stdout], [], [], timeout_seconds + 60)[0], "the sandbox hangs"
        line = self._process.stdout.readline()
        if not line:
            raise SandboxEnded
        answer = json.loads(line)
        response = answer["response"]
        return Answer(
            response["statusCode"],
            response["multiValueHeaders"],
            json.loads(response["body"]),
            answer["log"],
            Counter(answer["faults"]),
        )

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe:
                    pipe.close()


class FaultProxy:
    """microburst between the sandboxes and DynamoDB Local: faults of whole calls, at the wire."""

    def __init__(self, upstream: str) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        command = ["-m", "microburst", "--host", "127.0.0.1", "--port", str(port), "--upstream", upstream]
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        give_up = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError, urllib.error.URLError):
                self._control("GET", "health")
                break
            assert self._process.poll() is None, "microburst ended by itself"
            assert time.monotonic() < give_up, "microburst did not start"
            time.sleep(0.05)
        # Its first call takes seconds: it reads the models of all services.
        local_client(self.endpoint).list_tables()

    def plan(self, *rules: dict[str, Any]) -> None:
        """Set the rules. The first that matches and is not used up decides what happens to a call."""
        self._control("POST", "rules", list(rules))

    def fired(self) -> list[int]:
        """Return how often each rule has fired."""
        return [rule["fired_count"] for rule in self._control("GET", "rules")]

    def wait_until_fired(self, rule: int, within_seconds: float = 20) -> None:
        give_up = time.monotonic() + within_seconds
        while not self.fired()[rule]:
            assert time.monotonic() < give_up, "the fault did not happen"
            time.sleep(0.01)

    def stop(self) -> None:
        # Not asked to end: it would wait for the calls that it holds.
        self._process.kill()
        self._process.wait()

    def _control(self, method: str, path: str, body: object = None) -> Any:
        url = f"{self.endpoint}/_microburst/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310  # the proxy's
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # the proxy's
            return json.load(response)


def schedule(kinds: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return rules by which the n-th call from now on gets the n-th of `WIRE_FAULTS`, or none, and later calls none."""
    return [{"service": "dynamodb", "times": 1} | (WIRE_FAULTS[kind] if kind else {}) for kind in kinds]


@dataclass
class Stream:
    """A stream of its own in tables that tests share, and what was delivered to it."""

    tables: Tables
    name: str
    answers: list[Answer] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    killed: int = 0

    def __post_init__(self) -> None:
        create_stream(self.tables.client, self.tables.streams, self.token, self.name)

    @property
    def token(self) -> str:
        return f"ds_{self.name}"

    def deliver(self, sandbox: Sandbox, request: Request, **how: Any) -> Answer:
        """Deliver `request` once, and check that the answer claims no more than is saved."""
        answer = sandbox.invoke(request.event(self.token), **how)
        self.answers.append(answer)
        assert answer.status in {201, 503}, answer.body
        stored = self.stored()
        settled = sum(
            stored[place] >= (request.received_at, value) for place, value in request.values.items() if place in stored
        )
        assert sum(answer.counts) <= settled, f"{answer.body} claims more than the {settled} points that are saved"
        if answer.status == 201:
            assert sum(answer.counts) == answer.body["received"] == len(request.values)
        return answer

    def deliver_all(
        self, sandboxes: Sequence[Sandbox], lanes: Sequence[Sequence[Request]], **how: Any
    ) -> list[list[tuple[int, ...]]]:
        """Deliver every lane through a sandbox of its own, all at once. Returns the counts of the answers."""

        def run(sandbox: Sandbox, lane: Sequence[Request]) -> list[tuple[int, ...]]:
            return [self.complete(sandbox, request, **how) for request in lane]

        with ThreadPoolExecutor(len(lanes)) as pool:
            return list(pool.map(run, sandboxes, lanes))

    def complete(
        self, sandbox: Sandbox, request: Request, *, kill_after: float | None = None, **how: Any
    ) -> tuple[int, ...]:
        """Deliver `request` until the answer is 201, as a client does, or Lambda for a sandbox that ended."""
        for _ in range(100):
            killer = Timer(kill_after, sandbox.kill) if kill_after is not None else None
            kill_after = None
            if killer:
                killer.start()
            try:
                answer = self.deliver(sandbox, request, **how)
            except SandboxEnded:
                self.killed += 1
                sandbox.stop()
                sandbox.start()
                continue
            finally:
                if killer:
                    killer.cancel()
            if answer.status == 201:
                return answer.counts
        raise AssertionError("100 deliveries do not complete a request")

    def stored(self) -> dict[Place, Version]:
        """Return every stored point."""
        stored: dict[Place, Version] = {}
        for record in range(len(RECORDS)):
            metric, record_id = _identity(record)
            for item in self._items(day_key(self.name, metric, record_id, "").pk):
                day, _, owner = item["sk"]["S"].partition("#")
                for hour in range(24):
                    if owner == record_id and VALUE[hour] in item:
                        version = int(item[RECEIVED[hour]]["N"]), float(item[VALUE[hour]]["N"])
                        stored[Place(record, day, hour)] = version
        return stored

    def assert_complete(self, requests: Sequence[Request]) -> None:
        """The table is as the model says, the catalogue names all of it, and no answer counted a point twice."""
        expected = model(requests)
        assert self.stored() == expected
        self.assert_catalogued()
        created, updated = (sum(answer.body[outcome] for answer in self.answers) for outcome in OUTCOMES[:2])
        versions = {
            (place, request.received_at, value) for request in requests for place, value in request.values.items()
        }
        assert created <= len(expected)
        assert created + updated <= len(versions)

    def assert_catalogued(self) -> None:
        """Every record with a stored point is in the catalogue, and its metric has the day, the shard and the keys."""
        for record, day in {(place.record, place.day) for place in self.stored()}:
            metric, record_id = _identity(record)
            assert self._item(series_key(self.name, metric, record_id)), "a saved point is in no series"
            entry = MetricEntry.from_item(self._item(metric_key(self.name, metric)))
            assert entry.first_day <= day <= entry.last_day
            assert record_id[0] in entry.shards
            assert tuple(sorted(RECORDS[record][1])) in entry.key_sets

    def _item(self, key: Key) -> Any:
        answer = self.tables.client.get_item(TableName=self.tables.metrics, Key=key.to_item(), ConsistentRead=True)
        return answer.get("Item", {})

    def _items(self, pk: str) -> Iterator[Any]:
        pages = self.tables.client.get_paginator("query").paginate(
            TableName=self.tables.metrics,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        return (item for page in pages for item in page["Items"])


def _identity(record: int) -> tuple[Metric, str]:
    name, dimensions = RECORDS[record]
    return Metric(name, "Sum"), record_id(name, "Sum", dimensions)
