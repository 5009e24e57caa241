"""Questions to the data, and the query parameters that ask them. Pure.

Each `…_question` function turns the parameters of a request into a question, or raises `InvalidRequest` with everything
that is wrong with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from unitstream.filters import parse_filter, split_keys
from unitstream.identity import MAX_DIMENSION_VALUE, AggFunc, Metric
from unitstream.parameters import FIRST_DAY, Parameters, quoted
from unitstream.periods import Granularity, Timeframe

if TYPE_CHECKING:
    from unitstream.filters import Filter
    from unitstream.parameters import Query

MAX_GROUP_BY = 3
MAX_FILTERS = 20
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
DEFAULT_POINTS_LIMIT = 1_000
MAX_POINTS_LIMIT = 10_000

# The names that each question knows.
INGEST_PARAMETERS = ("dry_run",)
METRICS_PARAMETERS = ("limit", "cursor")
SERIES_PARAMETERS = ("filter", "limit", "cursor")
_METRIC = ("metric_name", "metric_agg_func")
_RANGE = ("start_date", "end_date")
_TABLE = ("granularity", "group_by", "filter", "fill")
VIEW_PARAMETERS = (*_METRIC, *_RANGE, *_TABLE)
UNIT_METRIC_PARAMETERS = ("numerator", "denominator", *_RANGE, *_TABLE)
DELETE_PARAMETERS = (*_METRIC, *_RANGE, "filter", "received_from", "received_before", "dry_run")
POINTS_PARAMETERS = (*_METRIC, *_RANGE, "filter", "limit", "cursor")

_AGG_FUNCS: tuple[AggFunc, ...] = get_args(AggFunc)
_GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)


@dataclass(frozen=True, slots=True)
class MetricsQuestion:
    """Lists the metrics of a stream. A `cursor`, here as elsewhere, is what the answer before came with."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """Lists the series of a metric."""

    metric: Metric
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PointsQuestion:
    """Lists the points that a metric has in `timeframe`."""

    metric: Metric
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_POINTS_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteQuestion:
    """Asks to delete the points that a metric has in `timeframe`, or with `dry_run` what that would do.

    Only those that were last received from an instant on or before another one, both in epoch milliseconds, if given.
    """

    metric: Metric
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    received_from: int | None = None
    received_before: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ViewQuestion:
    """Asks for the values of a metric, by period and by the dimensions in `group_by`.

    With `fill`, periods without data are part of the answer too.
    """

    metric: Metric
    timeframe: Timeframe
    granularity: Granularity = "day"
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False


@dataclass(frozen=True, slots=True)
class UnitMetricQuestion:
    """Asks for `numerator` divided by `denominator`, by period and by the dimensions in `group_by`."""

    numerator: Metric
    denominator: Metric
    timeframe: Timeframe
    granularity: Granularity = "day"
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False


PagedQuestion = MetricsQuestion | SeriesQuestion | PointsQuestion


def dry_run_of(query: Query) -> bool:
    """Whether a request to save is only a question. A misspelt parameter would save what was not to be saved."""
    parameters = Parameters(query, INGEST_PARAMETERS)
    return parameters.checked(_dry_run(parameters))


def metrics_question(query: Query) -> MetricsQuestion:
    """Return the question of `GET /api/metrics`."""
    parameters = Parameters(query, METRICS_PARAMETERS)
    return parameters.checked(MetricsQuestion(parameters.limit(DEFAULT_LIMIT, MAX_LIMIT), parameters.cursor()))


def series_question(metric_name: str, metric_agg_func: str, query: Query) -> SeriesQuestion:
    """Return the question of `GET /api/metrics/{metric_name}/{metric_agg_func}/series`."""
    path = {"metric_name": metric_name, "metric_agg_func": metric_agg_func}
    parameters = Parameters(query, SERIES_PARAMETERS, path)
    return parameters.checked(
        SeriesQuestion(
            _metric(parameters),
            _filters(parameters),
            parameters.limit(DEFAULT_LIMIT, MAX_LIMIT),
            parameters.cursor(),
        )
    )


def points_question(query: Query) -> PointsQuestion:
    """Return the question of `GET /api/points`."""
    parameters = Parameters(query, POINTS_PARAMETERS)
    return parameters.checked(
        PointsQuestion(
            _metric(parameters),
            _timeframe(parameters),
            _filters(parameters),
            parameters.limit(DEFAULT_POINTS_LIMIT, MAX_POINTS_LIMIT),
            parameters.cursor(),
        )
    )


def delete_question(query: Query) -> DeleteQuestion:
    """Return the question of `DELETE /api/points`."""
    parameters = Parameters(query, DELETE_PARAMETERS)
    received_from, received_before = parameters.instant("received_from"), parameters.instant("received_before")
    if received_from is not None and received_before is not None and received_before <= received_from:
        parameters.wrong("received_before", "range_reversed", "received_before does not lie after received_from")
    return parameters.checked(
        DeleteQuestion(
            _metric(parameters),
            _timeframe(parameters),
            _filters(parameters),
            received_from,
            received_before,
            dry_run=_dry_run(parameters),
        )
    )


def view_question(query: Query) -> ViewQuestion:
    """Return the question of `GET /api/views`."""
    parameters = Parameters(query, VIEW_PARAMETERS)
    return parameters.checked(
        ViewQuestion(
            _metric(parameters),
            _timeframe(parameters),
            parameters.choice("granularity", _GRANULARITIES) or "day",
            _group_by(parameters),
            _filters(parameters),
            fill=parameters.choice("fill", ("null",)) is not None,
        )
    )


def unit_metric_question(query: Query) -> UnitMetricQuestion:
    """Return the question of `GET /api/unit-metrics`."""
    parameters = Parameters(query, UNIT_METRIC_PARAMETERS)
    return parameters.checked(
        UnitMetricQuestion(
            _side(parameters, "numerator"),
            _side(parameters, "denominator"),
            _timeframe(parameters),
            parameters.choice("granularity", _GRANULARITIES) or "day",
            _group_by(parameters),
            _filters(parameters),
            fill=parameters.choice("fill", ("null",)) is not None,
        )
    )


# --- The parameters of several questions ------------------------------------------------------------------------------


def _dry_run(parameters: Parameters) -> bool:
    return parameters.choice("dry_run", ("true", "false")) == "true"


def _metric(parameters: Parameters) -> Metric:
    name = parameters.text("metric_name")
    if name is not None:
        parameters.check_name(name, "metric_name", "metric_name")
    text = parameters.text("metric_agg_func")
    return Metric(name or "", _agg_func(parameters, text, "metric_agg_func", "metric_agg_func"))


def _side(parameters: Parameters, parameter: str) -> Metric:
    """Read a side of a unit metric, `name:Function`. The name may have colons of its own."""
    text = parameters.text(parameter)
    if text is None:
        return Metric("", "Sum")
    name, colon, function = text.rpartition(":")
    if not colon:
        detail = f"{parameter} must be a metric's name, a colon and its function"
        parameters.wrong(parameter, "metric_invalid", detail)
        return Metric("", "Sum")
    parameters.check_name(name, parameter, f"the name in {parameter}")
    return Metric(name, _agg_func(parameters, function, parameter, f"the function in {parameter}"))


def _agg_func(parameters: Parameters, text: str | None, parameter: str, subject: str) -> AggFunc:
    if text is None:
        return "Sum"
    return parameters.word(text, _AGG_FUNCS, parameter, "metric_agg_func_unknown", subject) or "Sum"


def _timeframe(parameters: Parameters) -> Timeframe:
    start, end = parameters.day("start_date"), parameters.day("end_date")
    if start and end and end < start:
        parameters.wrong("end_date", "range_reversed", f"end_date, {end}, lies before start_date, {start}")
    return Timeframe(start or FIRST_DAY, end or FIRST_DAY)


def _group_by(parameters: Parameters) -> tuple[str, ...]:
    keys: list[str] = []
    for text in parameters.values("group_by"):
        try:
            keys += split_keys(text)
        except ValueError as exc:
            parameters.wrong("group_by", "escape_invalid", f"group_by {exc}")
    for key in keys:
        parameters.check_name(key, "group_by", "a key in group_by")
    if len(set(keys)) < len(keys):
        parameters.wrong("group_by", "repeated", "group_by names a key twice")
    if len(keys) > MAX_GROUP_BY:
        parameters.wrong("group_by", "too_many_keys", f"group_by must name at most {MAX_GROUP_BY} keys")
    return tuple(keys)


def _filters(parameters: Parameters) -> tuple[Filter, ...]:
    texts = parameters.values("filter")
    if len(texts) > MAX_FILTERS:
        parameters.wrong("filter", "too_many_filters", f"filter must occur at most {MAX_FILTERS} times")
        return ()
    filters = []
    for text in texts:
        try:
            filters.append(parse_filter(text))
        except ValueError as exc:
            parameters.wrong("filter", "filter_invalid", f"filter {quoted(text)} {exc}")
    for filter_ in filters:
        parameters.check_name(filter_.key, "filter", "a key in filter")
        if any(len(value) > MAX_DIMENSION_VALUE for value in filter_.values):
            detail = f"a value in filter must have at most {MAX_DIMENSION_VALUE:,} characters"
            parameters.wrong("filter", "too_long", detail)
    return tuple(filters)
