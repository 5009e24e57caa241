"""The explorer without a browser: the address, the controls, the table, the picture and the page to hand over."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, Any, get_args

import demo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from unitstream.comparisons import Compare
from unitstream.filters import Filter, parse_filter
from unitstream.periods import Granularity
from unitstream.problems import InvalidRequest
from unitstream_cli.answers import Refused
from unitstream_cli.errors import ExitCode
from unitstream_cli.explore import callbacks, controls
from unitstream_cli.explore.controls import as_defined, asked_from, choices_of
from unitstream_cli.explore.figure import figure_of, groups_of
from unitstream_cli.explore.handover import file_name, page_of
from unitstream_cli.explore.question import (
    MAX_TOP,
    Asked,
    Range,
    Shape,
    asked_of,
    errors_of,
    faults_of,
    filter_text,
    joined_filters,
    single_filters,
)
from unitstream_cli.explore.stream import Dimensions
from unitstream_cli.explore.table import count_pages, digits, not_over, percent, sentence, sorted_rows, strays, table_of
from unitstream_cli.explore.table import page_of as rows_of_page
from unitstream_cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

    from unitstream_cli.explore.table import Table

TODAY = date(2026, 11, 25)
HOSTILE = '</script><img src=x onerror="alert(1)">&amp; $TeX$'


# --- the address ------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
METRICS = st.tuples(NAMES, st.sampled_from(["Sum", "Average", "Maximum", "Minimum"])).map(":".join)
DAYS = st.dates(date(1970, 1, 1), date(2100, 1, 1))


@st.composite
def filters(draw: st.DrawFn) -> tuple[str, ...]:
    """Return filters, none of them of the same kind and key."""
    kinds = draw(st.lists(st.tuples(NAMES, st.booleans()), max_size=3, unique=True))
    values = st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=3, unique=True
    )
    return tuple(filter_text(Filter(key, tuple(draw(values)), excludes)) for key, excludes in kinds)


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """Return a question that the page may ask."""
    start, end = sorted([draw(DAYS), draw(DAYS)])
    span = draw(st.sampled_from(get_args(Range)))
    own = {"start_date": str(start), "end_date": str(end)} if span == "own" else {}
    common: dict[str, Any] = own | {
        "range": span,
        "granularity": draw(st.sampled_from([None, *get_args(Granularity)])),
        "compare": draw(st.sampled_from([None, *get_args(Compare)])),
        "shape": draw(st.sampled_from(get_args(Shape))),
        "top": draw(st.integers(1, MAX_TOP)),
        "sort": draw(st.sampled_from([None, "date", "-points"])),
        "page": draw(st.integers(1, 999_999)),
    }
    if draw(st.booleans()):
        return Asked(saved=draw(NAMES), **common)
    keys = tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    asked = Asked(draw(METRICS), group_by=keys, filter=draw(filters()), **common)
    if draw(st.booleans()):
        return asked
    shared = tuple(key for key in keys if draw(st.booleans())) if draw(st.booleans()) else None
    halves: dict[str, Any] = {"numerator_filter": draw(filters()), "denominator_filter": draw(filters())}
    return replace(asked, per=draw(METRICS), denominator_group_by=shared, **halves)


@given(questions())
def test_an_address_and_its_question_are_one(asked: Asked) -> None:
    """Whatever names and values hold: what is written into the address is what is read from it."""
    assert asked_of(asked.search()) == asked


@given(questions())
def test_the_controls_and_their_question_are_one(asked: Asked) -> None:
    """But for the page of the table: another question begins with its first rows. By day is what nothing said means."""
    filtered = (*asked.filter, *asked.numerator_filter, *asked.denominator_filter)
    keys = {*asked.group_by, *(parse_filter(one).key for one in filtered)}
    dimensions = {name: Dimensions({key: [] for key in keys}) for name in (asked.metric, asked.per) if name}
    start, end = asked.timeframe(TODAY)
    found = asked_from(choices_of(asked, start, end), asked.sort, dimensions, anew=False)
    granularity = (
        asked.granularity or "day" if asked.saved else None if asked.granularity == "day" else asked.granularity
    )
    if asked.denominator_group_by == asked.group_by:  # all of the keys is what the numerator has
        asked = replace(asked, denominator_group_by=None if asked.group_by else ())
    assert found == replace(asked, page=1, granularity=granularity)


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        ("7d", "2026-11-19", "2026-11-25"),
        ("30d", "2026-10-27", "2026-11-25"),
        ("90d", "2026-08-28", "2026-11-25"),
        ("this-month", "2026-11-01", "2026-11-25"),
        ("last-month", "2026-10-01", "2026-10-31"),
        ("this-year", "2026-01-01", "2026-11-25"),
    ],
)
def test_a_range_ends_today(span: Range, start: str, end: str) -> None:
    assert Asked(range=span).timeframe(TODAY) == (start, end)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("?metric=orders:Sum&granularity=decade", "granularity must be"),
        (
            "?metric=orders:Sum&range=own&start_date=2022-02-30&end_date=2022-03-01",
            "start_date must be a day that exists",
        ),
        ("?metric=orders:Sum&start_date=2022-02-30&end_date=2022-03-01", "start_date must be a day that exists"),
        ("?metric=orders:Sum&range=7d&start_date=2022-03-01", "leave one out"),
        ("?metric=orders:Sum&range=own&start_date=2022-03-02&end_date=2022-03-01", "lies before start_date"),
        ("?metric=orders:Sum&range=own", "start_date is required"),
        ("?metric=orders:Sum&range=own&start_date=2022-03-02", "end_date is required"),
        ("?metric=orders:Sum&numerator_filter=region:eu", "'numerator_filter' is not a parameter"),
        ("?metric=orders:Sum&saved=share", "leave out metric and per"),
        ("?per=orders:Sum", "metric is required beside per"),
        ("?metric=orders:Sum&top=51", "top must be a whole number from 1 to 50"),
        ("?metric=orders:Sum&page=0", "page must be a whole number from 1 to 999,999"),
        ("?metric=orders:Sum&metric=costs:Sum", "metric must occur once"),
        ("?metric=orders:Sum&filter=region:eu&filter=region:us", "filter names the key region twice"),
        ("?metric=orders:Sum&token=ds_x", "'token' is not a parameter"),
        ("?metric=orders:Sum&per=costs:Sum&denominator_group_by=region", "which group_by does not"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(search: str, said: str) -> None:
    try:
        sentences = faults_of(asked_of(search), TODAY)
    except InvalidRequest as failure:
        sentences = errors_of(failure)
    assert any(said in sentence for sentence in sentences)


# --- the controls -----------------------------------------------------------------------------------------------------


def test_values_that_are_chosen_of_a_key_are_one_filter() -> None:
    """And are offered one by one."""
    chosen = ["region:eu", "service:a\\,b", "region:us", "-team:x"]
    assert joined_filters(chosen) == ("region:eu,us", "service:a\\,b", "-team:x")
    assert single_filters(joined_filters(chosen)) == ["region:eu", "region:us", "service:a\\,b", "-team:x"]


def test_what_another_metric_lacks_is_dropped() -> None:
    """Groups and filters of dimensions that it does not have."""
    asked = Asked("costs:Sum", group_by=("service", "region"), filter=("service:web", "region:eu"))
    choices = choices_of(asked, "2026-11-01", "2026-11-02")._replace(what="metric orders:Sum")
    found = asked_from(choices, None, {"orders:Sum": Dimensions({"region": ["eu"]})}, anew=True)
    assert (found.metric, found.group_by, found.filter) == ("orders:Sum", ("region",), ("region:eu",))


def test_a_column_that_is_gone_sorts_nothing() -> None:
    asked = Asked("costs:Sum", group_by=("region",), compare="year")
    choices = choices_of(asked, "2026-11-01", "2026-11-02")
    dimensions = {"costs:Sum": Dimensions({"region": ["eu"]})}
    for sort in ("dimension_region", "-pop_diff"):
        for chosen, kept in ((choices, sort), (choices._replace(group_by=[], compare="none"), None)):
            assert asked_from(chosen, sort, dimensions, anew=False).sort == kept


def test_a_saved_unit_metric_shows_what_it_is_made_of() -> None:
    saved = {"name": "share", "numerator": "costs:Sum", "denominator": "costs:Sum", "numerator_filter": ["team:web"]}
    shown = as_defined(Asked(saved="share"), saved | {"granularity": "month"})
    assert (shown.per, shown.numerator_filter, shown.granularity) == ("costs:Sum", ("team:web",), "month")
    assert choices_of(shown, "2026-11-01", "2026-11-02").what == "saved share"
    assert as_defined(Asked(saved="another"), None) == Asked(saved="another")


def test_what_an_address_asks_is_offered_even_if_the_stream_lacks_it() -> None:
    """The page drops what it does not offer, and would silently ask something else."""
    assert [one["label"] for one in controls.offered_things(["a:Sum"], ["b"], Asked("c:Sum"))] == [
        "b (saved unit metric)",
        "a:Sum",
        "c:Sum",
    ]
    offered = controls.offered_filters([Dimensions({"region": ["eu"]})], ["region:mars"])
    assert [one["label"] for one in offered] == ["region is eu", "region is not eu", "region is mars"]


# --- the table and the picture ----------------------------------------------------------------------------------------


def view(agg_func: str, values: dict[str, list[float | None]], **more: Any) -> dict[str, Any]:
    """Return what the API answers about five days of October, by region."""
    series = [
        {
            "dimensions": {"region": region},
            "data": [
                {"date": f"2022-10-0{day}", "value": value, "points": 1}
                for day, value in enumerate(several, 1)
                if value is not None
            ],
            "total": {"value": sum(value or 0 for value in several), "points": len(several)},
        }
        for region, several in values.items()
    ]
    days = {"granularity": "day", "start_date": "2022-10-01", "end_date": "2022-10-05"}
    return {"metric_name": "costs", "metric_agg_func": agg_func, **days, "series": series, **more}


def table(document: dict[str, Any], asked: Asked | None = None) -> Table:
    return table_of(document, asked or Asked("costs:Sum"))


MANY: dict[str, list[float | None]] = {"a": [1.0, 2.0], "b": [0.1, None, 5.0], "c": [0.2], "d": [100.0]}


def test_the_largest_groups_are_drawn_and_the_rest_is_one() -> None:
    """Of sums a sum, of the decimals that are shown."""
    groups = groups_of(table(view("Sum", MANY)), 2)
    assert [one.name for one in groups.top] == ["d", "b"]
    assert groups.rest is not None
    assert (groups.rest.name, groups.rest.now) == ("the other 2", {"2022-10-01": 1.2, "2022-10-02": 2.0})
    assert groups_of(table(view("Sum", MANY)), 10).rest is None


def test_the_rest_of_averages_is_one_mean_of_all_its_points() -> None:
    rest = groups_of(table(view("Average", {"a": [9.0], "b": [1.0], "c": [2.0]})), 1).rest
    assert rest is not None
    assert rest.now == {"2022-10-01": 1.5}


def test_what_averages_were_together_before_is_not_guessed() -> None:
    """How many points there were is not known: nothing is drawn."""
    document = view("Average", {"a": [9.0], "b": [1.0], "c": [2.0]})
    for one in document["series"]:
        one["data"][0] |= {
            "previous_timeframe_value": 1.0,
            "previous_date": "2022-09-26",
            "pop_diff": 0,
            "pop_change": 0,
        }
    rest = groups_of(table(document, Asked("costs:Average", compare="timeframe")), 1).rest
    assert rest is not None
    assert rest.before == {"2022-10-01": None}


@pytest.mark.parametrize(
    ("agg_func", "shape", "kind"),
    [
        ("Sum", "bars", "bar"),
        ("Sum", "lines", "scatter"),
        ("Average", "bars", "scatter"),
        ("Maximum", "bars", "scatter"),
    ],
)
def test_sums_alone_are_stacked(agg_func: str, shape: Shape, kind: str) -> None:
    asked = Asked(f"costs:{agg_func}", shape=shape)
    figure = figure_of(table(view(agg_func, MANY), asked), asked)
    assert {trace["type"] for trace in figure["data"]} == {kind}


def test_thousands_of_bars_are_steps_which_a_browser_draws_at_once() -> None:
    """One path a group; unless some lie below zero, where steps would cross."""
    days = {"start_date": "2022-01-01", "end_date": "2022-12-31"}
    for value, kind in ((1.0, "scatter"), (-1.0, "bar")):
        document = view("Sum", {str(number): [value] for number in range(50)}) | days
        figure = figure_of(table(document), Asked("costs:Sum", top=50))
        assert {trace["type"] for trace in figure["data"]} == {kind}


def test_days_without_data_are_gaps() -> None:
    figure = figure_of(table(view("Sum", {"b": MANY["b"]})), Asked("costs:Sum", shape="lines"))
    (trace,) = figure["data"]
    assert trace["x"] == [f"2022-10-0{day}" for day in range(1, 6)]
    assert trace["y"] == [0.1, None, 5.0, None, None]
    assert trace["connectgaps"] is False


def test_a_few_periods_have_a_tick_each() -> None:
    """Plotly by itself would write the same month several times."""
    months = {"granularity": "month", "start_date": "2022-01-01"}
    for end, ticks in (("2022-03-31", ["2022-01-01", "2022-02-01", "2022-03-01"]), ("2023-01-31", None)):
        figure = figure_of(table(view("Sum", {"a": [1.0]}) | months | {"end_date": end}), Asked("costs:Sum"))
        assert figure["layout"]["xaxis"].get("tickvals") == ticks


def test_the_hour_that_comes_twice_is_drawn_twice_in_the_order_of_time() -> None:
    """By the clock of a zone; hours without data are gaps there too."""
    days = {"start_date": "2022-10-30", "end_date": "2022-10-30", "granularity": "hour", "timezone": "Europe/Berlin"}
    figure = figure_of(table(view("Sum", {"a": [1.0]}) | days), Asked("costs:Sum"))
    hours = figure["data"][0]["x"]
    assert len(hours) == 25
    assert hours[1:4] == ["2022-10-30T01:00:00+02:00", "2022-10-30T02:00:00+02:00", "2022-10-30T02:00:00+01:00"]
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "category"
    assert (axis["tickvals"][1], axis["ticktext"][1]) == ("2022-10-30T02:00:00+01:00", "10-30 02:00+01:00")


def test_a_threshold_is_a_line() -> None:
    document = view("Average", {"a": [1.0]})
    figure = figure_of(table_of(document, Asked("costs:Average"), above=3.5), Asked("costs:Average"))
    (line,) = figure["layout"]["shapes"]
    assert (line["y0"], line["y1"], line["label"]["text"]) == (3.5, 3.5, "too high above 3.5")


def test_what_was_kept_is_in_the_sentence() -> None:
    """Which stands above every picture that is taken away."""
    asked = asked_of(
        "?metric=costs:Sum&per=orders:Sum&group_by=region&filter=-team:a,b&numerator_filter=service:"
        "&denominator_filter=region:eu&denominator_group_by="
    )
    document = view("Sum", MANY)
    for side in ("numerator", "denominator"):
        document[side] = {"metric_name": side, "metric_agg_func": "Sum"}
    del document["metric_name"]
    told = sentence(table(document, asked))
    assert told == (
        "numerator:Sum per denominator:Sum by day and region, 2022-10-01 to 2022-10-05, where team is not a or b; "
        "numerator where service is empty; denominator where region is eu; denominator not grouped"
    )


def test_notices_of_a_comparison_are_told_where_there_is_one() -> None:
    notices = [{"code": code, "detail": code} for code in ("unequal_totals", "unknown_metric")]
    document = view("Sum", MANY, notices=notices)
    for compare, told in ((None, ["unknown_metric"]), ("year", ["unequal_totals", "unknown_metric"])):
        assert table(document, Asked("costs:Sum", compare=compare)).notices == told  # type: ignore[arg-type]  # both are


@pytest.mark.parametrize(
    ("now", "zone", "said"),
    [
        ("2022-10-06T00:30", "UTC", ""),
        ("2022-10-05T23:30", "UTC", "2022-10-05 is not over yet"),
        ("2022-10-06T00:30", "America/New_York", "2022-10-05 is not over yet"),
        ("2022-10-05T23:30", "Asia/Tokyo", ""),
        ("2022-10-03T00:30", "UTC", "the days from 2022-10-03 to 2022-10-05 are not over or have not begun"),
    ],
)
def test_days_that_are_not_over_are_told_where_they_are_compared(now: str, zone: str, said: str) -> None:
    """By the clock that days have."""
    document = view("Sum", MANY) | ({} if zone == "UTC" else {"timezone": zone})
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    told = "".join(not_over(table(document, Asked("costs:Sum", compare="year")), moment))
    assert told.startswith(said) if said else told == ""
    assert not_over(table(document), moment) == []


def test_text_is_text_in_the_picture() -> None:
    """Plotly takes HTML in names and titles."""
    figure = figure_of(table(view("Sum", {HOSTILE: [1.0]}, unit=HOSTILE)), Asked("costs:Sum"))
    assert not set("<$").intersection(re.sub(r"%\{[^}]*\}", "", json.dumps(figure)))
    assert unescape(figure["data"][0]["name"]) == HOSTILE


def test_rows_are_sorted_by_any_column_and_turned_in_pages() -> None:
    """What is missing comes last, in either direction."""
    document = view("Sum", {str(number): [float(number % 7)] for number in range(250)})
    document["series"][3]["data"][0]["value"] = None
    found = table(document)
    for sort, first in (("value", 0.0), ("-value", 6.0)):
        values = [row.fields["value"] for row in sorted_rows(found, sort)]
        assert (values[0], values[-1]) == (first, None)
    assert sorted_rows(found, "no such column") == found.rows
    assert strays(found, Asked("costs:Sum", sort="-value", page=3)) == []
    assert strays(found, Asked("costs:Sum", sort="-pop_diff", page=9)) == [
        "There is no column pop_diff to sort by: the rows are in the order of the answer.",
        "There is no page 9 of the table: this is the last one, 3.",
    ]
    assert (count_pages(found.rows), len(rows_of_page(found.rows, 3)), len(rows_of_page(found.rows, 9))) == (3, 50, 50)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_digits(value: float) -> None:
    """Also as percentages, which are moved by two places and not computed."""
    assert float(digits(value)) == value
    assert Decimal(percent(value)) == Decimal(repr(value)).scaleb(2)


# --- what is taken away -----------------------------------------------------------------------------------------------


def test_text_is_text_in_the_page_to_hand_over() -> None:
    """Nothing in the stream ends the script or begins a tag."""
    asked = Asked("costs:Sum", filter=(filter_text(Filter(HOSTILE, (HOSTILE,), excludes=False)),))
    found = table(view("Sum", {HOSTILE: [1.5]}, notices=[{"code": "made_up", "detail": HOSTILE}]), asked)
    parts = {"style": "", "script": "", "plotly": ""}
    page = page_of(found, figure_of(found, asked), asked, datetime(2026, 11, 25, 12, tzinfo=UTC), parts)
    assert page.count("</script>") == 3
    assert "<img" not in page
    assert "<p>Days and times are in UTC. Read at 2026-11-25 12:00:00.</p>" in page
    assert file_name(found, "html") == "costs-Sum-2022-10-01-2022-10-05.html"


def test_an_answer_that_is_too_large_says_what_to_narrow() -> None:
    """In the words of the API."""
    detail = "The view has more than 200,000 cells: choose a shorter range of days."
    told = callbacks.sentences(Refused(f"the service answered 400 Too much for one answer. {detail}", kind="too-large"))
    assert told == [f"The service answered 400 Too much for one answer. {detail}"]


def test_without_dash_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unitstream_cli.explore.command.find_spec", lambda _: None)
    given_settings = {"API_URL": "http://127.0.0.1:1", "API_KEY": "key", "DATA_STREAM_TOKEN": "token"}
    result = CliRunner().invoke(app, ["explore"], env=given_settings)
    assert result.exit_code == ExitCode.USAGE
    assert 'pip install "unitstream[explore]"' in result.stderr
    assert importlib.util.find_spec("dash")


# --- the demo ---------------------------------------------------------------------------------------------------------


def test_the_demos_year_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """Hourly orders and costs of three regions, up to yesterday."""
    demo.write(tmp_path / "demo.csv", TODAY)
    header, first, *_, last = (tmp_path / "demo.csv").read_text().splitlines()
    assert header == "timestamp,region,orders,costs"
    assert (first, last) == ("2025-11-25 00:00:00,eu,55,150.40", "2026-11-24 23:00:00,ap,72,253.46")
    assert len((tmp_path / "demo.csv").read_text().splitlines()) == 1 + 365 * 24 * 3
