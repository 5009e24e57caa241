"""What the function says of itself: log lines and metrics, and never a token, a key or a value."""

from __future__ import annotations

import io
import json
import logging
import re
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import support
from botocore.exceptions import ClientError
from stack import DEMO_READ_TOKEN, DEMO_STREAM_ID, DEMO_TOKEN, DEMO_WRITE_TOKEN
from support import get_event, point, proxy_event, request_body

import unitstream_http
from ingest import app
from views import app as views_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

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
    handler = unitstream_http.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", log)
    return Printed(log, capsys)


def refuse_from(operation: str, code: str, *, call: int, function: ModuleType = app) -> None:
    """Let DynamoDB refuse a function's `operation` from the given call on, with a message that quotes what was sent."""
    calls = count()

    def refuse(**_: Any) -> None:
        if next(calls) >= call:
            answer = {"Error": {"Code": code, "Message": f"{SECRETS}"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, operation)  # type: ignore[arg-type]  # as much as is looked at

    client = function.tables()[1].table.client
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
        "SeriesCreated": [0.0],
    }
    assert all(metrics[name][0] > 0 for name in ("ReadTime", "MergeTime", "WriteTime"))


def test_a_deletion_is_one_log_line_and_its_metrics(invoke: Invoke, printed: Printed) -> None:
    """A dry run of it counts no points."""
    invoke(event(point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 3)))
    counted: dict[str, dict[str, list[float]]] = {"true": {}, "false": {"PointsDeleted": [2.0]}}
    for dry_run, expected in counted.items():
        invoke(support.delete_event(DEMO_TOKEN, NOW + 1, **DELETION, dry_run=[dry_run]))
        line, metrics = printed.lines()[-1], printed.metrics()
        assert (line["stream_id"], line["points"]) == (DEMO_STREAM_ID, {"deleted": 2, "series": 1})
        assert metrics["Status200"] == [1.0]
        assert {name: metrics[name] for name in metrics if name.startswith("Points")} == expected


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


DELETION: dict[str, list[str]] = {
    "metric_name": ["orders"],
    "metric_agg_func": ["Sum"],
    "start_date": ["2022-10-01"],
    "end_date": ["2022-10-31"],
}
VIEW = DELETION | {"granularity": ["day"]}


def test_a_read_is_one_log_line_and_its_metrics(invoke: Invoke, printed: Printed) -> None:
    """With the gateway's request ID as correlation ID, the stream, and the points that went into the answer."""
    invoke(event(point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 3)))
    invoke(get_event("/api/views", DEMO_TOKEN, parameters=VIEW))
    line, metrics = printed.lines()[-1], printed.metrics()
    assert line["correlation_id"] == "99999999-8888-7777-6666-555555555555"
    assert (line["stream_id"], line["route"], line["points"]) == (DEMO_STREAM_ID, "/api/views", 2)
    assert metrics.keys() == {"Status200", "PointsRead", "AnswerBytes", "ReadTime", "RenderTime"}
    assert metrics["PointsRead"] == [2.0]
    assert all(value[0] > 0 for value in metrics.values())


POINTS = {name: values for name, values in VIEW.items() if name != "granularity"}


def who_wrote(point: dict[str, Any], lines: list[dict[str, Any]]) -> set[str]:
    """Return the tokens that the query of docs/operations.md finds for a point, applied to log lines."""
    page = (support.REPOSITORY / "docs" / "operations.md").read_text()
    (query,) = re.findall(r"^\| filter (.+)$", page, re.MULTILINE)
    wanted = dict(re.findall(r'(\w+) = "([^"]+)"', query)) | {"stream_id": DEMO_STREAM_ID}
    assert wanted.keys() == {"stream_id", "received_at"}
    wanted["received_at"] = point["received_at"]
    return {line["token"] for line in lines if wanted.items() <= line.items()}


def test_one_query_leads_from_a_point_to_the_token_that_wrote_it(invoke: Invoke, printed: Printed) -> None:
    """Whoever wrote before, read since, or was refused; and a token's name is what the log knows of it."""
    invoke(event(point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 1), received_at=NOW))
    invoke(event(point("2022-10-01 01:00:00", 2), token=DEMO_WRITE_TOKEN, received_at=NOW + 1))
    assert invoke(event(point("2022-10-01", 3), token=DEMO_READ_TOKEN, received_at=NOW + 2))["statusCode"] == 403
    answer = invoke(get_event("/api/points", DEMO_READ_TOKEN, parameters=POINTS))
    points = json.loads(answer["body"])["points"]
    assert [who_wrote(one, printed.lines()) for one in points] == [{"owner"}, {"writer"}]


def test_every_line_of_a_request_names_its_token_and_when_it_came(invoke: Invoke, printed: Printed) -> None:
    """Also of one that is refused for a right, or fails; one without a token that is known has the moment alone."""
    received_at = {"received_at": "2023-11-14T22:13:20.000Z"}
    invoke(event(point("2022-10-01", 1)))
    invoke(event(point("2022-10-01", 1), token=DEMO_READ_TOKEN))
    refuse_from("BatchGetItem", "ValidationException", call=0)
    assert invoke(event(point("2022-10-02", 1), token=DEMO_WRITE_TOKEN))["statusCode"] == 500
    refuse_from("GetItem", "ValidationException", call=0)
    assert invoke(event(point("2022-10-02", 1), token="ds_wrong-token"))["statusCode"] == 500
    lines = printed.lines()
    assert all(received_at.items() <= line.items() for line in lines)
    assert [(line["message"], line.get("token")) for line in lines] == [
        ("saved", "owner"),
        ("right missing", "reader"),
        ("unforeseen error", "writer"),
        ("unforeseen error", None),
    ]


def test_what_is_done_to_a_saved_unit_metric_is_one_log_line_each(invoke: Invoke, printed: Printed) -> None:
    """Saving, reading and deleting one: by whom, when, and the name of what changed; nothing of the definition."""
    definition = json.dumps({"numerator": "costs:Sum", "denominator": "orders:Sum", "filter": ["a:customer-acme"]})
    for method in ("PUT", "GET", "DELETE"):
        request = get_event("/api/unit-metrics/{name}", DEMO_TOKEN, httpMethod=method, body=definition)
        request["requestContext"] |= {"httpMethod": method, "requestTimeEpoch": NOW}
        assert invoke(request | {"pathParameters": {"name": "unit"}})["statusCode"] == 200
    who = {"stream_id": DEMO_STREAM_ID, "token": "owner", "received_at": "2023-11-14T22:13:20.000Z"}
    assert all(who.items() <= line.items() for line in printed.lines())
    assert [(line["message"], line.get("unit_metric")) for line in printed.lines()] == [
        ("unit metric saved", "unit"),
        ("read", None),
        ("unit metric deleted", "unit"),
    ]
    assert "customer-acme" not in printed.log.getvalue()


@pytest.mark.parametrize("operation", ["GetItem", "BatchGetItem", "Query"])
def test_a_read_that_is_throttled_to_the_end_is_a_503(invoke: Invoke, printed: Printed, operation: str) -> None:
    """Whether the stream, its metric or its points are looked for."""
    invoke(event(point("2022-10-01 00:00:00", 1)))
    refuse_from(operation, "ThrottlingException", call=0, function=views_app)
    context = support.LambdaContext(timeout_seconds=views_app.RESERVED_SECONDS + 0.3)
    answer = views_app.lambda_handler(get_event("/api/views", DEMO_TOKEN, parameters=VIEW), context)
    assert answer["statusCode"] == 503
    assert printed.metrics() == {"Status503": [1.0]}


def test_no_secret_and_no_value_is_ever_printed(invoke: Invoke, printed: Printed) -> None:
    """Not when saving, rejecting, reading, refusing or failing, with the log level DEBUG."""
    unitstream_http.logger.setLevel(logging.DEBUG)
    secret = point("2022-10-01", 918273645, "orders", DIMENSIONS)
    try:
        assert invoke(event(secret))["statusCode"] == 201
        assert invoke(event(secret | {"secret-dimension": 1}))["statusCode"] == 400
        assert invoke(event(secret | {"metric_value": "customer-acme"}))["statusCode"] == 400
        assert invoke(event(secret, secret))["statusCode"] == 400
        assert invoke(event(secret, token="ds_wrong-token"))["statusCode"] == 404
        deletion = DELETION | {"filter": ["secret-dimension:customer-acme"]}
        for token, more, status in (
            (DEMO_TOKEN, {}, 200),
            (DEMO_TOKEN, {"dry_run": ["9182"]}, 400),
            ("ds_wrong", {}, 404),
        ):
            assert invoke(support.delete_event(token, NOW, **(deletion | more)))["statusCode"] == status
        refuse_from("BatchGetItem", "ValidationException", call=0)
        assert invoke(event(secret))["statusCode"] == 500
        for form in ("application/json", "text/csv"):
            asked = {"headers": {"Accept": form}, "parameters": VIEW | {"group_by": ["secret-dimension"]}}
            answer = invoke(get_event("/api/views", DEMO_TOKEN, **asked))
            assert (answer["statusCode"], "customer-acme" in answer["body"]) == (200, True)
        wrong = VIEW | {"filter": ["customer-acme"], "customer-acme": ["918273645"]}
        assert invoke(get_event("/api/views", DEMO_TOKEN, parameters=wrong))["statusCode"] == 400
        assert invoke(get_event("/api/views", "ds_wrong-token", parameters=VIEW))["statusCode"] == 404
        refuse_from("Query", "ValidationException", call=0, function=views_app)
        filtered = VIEW | {"filter": ["secret-dimension:customer-acme"]}
        assert invoke(get_event("/api/views", DEMO_TOKEN, parameters=filtered))["statusCode"] == 500
    finally:
        unitstream_http.logger.setLevel(logging.INFO)
    said = printed.log.getvalue() + "".join(printed.capsys.readouterr())
    assert "unforeseen error" in said
    assert [text for text in SECRETS if text in said] == []
