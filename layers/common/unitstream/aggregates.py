"""Aggregating points by group and period. Pure.

A group is what the series in it have in common: the values of the dimensions that a question groups by, None where a
series lacks one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from unitstream.decimals import mean
from unitstream.periods import count_periods, period_of
from unitstream.problems import TooMuch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from unitstream.identity import AggFunc
    from unitstream.periods import Granularity, Timeframe

    Group = tuple[str | None, ...]

# Periods, of all groups together. An answer of 6 MB holds fewer, in most forms; of a unit metric, each is larger.
MAX_CELLS = 200_000
MAX_UNIT_CELLS = 50_000


class Cell(NamedTuple):
    """A period of a view: the value, None without points, and how many points went into it."""

    date: str
    value: float | None
    points: int


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
        return mean(self._sum, self.points)


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

        In the context `decimals.exactly()`, which is cheaper to enter for a page of days than for each.
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
