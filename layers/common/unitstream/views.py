"""Views and unit metrics: rows of groups in order, and periods beside those they are compared with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unitstream.aggregates import Cell
from unitstream.decimals import difference, ratio
from unitstream.periods import Shift, Timeframe, periods

if TYPE_CHECKING:
    from unitstream.aggregates import Aggregates, Group
    from unitstream.identity import AggFunc, Metric
    from unitstream.problems import Finding
    from unitstream.questions import UnitMetricQuestion, ViewQuestion


class UnitCell(NamedTuple):
    """A period of a unit metric beside the period that it is compared with, which lies a timeframe earlier.

    What cannot be computed is None. `pop_diff` is the difference of the two unit metrics, `pop_change` that divided by
    the magnitude of the previous one (0.1 is 10 % more); `points` went into the current numerator and denominator.
    """

    date: str
    current_timeframe_numerator: float | None
    current_timeframe_denominator: float | None
    current_timeframe_unit_metric: float | None
    previous_timeframe_numerator: float | None
    previous_timeframe_denominator: float | None
    previous_timeframe_unit_metric: float | None
    pop_diff: float | None
    pop_change: float | None
    n_agg_func: AggFunc
    d_agg_func: AggFunc
    points: int


@dataclass(frozen=True, slots=True)
class Row:
    """The periods of a group, in order. `dimensions` has the keys that the question groups by, in its order."""

    dimensions: dict[str, str | None]
    data: list[Cell]


@dataclass(frozen=True, slots=True)
class UnitRow:
    """The periods of a group, in order. `dimensions` as in a `Row`."""

    dimensions: dict[str, str | None]
    data: list[UnitCell]


@dataclass(frozen=True, slots=True)
class View:
    """The answer to a `ViewQuestion`: groups in the order of their values, a missing one last."""

    question: ViewQuestion
    series: list[Row]
    notices: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitMetric:
    """The answer to a `UnitMetricQuestion`, compared with the timeframe `previous`. Groups in order, as in a `View`."""

    question: UnitMetricQuestion
    previous: Timeframe
    series: list[UnitRow]
    notices: tuple[Finding, ...] = ()


def view(question: ViewQuestion, aggregates: Aggregates) -> View:
    """Return the answer to `question`: without `fill`, no periods and no groups without points."""
    found = aggregates.results()
    every = list(periods(question.timeframe, question.granularity)) if question.fill and found else []
    rows = []
    for group in sorted(found, key=_order):
        cells = found[group]
        data = [cells.get(period) or Cell(period, None, 0) for period in every or sorted(cells)]
        if data:
            rows.append(Row(dict(zip(question.group_by, group, strict=True)), data))
    return View(question, rows)


class Compared(NamedTuple):
    """The aggregates of a unit metric in a timeframe."""

    numerator: Aggregates
    denominator: Aggregates


def unit_metric(
    question: UnitMetricQuestion, current: Compared, previous: Compared, timeframe: Timeframe, shift: Shift
) -> UnitMetric:
    """Return the answer to `question`, compared with the `previous` aggregates of `timeframe`, `shift` earlier."""
    numerators, denominators = (aggregates.results() for aggregates in current)
    earlier = [aggregates.results() for aggregates in previous]
    # By the period that each is compared with.
    numerators_before, denominators_before = (
        {group: {shift.forth(period): cell for period, cell in cells.items()} for group, cells in found.items()}
        for found in earlier
    )
    groups = sorted({*numerators, *denominators, *numerators_before, *denominators_before}, key=_order)
    every = list(periods(question.timeframe, question.granularity)) if question.fill and groups else []
    rows = []
    for group in groups:
        parts = [found.get(group, {}) for found in (numerators, denominators, numerators_before, denominators_before)]
        data = []
        for period in every or sorted(set().union(*parts)):
            nothing = Cell(period, None, 0)
            n, d, n_before, d_before = (part.get(period, nothing) for part in parts)
            values = (n.value, d.value, n_before.value, d_before.value)
            data.append(unit_cell(question.numerator, question.denominator, period, values, n.points + d.points))
        if data:
            rows.append(UnitRow(dict(zip(question.group_by, group, strict=True)), data))
    return UnitMetric(question, timeframe, rows)


def unit_cell(
    numerator: Metric,
    denominator: Metric,
    date: str,
    values: tuple[float | None, float | None, float | None, float | None],
    points: int,
) -> UnitCell:
    """Return the period of a unit metric that has these `values`: numerator and denominator, now and before."""
    n, d, n_before, d_before = values
    now, before = ratio(n, d), ratio(n_before, d_before)
    diff = None if now is None or before is None else difference(now, before)
    # What was negative, as credits are, rises all the same.
    change = None if before is None else ratio(diff, abs(before))
    functions = (numerator.metric_agg_func, denominator.metric_agg_func)
    return UnitCell(date, n, d, now, n_before, d_before, before, diff, change, *functions, points)


def _order(group: Group) -> tuple[tuple[bool, str], ...]:
    """Sort groups by their values, a missing one after all others."""
    return tuple((value is None, value or "") for value in group)
