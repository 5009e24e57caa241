"""Aggregating points by group and period. Pure.

A group is what the series in it have in common: the values of the dimensions that a question groups by, None where a
series lacks one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

from unitstream.decimals import exactly, mean
from unitstream.problems import TooMuch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from unitstream.identity import AggFunc
    from unitstream.zones import Calendar

    Group = tuple[str | None, ...]

# Periods, of all groups together. An answer of 6 MB holds fewer, in most forms; of a unit metric, each is larger.
MAX_CELLS = 200_000
MAX_UNIT_CELLS = 50_000

# What stands for the date of what is no period: the whole timeframe of a group.
TOTAL = "total"
# Of all groups: no group's, as several dimensions may be missing there too.
TOTAL_OF_ALL = f"{TOTAL} of all"


class Cell(NamedTuple):
    """A period of a view: the value, None without points, and how many points went into it."""

    date: str
    value: float | None
    points: int


class Totals(NamedTuple):
    """Values over a whole timeframe: of each group, and of all groups together."""

    by_group: dict[Group, Cell]
    of_all: Cell


class _Sum:
    """An exact sum of decimals, as they were sent: it depends neither on their order nor on when they were added."""

    __slots__ = ("_sum", "points")

    def __init__(self) -> None:
        self._sum = Decimal(0)
        self.points = 0

    def add(self, numbers: Sequence[str]) -> None:
        self.points += len(numbers)
        self._sum = sum(map(Decimal, numbers), self._sum)

    def merge(self, other: Self) -> None:
        self.points += other.points
        self._sum += other._sum

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

    def merge(self, other: Self) -> None:
        self.points += other.points
        values = [value for value in (self._value, other._value) if value is not None]
        self._value = self._pick(values) if values else None

    def value(self) -> float:
        return self._value or 0.0


_Aggregate: TypeAlias = "_Sum | _Extreme"

_CELLS: dict[AggFunc, Callable[[], _Aggregate]] = {
    "Sum": _Sum,
    "Average": _Average,
    "Maximum": lambda: _Extreme(max),
    "Minimum": lambda: _Extreme(min),
}


class Aggregates:
    """The points of a metric in the timeframe of a calendar, aggregated by group and period.

    Memory grows with the groups and periods, not with the points. Raises `TooMuch` when there are more periods, of all
    groups together, than `most`, or would be once they are filled up.
    """

    def __init__(self, agg_func: AggFunc, calendar: Calendar, *, fill: bool, most: int = MAX_CELLS) -> None:
        self.calendar = calendar
        self._new_cell = _CELLS[agg_func]
        self._groups: dict[Group, dict[str, _Aggregate]] = {}
        self._most = most
        self._cells = 0
        self._cells_a_group = calendar.count() if fill else 0

    def know(self, groups: Iterable[Group]) -> None:
        """Take note of groups, which may have no points."""
        for group in groups:
            self._cells_of(group)

    def add(self, group: Group, day: str, hours: Iterable[str], numbers: Sequence[str]) -> None:
        """Add what a series of `group` has on `day`: the decimals, at least one, and their hours in UTC, as two digits.

        What lies outside the timeframe is left out. In the context `decimals.exactly()`, which is cheaper to enter for
        a page of days than for each.
        """
        periods = self.calendar.periods_of(day)
        if not periods:
            return
        cells = self._cells_of(group)
        if isinstance(periods, str):
            self._cell(cells, periods).add(numbers)
            return
        by_period: dict[str, list[str]] = {}
        for hour, number in zip(hours, numbers, strict=True):
            if period := periods.get(hour):
                by_period.setdefault(period, []).append(number)
        for period, several in by_period.items():
            self._cell(cells, period).add(several)

    def results(self) -> dict[Group, dict[str, Cell]]:
        """Return the values by group and period, in no order."""
        return {
            group: {period: Cell(period, cell.value(), cell.points) for period, cell in cells.items()}
            for group, cells in self._groups.items()
        }

    def totals(self, counts: Callable[[str], object] = bool) -> Totals:
        """Return the value of each group over all periods that `counts` is true of, and that of all groups."""
        everything = self._new_cell()
        by_group: dict[Group, Cell] = {}
        with exactly():
            for group, cells in self._groups.items():
                whole = self._new_cell()
                for period, cell in cells.items():
                    if counts(period):
                        whole.merge(cell)  # type: ignore[arg-type]  # all cells are of one kind
                by_group[group] = _total(whole)
                everything.merge(whole)  # type: ignore[arg-type]  # all cells are of one kind
        return Totals(by_group, _total(everything))

    def _cells_of(self, group: Group) -> dict[str, _Aggregate]:
        cells = self._groups.get(group)
        if cells is None:
            cells = self._groups[group] = {}
            self._count(self._cells_a_group)
        return cells

    def _cell(self, cells: dict[str, _Aggregate], period: str) -> _Aggregate:
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


def _total(whole: _Aggregate) -> Cell:
    return Cell(TOTAL, whole.value() if whole.points else None, whole.points)


def group_of(dimensions: Mapping[str, str], group_by: Sequence[str]) -> Group:
    """Return the group of a series with `dimensions`."""
    return tuple(dimensions.get(key) for key in group_by)
