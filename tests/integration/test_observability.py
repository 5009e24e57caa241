"""What the function says of itself: log lines and metrics, and never a token, a key or a value."""

from __future__ import annotations

import io
import json
import logging
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import support
from botocore.exceptions import ClientError
from stack import DEMO_STREAM_ID, DEMO_TOKEN
from support import point, proxy_event, request_body

import app

if TYPE_CHECKING:
    from collections.abc import Callable

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

NOW = 1_700_000_000_000
SECRETS = (DEMO_TOKEN, "secret-api-key", "customer-acme", "secret-dimension", "918273645", "ds_wrong-token")
DIMENSIONS = {"secret-dimension": "customer-acme"}


class Printed:
    """What the function printed: log lines through the logger's handler, metrics on stdout."""

    def __init__(self, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        self.log = log
        self.capsys = capsys

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def metrics(self) -> dict[str, list[float]]:
        """Return the metrics of the last request."""
        document = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        return {metric["Name"]: document[metric["Name"]] for metric in directive["Metrics"]}


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    log = io.StringIO()
    handler = app.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", log)
    return Printed(log, capsys)


def refuse_from(operation: str, code: str, *, call: int) -> None:
    """Let DynamoDB refuse `operation` from the given call on, with a message that quotes what was sent."""
    calls = count()

    def refuse(**_: Any) -> None:
        if next(calls) >= call:
            answer = {"Error": {"Code": code, "Message": f"{SECRETS}"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, operation)  # type: ignore[arg-type]  # as much as is looked at

    client = app.tables()[1]._client  # noqa: SLF001  # faults are injected at its events
    client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)


def event(*points: dict[str, Any], token: str = DEMO_TOKEN, received_at: int = NOW) -> dict[str, Any]:
    return proxy_event(request_body(list(points), token), received_at)


def test_a_saved_request_is_one_log_line_and_its_metrics(invoke: Invoke, printed: Printed) -> None:
    """With the gateway's request ID as correlation ID, the stream and the counts."""
    invoke(event(point("2022-10-01 00:00:00", 1), received_at=NOW))
    invoke(event(point("2022-10-01 00:00:00", 2), point("2022-10-01 01:00:00", 3), received_at=NOW + 1))
    line, metrics = printed.lines()[-1], printed.metrics()
    assert line["correlation_id"] == "99999999-8888-7777-6666-555555555555"
    assert line["stream_id"] == DEMO_STREAM_ID
    assert line["points"] == {"received": 2, "created": 1, "updated": 1, "unchanged": 0, "superseded": 0}
    assert {name: metrics[name] for name in metrics if not name.endswith("Time")} == {
        "Status201": [1.0],
        "PointsCreated": [1.0],
        "PointsUpdated": [1.0],
        "PointsUnchanged": [0.0],
        "PointsSuperseded": [0.0],
        "Rounds": [1.0],
        "LostRaces": [0.0],
        "Throttles": [0.0],
    }
    assert all(metrics[name][0] > 0 for name in ("ReadTime", "MergeTime", "WriteTime"))


def test_a_dry_run_counts_no_points(invoke: Invoke, printed: Printed) -> None:
    """Nothing was saved, so an alarm on missing data must not be calmed by it."""
    asked = {"queryStringParameters": {"dry_run": "true"}, "multiValueQueryStringParameters": {"dry_run": ["true"]}}
    invoke(event(point("2022-10-01", 1)) | asked)
    metrics = printed.metrics()
    assert metrics["Status200"] == [1.0]
    assert not [name for name in metrics if name.startswith("Points")]


def test_rejections_are_counted_by_code(invoke: Invoke, printed: Printed) -> None:
    """So that a producer that began to send nonsense is seen, and what kind of nonsense."""
    invoke(event(point("2022-10-01 00:30:00", "x"), point("2022-10-01 00:30:00", 1)))
    metrics = printed.metrics()
    assert metrics == {
        "Status400": [1.0],
        "ValidationErrors": [3.0],
        "Invalid_timestamp_not_hourly": [2.0],
        "Invalid_metric_value_invalid": [1.0],
    }


@pytest.mark.usefixtures("tables")
def test_throttles_and_what_was_saved_are_counted_when_time_runs_out(printed: Printed) -> None:
    """A 503 tells how many statements were throttled."""
    refuse_from("BatchExecuteStatement", "ThrottlingException", call=1)  # the catalogue goes through
    context = support.LambdaContext(timeout_seconds=app.RESERVED_SECONDS + 0.3)
    assert app.lambda_handler(event(point("2022-10-01", 1)), context)["statusCode"] == 503
    metrics = printed.metrics()
    assert metrics["Status503"] == [1.0]
    assert metrics["PointsCreated"] == [0.0]
    assert metrics["Throttles"] == metrics["Rounds"]


def test_no_secret_and_no_value_is_ever_printed(invoke: Invoke, printed: Printed) -> None:
    """Not when saving, rejecting, refusing or failing, with the log level DEBUG."""
    app.logger.setLevel(logging.DEBUG)
    secret = point("2022-10-01", 918273645, "orders", DIMENSIONS)
    try:
        assert invoke(event(secret))["statusCode"] == 201
        assert invoke(event(secret | {"secret-dimension": 1}))["statusCode"] == 400
        assert invoke(event(secret | {"metric_value": "customer-acme"}))["statusCode"] == 400
        assert invoke(event(secret, secret))["statusCode"] == 400
        assert invoke(event(secret, token="ds_wrong-token"))["statusCode"] == 404
        refuse_from("BatchGetItem", "ValidationException", call=0)
        assert invoke(event(secret))["statusCode"] == 500
    finally:
        app.logger.setLevel(logging.INFO)
    said = printed.log.getvalue() + "".join(printed.capsys.readouterr())
    assert "unforeseen error" in said
    assert [text for text in SECRETS if text in said] == []
