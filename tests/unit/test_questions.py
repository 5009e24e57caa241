"""Query parameters become a question, or errors that name each parameter and what it should be."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitstream.filters import Filter
from unitstream.identity import Metric
from unitstream.parameters import encode_cursor
from unitstream.periods import Granularity, Timeframe
from unitstream.problems import InvalidRequest
from unitstream.questions import (
    MetricsQuestion,
    PointsQuestion,
    SeriesQuestion,
    dry_run_of,
    metrics_question,
    points_question,
    series_question,
)
from unitstream.view_questions import UnitMetricQuestion, ViewQuestion, unit_metric_question, view_question

if TYPE_CHECKING:
    from collections.abc import Callable

    from unitstream.parameters import Query

RANGE = {"start_date": ["2022-10-01"], "end_date": ["2022-10-31"]}
METRIC = {"metric_name": ["orders"], "metric_agg_func": ["Sum"]}
VIEW: Query = {**METRIC, **RANGE}
UNIT_METRIC: Query = {"numerator": ["costs:Sum"], "denominator": ["orders:Sum"], **RANGE}
POINTS: Query = {**METRIC, **RANGE}
OCTOBER = Timeframe("2022-10-01", "2022-10-31")
CURSOR = encode_cursor("a digest", ["a place"])


def errors_of(ask: Callable[[], object]) -> dict[str, tuple[str, str]]:
    """Return code and detail by parameter."""
    with pytest.raises(InvalidRequest) as caught:
        ask()
    return {str(error.parameter): (error.code, error.detail) for error in caught.value.errors}


def test_a_view_is_asked_for() -> None:
    """Everything that is needed, and then everything that is possible."""
    assert view_question(VIEW) == ViewQuestion(Metric("orders", "Sum"), OCTOBER)
    more = {"granularity": ["week"], "group_by": ["region,plan", "country"], "filter": ["region:eu,us", "-plan:free"]}
    assert view_question({**VIEW, **more, "fill": ["null"]}) == ViewQuestion(
        Metric("orders", "Sum"),
        OCTOBER,
        "week",
        ("region", "plan", "country"),
        (Filter("region", ("eu", "us"), excludes=False), Filter("plan", ("free",), excludes=True)),
        fill=True,
    )


def test_a_unit_metric_is_asked_for() -> None:
    """The function comes after the last colon: a name may have colons of its own."""
    asked = {**UNIT_METRIC, "numerator": ["aws:ec2:cost:Maximum"], "granularity": ["month"]}
    assert unit_metric_question(asked) == UnitMetricQuestion(
        Metric("aws:ec2:cost", "Maximum"), Metric("orders", "Sum"), OCTOBER, "month"
    )


@pytest.mark.parametrize("granularity", get_args(Granularity))
def test_periods_are_days_unless_others_are_asked_for(granularity: str) -> None:
    """In views and unit metrics alike."""
    for ask, query in ((view_question, VIEW), (unit_metric_question, UNIT_METRIC)):
        assert ask(query).granularity == "day"
        assert ask({**query, "granularity": [granularity]}).granularity == granularity


@pytest.mark.parametrize(
    "timestamp",
    ["2022-10-01T00:00:00Z", "2022-10-01T23:59:59.999Z", "2022-10-02T01:30:00+02:00", "1664582400", "1664582400000"],
)
def test_a_timestamp_stands_for_its_day(timestamp: str) -> None:
    """In UTC: dashboards hand over moments."""
    parameters = {**VIEW, "start_date": [timestamp], "end_date": [timestamp]}
    assert view_question(parameters).timeframe == Timeframe("2022-10-01", "2022-10-01")


def test_listings_are_asked_for() -> None:
    """Each with a limit that need not be given, and with the cursor as it came."""
    assert metrics_question({}) == MetricsQuestion(100)
    assert metrics_question({"limit": ["1000"], "cursor": [CURSOR]}) == MetricsQuestion(1_000, CURSOR)
    assert series_question("a/b", "Average", {"filter": ["region:"], "limit": ["1"]}) == SeriesQuestion(
        Metric("a/b", "Average"), (Filter("region", ("",), excludes=False),), 1
    )
    assert points_question(POINTS) == PointsQuestion(Metric("orders", "Sum"), OCTOBER, (), 1_000)
    assert points_question({**POINTS, "limit": ["10000"]}).limit == 10_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("region:eu", Filter("region", ("eu",), excludes=False)),
        ("-region:eu,us", Filter("region", ("eu", "us"), excludes=True)),
        (r"\-region:-eu", Filter("-region", ("-eu",), excludes=False)),
        (r"-\-region:eu", Filter("-region", ("eu",), excludes=True)),
        (r"a\:b:c:d", Filter("a:b", ("c:d",), excludes=False)),
        (r"a,b:c\,d,e", Filter("a,b", ("c,d", "e"), excludes=False)),
        (r"a\\:b\\,\\", Filter("a\\", ("b\\", "\\"), excludes=False)),
        ("region:", Filter("region", ("",), excludes=False)),
        (" region : eu ", Filter(" region ", (" eu ",), excludes=False)),
    ],
)
def test_a_filter_is_a_key_and_values(text: str, expected: Filter) -> None:
    """Backslashes take colons, commas, a leading minus and themselves for what they are."""
    assert view_question({**VIEW, "filter": [text]}).filters == (expected,)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text(":,\\-a", min_size=1)


def escaped(text: str) -> str:
    for special in "\\:,-":
        text = text.replace(special, f"\\{special}")
    return text


@given(names, st.lists(names, min_size=1, max_size=3), st.booleans())
def test_any_key_and_value_can_be_filtered_and_grouped_by(key: str, values: list[str], excludes: bool) -> None:  # noqa: FBT001  # a draw
    """With each special character behind a backslash."""
    text = f"{'-' * excludes}{escaped(key)}:{','.join(map(escaped, values))}"
    question = view_question({**VIEW, "filter": [text], "group_by": [escaped(key)]})
    assert question.filters == (Filter(key, tuple(values), excludes),)
    assert question.group_by == (key,)


@pytest.mark.parametrize(
    ("filter_", "kept"),
    [
        (Filter("region", ("eu",), excludes=False), ["eu"]),
        (Filter("region", ("eu", "us"), excludes=False), ["eu", "us"]),
        (Filter("region", ("eu",), excludes=True), ["us", None]),
    ],
)
def test_which_series_a_filter_keeps(filter_: Filter, kept: list[str | None]) -> None:
    """One that excludes keeps the series that lack the dimension."""
    regions: list[str | None] = ["eu", "us", None]
    assert [region for region in regions if filter_.keeps({"region": region} if region else {})] == kept


@pytest.mark.parametrize(
    ("changes", "parameter", "code", "words"),
    [
        ({"granularity": ["daily"]}, "granularity", "granularity_unknown", "did you mean day?"),
        ({"granularity": ["", "day"]}, "granularity", "repeated", "must occur once, and occurs 2 times"),
        ({"granularity": ["x"]}, "granularity", "granularity_unknown", "one of hour, day, week, month, quarter, year"),
        ({"metric_agg_func": ["sum"]}, "metric_agg_func", "metric_agg_func_unknown", "did you mean Sum?"),
        ({"metric_name": [""]}, "metric_name", "empty", "at least 1 character"),
        ({"metric_name": ["x" * 256]}, "metric_name", "too_long", "at most 255 characters, and has 256"),
        ({"metric_name": ["\ud800"]}, "metric_name", "not_unicode", "surrogate"),
        ({"metric_name": ["a", "b"]}, "metric_name", "repeated", "must occur once, and occurs 2 times"),
        ({"start_date": ["2022-02-30"]}, "start_date", "date_invalid", "a day that exists, as YYYY-MM-DD"),
        ({"start_date": ["20221001"]}, "start_date", "date_invalid", "YYYY-MM-DD"),
        ({"start_date": ["2022-10-01T24:00:00Z"]}, "start_date", "date_invalid", "YYYY-MM-DD"),
        ({"start_date": ["1970-01-01T00:00:00+01:00"]}, "start_date", "date_out_of_range", "1970 to 9999"),
        ({"start_date": ["\uff12022-10-01"]}, "start_date", "date_invalid", "YYYY-MM-DD"),
        ({"start_date": ["1969-12-31"]}, "start_date", "date_out_of_range", "1970 to 9999"),
        ({"end_date": ["2022-09-30"]}, "end_date", "range_reversed", "before start_date, 2022-10-01"),
        ({"fill": ["zero"]}, "fill", "fill_unknown", "fill must be null"),
        ({"group_by": ["a,b", "c,d"]}, "group_by", "too_many_keys", "at most 3"),
        ({"group_by": ["a,a"]}, "group_by", "repeated", "names a key twice"),
        ({"group_by": [""]}, "group_by", "empty", "a key in group_by"),
        ({"group_by": ["a\\"]}, "group_by", "escape_invalid", "backslash"),
        ({"filter": ["region"]}, "filter", "filter_invalid", "as in region:eu,us or -region:eu"),
        ({"filter": [":eu"]}, "filter", "empty", "a key in filter"),
        ({"filter": ["region:e\\u"]}, "filter", "filter_invalid", "backslash"),
        ({"filter": [f"region:{'x' * 1_025}"]}, "filter", "too_long", "at most 1,024 characters"),
        ({"filter": ["a:b"] * 21}, "filter", "too_many_filters", "at most 20"),
        ({"end_data": ["2022-10-31"]}, "end_data", "unknown_parameter", "did you mean end_date?"),
        ({"groupBy": ["region"]}, "groupBy", "unknown_parameter", "did you mean group_by?"),
        ({"q": ["1"]}, "q", "unknown_parameter", "known here: metric_name, metric_agg_func, start_date"),
    ],
)
def test_a_wrong_parameter_is_named(changes: Query, parameter: str, code: str, words: str) -> None:
    """With a stable code, and a sentence that says what would be right."""
    actual, detail = errors_of(lambda: view_question({**VIEW, **changes}))[parameter]
    assert actual == code
    assert words in detail


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"numerator": []}, "missing"),
        ({"numerator": ["costs"]}, "metric_invalid"),
        ({"numerator": [":Sum"]}, "empty"),
        ({"numerator": ["costs:sum"]}, "metric_agg_func_unknown"),
        ({"numerator": [f"{'x' * 256}:Sum"]}, "too_long"),
    ],
)
def test_a_wrong_side_of_a_unit_metric_is_named(changes: Query, code: str) -> None:
    """Numerator and denominator are a name and a function each."""
    errors = errors_of(lambda: unit_metric_question({**UNIT_METRIC, **changes}))
    assert {parameter: error for parameter, (error, _) in errors.items()} == {"numerator": code}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1e2", "", "9" * 5_000, "0" * 5_000 + "1", "\u0661"])
def test_a_limit_is_a_whole_number_in_its_range(limit: str) -> None:
    """Anything else is refused, not bent."""
    assert errors_of(lambda: metrics_question({"limit": [limit]}))["limit"] == (
        "limit_invalid",
        "limit must be a whole number from 1 to 1,000",
    )


def test_a_request_to_save_may_be_only_a_question() -> None:
    """If it says so."""
    assert dry_run_of({"dry_run": ["true"]})
    assert not dry_run_of({"dry_run": ["false"]})
    assert not dry_run_of({})


@pytest.mark.parametrize(
    ("query", "parameter", "code", "words"),
    [
        ({"dryrun": ["true"]}, "dryrun", "unknown_parameter", "did you mean dry_run?"),
        ({"force": ["true"]}, "force", "unknown_parameter", "known here: dry_run"),
        ({"dry_run": ["1"]}, "dry_run", "dry_run_unknown", "dry_run must be one of true, false"),
        ({"dry_run": ["True"]}, "dry_run", "dry_run_unknown", "did you mean true?"),
        ({"dry_run": [""]}, "dry_run", "dry_run_unknown", "dry_run must be one of true, false"),
        ({"dry_run": ["true", "true"]}, "dry_run", "repeated", "must occur once, and occurs 2 times"),
    ],
)
def test_a_question_that_is_misspelt_is_an_error(query: Query, parameter: str, code: str, words: str) -> None:
    """It would save what was not to be saved."""
    actual, detail = errors_of(lambda: dry_run_of(query))[parameter]
    assert actual == code
    assert words in detail


def test_all_wrong_parameters_are_reported_at_once() -> None:
    """One round is enough to mend a question."""
    wrong = {"metric_name": [""], "start_date": ["soon"], "granularity": ["decade"], "filter": ["x"], "colour": ["red"]}
    assert errors_of(lambda: view_question(wrong)).keys() == {*wrong, "metric_agg_func", "end_date"}
    assert errors_of(lambda: series_question("", "sum", {"limit": ["no"]})).keys() == {
        "metric_name",
        "metric_agg_func",
        "limit",
    }
    assert errors_of(lambda: metrics_question({"limit": ["no"], "cursor": ["?"]})).keys() == {"limit", "cursor"}
    assert errors_of(lambda: dry_run_of({"dry_run": ["yes"], "force": ["1"]})).keys() == {"dry_run", "force"}


@given(st.dictionaries(st.sampled_from([*VIEW, "group_by", "filter", "fill", "x"]), st.lists(st.text(), max_size=3)))
def test_any_parameters_are_a_question_or_errors(parameters: Query) -> None:
    """Nothing that somebody types is a failure of the program."""
    for ask in (view_question, points_question, unit_metric_question, metrics_question, dry_run_of):
        try:
            ask({**VIEW, **parameters})
        except InvalidRequest as exc:
            assert exc.total >= len(exc.errors) > 0  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize(
    "document",
    [b"[" * 2_000, b'"text"', b"1", b"null", b"{}", b"[]", b"[[]]", b'[1e999, "x"]', b"\xff\xfe", b"1" * 3_000],
    ids=ascii,
)
def test_json_that_is_no_cursor_is_an_error(document: bytes) -> None:
    """Nested too deep, too, and a number that is too long to be read."""
    cursor = base64.urlsafe_b64encode(document).decode()
    assert errors_of(lambda: metrics_question({"cursor": [cursor]}))["cursor"][0] == "cursor_invalid"


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_as_a_cursor_is_an_error(text: str) -> None:
    """Not one of ours, so not one at all."""
    assert errors_of(lambda: metrics_question({"cursor": [text]}))["cursor"]
