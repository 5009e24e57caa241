"""A service that stands for the deployed one, for tests of `unitstream push`: it keeps points, and fails as told."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qs

from delivery import Sandbox
from support import REPOSITORY, proxy_event
from typer.testing import CliRunner

from unitstream.compression import unpacked
from unitstream.identity import Metric, record_id
from unitstream.items import VALUE, Key, day_key
from unitstream.payload import parse
from unitstream.problems import MAX_BODY_BYTES
from unitstream_cli import api as api_module
from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app
from unitstream_cli.push import batches as batches_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest
    from support import Tables
    from typer.testing import Result

    # (record ID, day, hour) -> value
    Points = dict[tuple[str, str, int], float]

RUN = "from unitstream_cli.main import app; app()"
FIRST_HOUR = datetime(2022, 1, 1, tzinfo=UTC)
ORDERS = Metric("orders", "Sum")
API_KEY, TOKEN = "key-of-the-test", "ds_token-of-the-test"
PATH = "/v1/api/streams/ingest"
QUOTA = {"type": "urn:unitstream:problem:quota-exceeded", "title": "Quota exceeded", "status": 429}
NO_STREAM = {"type": "urn:unitstream:problem:stream-not-found", "title": "No stream found", "status": 404}


S = TypeVar("S", bound="Service")


@dataclass(frozen=True)
class Fault:
    """An answer instead of the usual one; `saves`: the points are saved all the same. Status 0 is no answer at all."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after: str | None = None
    saves: bool = False


FAULTS = (
    Fault(429, {"title": "Too many requests"}, "1"),
    Fault(503, {"title": "Not everything was saved in time"}, "1"),
    Fault(503, {"title": "Not everything was saved in time"}, "1", saves=True),
    Fault(0, saves=True),
)


@dataclass
class Service:
    """The points that were sent to it, and what was asked. `before` may return a fault for the n-th request, from 0.

    Of dry runs, which only ask, it keeps nothing but their number.
    """

    url: str = ""
    points: Points = field(default_factory=dict)
    clock: int = 1_700_000_000_000
    requests: list[bytes] = field(default_factory=list)
    asked: int = 0
    notices: list[dict[str, str]] = field(default_factory=list)
    encodings: set[str | None] = field(default_factory=set)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    before: Callable[[int], Fault | None] = lambda _: None
    before_asking: Callable[[], Fault | None] = lambda: None
    before_deleting: Callable[[int], Fault | None] = lambda _: None
    deletions: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0
    successes: int = 0

    def answer(self, body: bytes, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
        """Return the status and the document that answer a request."""
        request = parse(body)
        counts = Counter(created=0, updated=0, unchanged=0, superseded=0)
        with self.lock:
            self.clock += 1
            for points in request.series:
                for day, hours in points.days.items():
                    for hour, value in hours.items():
                        key = (points.series.record_id, day, hour)
                        before = self.points.get(key)
                        counts["created" if before is None else "unchanged" if before == value else "updated"] += 1
                        if not dry_run:
                            self.points[key] = value
            received_at = datetime.fromtimestamp(self.clock / 1000, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"received_at": received_at.replace("+00:00", "Z")}
        if self.notices:
            told["notices"] = self.notices
        if dry_run:
            told |= {"changes": self._changes(json.loads(body)), "large_changes": 0}
        return (200 if dry_run else 201), {"received": request.received, **counts, **told}

    def delete(self, token: str, parameters: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Return the status and the document that answer a request to delete."""
        raise NotImplementedError

    def _changes(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The first changes of values, of points written as the command writes them."""
        changes = []
        for index, one in enumerate(request["data"]):
            record = record_id(one["metric_name"], request["metric_agg_func"], one["custom_dimensions"])
            stored = self.points.get((record, one["timestamp"][:10], int(one["timestamp"][11:13])))
            if stored not in {None, one["metric_value"]}:
                values = {"stored_value": stored, "new_value": one["metric_value"]}
                changes.append({"pointer": f"/data/{index}", **values})
        return changes[:20]


class Front(Service):
    """What stands before the real handler, as the gateway does: `processes` of it, each with one request at a time.

    At `rate` it fails at random: before the handler gets the request, or after, so that its answer is lost.
    """

    def __init__(self, tables: Tables, endpoint: str, *, processes: int, rate: float, seed: int = 1) -> None:
        super().__init__()
        self._random = random.Random(seed)  # noqa: S311  # reproducible, on purpose
        self._rate = rate
        self._free: queue.Queue[Sandbox] = queue.Queue()
        self.faults: Counter[int] = Counter()
        self.before = self._fault
        tables_at = {"AWS_ENDPOINT_URL": endpoint, "STREAMS_TABLE": tables.streams, "METRICS_TABLE": tables.metrics}
        names = tables_at | {"MAX_SERIES_PER_METRIC": "100000"}
        for _ in range(processes):
            self._free.put(Sandbox(names))

    def answer(self, body: bytes, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
        event = proxy_event(body.decode(), time.time_ns() // 1_000_000)
        if dry_run:
            event |= {"queryStringParameters": {"dry_run": "true"}}
        sandbox = self._free.get()
        try:
            answer = sandbox.invoke(event)
        finally:
            self._free.put(sandbox)
        return answer.status, answer.body

    def _fault(self, _: int) -> Fault | None:
        with self.lock:
            if self._random.random() >= self._rate:
                return None
            fault = self._random.choice(FAULTS)
            self.faults[fault.status] += 1
            return fault

    def wait_for(self, successes: int) -> None:
        """Wait until so many requests have got their answer, a success."""
        give_up = time.monotonic() + 600
        while self.successes < successes:
            assert time.monotonic() < give_up, "the push does not get on"
            time.sleep(0.01)

    def stop(self) -> None:
        while not self._free.empty():
            self._free.get().stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        service = self.server.service
        body = unpacked(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("?dry_run=true"):
            service.asked += 1
            self._answer(service.before_asking(), body)
            return
        with service.lock:
            number = len(service.requests)
            service.requests.append(body)
            service.encodings.add(self.headers["Content-Encoding"])
            service.at_once += 1
            service.most_at_once = max(service.most_at_once, service.at_once)
        try:
            self._answer(service.before(number), body)
        finally:
            with service.lock:
                service.at_once -= 1

    def do_DELETE(self) -> None:
        service = self.server.service
        parameters = parse_qs(self.path.partition("?")[2])
        fault = None
        if "dry_run" not in parameters:
            fault = service.before_deleting(service.deletions)
            service.deletions += 1
        if fault and not fault.saves:
            self._say(fault.status, fault.body, fault.retry_after)
            return
        status, document = service.delete(self.headers["X-Data-Stream-Token"], parameters)
        if fault:
            self._say(fault.status, fault.body, fault.retry_after)
        else:
            self._say(status, document)

    def _answer(self, fault: Fault | None, body: bytes) -> None:
        service = self.server.service
        path, _, query = self.path.partition("?")
        if fault and not fault.saves:
            self._say(fault.status, fault.body, fault.retry_after)
        elif self.headers["x-api-key"] != API_KEY:
            self._say(403, {"message": "Forbidden"})
        elif path != PATH:
            self._say(404, {"type": "urn:unitstream:problem:route-not-found", "title": "No such route"})
        elif json.loads(body)["data_stream_token"] not in service.tokens:
            self._say(404, NO_STREAM)
        else:
            # As Lambda gets it: quoted in an event.
            assert len(json.dumps(body.decode())) < MAX_BODY_BYTES
            status, document = service.answer(body, dry_run=query == "dry_run=true")
            if fault:
                self._say(fault.status, fault.body, fault.retry_after)
            else:
                self._say(status, document)
                with service.lock:
                    service.successes += status == 201

    def _say(self, status: int, body: Mapping[str, Any], retry_after: str | None = None) -> None:
        if not status:
            self.close_connection = True
            return
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running(service: S) -> Iterator[S]:
    """Run `service` on the loopback interface."""
    server = _Server(service)
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Push:
    """Runs the command in this process."""

    def __init__(self, service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service = service
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.variables = environment(service.url, folder / "state")
        monkeypatch.setattr(api_module, "_FIRST_PAUSE", 0.001)
        monkeypatch.chdir(folder)

    def file(self, content: str, name: str = "orders.csv") -> str:
        (self.folder / name).write_text(content)
        return name

    def __call__(self, *arguments: str) -> Result:
        return self.run("push", "--agg-func", "Sum", *arguments)

    def run(self, *arguments: str, answer: str = "") -> Result:
        """Run any command, with what is typed on stdin."""
        return CliRunner().invoke(app, arguments, env=self.variables, input=answer)

    def document(self, *arguments: str) -> dict[str, Any]:
        result = self(*arguments, "--json")
        document: dict[str, Any] = json.loads(result.stdout)
        assert document["complete"] == (result.exit_code == ExitCode.OK), result.stderr
        counted = sum(document[name] for name in ("created", "updated", "unchanged", "superseded"))
        assert counted == document["sent"]
        assert document["points"] == sum(document[name] for name in ("sent", "skipped", "in_doubt", "not_sent"))
        return document

    def small_batches(self, days: int = 1) -> None:
        self.monkeypatch.setattr(batches_module, "MAX_DAYS", days)


class Load(NamedTuple):
    """Hourly values of `series` customers, `hours` of each: a file, and what must come of it.

    Each customer has a dimension of `note` characters more, which makes requests as large as is wanted.
    """

    series: int
    hours: int
    note: int = 0

    @property
    def rows(self) -> int:
        return self.series * self.hours

    def value(self, series: int, hour: int) -> float:
        return (series * 7_919 + hour * 104_729) % 1_000_003 / 100

    def dimensions(self, series: int) -> dict[str, str]:
        return {"customer": f"c-{series:05}", "region": f"eu-{series % 3}"} | (
            {"note": "n" * self.note} if self.note else {}
        )

    def write(self, path: Path) -> None:
        """Write the file: hour after hour, as exports are."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "metric_name", "metric_value", *self.dimensions(0)])
            for hour in range(self.hours):
                timestamp = f"{FIRST_HOUR + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}"
                for series in range(self.series):
                    row = [timestamp, "orders", self.value(series, hour), *self.dimensions(series).values()]
                    writer.writerow(row)

    def check(self, tables: Tables, stream_id: str) -> None:
        """Assert that the table holds every point with its value, and no other."""
        days = {
            day_key(
                stream_id,
                ORDERS,
                record_id(*ORDERS, self.dimensions(series)),
                f"{FIRST_HOUR + timedelta(day):%Y-%m-%d}",
            ): (
                series,
                day * 24,
            )
            for series in range(self.series)
            for day in range(-(-self.hours // 24))
        }
        found = 0
        pages = tables.client.get_paginator("scan").paginate(TableName=tables.metrics, ConsistentRead=True)
        for item in (item for page in pages for item in page["Items"]):
            for hour in range(24):
                if value := item.get(VALUE[hour]):
                    series, first_hour = days[Key.from_item(item)]
                    assert float(value["N"]) == self.value(series, first_hour + hour)
                    found += 1
        assert found == self.rows


def environment(url: str, state: Path, api_key: str = API_KEY, token: str = TOKEN) -> dict[str, str]:
    """Return what the command finds in its environment: where the service is, and where to keep its journals."""
    paths = os.pathsep.join(str(REPOSITORY / path) for path in ("cli", "layers/common"))
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "API_URL": url,
        "API_KEY": api_key,
        "DATA_STREAM_TOKEN": token,
        "UNITSTREAM_STATE_DIR": str(state),
    }


def start_push(arguments: list[str], variables: Mapping[str, str], **how: Any) -> subprocess.Popen[str]:
    """Start `unitstream push` as a process of its own."""
    return start(["push", *arguments], variables, **how)


def start(arguments: list[str], variables: Mapping[str, str], **how: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    command = [sys.executable, "-W", "error", "-c", RUN, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen(command, env=dict(variables), text=True, **pipes)
