"""Views and unit metrics: rows of groups in order, and periods beside those they are compared with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from unitstream.aggregates import TOTAL, Cell, Totals
from unitstream.decimals import difference, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unitstream.aggregates import Aggregates, Group
    from unitstream.comparisons import Comparison
    from unitstream.identity import AggFunc, Metric
    from unitstream.periods import Timeframe
    from unitstream.problems import Finding
    from unitstream.view_questions import UnitMetricQuestion, ViewQuestion
    from unitstream.zones import Calendar


class ComparedCell(NamedTuple):
    """A period of a view beside an earlier one, `previous_date`, with which it is compared.

    What cannot be computed is None. `pop_diff` is the difference of the two values, `pop_change` that divided by the
    magnitude of the previous one (0.1 is 10 % more). A period is not `complete` when the timeframe has only a part of
    it; of a total neither that nor a date is known.
    """

    date: str
    value: float | None
    points: int
    previous_timeframe_value: float | None
    pop_diff: float | None
    pop_change: float | None
    complete: bool | None
    previous_date: str | None


class UnitCell(NamedTuple):
    """A period of a unit metric beside an earlier one, as in a `ComparedCell`.

    `points` went into the current numerator and denominator.
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
    complete: bool | None = None
    previous_date: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The periods of a group, in order. `dimensions` has the keys that the question groups by, in its order."""

    dimensions: dict[str, str | None]
    data: Sequence[Cell | ComparedCell]
    total: Cell | ComparedCell | None = None


@dataclass(frozen=True, slots=True)
class UnitRow:
    """The periods of a group, in order. `dimensions` as in a `Row`."""

    dimensions: dict[str, str | None]
    data: list[UnitCell]
    total: UnitCell | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The answer to a `ViewQuestion`: groups in the order of their values, a missing one last.

    `total` is over all groups and periods, if it is asked for, as is that of each row. `previous` are the days that it
    is compared with, `points` those that went into it.
    """

    question: ViewQuestion
    series: list[Row]
    total: Cell | ComparedCell | None = None
    previous: Timeframe | None = None
    points: int = 0
    notices: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitMetric:
    """The answer to a `UnitMetricQuestion`. The rest is as in a `View`."""

    question: UnitMetricQuestion
    series: list[UnitRow]
    total: UnitCell | None = None
    previous: Timeframe | None = None
    points: int = 0
    notices: tuple[Finding, ...] = ()


class Half(NamedTuple):
    """The aggregates of a metric: now, and in what that is compared with, if it is."""

    now: Aggregates
    before: Aggregates | None = None


def view(question: ViewQuestion, half: Half) -> View:
    """Return the answer to `question`: without `fill`, no periods and no groups without points."""
    named = _Names(half.now.calendar, question.comparison)
    values = _Values(half, question.comparison)

    def cell(period: str, now: Cell, before: Cell) -> Cell | ComparedCell:
        if question.compare is None:
            return Cell(named.shown(period), now.value, now.points)
        compared = before.value, *change(now.value, before.value)
        return ComparedCell(named.shown(period), now.value, now.points, *compared, *named.of_earlier(period))

    rows = []
    for group in sorted(values.groups, key=_order):
        every = half.now.calendar.periods() if question.fill else sorted(values.periods(group))
        data = [cell(period, *values.at(group, period)) for period in every]
        if data:
            total = cell(TOTAL, *values.total(group)) if question.totals else None
            rows.append(Row(dict(zip(question.group_by, group, strict=True)), data, total))
    total = cell(TOTAL, *values.total_of_all()) if question.totals else None
    return View(question, rows, total, named.previous, values.points)


def unit_metric(question: UnitMetricQuestion, numerator: Half, denominator: Half) -> UnitMetric:
    """Return the answer to `question`. A group is divided by the denominators with which it shares its values."""
    named = _Names(numerator.now.calendar, question.comparison)
    above, below = (_Values(half, question.comparison) for half in (numerator, denominator))
    keys = question.sides[1].group_by
    places = [question.group_by.index(key) for key in keys]

    def cell(period: str, of_numerator: tuple[Cell, Cell], of_denominator: tuple[Cell, Cell]) -> UnitCell:
        (n, n_before), (d, d_before) = of_numerator, of_denominator
        values = (n.value, d.value, n_before.value, d_before.value)
        found = unit_cell(question.numerator, question.denominator, named.shown(period), values, n.points + d.points)
        complete, previous_date = named.of_earlier(period)
        return found._replace(complete=complete, previous_date=previous_date)

    rows = []
    for group in sorted(above.groups | (below.groups if keys == question.group_by else set()), key=_order):
        shared = tuple(group[place] for place in places)
        found = above.periods(group) | below.periods(shared)
        every = numerator.now.calendar.periods() if question.fill else sorted(found)
        data = [cell(period, above.at(group, period), below.at(shared, period)) for period in every]
        if data:
            total = cell(TOTAL, above.total(group), below.total(shared)) if question.totals else None
            rows.append(UnitRow(dict(zip(question.group_by, group, strict=True)), data, total))
    total = cell(TOTAL, above.total_of_all(), below.total_of_all()) if question.totals else None
    return UnitMetric(question, rows, total, named.previous, above.points + below.points)


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
    functions = (numerator.metric_agg_func, denominator.metric_agg_func)
    return UnitCell(date, n, d, now, n_before, d_before, before, *change(now, before), *functions, points)


def change(now: float | None, before: float | None) -> tuple[float | None, float | None]:
    """Return the difference, and that as a share of the magnitude before: what was negative rises all the same."""
    diff = None if now is None or before is None else difference(now, before)
    return diff, None if before is None else ratio(diff, abs(before))


class _Names:
    """What an answer calls periods and those that they are compared with."""

    def __init__(self, calendar: Calendar, comparison: Comparison | None) -> None:
        self._calendar = calendar
        self._comparison = comparison
        self.previous = comparison.previous if comparison else None

    def shown(self, period: str) -> str:
        return period if period == TOTAL else self._calendar.shown(period)

    def of_earlier(self, period: str) -> tuple[bool | None, str | None]:
        """Return whether a period is complete, and what it is compared with."""
        if self._comparison is None or period == TOTAL:
            return None, None
        earlier = self._comparison.earlier(period)
        return self._comparison.is_complete(period), earlier and self.shown(earlier)


class _Values:
    """The values of a metric, now and before; those before by the period that is compared with them."""

    def __init__(self, half: Half, comparison: Comparison | None) -> None:
        self._half = half
        self._comparison = comparison
        self._now = half.now.results()
        self.points = sum(cell.points for cells in self._now.values() for cell in cells.values())
        self._before: dict[Group, dict[str, Cell]] = {}
        if comparison and half.before:
            for group, cells in half.before.results().items():
                found = ((comparison.later(period), cell) for period, cell in cells.items())
                self._before[group] = {later: cell for later, cell in found if later}

    @property
    def groups(self) -> set[Group]:
        return {*self._now, *self._before}

    def periods(self, group: Group) -> set[str]:
        return {*self._now.get(group, ()), *self._before.get(group, ())}

    def at(self, group: Group, period: str) -> tuple[Cell, Cell]:
        now, before = (found.get(group, {}).get(period, _NOTHING) for found in (self._now, self._before))
        return now, before

    def total(self, group: Group) -> tuple[Cell, Cell]:
        now, before = (totals.by_group.get(group, _NOTHING) for totals in self._totals)
        return now, before

    def total_of_all(self) -> tuple[Cell, Cell]:
        now, before = (totals.of_all for totals in self._totals)
        return now, before

    @cached_property
    def _totals(self) -> tuple[Totals, Totals]:
        before = Totals({}, _NOTHING)
        if self._comparison and self._half.before:
            before = self._half.before.totals(self._comparison.later)
        return self._half.now.totals(), before


_NOTHING = Cell(TOTAL, None, 0)


def _order(group: Group) -> tuple[tuple[bool, str], ...]:
    """Sort groups by their values, a missing one after all others."""
    return tuple((value is None, value or "") for value in group)
