"""What `make build` made does in Lambda's runtime what the source does: events, limits, timeouts."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from compare_answers import difference, in_order
from emulator import FUNCTIONS, LARGEST_EVENT_BYTES, silent_server
from stack import DEMO_TOKEN
from support import (
    REPOSITORY,
    changes_points,
    create_stream,
    get_event,
    point,
    proxy_event,
    request_body,
    stored_points,
)

from unitstream.table import STATEMENTS_PER_WRITE
from views.forms import LARGEST_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from emulator import Artefact, Emulator, TricklingDynamoDB
    from support import Tables

EVENTS = REPOSITORY / "events"
EXCHANGES = {exchange.name: exchange for exchange in in_order(EVENTS.glob("*.json"))}
FIRST_HOUR = datetime(2022, 1, 1, tzinfo=UTC)
NOW = 1_700_000_000_000
HOURS = 4 * 7 * 24
OUTCOMES = ("created", "updated", "unchanged", "superseded")
START = """
import importlib, importlib.machinery, json, sys
compiled = []
compile_source = importlib.machinery.SourceFileLoader.source_to_code

def source_to_code(loader, data, path, **options):
    compiled.append(str(path))
    return compile_source(loader, data, path, **options)

importlib.machinery.SourceFileLoader.source_to_code = source_to_code
import awslambdaric
importlib.import_module(sys.argv[1])
files = {name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}
print(json.dumps([sys.prefix, sys.base_prefix, files, compiled]))
"""
# The emulator takes 100 bytes more than Lambda.
OVER_THE_LIMIT = LARGEST_EVENT_BYTES + 1024
# A new metric is written to the catalogue first, and then its new series.
WRITES_OF_THE_CATALOGUE = 2
DAYS_OF_THREE_WRITES = 2 * STATEMENTS_PER_WRITE + 10


class Stream(NamedTuple):
    """A stream of a test's own."""

    name: str
    token: str

    def stored(self, tables: Tables) -> dict[tuple[str, str, int], tuple[int, float]]:
        return stored_points(tables.client, tables.metrics, self.name)


@pytest.fixture
def stream(tables: Tables) -> Stream:
    return new_stream(tables)


def new_stream(tables: Tables) -> Stream:
    name = uuid.uuid4().hex
    create_stream(tables.client, tables.streams, f"ds_{name}", name)
    return Stream(name, f"ds_{name}")


def backfill(host: str, hours: int = HOURS) -> list[dict[str, Any]]:
    """Return points of a series, one an hour, whose value is the number of the hour."""
    return [
        point(f"{FIRST_HOUR + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}", hour, "gigabytes", {"host": host})
        for hour in range(hours)
    ]


def saved(received: int, **counts: int) -> dict[str, int]:
    return {"received": received} | dict.fromkeys(OUTCOMES, 0) | counts


def read(response: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return status and body of the handler's response, but for when the request was received."""
    assert "statusCode" in response, response
    body = json.loads(response["body"])
    return response["statusCode"], {name: said for name, said in body.items() if name != "received_at"}


# --- waiting, while other tests run -----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A function that was asked, and the answer that it is going to give."""

    function: Emulator
    event: dict[str, Any]
    answer: Future[Any]


@pytest.fixture(scope="module", autouse=True)
def without_dynamodb(start: Callable[..., Emulator]) -> Iterator[dict[str, Asked]]:
    """Both functions, asked where DynamoDB does not answer. Timeouts are shorter than the template's, for speed."""
    save = proxy_event(request_body(backfill("host"), DEMO_TOKEN), NOW)
    read = get_event("/api/metrics", DEMO_TOKEN)
    with ThreadPoolExecutor() as threads, silent_server() as endpoint:
        ingest = start(endpoint, timeout_seconds=6)
        views = start(endpoint, timeout_seconds=8, name="ViewsFunction")
        yield {
            "save": Asked(ingest, save, threads.submit(ingest.invoke, save)),
            "read": Asked(views, read, threads.submit(views.invoke, read)),
        }


@pytest.fixture(scope="module", autouse=True)
def ended(
    start: Callable[..., Emulator], trickling_dynamodb: TricklingDynamoDB, tables: Tables
) -> Iterator[tuple[Stream, Asked]]:
    """A function that Lambda ends in the middle of a request.

    The answer to the second write of days trickles: no timeout of a call ends that, so the handler cannot notice.
    """
    function, stream = start(trickling_dynamodb.endpoint, timeout_seconds=10), new_stream(tables)
    # Warm, so that the time that the handler keeps for its last call and the answer is not over before the first call.
    function.invoke(proxy_event(request_body(backfill("host"), "ds_of-no-stream"), NOW))
    event = proxy_event(request_body(backfill("host", DAYS_OF_THREE_WRITES * 24), stream.token), NOW)
    trickling_dynamodb.trickle_after(WRITES_OF_THE_CATALOGUE + 1, "BatchExecuteStatement")
    with ThreadPoolExecutor() as threads:
        yield stream, Asked(function, event, threads.submit(function.invoke, event))


# --- the artefact -----------------------------------------------------------------------------------------------------


class Start(NamedTuple):
    """What a start imports: where the runtime and Python are, each module's file, and the files that were compiled."""

    prefix: str
    base_prefix: str
    files: dict[str, str]
    compiled: list[str]

    @classmethod
    def of(cls, artefact: Artefact, **variables: str) -> Start:
        handler, _, _ = artefact.properties["Handler"].rpartition(".")
        run = subprocess.run(
            [str(artefact.python), "-c", START, handler],
            cwd=artefact.function,
            env=artefact.environment(StreamsTable="s", MetricsTable="m") | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return cls(*json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_that_is_imported_is_built_or_comes_with_the_runtime(artefacts: dict[str, Artefact], function: str) -> None:
    """Nothing comes from the source tree, and of the layer's packages none from the interpreter's environment."""
    artefact = artefacts[function]
    prefix, base_prefix, files, _ = Start.of(artefact)
    sources = {
        "function": artefact.function,
        "layer": artefact.layer,
        "runtime": Path(prefix),
        "python": Path(base_prefix),
    }
    found: dict[str, set[str]] = {source: set() for source in sources}
    for name, file in files.items():
        source = next(source for source, folder in sources.items() if Path(file).is_relative_to(folder))
        found[source].add(name.partition(".")[0])
    assert found["function"] == {artefact.properties["Handler"].partition(".")[0]}
    assert {"unitstream", "unitstream_http", "aws_lambda_powertools", "jmespath"} <= found["layer"]
    assert "botocore" in found["runtime"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_start_compiles_nothing(artefacts: dict[str, Artefact], function: str, tmp_path: Path) -> None:
    """Function and layer come with bytecode that this interpreter takes; where it finds none, it compiles them all."""
    artefact = artefacts[function]
    build = artefact.layer.parent.parent
    assert not [file for file in Start.of(artefact).compiled if Path(file).is_relative_to(build)]
    without = Start.of(artefact, PYTHONPYCACHEPREFIX=str(tmp_path))
    sources = {file for file in without.files.values() if Path(file).is_relative_to(build) and file.endswith(".py")}
    assert sources
    assert sources <= set(without.compiled)


@pytest.fixture(scope="module")
def answers(function: Emulator, views: Emulator) -> dict[str, Any]:
    """The answers to all events, in their order."""
    return {
        name: (function if changes_points(exchange.event) else views).invoke(exchange.event)
        for name, exchange in EXCHANGES.items()
    }


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_event_gets_its_answer(name: str, answers: dict[str, Any]) -> None:
    if different := difference(EXCHANGES[name].answer, answers[name]):
        pytest.fail(different)


def test_the_runtime_reports_an_init_duration(function: Emulator, views: Emulator, answers: dict[str, Any]) -> None:
    """One cold start of each function serves all events."""
    assert len(answers) > 2
    for one in (function, views):
        (milliseconds,) = one.init_milliseconds()
        assert 0 < milliseconds < 10_000


# --- sizes ------------------------------------------------------------------------------------------------------------


def event_of(body: str, size: int | None = None) -> bytes:
    """Return the event with `body`, and with so many spaces behind that that it has `size` bytes."""
    event = json.dumps(proxy_event(body, NOW)).encode()
    return event if size is None else event_of(body + " " * (size - len(event)))


def test_the_largest_event_is_saved(
    function: Emulator, artefact: Artefact, tables: Tables, stream: Stream, figures: list[str]
) -> None:
    """A backfill whose event has Lambda's 6 MiB to the byte, in the smallest memory that the template allows."""
    empty, one = (len(event_of(request_body(points, stream.token))) for points in ([], backfill("host-000")))
    series = (LARGEST_EVENT_BYTES - empty) // (one - empty + len(", "))
    points = [written for number in range(series) for written in backfill(f"host-{number:03}")]
    event = event_of(request_body(points, stream.token), LARGEST_EVENT_BYTES)
    assert len(event) == LARGEST_EVENT_BYTES

    status, counts = read(function.invoke_raw(event))
    assert (status, counts) == (201, saved(len(points), created=len(points)))
    stored = stream.stored(tables)
    assert len(stored) == len(points)
    assert Counter(stored.values()) == Counter({(NOW, float(hour)): series for hour in range(HOURS)})
    memory = function.peak_memory()
    assert memory < artefact.smallest_memory
    figures.append(f"peak memory: {memory:.0f} MB, with the largest event ({len(points):,} points)")


def test_an_event_over_the_limit_does_not_reach_the_handler(function: Emulator, tables: Tables, stream: Stream) -> None:
    """Lambda refuses it, and the gateway answers 413. The emulator cuts it off, so the runtime finds no JSON in it.

    No shorter event holds a body that is over the handler's own limit, so its 413 is for other emulators.
    """
    event = event_of(request_body(backfill("host"), stream.token), OVER_THE_LIMIT)
    assert function.invoke_raw(event)["errorType"] == "Runtime.UnmarshalError"
    assert not stream.stored(tables)
    status, counts = read(function.invoke_raw(event_of(request_body(backfill("host"), stream.token))))
    assert (status, counts) == (201, saved(HOURS, created=HOURS))


def view_of(days: int) -> dict[str, Any]:
    """Ask for a value of every hour of so many days, of a metric that has one group of series."""
    last = FIRST_HOUR + timedelta(days=days - 1)
    parameters = {"metric_name": "gigabytes", "metric_agg_func": "Sum", "granularity": "hour", "fill": "null"}
    parameters |= {"start_date": f"{FIRST_HOUR:%Y-%m-%d}", "end_date": f"{last:%Y-%m-%d}"}
    return {name: [value] for name, value in parameters.items()}


def test_the_largest_answer_gets_through(
    function: Emulator, views: Emulator, artefact: Artefact, stream: Stream, figures: list[str]
) -> None:
    """As much as Lambda takes is answered, and what is more is refused, in the smallest memory that there may be."""
    saved_hours = read(function.invoke(proxy_event(request_body(backfill("host"), stream.token), NOW)))
    assert saved_hours == (201, saved(HOURS, created=HOURS))

    sizes = {
        days: len(json.dumps(views.invoke(get_event("/api/views", stream.token, parameters=view_of(days)))["body"]))
        for days in (1_000, 2_000)
    }
    days_that_fit = 2_000 + (LARGEST_BODY_BYTES - sizes[2_000]) * 1_000 // (sizes[2_000] - sizes[1_000])
    for days, expected in ((days_that_fit - 1, 200), (days_that_fit + 1, 400)):
        response = views.invoke(get_event("/api/views", stream.token, parameters=view_of(days)))
        status, document = read(response)
        assert status == expected
        if status == 200:
            assert len(json.dumps(response["body"])) > 0.99 * LARGEST_BODY_BYTES
            assert [len(one["data"]) for one in document["series"]] == [days * 24]
    assert document["type"] == "urn:unitstream:problem:answer-too-large"
    memory = views.peak_memory()
    assert memory < artefact.smallest_memory
    figures.append(f"peak memory: {memory:.0f} MB, with the largest answer ({days_that_fit * 24:,} periods)")


# --- timeouts ---------------------------------------------------------------------------------------------------------


def test_without_dynamodb_the_handler_answers_before_its_timeout(without_dynamodb: dict[str, Asked]) -> None:
    """503, with the counts and `Retry-After`."""
    function, _, answer = without_dynamodb["save"]
    response = answer.result()
    status, problem = read(response)
    assert status == 503
    assert problem["type"] == "urn:unitstream:problem:out-of-time"
    assert {outcome: problem[outcome] for outcome in OUTCOMES} == dict.fromkeys(OUTCOMES, 0)
    assert response["multiValueHeaders"]["Retry-After"] == ["5"]
    assert "Task timed out" not in function.log()


def test_without_dynamodb_a_read_is_answered_before_the_timeout(without_dynamodb: dict[str, Asked]) -> None:
    """503, with `Retry-After`."""
    function, _, answer = without_dynamodb["read"]
    response = answer.result()
    status, problem = read(response)
    assert (status, problem["type"]) == (503, "urn:unitstream:problem:database-busy")
    assert response["multiValueHeaders"]["Retry-After"] == ["5"]
    assert "Task timed out" not in function.log()


def test_after_a_timeout_the_same_event_completes(
    ended: tuple[Stream, Asked], trickling_dynamodb: TricklingDynamoDB, tables: Tables
) -> None:
    """What is saved is whole, and the next sandbox saves the rest."""
    stream, (function, event, answer) = ended
    assert "Task timed out after 10.00 seconds" in str(answer.result())
    half = stream.stored(tables)
    assert len(half) == 2 * STATEMENTS_PER_WRITE * 24

    trickling_dynamodb.trickle_after(float("inf"))
    status, counts = read(function.invoke(event))
    whole = DAYS_OF_THREE_WRITES * 24
    assert (status, counts) == (201, saved(whole, created=whole - len(half), unchanged=len(half)))
    stored = stream.stored(tables)
    assert len(stored) == whole
    assert half.items() <= stored.items()
    assert len(function.init_milliseconds()) == 2
