"""The real handlers on DynamoDB Local."""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import support
from delivery import FaultProxy, Sandbox
from deployed import Deployed
from pushing import Push, Service, running
from stack import DEMO_READ_TOKEN, DEMO_STREAM_ID, DEMO_TOKEN, DEMO_WRITE_TOKEN
from support import Tables

from ingest import app
from publish import app as publish_app
from unitstream import dynamodb
from views import app as views_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    with support.dynamodb_local(for_a_minute=True) as started:
        yield started


@pytest.fixture(scope="session", autouse=True)
def botocores_model() -> Iterator[None]:
    """Read botocore's model of DynamoDB once: that takes longer than most tests, and each function starts cold."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dynamodb, "_Loader", functools.cache(dynamodb._Loader))  # noqa: SLF001  # the place where it is read
        yield


@pytest.fixture
def tables(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """Fresh tables with the demo stream, known to functions that start cold."""
    client = support.local_client(endpoint)
    prefix = uuid.uuid4().hex
    fresh = Tables(client, f"{prefix}-streams", f"{prefix}-metrics")
    support.create_table(client, "StreamsTable", fresh.streams)
    support.create_table(client, "MetricsTable", fresh.metrics)
    support.create_stream(client, fresh.streams, DEMO_TOKEN, DEMO_STREAM_ID)
    for name, token, right in (("writer", DEMO_WRITE_TOKEN, "write"), ("reader", DEMO_READ_TOKEN, "read")):
        support.create_stream(client, fresh.streams, token, DEMO_STREAM_ID, token_name=name, rights=[right])
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("STREAMS_TABLE", fresh.streams)
    monkeypatch.setenv("METRICS_TABLE", fresh.metrics)
    monkeypatch.setenv("MAX_SERIES_PER_METRIC", "100000")
    for function in (app, publish_app, views_app):
        function.tables.cache_clear()
    yield fresh
    for function in (app, publish_app, views_app):
        function.tables.cache_clear()
    client.delete_table(TableName=fresh.streams)
    client.delete_table(TableName=fresh.metrics)
    client.close()


@pytest.fixture
def invoke(tables: Tables) -> Callable[[dict[str, Any]], dict[str, Any]]:  # noqa: ARG001  # sets the scene
    """Invoke the function that an event is for, as Lambda does."""

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        handler = app.lambda_handler if support.changes_points(event) else views_app.lambda_handler
        answer: dict[str, Any] = handler(event, support.LambdaContext())
        return answer

    return invoke


@pytest.fixture(scope="session")
def shared_tables(endpoint: str) -> Iterator[Tables]:
    """Tables for tests that write to streams of their own."""
    client = support.local_client(endpoint)
    tables = Tables(client, "shared-streams", "shared-metrics")
    support.create_table(client, "StreamsTable", tables.streams)
    support.create_table(client, "MetricsTable", tables.metrics)
    yield tables
    client.close()


@pytest.fixture(scope="session")
def running_proxy(endpoint: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture
def proxy(running_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """What stands between the sandboxes and DynamoDB Local, without a fault so far."""
    running_proxy.plan()
    yield running_proxy
    running_proxy.plan()


@pytest.fixture(scope="session")
def sandboxes(shared_tables: Tables, running_proxy: FaultProxy) -> Iterator[Callable[[int], list[Sandbox]]]:
    """So many sandboxes of the function, which stay warm from test to test."""
    started: list[Sandbox] = []
    environment = {
        "AWS_ENDPOINT_URL": running_proxy.endpoint,
        "STREAMS_TABLE": shared_tables.streams,
        "METRICS_TABLE": shared_tables.metrics,
        "MAX_SERIES_PER_METRIC": "100000",
    }

    def start(count: int) -> list[Sandbox]:
        started.extend(Sandbox(environment) for _ in range(count - len(started)))
        return started[:count]

    yield start
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def service() -> Iterator[Service]:
    with running(Service()) as started:
        yield started


@pytest.fixture
def push(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    return Push(service, tmp_path, monkeypatch)


@pytest.fixture
def deployed(invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[Deployed]:
    """The real handlers behind HTTP."""
    with running(Deployed(invoke)) as started:
        yield started


@pytest.fixture
def producer(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    """The command of somebody who pushes to them."""
    command = Push(deployed, tmp_path, monkeypatch)
    command.variables["DATA_STREAM_TOKEN"] = DEMO_TOKEN
    return command


@pytest.fixture
def points(tables: Tables) -> Callable[[], dict[tuple[str, str, int], float]]:
    """What the table holds: (record ID, day, hour) -> value."""
    return lambda: {key: value for key, (_, value) in support.stored_points(tables.client, tables.metrics).items()}
