"""The catalogue of series and metrics: complete, and free for a warm function that knows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import support
from botocore.exceptions import ClientError
from stack import DEMO_STREAM_ID, DEMO_TOKEN
from support import point, proxy_event, request_body

from ingest import app
from unitstream.entries import MAX_KEY_SETS
from unitstream.identity import Metric, metric_id, record_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

NOW = 1_700_000_000_000


def series(day: str, count: int) -> list[dict[str, Any]]:
    return [point(day, 1, dimensions={"customer": str(number)}) for number in range(count)]


def record_calls() -> list[tuple[str, dict[str, Any]]]:
    """Record the calls that the function makes from now on: operation and parameters."""
    calls: list[tuple[str, dict[str, Any]]] = []
    client = app.tables()[1].table.client
    client.meta.events.register(
        "provide-client-params.dynamodb",
        lambda params, model, **_: calls.append((model.name, params)),
    )
    return calls


def save(invoke: Invoke, points: list[dict[str, Any]], received_at: int = NOW) -> None:
    answer = invoke(proxy_event(request_body(points, DEMO_TOKEN), received_at))
    assert answer["statusCode"] == 201, answer["body"]


def catalogued(tables: Tables) -> set[str]:
    return {item["sk"]["S"] for item in support.scan(tables.client, tables.metrics) if "dimensions" in item}


def test_the_catalogue_names_every_metric_and_series_once(invoke: Invoke, tables: Tables) -> None:
    """Readers find the records, with their dimensions, without knowing them."""
    for day in ("2022-10-01", "2022-10-02"):
        save(invoke, [point(day, 1, "orders", {"region": "eu"}), point(day, 1, "orders", {"region": "us"})])
        app.tables.cache_clear()  # the second request meets a cold function
    items = support.scan(tables.client, tables.metrics)
    (metric,) = [item for item in items if item["pk"]["S"] == f"{DEMO_STREAM_ID}#metrics"]
    series = {
        item["sk"]["S"]: (item["metric_name"]["S"], item["metric_agg_func"]["S"], item["dimensions"]["M"])
        for item in items
        if "dimensions" in item
    }
    records = {region: record_id("orders", "Sum", {"region": region}) for region in ("eu", "us")}
    assert {name: value for name, value in metric.items() if name not in {"pk", "sk", "rev"}} == {
        "metric_name": {"S": "orders"},
        "metric_agg_func": {"S": "Sum"},
        "metric_id": {"S": metric_id(Metric("orders", "Sum"))},
        "first_day": {"S": "2022-10-01"},
        "last_day": {"S": "2022-10-02"},
        "shards": {"S": "".join(sorted({record[0] for record in records.values()}))},
        "key_sets": {"L": [{"L": [{"S": "region"}]}]},
        "deleted_at": {"N": "0"},
        "series_count": {"N": "2"},
    }
    assert series == {
        f"series#{record}": ("orders", "Sum", {"region": {"S": region}}) for region, record in records.items()
    }


def test_known_series_cost_no_read_and_no_write(invoke: Invoke) -> None:
    """A warm function that saves another day of series it knows reads the days and writes the days, nothing else."""
    save(invoke, [*series("2022-10-01", 20), *series("2022-10-03", 20)])
    calls = record_calls()
    save(invoke, series("2022-10-02", 20))
    assert [operation for operation, _ in calls] == ["BatchGetItem", "BatchExecuteStatement"]
    (_, read), (_, write) = calls
    (table,) = read["RequestItems"].values()
    assert len(table["Keys"]) == len(write["Statements"]) == 20


def test_a_new_day_costs_a_known_metric_one_write(invoke: Invoke) -> None:
    """Once a day, whoever is first says so in the metric's item; the others of that day find it said."""
    save(invoke, series("2022-10-01", 20))
    calls = record_calls()
    save(invoke, series("2022-10-02", 20)[:10])
    save(invoke, series("2022-10-02", 20)[10:])
    assert [operation for operation, _ in calls] == ["BatchExecuteStatement"] + [
        "BatchGetItem",
        "BatchExecuteStatement",
    ] * 2
    assert len(calls[0][1]["Statements"]) == 1


def test_the_days_of_a_metric_are_told_however_they_arrive(invoke: Invoke, tables: Tables) -> None:
    """A warm function whose memory is out of date, another one's days, days before the first: all are covered."""
    save(invoke, [point("2022-10-03", 1)])
    behind = app.tables()
    app.tables.cache_clear()
    save(invoke, [point("2022-09-01", 1), point("2022-10-05", 1)])
    app.tables.cache_clear()
    with mock.patch.object(app, "tables", return_value=behind):
        save(invoke, [point("2022-10-04", 1), point("2022-10-06", 1)])
    (metric,) = [item for item in support.scan(tables.client, tables.metrics) if "first_day" in item]
    assert (metric["first_day"]["S"], metric["last_day"]["S"]) == ("2022-09-01", "2022-10-06")


def test_a_cold_function_reads_the_catalogue_and_writes_none_of_it_again(invoke: Invoke) -> None:
    """Series that another function catalogued cost a read, once."""
    save(invoke, series("2022-10-01", 20))
    app.tables.cache_clear()
    calls = record_calls()
    save(invoke, series("2022-10-02", 20))
    writes = [params for operation, params in calls if operation == "BatchExecuteStatement"]
    assert sum(len(params["Statements"]) for params in writes) == 1 + 20  # the metric's new last day, and the days


def test_an_existing_day_asks_for_no_series(invoke: Invoke, tables: Tables) -> None:
    """A day that is there was catalogued before it was written: even a cold function asks for the metric only, once."""
    save(invoke, series("2022-10-01", 20))
    app.tables.cache_clear()
    calls = record_calls()
    save(invoke, series("2022-10-01", 20), NOW + 1)
    assert [operation for operation, _ in calls] == ["GetItem", "BatchGetItem", "BatchGetItem", "BatchExecuteStatement"]
    assert len(calls[1][1]["RequestItems"][tables.metrics]["Keys"]) == 1
    calls.clear()
    save(invoke, series("2022-10-01", 20), NOW + 2)  # it has met them now
    assert [operation for operation, _ in calls] == ["BatchGetItem", "BatchExecuteStatement"]


def test_a_first_load_that_meets_another_one_loses_nothing(invoke: Invoke, tables: Tables) -> None:
    """Another producer saves the same new series in between, after they were read: the later value stays."""
    points = series("2022-10-01", 120)
    behind = app.tables()
    others: list[dict[str, Any]] = []

    def save_the_same(params: dict[str, Any], **_: Any) -> None:
        new_days = any("'v00'" in statement["Statement"] for statement in params["Statements"])
        if new_days and not others:
            others.append({})
            app.tables.cache_clear()
            save(invoke, [one | {"metric_value": 9} for one in points], NOW + 1)

    behind[1].table.client.meta.events.register("provide-client-params.dynamodb.BatchExecuteStatement", save_the_same)
    save(invoke, points)
    assert others
    values = support.stored_points(tables.client, tables.metrics).values()
    assert len(values) == 120
    assert set(values) == {(NOW + 1, 9.0)}


def test_what_a_warm_function_remembers_is_bounded(
    invoke: Invoke, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound it forgets and reads again; the catalogue stays complete."""
    monkeypatch.setattr("unitstream.catalogue.REMEMBERED_SERIES", 50)
    monkeypatch.setattr("unitstream.widening.REMEMBERED_METRICS", 50)
    calls = record_calls()
    for start in range(0, 300, 30):
        points = [
            point("2022-10-01", 1, f"orders {number}", {"customer": str(number)}) for number in range(start, start + 30)
        ]
        save(invoke, points)
    assert len(catalogued(tables)) == 300
    calls.clear()
    first = [point("2022-10-01", 1, "orders 0", {"customer": "0"})]
    save(invoke, first, NOW + 1)
    assert [operation for operation, _ in calls].count("BatchGetItem") == 2  # the metric, forgotten, and the day


def test_no_day_is_saved_without_its_catalogue(tables: Tables) -> None:
    """When the catalogue cannot be written until the deadline, nor are the days: what is saved can be found."""

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if any("dimensions" in statement["Statement"] for statement in params["Statements"]):
            error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, "BatchExecuteStatement")  # type: ignore[arg-type]  # as much as is looked at

    events = app.tables()[1].table.client.meta.events
    events.register("provide-client-params.dynamodb.BatchExecuteStatement", refuse)
    context = support.LambdaContext(timeout_seconds=app.RESERVED_SECONDS + 0.3)
    answer = app.lambda_handler(proxy_event(request_body(series("2022-10-01", 1), DEMO_TOKEN), NOW), context)
    assert (answer["statusCode"], json.loads(answer["body"])["created"]) == (503, 0)
    assert support.stored_points(tables.client, tables.metrics) == {}


# --- notices ----------------------------------------------------------------------------------------------------------


def ask(invoke: Invoke, points: list[dict[str, Any]], *, dry_run: bool = False) -> list[dict[str, str]]:
    """Save points, or with `dry_run` only ask what that would do. Returns the notices."""
    event = proxy_event(request_body(points, DEMO_TOKEN), NOW)
    if dry_run:
        event["multiValueQueryStringParameters"] = {"dry_run": ["true"]}
        event["queryStringParameters"] = {"dry_run": "true"}
    answer = invoke(event)
    assert answer["statusCode"] in {200, 201}, answer["body"]
    notices: list[dict[str, str]] = json.loads(answer["body"]).get("notices", [])
    return notices


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_new_dimension_keys_are_noticed(invoke: Invoke, tables: Tables, *, dry_run: bool, cold: bool) -> None:
    """A file that is pushed again with one more dimension makes every total double: it is saved, and said."""
    save(invoke, [point("2022-10-01", 1, dimensions={"region": region}) for region in ("eu", "us")])
    if cold:
        app.tables.cache_clear()
    again = [point("2022-10-01", 1, dimensions={"region": region, "index": "1"}) for region in ("eu", "us")]
    known = point("2022-10-01", 1, dimensions={"region": "ap"})
    (notice,) = ask(invoke, [known, *again], dry_run=dry_run)
    assert (notice["code"], notice["pointer"]) == ("new_dimension_keys", "/data/1")
    assert "no series of orders had the dimensions index, region so far, but the dimension region" in notice["detail"]
    stored = len(support.stored_points(tables.client, tables.metrics))
    assert stored == (2 if dry_run else 5)
    assert bool(ask(invoke, again)) == dry_run  # said once, when it is new


def test_what_is_new_altogether_or_known_is_no_notice(invoke: Invoke) -> None:
    """A new metric has no totals that could double, whatever it brings; and keys do not mix between metrics."""
    mixed = [point("2022-10-01", 1), point("2022-10-01", 1, dimensions={"region": "eu"})]
    assert ask(invoke, mixed) == []
    assert ask(invoke, mixed) == []
    assert ask(invoke, [point("2022-10-02", 1, dimensions={"region": "us"})]) == []
    assert ask(invoke, [point("2022-10-02", 1, "costs", {"service": "a"})]) == []
    assert [one["pointer"] for one in ask(invoke, [mixed[0], point("2022-10-02", 1, "costs")])] == ["/data/1"]


def test_a_function_that_is_behind_notices_only_what_is_new(invoke: Invoke) -> None:
    """Keys that another function has saved meanwhile are known, though this one does not remember them."""
    save(invoke, [point("2022-10-01", 1)])
    behind = app.tables()
    app.tables.cache_clear()
    new = [point("2022-10-01", 1, dimensions={"region": "eu"})]
    assert len(ask(invoke, new)) == 1
    app.tables.cache_clear()
    with mock.patch.object(app, "tables", return_value=behind):
        assert ask(invoke, new, dry_run=True) == []
        assert ask(invoke, new) == []


def test_a_metric_of_very_many_key_sets_gets_no_more_notices(invoke: Invoke, tables: Tables) -> None:
    """Its entry stays small, and what it says of the first ones stays."""
    for number in range(MAX_KEY_SETS + 2):
        notices = ask(invoke, [point("2022-10-01", 1, dimensions={f"key {number}": "x"})])
        assert len(notices) == (1 <= number < MAX_KEY_SETS)
    (metric,) = [item for item in support.scan(tables.client, tables.metrics) if "key_sets" in item]
    assert len(metric["key_sets"]["L"]) == MAX_KEY_SETS
    many = [point("2022-10-01", 1, "many", {f"key {number}": "x"}) for number in range(MAX_KEY_SETS + 2)]
    assert ask(invoke, many) == []
    assert ask(invoke, many) == []
