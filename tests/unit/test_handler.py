"""HTTP of the ingest function: which answer a request gets, and what of it never reaches an answer or the log.

What is saved is another test's business: moto cannot run the statements that save.
"""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support import SECRET_TOKEN, LambdaContext, point, proxy_event, request_body

from ingest import app
from unitstream.days import Counts
from unitstream.problems import MAX_BODY_BYTES, Finding, OutOfTime
from unitstream.rounds import Effort, Origin
from unitstream.store import Saved, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support import Logged


RECEIVED_AT = 1_664_582_400_000
RECEIPT = {"received_at": "2022-10-01T00:00:00.000Z"}
# What must never be logged: tokens, API keys, names, dimensions and values.
TOKEN = SECRET_TOKEN
API_KEY = "secret-api-key"
POINTS = [
    point("2022-10-01", 31337.25, "secret-metric", {"secret-key": "secret-dimension"}),
    point("2022-10-02", 31337.25, "secret-metric"),
]
SECRETS = [TOKEN, API_KEY, "secret-metric", "secret-key", "secret-dimension", "31337"]
BODY = request_body(POINTS, TOKEN)


@dataclass
class Answer:
    status: int
    headers: dict[str, list[str]]
    body: dict[str, Any]
    text: str


@dataclass
class Function:
    """The handler as API Gateway calls it, and all that it logged."""

    logged: Logged

    def __call__(self, body: str | None, context: LambdaContext | None = None, **changes: Any) -> Answer:
        answer = app.lambda_handler(proxy_event(body, RECEIVED_AT, **changes), context or LambdaContext())
        assert answer["isBase64Encoded"] is False
        return Answer(answer["statusCode"], answer["multiValueHeaders"], json.loads(answer["body"]), answer["body"])


@pytest.fixture(scope="module")
def _aws(streams_in_moto: None) -> Iterator[None]:  # noqa: ARG001  # sets the scene
    app.tables.cache_clear()
    yield
    app.tables.cache_clear()


@pytest.fixture
def function(_aws: None, logged: Logged) -> Function:
    return Function(logged)


@pytest.fixture
def cold_start(_aws: None) -> Iterator[None]:
    """Let the function read its environment again, in this test only."""
    app.tables.cache_clear()
    yield
    app.tables.cache_clear()


def assert_problem(answer: Answer, status: int, title: str) -> None:
    """`answer` is an RFC 9457 problem."""
    assert answer.status == answer.body["status"] == status
    assert answer.headers["Content-Type"] == ["application/problem+json"]
    assert answer.body["type"].startswith("urn:unitstream:problem:")
    assert answer.body["title"] == title
    assert answer.body["detail"]


def saves(
    monkeypatch: pytest.MonkeyPatch, outcome: Counts | Exception, notices: Sequence[Finding] = ()
) -> list[tuple[Origin, bool]]:
    """Let saving have `outcome`. Returns the origin of each call, and whether it was a dry run."""
    calls = []

    def save(_: Store, __: object, origin: Origin, ___: float, effort: Effort, *, dry_run: bool) -> Saved:
        calls.append((origin, dry_run))
        if isinstance(outcome, Exception):
            raise outcome
        effort.rounds = 1
        return Saved(outcome, notices, [], 0)

    monkeypatch.setattr(Store, "save", save)
    return calls


# --- 201 --------------------------------------------------------------------------------------------------------------


def test_saved_points_are_counted(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved is answered with 201 and the counts, and is saved as received when the gateway received it."""
    calls = saves(monkeypatch, Counts(created=1, unchanged=1))
    answer = function(BODY)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == ["application/json"]
    assert answer.body == {"received": 2, "created": 1, "updated": 0, "unchanged": 1, "superseded": 0} | RECEIPT
    assert calls == [(Origin("stream-1", RECEIVED_AT, 100_000), False)]


@pytest.mark.parametrize(
    "path",
    ["/api/streams/ingest", "/metrics/api/streams/ingest", "/company/metrics/v2/api/streams/ingest"],
    ids=["no base path", "base path", "long base path"],
)
def test_a_custom_domain_may_have_a_base_path(function: Function, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The API answers under the base path of a custom domain, too."""
    saves(monkeypatch, Counts(created=2))
    assert function(BODY, path=path).status == 201


def test_a_body_in_base64_is_decoded(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway hands over binary media types in base64; they are the same request."""
    saves(monkeypatch, Counts(created=2))
    assert function(base64.b64encode(BODY.encode()).decode(), isBase64Encoded=True).status == 201


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip ", "x-gzip"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_body_in_gzip_is_taken_packed_and_unpacked(
    function: Function, monkeypatch: pytest.MonkeyPatch, encoding: str, *, packed: bool
) -> None:
    """The gateway unpacks a body and leaves its Content-Encoding; of a binary media type it comes as it was sent."""
    saves(monkeypatch, Counts(created=2))
    headers = {"Content-Encoding": encoding}
    if packed:
        body = base64.b64encode(gzip.compress(BODY.encode())).decode()
        assert function(body, headers=headers, isBase64Encoded=True).status == 201
    else:
        assert function(BODY, headers=headers).status == 201


def test_a_torn_body_in_gzip_is_an_error(function: Function) -> None:
    """Whatever is missing of it: nothing of what could be read is saved."""
    packed = gzip.compress(BODY.encode())
    for body in (packed[:-1], packed[:30], packed[:2], packed + b"x", packed[:20] + b"\0" + packed[21:]):
        sent = base64.b64encode(body).decode()
        answer = function(sent, headers={"Content-Encoding": "gzip"}, isBase64Encoded=True)
        assert_problem(answer, 400, "Invalid request")
        assert [error["code"] for error in answer.body["errors"]] == ["gzip_invalid"]
    assert function(BODY[:-1], headers={"Content-Encoding": "gzip"}).body["errors"][0]["code"] == "json_invalid"


def test_a_body_that_unpacks_to_more_than_is_allowed_is_too_large(function: Function) -> None:
    """Small as it is on its way: it is refused as soon as there is too much of it."""
    bomb = base64.b64encode(gzip.compress(b" " * 50_000_000)).decode()
    tracemalloc.start()
    answer = function(bomb, headers={"Content-Encoding": "gzip"}, isBase64Encoded=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_problem(answer, 413, "Body too large")
    assert peak < 4 * MAX_BODY_BYTES


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings_are_refused(function: Function, encoding: str) -> None:
    """With what to send instead."""
    assert_problem(function(BODY, headers={"Content-Encoding": encoding}), 415, "Encoding not supported")


def test_notices_stand_beside_the_counts(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a dry run, and where time ran out; without any, there is no such member."""
    notice = Finding("new_dimension_keys", "no series had these", pointer="/data/1")
    shown = [{"pointer": "/data/1", "code": "new_dimension_keys", "detail": "no series had these"}]
    saves(monkeypatch, Counts(created=2), [notice])
    assert function(BODY).body["notices"] == shown
    assert function(BODY, **query(dry_run=["true"])).body["notices"] == shown
    saves(monkeypatch, OutOfTime(Counts(created=1), [notice]))
    assert function(BODY).body["notices"] == shown
    saves(monkeypatch, Counts(created=2))
    assert "notices" not in function(BODY).body


# --- a dry run --------------------------------------------------------------------------------------------------------


def query(**parameters: list[str]) -> dict[str, Any]:
    """Return the members of an event that hold its query string."""
    last = {name: values[-1] for name, values in parameters.items()}
    return {"queryStringParameters": last, "multiValueQueryStringParameters": parameters}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(query(dry_run=["true"]), id="as the gateway says it"),
        pytest.param({"queryStringParameters": {"dry_run": "true"}}, id="as in an event written by hand"),
    ],
)
def test_a_dry_run_is_a_200(function: Function, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]) -> None:
    """Who asks what would happen gets the counts, and a status that no one takes for saved."""
    calls = saves(monkeypatch, Counts(created=2))
    answer = function(BODY, **members)
    assert answer.status == 200
    assert answer.body == {"received": 2, "created": 2, "updated": 0, "unchanged": 0, "superseded": 0} | RECEIPT | {
        "changes": [],
        "large_changes": 0,
    }
    assert [dry_run for _, dry_run in calls] == [True]


def test_dry_run_may_be_said_to_be_off(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dry_run=false a request is saved."""
    calls = saves(monkeypatch, Counts(created=2))
    assert function(BODY, **query(dry_run=["false"])).status == 201
    assert [dry_run for _, dry_run in calls] == [False]


@pytest.mark.parametrize(
    ("parameters", "errors"),
    [
        ({"dry_run": ["1"]}, [("dry_run", "dry_run_unknown")]),
        ({"dry_run": ["true", "false"]}, [("dry_run", "repeated")]),
        ({"dryrun": ["true"]}, [("dryrun", "unknown_parameter")]),
        ({"dry_run": ["x"], "verbose": ["1"]}, [("verbose", "unknown_parameter"), ("dry_run", "dry_run_unknown")]),
    ],
    ids=str,
)
def test_a_wrong_parameter_saves_nothing(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, list[str]],
    errors: list[tuple[str, str]],
) -> None:
    """Who misspells dry_run meant not to save, so nothing is saved."""
    calls = saves(monkeypatch, Counts(created=2))
    answer = function(BODY, **query(**parameters))
    assert_problem(answer, 400, "Invalid request")
    assert [(error["parameter"], error["code"]) for error in answer.body["errors"]] == errors
    assert "nothing was saved" in answer.body["detail"]
    assert not calls


# --- 400 --------------------------------------------------------------------------------------------------------------


def test_an_invalid_request_lists_its_errors(function: Function) -> None:
    """A producer gets every error with its place, its code and words."""
    answer = function(request_body([point("2022-10-01 00:30:00", 1), point("2022-10-01", "x")], TOKEN))
    assert_problem(answer, 400, "Invalid request")
    assert answer.body["total_errors"] == 2
    assert "2 errors" in answer.body["detail"]
    assert "nothing was saved" in answer.body["detail"]
    first, second = answer.body["errors"]
    assert first.keys() == second.keys() == {"pointer", "code", "detail"}
    assert (first["pointer"], first["code"]) == ("/data/0/timestamp", "timestamp_not_hourly")
    assert "2022-10-01 00:30:00 UTC" in first["detail"]
    assert (second["pointer"], second["code"]) == ("/data/1/metric_value", "metric_value_invalid")


def test_many_errors_come_with_their_total(function: Function) -> None:
    """Of more than 100 errors the first 100 are listed, and the answer says so."""
    answer = function(request_body([{}] * 1_000, TOKEN))
    assert_problem(answer, 400, "Invalid request")
    assert answer.body["total_errors"] == 3_000
    assert len(answer.body["errors"]) == 100
    assert "3,000 errors" in answer.body["detail"]
    assert "first 100" in answer.body["detail"]


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        pytest.param(None, {}, id="no body"),
        pytest.param("", {}, id="empty"),
        pytest.param("{", {}, id="cut off"),
        pytest.param('{"data_stream_token": "\ud800"}', {}, id="lone surrogate"),
        pytest.param("/w==", {"isBase64Encoded": True}, id="invalid UTF-8 in base64"),
        pytest.param("e30", {"isBase64Encoded": True}, id="cut base64"),
        pytest.param("\xe9", {"isBase64Encoded": True}, id="base64 that is not ASCII"),
        pytest.param(None, {"isBase64Encoded": True}, id="no body in base64"),
        pytest.param(" " * MAX_BODY_BYTES, {}, id="6 MB of spaces"),
    ],
)
def test_a_body_that_is_no_json_is_a_400(function: Function, body: str | None, changes: dict[str, Any]) -> None:
    """Whatever a client sends as a body, it is never the server's error."""
    answer = function(body, **changes)
    assert_problem(answer, 400, "Invalid request")
    assert [(error["pointer"], error["code"]) for error in answer.body["errors"]] == [("", "json_invalid")]
    assert "1 error," in answer.body["detail"]


# --- 404, 413 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["ds_nobody", "ds_revoked", TOKEN.upper(), f"{TOKEN} ", "\U0001f600"])
def test_a_token_without_an_active_stream_is_a_404(function: Function, token: str) -> None:
    """An unknown and a revoked token get the same answer, which does not repeat the token."""
    answer = function(request_body(POINTS, token))
    assert_problem(answer, 404, "No stream found")
    assert "Nothing was saved" in answer.body["detail"]
    assert token not in answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/api/streams"},
        {"path": "/api/streams/ingest/more"},
        {"path": "/"},
        {"httpMethod": "GET"},
        {"httpMethod": "DELETE", "path": "/metrics/api/streams/ingest"},
    ],
    ids=str,
)
def test_an_unknown_route_is_a_404(function: Function, changes: dict[str, Any]) -> None:
    """A path or method that there is not gets a problem as well, and not the one of an unknown stream."""
    assert_problem(function(BODY, **changes), 404, "No such route")


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        pytest.param("0" * (MAX_BODY_BYTES + 1), {}, id="ASCII"),
        pytest.param("\xe9" * (MAX_BODY_BYTES // 2 + 1), {}, id="bytes count, not characters"),
        pytest.param(base64.b64encode(b"0" * (MAX_BODY_BYTES + 1)).decode(), {"isBase64Encoded": True}, id="in base64"),
    ],
)
def test_a_body_over_the_limit_is_a_413(function: Function, body: str, changes: dict[str, Any]) -> None:
    """A body over 6 MB is refused before it is parsed, with its size and the limit."""
    answer = function(body, **changes)
    assert_problem(answer, 413, "Body too large")
    assert f"{MAX_BODY_BYTES:,}" in answer.body["detail"]


def test_the_limit_counts_what_was_sent_and_not_its_base64(function: Function) -> None:
    """Base64 makes a body a third longer, which is not the client's doing."""
    answer = function(base64.b64encode(b" " * MAX_BODY_BYTES).decode(), isBase64Encoded=True)
    assert answer.status == 400


# --- 500, 503 ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cold_start")
def test_an_error_of_aws_is_a_500_with_nothing_internal(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client learns the request ID under which the log has more, and nothing about tables or errors."""
    monkeypatch.setenv("STREAMS_TABLE", "table-that-is-gone")
    answer = function(BODY)
    assert_problem(answer, 500, "Internal error")
    request_id = "99999999-8888-7777-6666-555555555555"
    assert answer.body["request_id"] == request_id
    assert request_id in answer.body["detail"]
    assert answer.body.keys() == {"type", "title", "status", "detail", "request_id"}
    internal = ("table-that-is-gone", "ResourceNotFound", "DynamoDB", "GetItem", "Traceback", ".py")
    assert not [word for word in internal if word in answer.text]

    entries = [json.loads(line) for line in function.logged.log.getvalue().splitlines()]
    (entry,) = [entry for entry in entries if entry["level"] == "ERROR"]
    assert entry["correlation_id"] == request_id
    assert entry["code"] == "ResourceNotFoundException"


def test_an_error_of_the_code_is_a_500_with_nothing_internal(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of an exception may hold what was sent, so neither the answer nor the log repeats it."""
    saves(monkeypatch, ValueError(f"could not save {POINTS} with {TOKEN}"))
    answer = function(BODY)
    assert_problem(answer, 500, "Internal error")
    assert not [secret for secret in [*SECRETS, "ValueError", "could not save"] if secret in answer.text]
    logged = function.logged.everything()
    assert "ValueError" in logged
    assert not [secret for secret in SECRETS if secret in logged]


@pytest.mark.usefixtures("cold_start")
def test_a_missing_setting_is_a_500_as_well(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that was deployed wrongly still answers with a problem."""
    monkeypatch.delenv("STREAMS_TABLE")
    assert_problem(function(BODY), 500, "Internal error")


def test_no_time_left_is_a_503(function: Function) -> None:
    """Who may send the same request again is told so, and when."""
    answer = function(BODY, LambdaContext(timeout_seconds=1))
    assert_problem(answer, 503, "Not everything was saved in time")
    assert int(answer.headers["Retry-After"][0]) > 0
    assert "can safely be sent again" in answer.body["detail"]
    assert [answer.body[count] for count in ("created", "updated", "unchanged", "superseded")] == [0, 0, 0, 0]


def test_a_503_counts_what_is_saved_so_far(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved before time ran out is counted."""
    saves(monkeypatch, OutOfTime(Counts(created=1)))
    answer = function(BODY)
    assert_problem(answer, 503, "Not everything was saved in time")
    assert [answer.body[count] for count in ("created", "updated", "unchanged", "superseded")] == [1, 0, 0, 0]


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "outcome", "status"),
    [
        pytest.param(BODY, Counts(created=2), 201, id="201"),
        pytest.param(request_body([*POINTS, *POINTS], TOKEN), None, 400, id="400 duplicates"),
        pytest.param(BODY.replace('"Sum"', '"secret-metric"'), None, 400, id="400 function"),
        pytest.param(BODY.replace("2022-10-01", "secret-metric"), None, 400, id="400 timestamp"),
        pytest.param(BODY[:-1], None, 400, id="400 cut off"),
        pytest.param(request_body(POINTS, f"{TOKEN}!"), None, 404, id="404"),
        pytest.param(BODY + " " * MAX_BODY_BYTES, None, 413, id="413"),
        pytest.param(BODY, RuntimeError(BODY), 500, id="500"),
        pytest.param(BODY, OutOfTime(), 503, id="503"),
    ],
)
def test_nothing_that_was_sent_is_logged(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    outcome: Counts | Exception | None,
    status: int,
) -> None:
    """No token, no API key, no name, no dimension and no value is in the log, whatever comes of the request."""
    if outcome is not None:
        saves(monkeypatch, outcome)
    assert function(body).status == status
    logged = function.logged.everything()
    assert not [secret for secret in SECRETS if secret in logged]


@pytest.mark.usefixtures("cold_start")
def test_one_request_leaves_nothing_in_the_log_of_the_next(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm function does not log an earlier request's stream with a later one."""
    saves(monkeypatch, Counts(created=2))
    assert function(BODY).status == 201
    assert "stream-1" in function.logged.log.getvalue()
    before = len(function.logged.log.getvalue())
    app.tables.cache_clear()
    monkeypatch.delenv("STREAMS_TABLE")
    assert function(BODY).status == 500
    later = function.logged.log.getvalue()[before:]
    assert "unforeseen" in later
    assert "stream-1" not in later
