"""The write path on DynamoDB Local, through the real handler."""

from __future__ import annotations

import json
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import pytest
import support
from botocore.exceptions import ClientError
from stack import DEMO_TOKEN
from support import point, proxy_event, request_body

import unitstream_http
from ingest import app
from unitstream.identity import record_id
from unitstream.instants import instant_text
from unitstream.streams import token_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

NOW = 1_700_000_000_000


def send(invoke: Invoke, *points: dict[str, Any], received_at: int = NOW, agg_func: str = "Sum") -> dict[str, int]:
    answer = invoke(proxy_event(request_body(list(points), DEMO_TOKEN, agg_func), received_at))
    assert answer["statusCode"] == 201, answer["body"]
    saved: dict[str, Any] = json.loads(answer["body"])
    saved.pop("notices", None)
    assert saved.pop("received_at") == instant_text(received_at)
    return saved


def counts(received: int, **expected: int) -> dict[str, int]:
    return {"received": received, "created": 0, "updated": 0, "unchanged": 0, "superseded": 0} | expected


def test_the_documented_forms_of_a_timestamp_are_one_point(invoke: Invoke, tables: Tables) -> None:
    """The first creates it, and every other way of writing the same hour finds it unchanged."""
    forms = [
        "2022-10-01 00:00:00",
        "20221001000000",
        20221001000000,
        "2022-10-01T00:00:00Z",
        "2022-10-01T02:00:00+02:00",
        1664582400,
        1664582400000,
    ]
    answers = [send(invoke, point(form, 12.5), received_at=NOW + i) for i, form in enumerate(forms)]
    assert answers == [counts(1, created=1)] + [counts(1, unchanged=1)] * (len(forms) - 1)
    record = record_id("orders", "Sum", {})
    assert support.stored_points(tables.client, tables.metrics) == {(record, "2022-10-01", 0): (NOW + 6, 12.5)}


def test_the_four_outcomes_add_up(invoke: Invoke) -> None:
    """One request can create, update, leave alone and lose."""
    send(invoke, point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 2), received_at=NOW)
    send(invoke, point("2022-10-01 02:00:00", 3), received_at=NOW + 20)
    answer = send(
        invoke,
        point("2022-10-01 00:00:00", 1),
        point("2022-10-01 01:00:00", 20),
        point("2022-10-01 02:00:00", 30),
        point("2022-10-01 03:00:00", 4),
        received_at=NOW + 10,
    )
    assert answer == counts(4, created=1, updated=1, unchanged=1, superseded=1)


def test_a_replayed_old_event_does_not_undo_a_correction(invoke: Invoke, tables: Tables) -> None:
    """The value that was received last stays, whatever is delivered last."""
    old, correction = point("2022-10-01", 1), point("2022-10-01", 2)
    send(invoke, old, received_at=NOW)
    send(invoke, correction, received_at=NOW + 1)
    before = support.scan(tables.client, tables.metrics)
    assert send(invoke, old, received_at=NOW) == counts(1, superseded=1)
    assert support.scan(tables.client, tables.metrics) == before


def test_an_unchanged_value_received_later_still_outdates_an_older_one(invoke: Invoke, tables: Tables) -> None:
    """1 at t, then 1 at t+2, then a late 7 from t+1: the 1 of t+2 was received last and stays."""
    send(invoke, point("2022-10-01", 1), received_at=NOW)
    assert send(invoke, point("2022-10-01", 1), received_at=NOW + 2) == counts(1, unchanged=1)
    assert send(invoke, point("2022-10-01", 7), received_at=NOW + 1) == counts(1, superseded=1)
    assert list(support.stored_points(tables.client, tables.metrics).values()) == [(NOW + 2, 1.0)]


def test_one_name_has_up_to_four_versions(invoke: Invoke, tables: Tables) -> None:
    """Points of the same name under different aggregation functions do not meet."""
    for value, agg_func in enumerate(("Sum", "Average", "Maximum", "Minimum")):
        assert send(invoke, point("2022-10-01", value), agg_func=agg_func) == counts(1, created=1)
    assert sorted(v for _, v in support.stored_points(tables.client, tables.metrics).values()) == [0, 1, 2, 3]


def test_dimensions_make_the_record(invoke: Invoke, tables: Tables) -> None:
    """Their order does not matter, their text does, and none, {} and null are the same."""
    assert send(invoke, point("2022-10-01", 1)) == counts(1, created=1)
    assert send(invoke, point("2022-10-01", 1, dimensions={})) == counts(1, unchanged=1)
    assert send(invoke, point("2022-10-01", 1) | {"custom_dimensions": None}) == counts(1, unchanged=1)
    assert send(invoke, point("2022-10-01", 1, dimensions={"a": "1", "b": "2"})) == counts(1, created=1)
    assert send(invoke, point("2022-10-01", 1, dimensions={"b": "2", "a": "1"})) == counts(1, unchanged=1)
    assert send(invoke, point("2022-10-01", 1, dimensions={"a": "1", "b": "2 "})) == counts(1, created=1)
    assert send(invoke, point("2022-10-01", 1, dimensions={"a": ""})) == counts(1, created=1)
    assert len(support.stored_points(tables.client, tables.metrics)) == 4


@pytest.mark.parametrize(
    "value",
    [0, -0.0, -12, 0.1, 1 / 3, 1e-130, -1e-130, 9.99e125, -9.99e125, 2**53 + 1, 1.7976e100, "12.50", " 7 ", "1e3"],
)
def test_every_float_that_fits_comes_back_to_the_last_bit(invoke: Invoke, tables: Tables, value: float | str) -> None:
    """What DynamoDB makes of a number reads back as the same float."""
    assert send(invoke, point("2022-10-01", value)) == counts(1, created=1)
    assert send(invoke, point("2022-10-01", value)) == counts(1, unchanged=1)
    assert [v for _, v in support.stored_points(tables.client, tables.metrics).values()] == [float(value)]


def test_the_longest_names_fit(invoke: Invoke, tables: Tables) -> None:
    """255 characters of four bytes each, as name, as every key, and 1,024 as every value."""
    long = "🧮" * 254
    dimensions = {f"{long}{digit}": "🧮" * 1_024 for digit in range(10)}
    longest = point("2022-10-01", 1, f"{long}Y", dimensions)
    assert send(invoke, longest, agg_func="Average") == counts(1, created=1)
    series = [item for item in support.scan(tables.client, tables.metrics) if "dimensions" in item]
    assert [{k: v["S"] for k, v in item["dimensions"]["M"].items()} for item in series] == [dimensions]


def test_invalid_points_leave_nothing_behind(invoke: Invoke, tables: Tables) -> None:
    """Three points of which two are wrong in two ways each: four errors, and the good one is not saved either."""
    good = point("2022-10-01", 1)
    bad = point("2022-10-01 00:30:00", "x")
    answer = invoke(proxy_event(request_body([good, bad, bad], DEMO_TOKEN), NOW))
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["total_errors"], len(problem["errors"])) == (400, 4, 4)
    assert support.scan(tables.client, tables.metrics) == []


def test_a_revoked_token_names_no_stream(invoke: Invoke, tables: Tables) -> None:
    """404, as for a token that never was; nothing is saved."""
    support.create_stream(tables.client, tables.streams, "ds_revoked", "gone", state="revoked")
    for token in ("ds_revoked", "ds_never"):
        answer = invoke(proxy_event(request_body([point("2022-10-01", 1)], token), NOW))
        assert (answer["statusCode"], json.loads(answer["body"])["title"]) == (404, "No stream found")
    assert support.scan(tables.client, tables.metrics) == []


def test_a_warm_function_looks_a_stream_up_once_a_minute(
    invoke: Invoke, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation takes a minute at most to arrive."""
    send(invoke, point("2022-10-01", 1))
    tables.client.delete_item(TableName=tables.streams, Key=token_key(DEMO_TOKEN))
    send(invoke, point("2022-10-01", 1))
    monkeypatch.setattr("unitstream.streams.REMEMBERED_SECONDS", 0)
    app.tables.cache_clear()
    answer = invoke(proxy_event(request_body([point("2022-10-01", 1)], DEMO_TOKEN), NOW))
    assert answer["statusCode"] == 404


def throttle(operation: str, answers: Iterator[int]) -> None:
    """Let DynamoDB refuse those calls of `operation` for which `answers` says so."""

    def refuse(**_: Any) -> None:
        if next(answers):
            error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, operation)  # type: ignore[arg-type]  # as much as is looked at

    client = app.tables()[1].table.client
    client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)


def test_what_dynamodb_throttles_is_tried_again(invoke: Invoke, tables: Tables) -> None:
    """Whole calls that are refused three times in a row cost time, and no point."""
    throttle("BatchGetItem", chain([1] * 3, repeat(0)))
    assert send(invoke, point("2022-10-01", 1)) == counts(1, created=1)
    assert len(support.stored_points(tables.client, tables.metrics)) == 1


def test_a_throttle_that_lasts_is_answered_before_the_gateway_gives_up(tables: Tables) -> None:
    """503 with Retry-After and true counts; the same request, sent again, completes."""
    points = [point(f"2022-{month:02}-{day:02}", 1) for month in range(1, 5) for day in range(1, 29)]
    event = proxy_event(request_body(points, DEMO_TOKEN), NOW)
    throttle("BatchExecuteStatement", chain([0] * 5, repeat(1)))
    context = support.LambdaContext(timeout_seconds=app.RESERVED_SECONDS + 0.5)
    answer = app.lambda_handler(event, context)
    problem = json.loads(answer["body"])
    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == [str(unitstream_http.RETRY_AFTER_SECONDS)]
    assert "can safely be sent again" in problem["detail"]
    stored = len(support.stored_points(tables.client, tables.metrics))
    assert 0 < problem["created"] == stored < len(points)

    app.tables.cache_clear()
    again = app.lambda_handler(event, support.LambdaContext())
    assert json.loads(again["body"]) == counts(len(points), created=len(points) - stored, unchanged=stored) | {
        "received_at": problem["received_at"]
    }
