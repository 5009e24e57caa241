"""Views and unit metrics: aggregating points by period and group, and comparing periods. Pure.

A group is what the series in it have in common: the values of the dimensions that a question groups by, None where a
series lacks one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from unitstream.periods import Granularity, Shift, Timeframe, count_periods, period_of, periods
from unitstream.problems import TooMuch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from unitstream.identity import AggFunc, Metric
    from unitstream.problems import Finding
    from unitstream.questions import UnitMetricQuestion, ViewQuestion

    Group = tuple[str | None, ...]

# Periods, of all groups together. An answer of 6 MB holds fewer, in most forms; of a unit metric, each is larger.
MAX_CELLS = 200_000
MAX_UNIT_CELLS = 50_000
# Sums have at most 135 digits before the point and 147 after it; one that had more would fail rather than be rounded.
_EXACT = Context(prec=400, traps=[Inexact])
# More digits than a float has, so that it is the one nearest to a quotient or a difference.
_ROUNDED = Context(prec=40)


class Cell(NamedTuple):
    """A period of a view: the value, None without points, and how many points went into it."""

    date: str
    value: float | None
    points: int


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


def exactly() -> AbstractContextManager[Context]:
    """Return the context in which points are added: a thread's own rounds sums to 28 digits."""
    return localcontext(_EXACT)


class _Sum:
    """An exact sum of decimals, as they were sent: it depends neither on their order nor on when they were added."""

    __slots__ = ("_sum", "points")

    def __init__(self) -> None:
        self._sum = Decimal(0)
        self.points = 0

    def add(self, numbers: Sequence[str]) -> None:
        self.points += len(numbers)
        self._sum = sum(map(Decimal, numbers), self._sum)

    def value(self) -> float:
        return float(self._sum)


class _Average(_Sum):
    __slots__ = ()

    def value(self) -> float:
        # Whole numbers: their quotient is rounded once, where a decimal would be rounded before it becomes a float.
        numerator, denominator = self._sum.as_integer_ratio()
        return numerator / (denominator * self.points)


class _Extreme:
    """The largest or the smallest value, whichever `pick` picks."""

    __slots__ = ("_pick", "_value", "points")

    def __init__(self, pick: Callable[[Iterable[float]], float]) -> None:
        self._pick = pick
        self._value: float | None = None
        self.points = 0

    def add(self, numbers: Sequence[str]) -> None:
        self.points += len(numbers)
        picked = self._pick(map(float, numbers))
        self._value = picked if self._value is None else self._pick((self._value, picked))

    def value(self) -> float:
        return self._value or 0.0


_CELLS: dict[AggFunc, Callable[[], _Sum | _Extreme]] = {
    "Sum": _Sum,
    "Average": _Average,
    "Maximum": lambda: _Extreme(max),
    "Minimum": lambda: _Extreme(min),
}


class Aggregates:
    """The points of a metric in a timeframe, aggregated by group and period.

    Memory grows with the groups and periods, not with the points. Raises `TooMuch` when there are more periods, of all
    groups together, than `most`, or would be once they are filled up.
    """

    def __init__(
        self,
        agg_func: AggFunc,
        timeframe: Timeframe,
        granularity: Granularity,
        *,
        fill: bool,
        most: int = MAX_CELLS,
    ) -> None:
        self._granularity = granularity
        self._new_cell = _CELLS[agg_func]
        self._groups: dict[Group, dict[str, _Sum | _Extreme]] = {}
        self._periods: dict[str, str] = {}
        self._most = most
        self._cells = 0
        self._cells_a_group = count_periods(timeframe, granularity) if fill else 0

    def know(self, groups: Iterable[Group]) -> None:
        """Take note of groups, which may have no points."""
        for group in groups:
            self._cells_of(group)

    def add(self, group: Group, day: str, hours: Iterable[str], numbers: Sequence[str]) -> None:
        """Add what a series of `group` has on `day`: the decimals, at least one, and their hours, as two digits.

        In the context `exactly()`, which is cheaper to enter for a page of days than for each.
        """
        cells = self._groups.get(group)
        if cells is None:
            cells = self._cells_of(group)
        if self._granularity == "hour":
            for hour, number in zip(hours, numbers, strict=True):
                self._cell(cells, f"{day}T{hour}:00:00Z").add((number,))
            return
        period = self._periods.get(day)
        if period is None:
            period = self._periods[day] = period_of(day, self._granularity)
        self._cell(cells, period).add(numbers)

    def results(self) -> dict[Group, dict[str, Cell]]:
        """Return the values by group and period, in no order."""
        return {
            group: {period: Cell(period, cell.value(), cell.points) for period, cell in cells.items()}
            for group, cells in self._groups.items()
        }

    def _cells_of(self, group: Group) -> dict[str, _Sum | _Extreme]:
        if group not in self._groups:
            self._groups[group] = {}
            self._count(self._cells_a_group)
        return self._groups[group]

    def _cell(self, cells: dict[str, _Sum | _Extreme], period: str) -> _Sum | _Extreme:
        cell = cells.get(period)
        if cell is None:
            cell = cells[period] = self._new_cell()
            self._count(not self._cells_a_group)
        return cell

    def _count(self, more: int) -> None:
        self._cells += more
        if self._cells > self._most:
            raise TooMuch(
                f"The answer would have more than {self._most:,} periods of all groups together: choose a shorter "
                "range of days, a coarser granularity or fewer dimensions to group by, or filter."
            )


def group_of(dimensions: Mapping[str, str], group_by: Sequence[str]) -> Group:
    """Return the group of a series with `dimensions`."""
    return tuple(dimensions.get(key) for key in group_by)


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
    diff = None if now is None or before is None else _finite(_ROUNDED.subtract(_decimal(now), _decimal(before)))
    # What was negative, as credits are, rises all the same.
    change = None if before is None else ratio(diff, abs(before))
    functions = (numerator.metric_agg_func, denominator.metric_agg_func)
    return UnitCell(date, n, d, now, n_before, d_before, before, diff, change, *functions, points)


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Return the quotient, or None where there is none: one of the two is missing, or it would be infinite."""
    if numerator is None or not denominator:
        return None
    return _finite(_ROUNDED.divide(_decimal(numerator), _decimal(denominator)))


def _decimal(value: float) -> Decimal:
    """Return the decimal that people read: by it 0.3 / 0.1 is 3, and 0.61 - 0.59 is 0.02."""
    return Decimal(repr(value))


def _finite(value: Decimal) -> float | None:
    number = float(value) + 0.0  # no negative zero here either
    return number if isfinite(number) else None


def _order(group: Group) -> tuple[tuple[bool, str], ...]:
    """Sort groups by their values, a missing one after all others."""
    return tuple((value is None, value or "") for value in group)
