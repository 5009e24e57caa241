"""The built functions in Lambda's runtime, on DynamoDB Local."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import emulator
import pytest
import support
from emulator import Artefact, Emulator, TricklingDynamoDB
from stack import DEMO_READ_TOKEN, DEMO_STREAM_ID, DEMO_TOKEN, DEMO_WRITE_TOKEN
from support import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, also when all tests pass."""
    if config.stash[FIGURES]:
        terminalreporter.section("the built functions in Lambda's runtime")
        for line in config.stash[FIGURES]:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines to print at the end."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def building(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[dict[str, Artefact]]]:
    """What is being built, while DynamoDB Local starts."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit(emulator.build, emulator.find_environment(), tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def artefacts(building: Future[dict[str, Artefact]], figures: list[str]) -> dict[str, Artefact]:
    built = building.result()
    figures.append(f"{emulator.find_environment().name}: {emulator.describe(built['IngestFunction'].python)}")
    return built


@pytest.fixture(scope="session")
def artefact(artefacts: dict[str, Artefact]) -> Artefact:
    """The function that ingests."""
    return artefacts["IngestFunction"]


@pytest.fixture(scope="session")
def endpoint(building: Future[dict[str, Artefact]]) -> Iterator[str]:  # noqa: ARG001  # it starts meanwhile
    with support.dynamodb_local(for_a_minute=True) as started:
        yield started


@pytest.fixture(scope="session")
def trickling_dynamodb(endpoint: str) -> Iterator[TricklingDynamoDB]:
    trickling = TricklingDynamoDB(endpoint)
    yield trickling
    trickling.stop()


@pytest.fixture(scope="session")
def tables(endpoint: str) -> Iterator[Tables]:
    """Tables with the demo stream, which is there for events/ only."""
    client = support.local_client(endpoint)
    tables = Tables(client, "streams", "metrics")
    support.create_table(client, "StreamsTable", tables.streams)
    support.create_table(client, "MetricsTable", tables.metrics)
    support.create_stream(client, tables.streams, DEMO_TOKEN, DEMO_STREAM_ID)
    for name, token, right in (("writer", DEMO_WRITE_TOKEN, "write"), ("reader", DEMO_READ_TOKEN, "read")):
        support.create_stream(client, tables.streams, token, DEMO_STREAM_ID, token_name=name, rights=[right])
    yield tables
    client.close()


@pytest.fixture(scope="session")
def start(
    tables: Tables, artefacts: dict[str, Artefact], tmp_path_factory: pytest.TempPathFactory, figures: list[str]
) -> Iterator[Callable[..., Emulator]]:
    """Start a function on the DynamoDB at an endpoint, with the timeout of the template or another one."""
    logs: Path = tmp_path_factory.mktemp("logs")
    started: dict[str, list[Emulator]] = {name: [] for name in artefacts}

    def start_one(endpoint: str, timeout_seconds: int | None = None, name: str = "IngestFunction") -> Emulator:
        artefact = artefacts[name]
        environment = artefact.environment(StreamsTable=tables.streams, MetricsTable=tables.metrics)
        environment["AWS_ENDPOINT_URL"] = endpoint
        if timeout_seconds:
            environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(timeout_seconds)
        started[name].append(Emulator(artefact, environment, logs / f"{name}-{len(started[name])}.log"))
        return started[name][-1]

    yield start_one
    for name, emulators in started.items():
        for one in emulators:
            one.stop()
        starts = sorted(milliseconds for one in emulators for milliseconds in one.init_milliseconds())
        if starts:
            each = ", ".join(f"{milliseconds:.0f}" for milliseconds in starts)
            figures.append(f"init duration of {name}: {starts[0]:.0f} ms, at best of {each}")


@pytest.fixture(scope="session")
def function(start: Callable[..., Emulator], endpoint: str) -> Emulator:
    """The function that ingests, as the template has it."""
    return start(endpoint)


@pytest.fixture(scope="session")
def views(start: Callable[..., Emulator], endpoint: str) -> Emulator:
    """The function that reads, as the template has it."""
    return start(endpoint, name="ViewsFunction")
