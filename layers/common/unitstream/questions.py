"""Questions to what is stored, as it is, and the query parameters that ask them. Pure.

Each `…_question` function turns the parameters of a request into a question, or raises `InvalidRequest` with everything
that is wrong with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unitstream.metric_parameters import read_filters, read_metric, read_timeframe
from unitstream.parameters import Parameters

if TYPE_CHECKING:
    from unitstream.filters import Filter
    from unitstream.identity import Metric
    from unitstream.parameters import Query
    from unitstream.periods import Timeframe

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
DELETE_PARAMETERS = (*_METRIC, *_RANGE, "filter", "received_from", "received_before", "dry_run")
POINTS_PARAMETERS = (*_METRIC, *_RANGE, "filter", "limit", "cursor")


class Side(NamedTuple):
    """What is read of a metric, each part with the parameter that names it."""

    parameter: str
    metric: Metric
    filters: tuple[tuple[str, Filter], ...] = ()
    group_by: tuple[str, ...] = ()
    group_by_parameter: str = "group_by"

    def keeps(self, dimensions: dict[str, str]) -> bool:
        """Whether a series with `dimensions` passes all filters."""
        return all(one.keeps(dimensions) for _, one in self.filters)


def named(parameter: str, filters: tuple[Filter, ...]) -> tuple[tuple[str, Filter], ...]:
    return tuple((parameter, one) for one in filters)


@dataclass(frozen=True, slots=True)
class MetricsQuestion:
    """Lists the metrics of a stream. A `cursor`, here as elsewhere, is what the answer before came with."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SavedQuestion:
    """Lists the saved unit metrics of a stream."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """Lists the series of a metric."""

    metric: Metric
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    @property
    def sides(self) -> list[Side]:
        return [Side("metric_name", self.metric, named("filter", self.filters))]


@dataclass(frozen=True, slots=True)
class PointsQuestion:
    """Lists the points that a metric has in `timeframe`."""

    metric: Metric
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_POINTS_LIMIT
    cursor: str | None = None

    @property
    def sides(self) -> list[Side]:
        return [Side("metric_name", self.metric, named("filter", self.filters))]


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

    @property
    def sides(self) -> list[Side]:
        return [Side("metric_name", self.metric, named("filter", self.filters))]


PagedQuestion = MetricsQuestion | SavedQuestion | SeriesQuestion | PointsQuestion


def dry_run_of(query: Query) -> bool:
    """Whether a request to save is only a question. A misspelt parameter would save what was not to be saved."""
    parameters = Parameters(query, INGEST_PARAMETERS)
    return parameters.checked(_dry_run(parameters))


def metrics_question(query: Query) -> MetricsQuestion:
    """Return the question of `GET /api/metrics`."""
    parameters = Parameters(query, METRICS_PARAMETERS)
    return parameters.checked(MetricsQuestion(parameters.limit(DEFAULT_LIMIT, MAX_LIMIT), parameters.cursor()))


def saved_question(query: Query) -> SavedQuestion:
    """Return the question of `GET /api/saved-unit-metrics`."""
    parameters = Parameters(query, METRICS_PARAMETERS)
    return parameters.checked(SavedQuestion(parameters.limit(DEFAULT_LIMIT, MAX_LIMIT), parameters.cursor()))


def series_question(metric_name: str, metric_agg_func: str, query: Query) -> SeriesQuestion:
    """Return the question of `GET /api/metrics/{metric_name}/{metric_agg_func}/series`."""
    path = {"metric_name": metric_name, "metric_agg_func": metric_agg_func}
    parameters = Parameters(query, SERIES_PARAMETERS, path)
    return parameters.checked(
        SeriesQuestion(
            read_metric(parameters),
            read_filters(parameters),
            parameters.limit(DEFAULT_LIMIT, MAX_LIMIT),
            parameters.cursor(),
        )
    )


def points_question(query: Query) -> PointsQuestion:
    """Return the question of `GET /api/points`."""
    parameters = Parameters(query, POINTS_PARAMETERS)
    return parameters.checked(
        PointsQuestion(
            read_metric(parameters),
            read_timeframe(parameters),
            read_filters(parameters),
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
            read_metric(parameters),
            read_timeframe(parameters),
            read_filters(parameters),
            received_from,
            received_before,
            dry_run=_dry_run(parameters),
        )
    )


def _dry_run(parameters: Parameters) -> bool:
    return parameters.choice("dry_run", ("true", "false")) == "true"
