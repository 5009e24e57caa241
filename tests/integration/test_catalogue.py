"""The catalogue of series and metrics: complete, and free for a warm function that knows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import support
from botocore.exceptions import ClientError
from stack import DEMO_STREAM_ID, DEMO_TOKEN
from support import point, proxy_event, request_body

from ingest import app
from unitstream.dynamodb import CONNECTIONS
from unitstream.identity import record_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

NOW = 1_700_000_000_000


def series(day: str, count: int) -> list[dict[str, Any]]:
    return [point(day, 1, dimensions={"customer": str(number)}) for number in range(count)]


def record_calls() -> list[tuple[str, dict[str, Any]]]:
    """Record the calls that the function makes from now on: operation and parameters."""
    calls: list[tuple[str, dict[str, Any]]] = []
    client = app.tables()[1]._client  # noqa: SLF001  # the calls are seen at its events
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
    metrics = [item for item in items if item["pk"]["S"] == f"{DEMO_STREAM_ID}#metrics"]
    found = {
        item["sk"]["S"]: (item["metric_name"]["S"], item["metric_agg_func"]["S"], item["dimensions"]["M"])
        for item in items
        if "dimensions" in item
    }
    assert [{name: value["S"] for name, value in item.items() if name not in {"pk", "sk"}} for item in metrics] == [
        {"metric_name": "orders", "metric_agg_func": "Sum", "first_day": "2022-10-01", "last_day": "2022-10-02"}
    ]
    assert found == {
        record_id("orders", "Sum", {"region": region}): ("orders", "Sum", {"region": {"S": region}})
        for region in ("eu", "us")
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
    """A day that is there was catalogued before it was written, so even a cold function looks for the metric only."""
    save(invoke, series("2022-10-01", 20))
    app.tables.cache_clear()
    calls = record_calls()
    save(invoke, series("2022-10-01", 20), NOW + 1)
    assert [operation for operation, _ in calls] == ["GetItem", "BatchGetItem", "BatchGetItem", "BatchExecuteStatement"]
    assert len(calls[1][1]["RequestItems"][tables.metrics]["Keys"]) == 1


def test_a_first_load_reads_next_to_nothing(invoke: Invoke, tables: Tables) -> None:
    """Once a request has met new series only, the rest of them are inserted without being looked for."""
    count = 2_000
    calls = record_calls()
    save(invoke, series("2022-10-01", count))
    reads = [params for operation, params in calls if operation == "BatchGetItem"]
    read = sum(len(params["RequestItems"][tables.metrics]["Keys"]) for params in reads)
    # the metric, and for the batches that are under way before the first one has ended, their days and series
    assert read <= 1 + CONNECTIONS * 2 * 100
    written = sum(len(params["Statements"]) for operation, params in calls if operation == "BatchExecuteStatement")
    assert written == 1 + 2 * count
    assert len(catalogued(tables)) == len(support.stored_points(tables.client, tables.metrics)) == count


def test_a_first_load_that_is_none_is_noticed(invoke: Invoke, tables: Tables) -> None:
    """New series first, known ones after them: the known ones are found, merged, and few are inserted in vain."""
    known = series("2022-10-01", 1_000)
    save(invoke, known)
    app.tables.cache_clear()
    calls = record_calls()
    new = [point("2022-10-01", 1, dimensions={"product": str(number)}) for number in range(1_000)]
    corrected = [one | {"metric_value": 2} for one in known]
    answer = invoke(proxy_event(request_body(new + corrected, DEMO_TOKEN), NOW + 1))
    assert json.loads(answer["body"]) == {
        "received": 2_000,
        "created": 1_000,
        "updated": 1_000,
        "unchanged": 0,
        "superseded": 0,
    }
    assert len(catalogued(tables)) == 2_000
    written = sum(len(params["Statements"]) for operation, params in calls if operation == "BatchExecuteStatement")
    assert written <= 2 * 1_000 + 1_000 + CONNECTIONS * 100


def test_after_one_known_series_nothing_is_inserted_in_vain(
    invoke: Invoke, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New and known series in turns: what a wrong guess costs is paid once."""
    monkeypatch.setattr("unitstream.store.KEYS_PER_READ", 10)
    monkeypatch.setattr("unitstream.store.CONNECTIONS", 1)
    known = series("2022-10-01", 50)
    save(invoke, known)
    app.tables.cache_clear()
    calls = record_calls()
    new = [point("2022-10-01", 1, dimensions={"product": str(number)}) for number in range(50)]
    turns = [one for start in range(0, 50, 10) for one in new[start : start + 10] + known[start : start + 10]]
    save(invoke, turns, NOW + 1)
    assert len(catalogued(tables)) == 100
    written = sum(len(params["Statements"]) for operation, params in calls if operation == "BatchExecuteStatement")
    assert written <= 2 * 50 + 50 + 10


def test_a_first_load_that_meets_another_one_loses_nothing(invoke: Invoke, tables: Tables) -> None:
    """Another producer saves a new series' day right after it was catalogued here: the later value stays."""
    points = series("2022-10-01", 1_200)
    behind = app.tables()
    others: list[dict[str, Any]] = []

    def save_the_same(params: dict[str, Any], **_: Any) -> None:
        new_days = any("'v00'" in statement["Statement"] for statement in params["Statements"])
        if new_days and not others and behind[1]._catalogued:  # noqa: SLF001  # a first load by now
            others.append({})
            app.tables.cache_clear()
            save(invoke, [one | {"metric_value": 9} for one in points], NOW + 1)

    events = behind[1]._client.meta.events  # noqa: SLF001  # where another producer comes in between
    events.register("provide-client-params.dynamodb.BatchExecuteStatement", save_the_same)
    save(invoke, points)
    assert others
    values = support.stored_points(tables.client, tables.metrics).values()
    assert len(values) == 1_200
    assert set(values) == {(NOW + 1, 9.0)}


def test_what_a_warm_function_remembers_is_bounded(
    invoke: Invoke, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound it forgets and reads again; the catalogue stays complete."""
    monkeypatch.setattr("unitstream.store.REMEMBERED_CATALOGUE_KEYS", 50)
    for start in range(0, 300, 30):
        points = [point("2022-10-01", 1, dimensions={"customer": str(number)}) for number in range(start, start + 30)]
        save(invoke, points)
        assert len(app.tables()[1]._catalogued) <= 50  # noqa: SLF001  # its size is what is asked for
    assert len(catalogued(tables)) == 300


def test_no_day_is_saved_without_its_catalogue(tables: Tables) -> None:
    """When the catalogue cannot be written until the deadline, nor are the days: what is saved can be found."""

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if any("dimensions" in statement["Statement"] for statement in params["Statements"]):
            error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, "BatchExecuteStatement")  # type: ignore[arg-type]  # as much as is looked at

    events = app.tables()[1]._client.meta.events  # noqa: SLF001  # faults are injected at its events
    events.register("provide-client-params.dynamodb.BatchExecuteStatement", refuse)
    context = support.LambdaContext(timeout_seconds=app.RESERVED_SECONDS + 0.3)
    answer = app.lambda_handler(proxy_event(request_body(series("2022-10-01", 1), DEMO_TOKEN), NOW), context)
    assert (answer["statusCode"], json.loads(answer["body"])["created"]) == (503, 0)
    assert support.stored_points(tables.client, tables.metrics) == {}
