"""Reads over HTTP on the deployed local stack: what was pushed comes back as pandas computes it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError
from support import point, proxy_event, request_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Stack

REGIONS = ("eu", "us")
FIRST_DAY, LAST_DAY = "2022-03-01", "2022-03-04"
PREVIOUS_FIRST_DAY = "2022-02-25"
COSTS, ORDERS = "shop_costs", "shop_orders"
VIEW = {"metric_name": COSTS, "metric_agg_func": "Sum", "start_date": FIRST_DAY, "end_date": LAST_DAY}
UNIT_METRIC = {
    "numerator": f"{COSTS}:Sum",
    "denominator": f"{ORDERS}:Sum",
    "start_date": FIRST_DAY,
    "end_date": LAST_DAY,
    "group_by": "region",
}


@pytest.fixture(scope="module")
def pushed(stack: Stack) -> pd.DataFrame:
    """Hourly costs and orders of two regions over eight days, saved: a row an hour and region."""
    chance = np.random.default_rng(20220301)
    hours = pd.date_range(PREVIOUS_FIRST_DAY, f"{LAST_DAY} 23:00", freq="h")
    frame = pd.MultiIndex.from_product([hours, REGIONS], names=["hour", "region"]).to_frame(index=False)
    frame[COSTS] = chance.uniform(0.01, 90, len(frame))
    frame[ORDERS] = chance.integers(1, 40, len(frame))
    for name in (COSTS, ORDERS):
        points = [
            point(f"{hour:%Y-%m-%d %H:%M:%S}", value, name, {"region": region})
            for hour, region, value in frame[["hour", "region", name]].itertuples(index=False)
        ]
        status, _, body = stack.post(request_body(points, stack.token))
        assert (status, json.loads(body)["received"]) == (201, len(frame))
    return frame


def read(stack: Stack, path: str, **parameters: Any) -> dict[str, Any]:
    status, headers, body = stack.get(path, **parameters)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/json", "no-store"), body
    document: dict[str, Any] = json.loads(body)
    return document


def pages(stack: Stack, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """Yield the pages of a read, up to the last one."""
    page = read(stack, path, **parameters)
    yield page
    while cursor := page["next_cursor"]:
        page = read(stack, path, cursor=cursor, **parameters)
        yield page


def test_cost_per_order_by_day_and_region(stack: Stack, pushed: pd.DataFrame) -> None:
    """With the four days before, day by day, to the last digits that floats have."""
    document = read(stack, "/api/unit-metrics", **UNIT_METRIC)
    assert (document["previous_start_date"], document["previous_end_date"]) == (PREVIOUS_FIRST_DAY, "2022-02-28")
    assert [one["dimensions"] for one in document["series"]] == [{"region": region} for region in REGIONS]

    daily = pushed.groupby(["region", pushed["hour"].dt.normalize()])[[COSTS, ORDERS]].sum()
    daily["unit"] = daily[COSTS] / daily[ORDERS]
    for region, one in zip(REGIONS, document["series"], strict=True):
        found = pd.DataFrame(one["data"]).set_index("date")
        previous, current = daily.loc[region].iloc[:4], daily.loc[region].iloc[4:]
        assert list(found.index) == list(current.index.strftime("%Y-%m-%d"))
        expected = {
            "current_timeframe_numerator": current[COSTS],
            "current_timeframe_denominator": current[ORDERS],
            "current_timeframe_unit_metric": current["unit"],
            "previous_timeframe_numerator": previous[COSTS],
            "previous_timeframe_denominator": previous[ORDERS],
            "previous_timeframe_unit_metric": previous["unit"],
            "pop_diff": current["unit"].to_numpy() - previous["unit"].to_numpy(),
            "pop_change": current["unit"].to_numpy() / previous["unit"].to_numpy() - 1,
        }
        for name, values in expected.items():
            assert list(found[name]) == pytest.approx(list(values), rel=1e-12, abs=1e-12), name
        assert set(found["n_agg_func"]) == set(found["d_agg_func"]) == {"Sum"}
        assert set(found["points"]) == {48}


def test_a_table_is_read_by_pandas(stack: Stack, pushed: pd.DataFrame) -> None:
    """As it comes, with its dates, and it has what the document has."""
    document = read(stack, "/api/unit-metrics", **UNIT_METRIC)
    status, headers, text = stack.get("/api/unit-metrics", {"Accept": "text/csv"}, **UNIT_METRIC)
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    table = pd.read_csv(io.StringIO(text), parse_dates=["date"])
    rows = [
        {"region": one["dimensions"]["region"]} | cell | {"date": pd.Timestamp(cell["date"])}
        for one in document["series"]
        for cell in one["data"]
    ]
    assert table.to_dict("records") == rows

    _, _, text = stack.get("/api/views", {"Accept": "text/csv"}, granularity="hour", group_by="region", **VIEW)
    table = pd.read_csv(io.StringIO(text), parse_dates=["date"])
    recent = pushed[pushed["hour"] >= FIRST_DAY].sort_values(["region", "hour"])
    assert list(table["date"]) == list(recent["hour"])
    assert list(table["value"]) == list(recent[COSTS])


def test_metrics_series_and_points_are_found(stack: Stack, pushed: pd.DataFrame) -> None:
    """Page by page, none twice and none left out."""
    found = [one for page in pages(stack, "/api/metrics", limit=1) for one in page["metrics"]]
    described: dict[str, Any] = {
        "metric_agg_func": "Sum",
        "dimension_keys": ["region"],
        "dimension_key_sets": [["region"]],
    }
    described |= {"first_day": PREVIOUS_FIRST_DAY, "last_day": LAST_DAY, "last_deleted_at": None}
    for name in (COSTS, ORDERS):
        assert [one for one in found if one["metric_name"] == name] == [{"metric_name": name} | described]

    path = f"/api/metrics/{COSTS}/Sum/series"
    series = {one["record_id"]: one["dimensions"] for page in pages(stack, path, limit=1) for one in page["series"]}
    assert sorted(one["region"] for one in series.values()) == list(REGIONS)
    (record,) = read(stack, path, filter="-region:us")["series"]
    assert record["dimensions"] == series[record["record_id"]] == {"region": "eu"}

    found = [one for page in pages(stack, "/api/points", limit=30, **VIEW) for one in page["points"]]
    recent = pushed[pushed["hour"] >= FIRST_DAY]
    for record_id, dimensions in series.items():
        values = [one["value"] for one in found if one["record_id"] == record_id]
        assert values == list(recent[recent["region"] == dimensions["region"]][COSTS])
    assert len(found) == len(recent)
    assert [one["timestamp"][:10] for one in found] == sorted(one["timestamp"][:10] for one in found)


def test_a_correction_shows_and_a_replay_does_not(stack: Stack) -> None:
    """The event of before the correction, given to the function once more, changes no view."""
    asked = {
        "metric_name": "corrected_costs",
        "metric_agg_func": "Maximum",
        "start_date": "2022-03-01",
        "end_date": "2022-03-31",
        "granularity": "month",
    }

    def value() -> float:
        ((cell,),) = (one["data"] for one in read(stack, "/api/views", **asked)["series"])
        return float(cell["value"])

    mistaken, right = (
        request_body([point("2022-03-05 07:00:00", cost, "corrected_costs")], stack.token, "Maximum")
        for cost in (1_000.5, 10.25)
    )
    assert stack.post(mistaken)[0] == 201
    assert value() == 1_000.5
    assert stack.post(right)[0] == 201
    assert value() == 10.25
    before = read(stack, "/api/points", **{name: asked[name] for name in VIEW})["points"][0]["received_at"]
    replayed = stack.invoke(proxy_event(mistaken, int(pd.Timestamp(before).timestamp() * 1_000) - 3_600_000))
    assert (replayed["statusCode"], json.loads(replayed["body"])["superseded"]) == (201, 1)
    assert value() == 10.25


# MiniStack decodes the path before it looks for the route, so slashes and percent signs are for the events in events/.
@pytest.mark.parametrize("name", ['"quoted" costs', "costs + réservés", "日本の費用😀", "<a>{b}|c^", "api", "?&=#;"])
def test_a_metric_may_have_any_name(stack: Stack, name: str) -> None:
    """In the path and in the query string."""
    assert stack.post(request_body([point("2022-03-01", 5, name, {"=key:,\\": "-a:b,c\\"})], stack.token))[0] == 201
    asked = VIEW | {"metric_name": name, "granularity": "year", "filter": "=key\\:,\\\\:-a:b\\,c\\\\"}
    ((one,),) = (one["data"] for one in read(stack, "/api/views", **asked)["series"])
    assert (one["value"], one["points"]) == (5.0, 1)
    found = read(stack, f"/api/metrics/{quote(name, safe='')}/Sum/series")
    assert (found["metric_name"], [one["dimensions"] for one in found["series"]]) == (name, [{"=key:,\\": "-a:b,c\\"}])


@pytest.mark.parametrize("path", ["/api/metrics", "/api/views", "/api/unit-metrics", "/api/points"])
def test_a_read_needs_the_api_key_and_the_token(stack: Stack, path: str) -> None:
    """Without the key the gateway refuses; without the token the function says what is missing."""
    assert stack.get(path, {"x-api-key": ""})[0] == 403
    status, _, body = stack.get(path, {"X-Data-Stream-Token": ""})
    assert (status, json.loads(body)["errors"][0]["parameter"]) == (400, "X-Data-Stream-Token")


def test_an_unknown_token_is_a_404_problem(stack: Stack) -> None:
    """In the shape of RFC 9457, and not cached."""
    status, headers, body = stack.get("/api/metrics", {"X-Data-Stream-Token": "ds_unknown"})
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert headers["Cache-Control"] == "no-store"
    assert json.loads(body)["title"] == "No stream found"


def test_the_role_of_the_function_reads_and_no_more(stack: Stack) -> None:
    """With the function's own credentials: no statement that writes, no scan, no look into all streams.

    It writes the definitions of unit metrics. That it writes no other item is a condition that the emulator does not
    know, and tests/unit/test_template.py holds.
    """
    outputs = stack.outputs()
    role = stack.client("lambda").get_function_configuration(FunctionName=outputs["ViewsFunctionName"])["Role"]
    assumed = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session: Any = boto3.Session(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
    client = session.client("dynamodb", endpoint_url=stack.endpoint)
    streams, metrics = outputs["StreamsTableName"], outputs["MetricsTableName"]
    key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    asked = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}}
    assert not client.query(TableName=metrics, **asked)["Items"]
    assert not client.batch_get_item(RequestItems={metrics: {"Keys": [key]}})["Responses"][metrics]
    calls: list[Callable[[], object]] = [
        lambda: client.scan(TableName=metrics),
        lambda: client.scan(TableName=streams),
        lambda: client.query(TableName=streams, **asked),
        lambda: client.batch_get_item(RequestItems={streams: {"Keys": [{"token_sha256": {"S": "a"}}]}}),
        lambda: client.batch_execute_statement(Statements=[{"Statement": f'INSERT INTO "{metrics}" VALUE {{}}'}]),
        lambda: client.put_item(TableName=streams, Item={"token_sha256": {"S": "a"}}),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
