"""`unitstream replay` with files that hold events or not, and functions that are busy or fail."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support import proxy_event
from typer.testing import CliRunner

from unitstream_cli.admin import aws
from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result

EVENT = proxy_event('{"note": "größer"}', 1_700_000_000_000)
SAVED = {"received": 3, "created": 2, "updated": 0, "unchanged": 1, "superseded": 0}


def response(status: int, body: Any, **headers: str) -> dict[str, Any]:
    """Return a function's answer as API Gateway takes it."""
    multiple = {"Content-Type": ["application/json"]} | {name.replace("_", "-"): [one] for name, one in headers.items()}
    return {"statusCode": status, "multiValueHeaders": multiple, "body": json.dumps(body), "isBase64Encoded": False}


class TooLarge(Exception):
    """What Lambda raises for a large event."""


class FakeLambda:
    """Stands for Lambda's client and for the stack: what comes in is kept, and `answers` are given in turn."""

    exceptions = SimpleNamespace(RequestTooLargeException=TooLarge)

    def __init__(self) -> None:
        self.outputs = {"IngestFunctionName": "ingest", "ViewsFunctionName": "views"}
        self.answers: Iterator[Any] = iter([])
        self.invocations: list[tuple[str, bytes]] = []

    def client(self, *_: object) -> FakeLambda:
        return self

    def output(self, name: str) -> str:
        return self.outputs[name]

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803  # boto3's
        self.invocations.append((FunctionName, Payload))
        answer = next(self.answers, response(201, SAVED))
        if isinstance(answer, Exception):
            raise answer
        failed = {} if "statusCode" in answer else {"FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())} | failed


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    fake = FakeLambda()
    monkeypatch.setattr(aws, "find_stack", lambda _: fake)
    return fake


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command with files of these texts, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STACK_NAME", raising=False)

    def run_it(*texts: str, options: tuple[str, ...] = ()) -> Result:
        names = [f"{number}.json" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / name).write_text(text)
        return CliRunner().invoke(app, ["replay", *names, "--stack", "s", *options])

    return run_it


def test_each_event_is_a_line_that_says_what_it_did(functions: FakeLambda, run: Callable[..., Result]) -> None:
    functions.answers = iter([response(201, SAVED), response(404, {"title": "No stream found", "status": 404})])
    result = run(json.dumps(EVENT), json.dumps(EVENT))
    assert result.stdout.splitlines() == ["0.json 201 received=3 created=2 unchanged=1", "1.json 404 No stream found"]
    assert result.exit_code == ExitCode.FAILED
    assert "1 of 2 events did not get 2xx" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([EVENT, EVENT]),
        "\n  " + json.dumps([EVENT, EVENT], indent=2),
        f"{json.dumps(EVENT)}\n{json.dumps(EVENT)}\n",
        f"{json.dumps(EVENT)}\r\n\r\n{json.dumps(EVENT)}",
        f"{json.dumps(EVENT, indent=2)}\n{json.dumps(EVENT, indent=2)}",
    ],
    ids=["array", "array of many lines", "a line each", "CRLF and an empty line", "one after the other"],
)
def test_a_file_may_hold_many_events(functions: FakeLambda, run: Callable[..., Result], text: str) -> None:
    result = run(text)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["0.json#1", "0.json#2"]
    assert [json.loads(payload) for _, payload in functions.invocations] == [EVENT, EVENT]


def test_a_function_gets_the_event_no_larger_than_it_was(functions: FakeLambda, run: Callable[..., Result]) -> None:
    """A large one would otherwise be over the limit: indented, or with each umlaut as an escape."""
    run(json.dumps(EVENT, indent=4))
    ((function, payload),) = functions.invocations
    assert function == "ingest"
    assert payload == json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("POST", "/api/streams/ingest", "ingest"),
        ("POST", "/base/api/streams/ingest", "ingest"),
        ("DELETE", "/api/points", "ingest"),
        ("GET", "/api/points", "views"),
    ],
)
def test_an_event_goes_to_the_function_of_its_route(
    functions: FakeLambda, run: Callable[..., Result], method: str, path: str, function: str
) -> None:
    assert run(json.dumps(EVENT | {"httpMethod": method, "path": path})).exit_code == 0
    assert functions.invocations[0][0] == function


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "holds no event"),
        ("{", "not JSON after 0 events"),
        (json.dumps(EVENT) + '{"httpMethod": "secret', "not JSON after 1 events"),
        ("7", "event 1 is no API Gateway event: it is no JSON object"),
        (json.dumps([EVENT, {}]), "event 2 is no API Gateway event"),
        (json.dumps({"version": "2.0", "rawPath": "/", "body": "secret"}), "lacks httpMethod, path"),
        (json.dumps(EVENT | {"body": {"a": "secret"}}), "lacks body"),
        (json.dumps(EVENT | {"requestContext": {}}), "lacks requestContext.requestTimeEpoch"),
    ],
)
def test_a_file_without_events_is_named_and_nothing_is_sent(
    functions: FakeLambda, run: Callable[..., Result], text: str, words: str
) -> None:
    """Not even the events of the files before it. The file is not quoted."""
    result = run(json.dumps(EVENT), text)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "1.json" in result.stderr
    assert words in result.stderr
    assert "secret" not in result.output
    assert not functions.invocations


def test_a_file_that_is_not_there_is_a_usage_error(functions: FakeLambda) -> None:
    result = CliRunner().invoke(app, ["replay", "missing.json", "--stack", "s"])
    assert result.exit_code == ExitCode.USAGE
    assert not functions.invocations


def test_503_is_tried_again_when_the_answer_says(
    functions: FakeLambda, run: Callable[..., Result], pauses: list[float]
) -> None:
    busy = {"title": "Not everything was saved in time", "status": 503}
    functions.answers = iter([response(503, busy, Retry_After="7"), response(503, busy), response(201, SAVED)])
    result = run(json.dumps(EVENT))
    assert result.exit_code == 0
    assert result.stdout == "0.json 201 received=3 created=2 unchanged=1 (attempt 3)\n"
    assert pauses == [7, 5]


def test_503_that_does_not_end_is_reported_and_the_next_event_is_sent(
    functions: FakeLambda, run: Callable[..., Result], pauses: list[float]
) -> None:
    busy = response(503, {"title": "Not everything was saved in time", "status": 503})
    functions.answers = iter([busy] * 5)
    result = run(json.dumps([EVENT, EVENT]))
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.splitlines() == [
        "0.json#1 503 Not everything was saved in time (attempt 5)",
        "0.json#2 201 received=3 created=2 unchanged=1",
    ]
    assert len(pauses) == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"errorType": "ValueError", "errorMessage": "secret"}, "the function failed: ValueError"),
        ({"errorMessage": "Task timed out after 26.00 seconds"}, "the function failed: Task timed out"),
        (TooLarge(), "the event is larger than Lambda takes"),
    ],
)
def test_a_function_that_fails_is_reported(
    functions: FakeLambda, run: Callable[..., Result], answer: object, words: str
) -> None:
    """By the kind of its exception: its message may hold values."""
    functions.answers = iter([answer])
    result = run(json.dumps([EVENT, EVENT]))
    assert result.exit_code == ExitCode.FAILED
    assert words in result.stdout
    assert "0.json#2 201" in result.stdout
    assert "secret" not in result.output


def test_as_json_stdout_is_one_document(functions: FakeLambda, run: Callable[..., Result]) -> None:
    functions.answers = iter([response(201, SAVED), {"errorType": "ValueError"}])
    result = run(json.dumps([EVENT, EVENT]), options=("--json",))
    assert result.exit_code == ExitCode.FAILED
    assert json.loads(result.stdout) == {
        "events": [
            {"event": "0.json#1", "good": True, "status": 201, "error": None, "attempts": 1, "body": SAVED},
            {
                "event": "0.json#2",
                "good": False,
                "status": None,
                "error": "the function failed: ValueError",
                "attempts": 1,
                "body": None,
            },
        ],
        "total": 2,
        "failed": 1,
    }


def test_ctrl_c_says_how_far_it_came(functions: FakeLambda, run: Callable[..., Result]) -> None:
    def interrupted() -> Iterator[Any]:
        yield response(201, SAVED)
        raise KeyboardInterrupt

    functions.answers = interrupted()
    result = run(json.dumps([EVENT, EVENT, EVENT]))
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "stopped after 1 of 3 events" in result.stderr
