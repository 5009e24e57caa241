"""What was saved is read back: views, unit metrics, listings and points, from DynamoDB Local."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from delivery import FAILED, THROTTLED, schedule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_pandas import FREQUENCIES, FUNCTIONS
from support import point, request_body
from vega_datasets import data as vega_data

from unitstream.aggregates import Cell
from unitstream.catalogue import Catalogue
from unitstream.dynamodb import create_client
from unitstream.filters import Filter
from unitstream.identity import AggFunc, Metric, Series, record_id
from unitstream.payload import parse
from unitstream.periods import Granularity, Timeframe, previous_timeframe
from unitstream.points import StoredPoint
from unitstream.problems import OutOfTime, TooMuch
from unitstream.questions import (
    MetricsQuestion,
    PointsQuestion,
    SeriesQuestion,
    metrics_question,
    points_question,
    series_question,
)
from unitstream.reading import MetricSummary, Reader
from unitstream.rounds import Effort, Origin
from unitstream.store import Store
from unitstream.table import Table
from unitstream.view_questions import UnitMetricQuestion, ViewQuestion, view_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from delivery import FaultProxy
    from mypy_boto3_dynamodb import DynamoDBClient
    from support import Tables

    from unitstream.pages import Page
    from unitstream.views import ComparedCell, UnitCell, View

NOW = 1_700_000_000_123
AGG_FUNCS: tuple[AggFunc, ...] = get_args(AggFunc)
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
HALF_YEAR = Timeframe("2010-01-01", "2010-06-30")
CITIES = {"Seattle": vega_data.seattle_temps, "San Francisco": vega_data.sf_temps}

on_shared_tables = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


@dataclass(frozen=True)
class Stream:
    """A stream of its own in tables that tests share, and the client of what reads and writes it."""

    tables: Tables
    client: DynamoDBClient
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def save(self, points: list[dict[str, Any]], agg_func: AggFunc = "Sum", received_at: int = NOW) -> None:
        ingest = parse(request_body(points, "ds_test", agg_func).encode())
        table = Table(self.client, self.tables.metrics)
        store = Store(table, Catalogue(table))
        store.save(ingest, Origin(self.name, received_at, 100_000), soon(), Effort())

    @property
    def reader(self) -> Reader:
        return Reader(Table(self.client, self.tables.metrics))

    def view(self, question: ViewQuestion) -> View:
        return self.reader.view(self.name, question, soon())

    def pages_of_points(self, question: PointsQuestion) -> Iterator[Page[StoredPoint]]:
        parameters: dict[str, list[str]] = {
            "metric_name": [question.metric.metric_name],
            "metric_agg_func": [question.metric.metric_agg_func],
            "start_date": [question.timeframe.start],
            "end_date": [question.timeframe.end],
            "limit": [str(question.limit)],
            "filter": [f"{'-' * one.excludes}{one.key}:{','.join(one.values)}" for one in question.filters],
        }
        while True:
            page = self.reader.points(self.name, question, soon())
            yield page
            if page.next_cursor is None:
                return
            question = points_question(parameters | {"cursor": [page.next_cursor]})


def client_of(endpoint: str) -> DynamoDBClient:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        return create_client()


@pytest.fixture(scope="module")
def client(endpoint: str) -> DynamoDBClient:
    return client_of(endpoint)


@pytest.fixture
def stream(shared_tables: Tables, client: DynamoDBClient) -> Stream:
    return Stream(shared_tables, client)


def cells_of(found: View, *keys: str) -> dict[tuple[str | None, ...], Cell | ComparedCell]:
    return {(*(row.dimensions[key] for key in keys), cell.date): cell for row in found.series for cell in row.data}


# --- real data --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def temperatures() -> pd.DataFrame:
    """Half a year of hourly temperatures in two cities."""
    frames = [load().assign(city=city)[lambda frame: frame["date"] < "2010-07-01"] for city, load in CITIES.items()]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def weather(shared_tables: Tables, client: DynamoDBClient, temperatures: pd.DataFrame) -> Stream:
    """The temperatures in one stream, under each function."""
    points = [
        point(f"{date:%Y-%m-%d %H:%M:%S}", temperature, "temperature", {"city": city})
        for date, temperature, city in zip(
            temperatures["date"], temperatures["temp"], temperatures["city"], strict=True
        )
    ]
    stream = Stream(shared_tables, client)
    for agg_func in AGG_FUNCS:
        stream.save(points, agg_func)
    return stream


@pytest.mark.parametrize("by", [(), ("city",)])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("agg_func", AGG_FUNCS)
def test_two_cities_are_what_pandas_computes_from_the_files(
    agg_func: AggFunc, granularity: Granularity, by: tuple[str, ...], weather: Stream, temperatures: pd.DataFrame
) -> None:
    """Every function, granularity and grouping: the extremes to the last bit, sums and means but for roundings."""
    periods = temperatures["date"].dt.to_period(FREQUENCIES[granularity]).dt.start_time.rename("period")
    grouping = temperatures.groupby([*(temperatures[key] for key in by), periods])["temp"]
    expected, counts = grouping.agg(FUNCTIONS[agg_func]), grouping.count()

    question = ViewQuestion(Metric("temperature", agg_func), HALF_YEAR, granularity, by)
    found = weather.view(question)
    cells = cells_of(found, *by)
    shown = "%Y-%m-%dT%H:00:00Z" if granularity == "hour" else "%Y-%m-%d"
    keys = [key if by else (key,) for key in expected.index]
    named = [(*groups, f"{period:{shown}}") for *groups, period in keys]
    assert sorted(cells) == sorted(named)
    assert [row.dimensions for row in found.series] == ([{"city": city} for city in sorted(CITIES)] if by else [{}])
    for name, value, points in zip(named, expected, counts, strict=True):
        cell = cells[name]
        assert (
            cell.value == value if agg_func in {"Maximum", "Minimum"} else cell.value == pytest.approx(value, rel=1e-12)
        )
        assert cell.points == points


@pytest.mark.parametrize(
    ("granularity", "timeframe", "earlier"),
    [
        ("week", Timeframe("2010-05-31", "2010-06-27"), Timeframe("2010-05-03", "2010-05-30")),
        ("month", Timeframe("2010-04-01", "2010-06-30"), Timeframe("2010-01-01", "2010-03-31")),
        ("quarter", Timeframe("2010-04-01", "2010-06-30"), Timeframe("2010-01-01", "2010-03-31")),
        ("day", Timeframe("2010-03-03", "2010-03-09"), Timeframe("2010-02-24", "2010-03-02")),
        ("month", Timeframe("2010-05-10", "2010-06-20"), Timeframe("2010-03-10", "2010-04-20")),
    ],
)
def test_a_unit_metric_is_what_pandas_computes(
    granularity: Granularity, timeframe: Timeframe, earlier: Timeframe, weather: Stream, temperatures: pd.DataFrame
) -> None:
    """Sums over maxima, by city, beside the calendar's timeframe before."""
    question = UnitMetricQuestion(
        Metric("temperature", "Sum"), Metric("temperature", "Maximum"), timeframe, granularity, ("city",)
    )
    found = weather.reader.unit_metric(weather.name, question, soon())
    assert found.previous == earlier == previous_timeframe(timeframe, granularity)[0]

    def parts(frame: Timeframe) -> pd.DataFrame:
        end = pd.Timestamp(frame.end) + pd.Timedelta(days=1)
        inside = temperatures[(temperatures["date"] >= frame.start) & (temperatures["date"] < end)]
        periods = inside["date"].dt.to_period(FREQUENCIES[granularity]).dt.start_time
        return inside.groupby(["city", periods])["temp"].agg(["sum", "max", "count"])

    now, before = parts(timeframe), parts(earlier)
    cells: dict[tuple[str | None, str], UnitCell] = {
        (row.dimensions["city"], cell.date): cell for row in found.series for cell in row.data
    }
    assert list(cells) == [(city, f"{period:%Y-%m-%d}") for city, period in now.index]
    for cell, (_, current), (_, previous) in zip(cells.values(), now.iterrows(), before.iterrows(), strict=True):
        unit, unit_before = current["sum"] / current["max"], previous["sum"] / previous["max"]
        expected = {
            "current_timeframe_numerator": current["sum"],
            "current_timeframe_denominator": current["max"],
            "current_timeframe_unit_metric": unit,
            "previous_timeframe_numerator": previous["sum"],
            "previous_timeframe_denominator": previous["max"],
            "previous_timeframe_unit_metric": unit_before,
        }
        figures = cell._asdict()
        assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-12)
        assert cell.pop_diff == pytest.approx(unit - unit_before, rel=1e-9)
        assert cell.pop_change == pytest.approx(unit / unit_before - 1, rel=1e-9)
        assert (cell.n_agg_func, cell.d_agg_func, cell.points) == ("Sum", "Maximum", 2 * current["count"])


def test_a_correction_changes_the_view_and_an_old_replay_does_not(stream: Stream) -> None:
    """The view shows what is stored, and what is stored is what was received last."""
    question = ViewQuestion(Metric("orders", "Sum"), Timeframe("2022-10-01", "2022-10-02"), "week")
    first = [point("2022-10-01 00:00:00", 5.0), point("2022-10-02 01:00:00", 7.0)]
    stream.save(first)
    before = stream.view(question)
    assert cells_of(before) == {("2022-09-26",): Cell("2022-09-26", 12.0, 2)}
    stream.save([point("2022-10-01 00:00:00", 6.0)], received_at=NOW + 1)
    corrected = stream.view(question)
    assert cells_of(corrected) == {("2022-09-26",): Cell("2022-09-26", 13.0, 2)}
    stream.save(first, received_at=NOW)
    assert stream.view(question) == corrected


# --- any data ---------------------------------------------------------------------------------------------------------


class Saved(NamedTuple):
    day: str
    hour: int
    region: str | None
    plan: str | None


regions = st.sampled_from(["eu", "us", "a,b", None])
plans = st.sampled_from(["free", "pro", None])
spots = st.builds(Saved, st.integers(25, 30).map("2022-09-{}".format), st.integers(0, 23), regions, plans)
values = st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.sampled_from([1e100, -1e100, 1e-100])
tables_of_points = st.dictionaries(spots, values, min_size=1, max_size=60)
filters = st.lists(
    st.builds(
        Filter,
        st.sampled_from(["region", "plan", "other"]),
        st.lists(st.sampled_from(["eu", "us", "free"]), min_size=1, max_size=2, unique=True).map(tuple),
        st.booleans(),
    ),
    max_size=2,
).map(tuple)
timeframes = st.tuples(st.integers(25, 30), st.integers(25, 30)).map(
    lambda both: Timeframe(f"2022-09-{min(both)}", f"2022-09-{max(both)}")
)


def dimensions_of(one: Saved) -> dict[str, str]:
    named = {"region": one.region, "plan": one.plan}
    return {key: value for key, value in named.items() if value is not None}


def save_all(stream: Stream, saved: Mapping[Saved, float], agg_func: AggFunc) -> None:
    stream.save(
        [point(f"{one.day} {one.hour:02}:00:00", value, dimensions=dimensions_of(one)) for one, value in saved.items()],
        agg_func,
    )


def kept(saved: Mapping[Saved, float], timeframe: Timeframe, filters: Iterable[Filter]) -> dict[Saved, float]:
    return {
        one: value
        for one, value in saved.items()
        if timeframe.start <= one.day <= timeframe.end and all(each.keeps(dimensions_of(one)) for each in filters)
    }


COMPUTE: dict[AggFunc, Callable[[list[float]], float]] = {
    "Sum": lambda values: float(sum(map(Fraction, map(repr, values)))),
    "Average": lambda values: float(sum(map(Fraction, map(repr, values))) / len(values)),
    "Maximum": max,
    "Minimum": min,
}


@on_shared_tables
@given(
    saved=tables_of_points,
    agg_func=st.sampled_from(AGG_FUNCS),
    granularity=st.sampled_from(["hour", "day", "month"]),
    group_by=st.permutations(["region", "plan"]).flatmap(lambda keys: st.sampled_from([(), (keys[0],), tuple(keys)])),
    asked=filters,
    timeframe=timeframes,
)
def test_any_points_are_aggregated_as_asked(
    *,
    saved: dict[Saved, float],
    agg_func: AggFunc,
    granularity: Granularity,
    group_by: tuple[str, ...],
    asked: tuple[Filter, ...],
    timeframe: Timeframe,
    shared_tables: Tables,
    client: DynamoDBClient,
) -> None:
    """Computed with fractions from what was sent, to the last bit: any grouping, filters and range."""
    stream = Stream(shared_tables, client)
    save_all(stream, saved, agg_func)
    expected: dict[tuple[str | None, ...], list[float]] = {}
    for one, value in kept(saved, timeframe, asked).items():
        period = {"hour": f"{one.day}T{one.hour:02}:00:00Z", "day": one.day, "month": "2022-09-01"}[granularity]
        key = (*(dimensions_of(one).get(key) for key in group_by), period)
        expected.setdefault(key, []).append(value)
    question = ViewQuestion(Metric("orders", agg_func), timeframe, granularity, group_by, asked)
    assert cells_of(stream.view(question), *group_by) == {
        key: Cell(str(key[-1]), COMPUTE[agg_func](values), len(values)) for key, values in expected.items()
    }


@on_shared_tables
@given(saved=tables_of_points, limit=st.integers(1, 30), asked=filters, timeframe=timeframes)
def test_pages_of_points_are_all_points_in_order(
    *,
    saved: dict[Saved, float],
    limit: int,
    asked: tuple[Filter, ...],
    timeframe: Timeframe,
    shared_tables: Tables,
    client: DynamoDBClient,
) -> None:
    """Whatever the limit: no point is missing, none comes twice, and each tells where it came from."""
    stream = Stream(shared_tables, client)
    save_all(stream, saved, "Sum")
    expected = sorted(
        (
            StoredPoint(
                f"{one.day}T{one.hour:02}:00:00Z",
                value,
                dimensions_of(one),
                record_id("orders", "Sum", dimensions_of(one)),
                "2023-11-14T22:13:20.123Z",
            )
            for one, value in kept(saved, timeframe, asked).items()
        ),
        key=lambda one: (one.timestamp[:10], one.record_id, one.timestamp),
    )
    pages = list(stream.pages_of_points(PointsQuestion(Metric("orders", "Sum"), timeframe, asked, limit)))
    assert [one for page in pages for one in page.items] == expected
    assert all(len(page.items) <= limit for page in pages)


@on_shared_tables
@given(
    regions=st.sets(st.integers(0, 99), min_size=1, max_size=40), limit=st.integers(1, 45), excluded=st.integers(0, 99)
)
def test_pages_of_series_are_all_series_in_order(
    *, regions: set[int], limit: int, excluded: int, shared_tables: Tables, client: DynamoDBClient
) -> None:
    """Whatever the limit, with a filter and without."""
    stream = Stream(shared_tables, client)
    every = [{"region": f"r{region}"} for region in regions]
    stream.save([point("2022-10-01", 1.0, dimensions=dimensions) for dimensions in every])
    for parameters in ({}, {"filter": [f"-region:r{excluded}"]}):
        left = [one for one in every if not parameters or one["region"] != f"r{excluded}"]
        expected = sorted(Series(record_id("orders", "Sum", one), Metric("orders", "Sum"), one) for one in left)
        found: list[Series] = []
        question = series_question("orders", "Sum", parameters)
        while True:
            page = stream.reader.series(stream.name, replace(question, limit=limit), soon())
            assert len(page.items) <= limit
            found += page.items
            if page.next_cursor is None:
                break
            question = series_question("orders", "Sum", parameters | {"cursor": [page.next_cursor]})
        assert found == expected


# --- listings ---------------------------------------------------------------------------------------------------------


def test_the_metrics_of_a_stream(stream: Stream) -> None:
    """Name and function, the keys of dimensions, the sets in which they come, and the days; a page at a time."""
    stream.save(
        [
            point("2022-10-03", 1.0, "orders", {"region": "eu", "plan": "pro"}),
            point("2022-10-01", 1.0, "orders", {"region": "us"}),
            point("2022-12-31", 1.0, "orders"),
            point("2022-10-02", 1.0, "a#b"),
        ]
    )
    stream.save([point("1970-01-01", 1.0, "orders", {"country": "fr"})], "Average")
    expected = [
        MetricSummary("a#b", "Sum", [], [[]], "2022-10-02", "2022-10-02"),
        MetricSummary("orders", "Average", ["country"], [["country"]], "1970-01-01", "1970-01-01"),
        MetricSummary(
            "orders", "Sum", ["plan", "region"], [[], ["plan", "region"], ["region"]], "2022-10-01", "2022-12-31"
        ),
    ]
    assert stream.reader.metrics(stream.name, MetricsQuestion(), soon()).items == expected
    question = MetricsQuestion(2)
    page = stream.reader.metrics(stream.name, question, soon())
    assert page.items == expected[:2]
    assert page.next_cursor
    rest = stream.reader.metrics(stream.name, metrics_question({"cursor": [page.next_cursor]}), soon())
    assert (rest.items, rest.next_cursor) == (expected[2:], None)
    assert stream.reader.metrics(uuid.uuid4().hex, MetricsQuestion(), soon()).items == []


def test_a_page_ends_before_it_outgrows_an_answer(stream: Stream) -> None:
    """A few long dimensions fill it, whatever the limit."""
    long = {f"{key}": "\x00" * 1_024 for key in range(9)}
    stream.save([point("2022-10-01", 1.0, dimensions=long | {"n": str(n)}) for n in range(80)])
    question = SeriesQuestion(Metric("orders", "Sum"), (), 1_000)
    page = stream.reader.series(stream.name, question, soon())
    assert 40 < len(page.items) < 80
    assert page.next_cursor
    rest = stream.reader.series(stream.name, series_question("orders", "Sum", {"cursor": [page.next_cursor]}), soon())
    assert len({one.record_id for one in [*page.items, *rest.items]}) == 80
    points = PointsQuestion(Metric("orders", "Sum"), Timeframe("2022-10-01", "2022-10-02"))
    sizes = [len(one.items) for one in stream.pages_of_points(points)]
    assert len(sizes) == 2
    assert sum(sizes) == 80


# --- many series ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snapshot(shared_tables: Tables, client: DynamoDBClient) -> Stream:
    """An hour of 1,000 series on three days, of which the second is long after the first."""
    stream = Stream(shared_tables, client)
    for day in ("2000-01-01", "2022-10-01", "2022-10-02"):
        stream.save(
            [point(f"{day} 05:00:00", 0.1, dimensions={"n": str(n), "last": str(n % 20)}) for n in range(1_000)]
        )
    return stream


def count_calls(client: DynamoDBClient) -> Counter[str]:
    calls: Counter[str] = Counter()
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.update([model.name]))
    return calls


@pytest.mark.parametrize(
    ("start", "text", "matching", "operation"),
    [
        ("2022-10-01", "n:77", 1, "BatchGetItem"),
        ("2022-10-01", "n:1,2,3,4,5", 5, "BatchGetItem"),
        ("2022-10-01", "last:7", 50, "BatchGetItem"),
        ("2022-10-01", "-n:77", 999, "Query"),
        ("2022-10-01", "last:1,2,3,4,5,6", 300, "Query"),
        ("2000-01-01", "n:77", 1, "BatchGetItem"),
        ("2000-01-01", "last:7,8", 100, "Query"),
        ("2022-10-01", "n:none", 0, None),
    ],
)
def test_few_series_are_read_by_key_and_many_in_order(
    *, start: str, text: str, matching: int, operation: str | None, snapshot: Stream, endpoint: str
) -> None:
    """The same view and the same points either way; by key not through decades without data."""
    days = 2 if start == "2022-10-01" else 3
    stream = replace(snapshot, client=client_of(endpoint))
    calls = count_calls(stream.client)
    parameters = {"metric_name": ["orders"], "metric_agg_func": ["Sum"], "filter": [text]}
    parameters |= {"start_date": [start], "end_date": ["2022-12-31"]}
    found = stream.view(view_question(parameters))
    assert sum(cell.points for row in found.series for cell in row.data) == matching * days
    assert [cell.value for row in found.series for cell in row.data] == [matching / 10] * days * bool(matching)
    others = {"BatchGetItem", "Query"} - {operation}
    series_and_entry = {"Query": 16, "BatchGetItem": 1}
    assert all(calls[other] == series_and_entry[other] for other in others), calls
    pages = stream.pages_of_points(replace(points_question(parameters), limit=700))
    points = [(one.timestamp, one.record_id) for page in pages for one in page.items]
    assert len(points) == matching * days
    assert points == sorted(points)


def test_points_of_many_series_are_listed_in_the_order_of_time(snapshot: Stream) -> None:
    """Day after day, whatever the page; no record is missing or comes twice."""
    question = PointsQuestion(Metric("orders", "Sum"), Timeframe("2022-10-01", "2022-10-02"), (), 350)
    pages = [[(one.timestamp, one.record_id) for one in page.items] for page in snapshot.pages_of_points(question)]
    assert [len(page) for page in pages] == [350] * 5 + [250]
    points = [one for page in pages for one in page]
    assert points == sorted(set(points))


def test_pages_stay_right_while_others_write(snapshot: Stream) -> None:
    """What was there at the beginning comes once, whatever is written between two pages."""
    stream = Stream(snapshot.tables, snapshot.client)
    before = [point(f"2022-10-{day:02}", 1, dimensions={"n": str(n)}) for day in (1, 2) for n in range(40)]
    stream.save(before)
    question = PointsQuestion(Metric("orders", "Sum"), Timeframe("2022-09-01", "2022-10-31"), (), 7)
    listed: list[tuple[str, str]] = []
    for number, page in enumerate(stream.pages_of_points(question)):
        listed += [(one.timestamp, one.record_id) for one in page.items]
        stream.save(
            [
                point(f"2022-{month:02}-{day:02}", 2, dimensions={"new": f"{number} {n}"})
                for month, day in ((9, 30), (10, 1), (10, 2))
                for n in range(3)
            ]
        )
        stream.save(before[:5], received_at=NOW + number)
        if number > 40:
            break
    assert len(listed) == len(set(listed))
    known = {(f"{one['timestamp']}T00:00:00Z", record_id("orders", "Sum", one["custom_dimensions"])) for one in before}
    assert known <= set(listed)
    assert listed == sorted(listed)


def test_a_batch_that_dynamodb_leaves_unfinished_is_read_to_its_end(snapshot: Stream, endpoint: str) -> None:
    """Keys that it did not get to are asked for again, until all are there."""
    client = client_of(endpoint)
    calls = count()

    def leave_some(params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:
        ((table, asked),) = params["RequestItems"].items()
        keys = asked["Keys"]
        done = len(keys) if next(calls) % 3 == 2 else len(keys) // 2
        context["left"] = {table: {"Keys": keys[done:]}} if keys[done:] else {}
        return params | {"RequestItems": {table: asked | {"Keys": keys[:done] or keys}}}

    def report(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        parsed["UnprocessedKeys"] = context["left"]

    register: Any = client.meta.events.register
    register("provide-client-params.dynamodb.BatchGetItem", leave_some)
    register("after-call.dynamodb.BatchGetItem", report)
    few = (Filter("last", ("7",), excludes=False),)
    question = ViewQuestion(Metric("orders", "Sum"), Timeframe("2022-10-01", "2022-10-01"), "day", (), few)
    found = replace(snapshot, client=client).view(question)
    assert cells_of(found) == {("2022-10-01",): Cell("2022-10-01", 5.0, 50)}


def test_a_metric_of_one_series_takes_few_calls(stream: Stream, endpoint: str) -> None:
    """Where it has points is known: its entry, and a page of its one shard."""
    stream.save([point(f"2022-{month:02}-{day:02}", 1.0) for month in range(1, 13) for day in range(1, 29)])
    client = client_of(endpoint)
    calls = count_calls(client)
    year = ViewQuestion(Metric("orders", "Sum"), Timeframe("2022-01-01", "2022-12-31"), "month")
    assert len(replace(stream, client=client).view(year).series[0].data) == 12
    assert calls == {"BatchGetItem": 1, "Query": 1}
    calls.clear()
    assert (
        replace(stream, client=client).view(replace(year, timeframe=Timeframe("2023-01-01", "2023-12-31"))).series == []
    )
    assert calls == {"BatchGetItem": 1}


# --- notices ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_regions(stream: Stream, endpoint: str) -> Stream:
    """Two regions of a metric, and one series of another metric without dimensions."""
    stream.save([point("2022-10-01", 1.0, dimensions={"region": region}) for region in ("eu", "us")])
    stream.save([point("2022-10-01", 1.0, "costs")])
    return replace(stream, client=client_of(endpoint))


MISSPELT = [
    (Metric("orderz", "Sum"), (), (), [("metric_name", "orders:Sum")]),
    (Metric("orders", "Sum"), ("regoin",), (), [("group_by", "region")]),
    (Metric("orders", "Sum"), (), (Filter("regoin", ("eu",), excludes=True),), [("filter", "region")]),
    (Metric("orders", "Sum"), (), (Filter("region", ("e",), excludes=False),), [("filter", "eu")]),
    (Metric("orders", "Sum"), ("region",), (Filter("region", ("eu",), excludes=True),), []),
]


@pytest.mark.parametrize(("metric", "group_by", "filters", "expected"), MISSPELT)
def test_what_is_misspelt_is_noticed_by_every_read(
    two_regions: Stream,
    metric: Metric,
    group_by: tuple[str, ...],
    filters: tuple[Filter, ...],
    expected: list[tuple[str, str]],
) -> None:
    """With what was meant, and for one more call only where the metric itself is unknown."""
    reader, name, day = two_regions.reader, two_regions.name, Timeframe("2022-10-01", "2022-10-01")
    calls = count_calls(two_regions.client)
    view = reader.view(name, ViewQuestion(metric, day, "day", group_by, filters), soon())
    assert [(one.parameter, one.detail.rpartition("mean ")[2].rstrip("?")) for one in view.notices] == expected
    # Of each of the two shards the series, and the days where there may be some.
    assert calls["Query"] <= (1 if metric.metric_name == "orderz" else 4)
    unit = reader.unit_metric(name, UnitMetricQuestion(metric, metric, day, "day", group_by, filters), soon())
    assert {one.code for one in unit.notices} == {one.code for one in view.notices}
    if not group_by:
        points = reader.points(name, PointsQuestion(metric, day, filters, limit=1), soon())
        assert points.notices == view.notices
        series = reader.series(name, SeriesQuestion(metric, filters, limit=1), soon())
        assert set(series.notices) == {one for one in view.notices if one.code != "unknown_dimension_value"}


def test_a_later_page_says_no_more(two_regions: Stream) -> None:
    """What is to be said is said once."""
    question = SeriesQuestion(Metric("orders", "Sum"), (Filter("regoin", ("eu",), excludes=True),), limit=1)
    first = two_regions.reader.series(two_regions.name, question, soon())
    later = two_regions.reader.series(two_regions.name, replace(question, cursor=first.next_cursor), soon())
    assert (len(first.notices), len(later.items), later.notices) == (1, 1, ())


def test_a_timeframe_without_data_does_not_make_values_unknown(two_regions: Stream) -> None:
    """Nobody looked at them. Keys are known all the same."""
    filters = (Filter("region", ("mars",), excludes=False), Filter("regoin", ("eu",), excludes=False))
    question = ViewQuestion(Metric("orders", "Sum"), Timeframe("2023-10-01", "2023-10-01"), "day", (), filters)
    calls = count_calls(two_regions.client)
    (notice,) = two_regions.view(question).notices
    assert (notice.code, calls) == ("unknown_dimension_key", {"BatchGetItem": 1})


# --- faults -----------------------------------------------------------------------------------------------------------

ORDERS = ViewQuestion(Metric("orders", "Sum"), Timeframe("2022-10-01", "2022-10-31"), "day", ("region",))
ALWAYS = {"service": "dynamodb", **THROTTLED["ThrottlingException"]}


@pytest.fixture
def orders(stream: Stream, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A month of orders in 12 regions, behind the proxy."""
    stream.save(
        [
            point(f"2022-10-{day:02} {hour:02}:00:00", day + hour, dimensions={"region": f"r{region}"})
            for day in range(1, 32)
            for hour in (3, 4)
            for region in range(12)
        ]
    )
    monkeypatch.setattr("unitstream.dynamodb.READ_TIMEOUT", 0.5)
    return replace(stream, client=client_of(proxy.endpoint))


@pytest.mark.parametrize("kinds", [list(THROTTLED) * 5, list(FAILED)])
def test_what_dynamodb_refuses_is_asked_for_again(kinds: list[str], orders: Stream, proxy: FaultProxy) -> None:
    """Throttles, faults and answers that get lost on the way: the view is as it is without."""
    whole = orders.view(ORDERS)
    proxy.plan(*schedule([None, *kinds, None, *kinds]))
    assert orders.view(ORDERS) == whole
    assert sum(proxy.fired()) > len(kinds)


def test_throttled_to_the_end_is_out_of_time(orders: Stream, proxy: FaultProxy) -> None:
    """Then the same question may be asked again: each kind of it says so."""
    proxy.plan(ALWAYS)
    with pytest.raises(OutOfTime):
        orders.reader.view(orders.name, ORDERS, soon(0.4))
    with pytest.raises(OutOfTime):
        orders.reader.metrics(orders.name, MetricsQuestion(), soon(0.4))
    with pytest.raises(OutOfTime):
        orders.reader.points(orders.name, PointsQuestion(ORDERS.metric, ORDERS.timeframe), soon(0.4))
    with pytest.raises(OutOfTime):
        orders.reader.series(orders.name, SeriesQuestion(ORDERS.metric), soon(0.4))


def test_too_much_to_read_in_time_says_what_to_narrow(orders: Stream) -> None:
    """Asking again would not help, so it is another error."""
    with pytest.raises(TooMuch, match="choose a shorter range of days, or filter"):
        orders.reader.view(orders.name, ORDERS, soon(-1))


def test_a_page_ends_early_when_time_does(orders: Stream, proxy: FaultProxy) -> None:
    """With what was found by then, and a cursor that leads on to the rest."""
    question = PointsQuestion(ORDERS.metric, ORDERS.timeframe)
    whole = [one for page in orders.pages_of_points(question) for one in page.items]
    assert len(whole) == 31 * 2 * 12
    proxy.plan(*schedule([None] * 19), ALWAYS)
    page = orders.reader.points(orders.name, question, soon(2))
    assert 0 < len(page.items) < len(whole)
    assert page.next_cursor
    proxy.plan()
    parameters = {"metric_name": ["orders"], "metric_agg_func": ["Sum"]}
    days = {"start_date": ["2022-10-01"], "end_date": ["2022-10-31"], "cursor": [page.next_cursor]}
    rest = [one for page in orders.pages_of_points(points_question(parameters | days)) for one in page.items]
    assert page.items + rest == whole


def test_an_error_that_is_there_to_stay_is_raised_at_once(stream: Stream) -> None:
    """Asking again would only take time."""
    reader = Reader(Table(stream.client, "no-such-table"))
    for ask in (
        lambda: reader.view(stream.name, ORDERS, soon()),
        lambda: reader.points(stream.name, PointsQuestion(ORDERS.metric, ORDERS.timeframe), soon()),
    ):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            ask()


def test_streams_do_not_see_each_other(stream: Stream, orders: Stream) -> None:
    """A stream whose name begins as another's has nothing of it."""
    assert stream.name == orders.name
    for name in (stream.name[:-1], f"{stream.name}#", uuid.uuid4().hex):
        assert stream.reader.view(name, ORDERS, soon()).series == []
        assert stream.reader.metrics(name, MetricsQuestion(), soon()).items == []
