"""How many series a metric may have: new ones beyond are refused as a whole, and known ones cost nothing more."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import support
from stack import DEMO_STREAM_ID, DEMO_TOKEN
from support import point, proxy_event, request_body

from ingest import app
from unitstream.identity import Metric
from unitstream.items import metric_key
from unitstream.series_limit import SeriesCounts
from unitstream.streams import token_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

LIMIT = 10
moments = count(1_700_000_000_000)


@pytest.fixture(autouse=True)
def limit(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # they set another one
    monkeypatch.setenv("MAX_SERIES_PER_METRIC", str(LIMIT))


def send(
    invoke: Invoke, orders: Sequence[int], *others: dict[str, Any], day: str = "2022-10-01", dry_run: str = "false"
) -> tuple[int, dict[str, Any]]:
    """Send a point of each of the series with these numbers. Returns the status and the document of the answer."""
    points = [*others, *(point(day, 1, "orders", {"order": str(number)}) for number in orders)]
    asked = {"queryStringParameters": {"dry_run": dry_run}, "multiValueQueryStringParameters": {"dry_run": [dry_run]}}
    answer = invoke(proxy_event(request_body(points, DEMO_TOKEN), next(moments)) | asked)
    return answer["statusCode"], json.loads(answer["body"])


def items(tables: Tables) -> list[Any]:
    return sorted(support.scan(tables.client, tables.metrics), key=str)


def test_new_series_beyond_the_limit_are_refused_before_anything_is_saved(invoke: Invoke, tables: Tables) -> None:
    """Naming the first point that is too much. Other metrics of the request are not saved either."""
    assert send(invoke, range(8))[0] == 201
    before = items(tables)
    for dry_run in ("true", "false"):
        status, problem = send(invoke, range(6, 12), point("2022-10-03", 1, "another"), dry_run=dry_run)
        assert (status, problem["total_errors"]) == (400, 1)
        (error,) = problem["errors"]
        assert (error["code"], error["pointer"]) == ("too_many_series", "/data/5")
        assert "orders has 8 series, and 4 of this request are new: more than the 10" in error["detail"]
    assert items(tables) == before


def test_up_to_the_limit_series_are_taken_one_by_one_and_all_at_once(invoke: Invoke) -> None:
    """By a function that knows what it made, and by one that starts cold."""
    for number in range(LIMIT):
        assert send(invoke, [number])[0] == 201
        if number % 3 == 0:
            app.tables.cache_clear()
    assert send(invoke, [LIMIT])[0] == 400
    assert send(invoke, [LIMIT], day="2022-10-02")[0] == 400
    assert send(invoke, range(LIMIT + 1))[0] == 400
    app.tables.cache_clear()
    assert send(invoke, [LIMIT])[0] == 400


def test_known_series_are_taken_whatever_the_limit(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it was lowered, also on other days, and by a function that starts cold."""
    assert send(invoke, range(LIMIT))[0] == 201
    monkeypatch.setenv("MAX_SERIES_PER_METRIC", "3")
    for day in ("2022-10-01", "2022-10-02"):
        app.tables.cache_clear()
        assert send(invoke, range(LIMIT), day=day)[0] == 201
        assert send(invoke, range(LIMIT), day=day)[0] == 201
    assert send(invoke, range(LIMIT + 1))[0] == 400


def test_a_request_that_is_too_much_by_itself_is_refused(invoke: Invoke, tables: Tables) -> None:
    """A metric that is new is no exception."""
    status, problem = send(invoke, range(LIMIT + 1))
    assert (status, problem["errors"][0]["pointer"]) == (400, f"/data/{LIMIT}")
    assert items(tables) == []


def test_each_metric_that_is_full_is_named(invoke: Invoke) -> None:
    """In the order of the request."""
    points = [point("2022-10-01", 1, f"metric-{number % 2}", {"n": str(number)}) for number in range(2 * LIMIT + 4)]
    status, problem = send(invoke, [], *points)
    assert status == 400
    assert [error["pointer"] for error in problem["errors"]] == [f"/data/{2 * LIMIT}", f"/data/{2 * LIMIT + 1}"]


def test_a_stream_may_have_a_limit_of_its_own(invoke: Invoke, tables: Tables) -> None:
    """Its tokens say so."""
    support.create_stream(tables.client, tables.streams, "ds_large", "large")
    tables.client.update_item(
        TableName=tables.streams,
        Key=token_key("ds_large"),
        UpdateExpression="SET max_series = :limit",
        ExpressionAttributeValues={":limit": {"N": str(LIMIT + 1)}},
    )
    for number, status in ((LIMIT + 2, 400), (LIMIT + 1, 201)):
        points = [point("2022-10-01", 1, "orders", {"order": str(order)}) for order in range(number)]
        assert invoke(proxy_event(request_body(points, "ds_large"), next(moments)))["statusCode"] == status


def test_of_many_known_series_hardly_any_is_looked_up(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the metric is nearly full, those of one shard tell; new ones among many are found all the same."""
    monkeypatch.setenv("MAX_SERIES_PER_METRIC", "200")
    monkeypatch.setattr("unitstream.series_limit._SAMPLED_FROM", 100)
    assert send(invoke, range(190))[0] == 201
    app.tables.cache_clear()
    looked_up: list[int] = []
    client = app.tables()[1].table.client

    def note(params: dict[str, Any], **_: Any) -> None:
        (wanted,) = params["RequestItems"].values()
        looked_up.append(sum(key["sk"]["S"].startswith("series#") for key in wanted["Keys"]))

    client.meta.events.register("provide-client-params.dynamodb.BatchGetItem", note)
    assert send(invoke, range(190))[0] == 201
    assert 0 < sum(looked_up) < 50
    assert send(invoke, range(150, 340))[0] == 400


def test_functions_learn_of_the_series_that_others_created(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next new ones that they meet: what they remember lets through somewhat more, and never less."""
    functions = [app.tables.__wrapped__() for _ in range(2)]

    def send_to(function: int, orders: Sequence[int]) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(app, "tables", lambda: functions[function])
            return send(invoke, orders)[0]

    assert send_to(0, [0]) == send_to(1, [1]) == 201
    assert send_to(0, range(2, 9)) == 201
    assert send_to(1, [9]) == 201
    assert [send_to(function, [10]) for function in (0, 1)] == [400, 400]


def test_what_is_created_at_the_same_moment_is_counted_afterwards(invoke: Invoke, tables: Tables) -> None:
    """Each series once, whoever of several wins."""
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda part: send(invoke, range(part * 2, part * 2 + 4))[0], range(4)))
    assert statuses == [201] * 4
    (entry,) = [item for item in items(tables) if item["pk"]["S"].endswith("#metrics")]
    assert int(entry["series_count"]["N"]) == sum("dimensions" in item for item in items(tables)) == 10
    assert send(invoke, [100])[0] == 400


def test_what_could_not_be_counted_in_time_is_counted_later(invoke: Invoke, tables: Tables) -> None:
    """With what the next request creates."""
    assert send(invoke, [0])[0] == 201
    key = metric_key(DEMO_STREAM_ID, Metric("orders", "Sum"))
    counts = SeriesCounts(app.tables()[1].table)

    def counted() -> int:
        (entry,) = [item for item in items(tables) if item["sk"]["S"] == key.sk]
        return int(entry["series_count"]["N"])

    counts.note({key: 2_000}, deadline=0.0)
    assert counted() == 1
    counts.note({key: 1}, time.monotonic() + 10)
    assert counted() == 2_002
