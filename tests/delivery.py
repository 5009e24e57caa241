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
from typing import TYPE_CHECKING, Any

from model import OUTCOMES, RECORDS, Deletion, Place, model, versions_of
from support import REPOSITORY, STARTS_WITHIN_SECONDS, create_stream, free_port

from unitstream.days import DELETED
from unitstream.entries import MetricEntry
from unitstream.identity import Metric, record_id
from unitstream.items import RECEIVED, VALUE, day_key, metric_key, series_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from model import Delivered, Version
    from support import Tables

    from unitstream.items import Key


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
        return tuple(self.body.get(outcome, 0) for outcome in OUTCOMES)

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
        # In a host with dots microburst looks for a service, for which it reads the models of all: that takes seconds.
        self.endpoint = f"http://localhost:{port}"
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

    def deliver(self, sandbox: Sandbox, request: Delivered, **how: Any) -> Answer:
        """Deliver `request` once, and check that the answer claims no more than is saved."""
        answer = sandbox.invoke(request.event(self.token), **how)
        self.answers.append(answer)
        assert answer.status in {200, 201, 503}, answer.body
        stored = self.stored()
        sent = (
            dict.fromkeys(filter(request.covers, stored), DELETED) if isinstance(request, Deletion) else request.values
        )
        settled = sum(stored[place] >= (request.received_at, value) for place, value in sent.items() if place in stored)
        assert sum(answer.counts) <= settled, f"{answer.body} claims more than the {settled} points that are settled"
        if answer.status == 201:
            assert sum(answer.counts) == answer.body["received"] == len(sent)
        return answer

    def deliver_all(
        self, sandboxes: Sequence[Sandbox], lanes: Sequence[Sequence[Delivered]], **how: Any
    ) -> list[list[tuple[int, ...]]]:
        """Deliver every lane through a sandbox of its own, all at once. Returns the counts of the answers."""

        def run(sandbox: Sandbox, lane: Sequence[Delivered]) -> list[tuple[int, ...]]:
            return [self.complete(sandbox, request, **how) for request in lane]

        with ThreadPoolExecutor(len(lanes)) as pool:
            return list(pool.map(run, sandboxes, lanes))

    def complete(
        self, sandbox: Sandbox, request: Delivered, *, kill_after: float | None = None, **how: Any
    ) -> tuple[int, ...]:
        """Deliver `request` until all of it is done, as a client does, or Lambda for a sandbox that ended."""
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
            if answer.status != 503:
                return answer.counts
        raise AssertionError("100 deliveries do not complete a request")

    def stored(self) -> dict[Place, Version]:
        """Return every stored point, and the marks of those that were deleted."""
        stored: dict[Place, Version] = {}
        for record in range(len(RECORDS)):
            metric, record_id = _identity(record)
            for item in self._items(day_key(self.name, metric, record_id, "").pk):
                day, _, owner = item["sk"]["S"].partition("#")
                for hour in range(24):
                    if owner == record_id and RECEIVED[hour] in item:
                        value = float(item[VALUE[hour]]["N"]) if VALUE[hour] in item else DELETED
                        stored[Place(record, day, hour)] = int(item[RECEIVED[hour]]["N"]), value
        return stored

    def assert_complete(self, delivered: Sequence[Delivered]) -> None:
        """The table is as the model says, the catalogue names all of it, and no answer counted a point twice.

        Of deletions, each must have been delivered once more when all else was.
        """
        expected, stored = model(delivered), self.stored()
        assert stored.keys() == expected.keys()
        assert not {place: version for place, version in stored.items() if version not in expected[place]}
        self.assert_catalogued()
        created, updated = (sum(answer.body.get(outcome, 0) for answer in self.answers) for outcome in OUTCOMES[:2])
        assert created + updated <= sum(map(len, versions_of(delivered).values()))
        if not any(isinstance(request, Deletion) for request in delivered):
            assert created <= len(expected)

    def repeat(self, sandbox: Sandbox, delivered: Sequence[Delivered]) -> None:
        """Deliver the deletions once more, and then everything else: what they marked does not come back."""
        deletions = [request for request in delivered if isinstance(request, Deletion)]
        for deletion in deletions:
            self.complete(sandbox, deletion)
        before = self.stored()
        for request in delivered if deletions else ():
            self.complete(sandbox, request)
        assert self.stored() == before, "a replay changed the table"

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
