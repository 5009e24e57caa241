"""A shard of a metric, as it is read: its series, and its days in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from unitstream.items import LAST, SERIES, Key, Range, dimensions_of, shard_pk
from unitstream.periods import Timeframe, count_periods, periods
from unitstream.table import KEYS_PER_READ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.items import Condition, Item
    from unitstream.table import Table

T = TypeVar("T")

# Of 0.3 kB each.
SERIES_A_PAGE = 2_000
# A day by its key costs as much as eight in order.
_COST_OF_A_KEY = 8
# Where a metric has few points in a long time, most keys would be asked for in vain.
_MOST_KEYS = 10_000


class Selection(NamedTuple, Generic[T]):
    """Series of a shard, by record ID, with what was noted of each; and out of how many they were selected."""

    series: dict[str, T]
    out_of: int


@dataclass(frozen=True, slots=True)
class Shard:
    """The series of a metric whose record IDs begin with `digit`.

    Reading raises `OutOfTime` when DynamoDB throttles or fails until `deadline`, `TooMuch` when it is only late. It may
    be stale, at half the price, unless it is `consistent`. Where days are read in order, DynamoDB keeps those back that
    do not meet the condition `holding`.
    """

    table: Table
    stream_id: str
    metric: Metric
    digit: str
    deadline: float
    consistent: bool = False
    holding: Condition | None = None

    def series(self, after: str, page_size: int) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield record ID and dimensions of the series after a record ID, in order."""
        # A blank comes after the end of a text and before all that a longer one could go on with.
        series = Range(self.pk, f"{SERIES}{after} " if after else SERIES, f"{SERIES}{LAST}")
        pages = self.table.query(
            series, repeat(page_size), self.deadline, attributes=("sk", "dimensions"), consistent=self.consistent
        )
        for items in pages:
            for item in items:
                yield item["sk"]["S"].removeprefix(SERIES), dimensions_of(item)

    def select(self, note: Callable[[dict[str, str]], T | None], values: Mapping[str, set[str]]) -> Selection[T]:
        """Return the series of whose dimensions `note` makes something, with that.

        Adds to `values`, by key, what values any series has, whether it is selected or not. Shards may share the sets.
        """
        selected: dict[str, T] = {}
        count = 0
        for record_id, dimensions in self.series("", SERIES_A_PAGE):
            count += 1
            for key, known in values.items():
                if key in dimensions:
                    known.add(dimensions[key])
            noted = note(dimensions)
            if noted is not None:
                selected[record_id] = noted
        return Selection(selected, count)

    def days(
        self,
        first: str,
        last_day: str,
        page_sizes: Iterator[int],
        *,
        attributes: tuple[str, ...],
        selection: Selection[Any] | None,
    ) -> Iterator[list[Item]]:
        """Yield the days from the sort key `first` on, in order, a page at a time.

        Where few series are selected only theirs, which are read by key, else those of all series.
        """
        if selection and _is_cheaper_by_key(selection, Timeframe(first[:10], last_day)):
            return self._days_by_key(sorted(selection.series), first, last_day, attributes)
        days = Range(self.pk, first, f"{last_day}#{LAST}", self.holding)
        return self.table.query(
            days,
            page_sizes,
            self.deadline,
            attributes=("sk", *attributes),
            consistent=self.consistent,
        )

    def _days_by_key(
        self, record_ids: Sequence[str], first: str, last_day: str, attributes: tuple[str, ...]
    ) -> Iterator[list[Item]]:
        days = periods(Timeframe(first[:10], last_day), "day")
        sort_keys = (f"{day}#{record_id}" for day in days for record_id in record_ids)
        keys = (Key(self.pk, sort_key) for sort_key in sort_keys if sort_key >= first)
        while batch := list(islice(keys, KEYS_PER_READ)):
            items = self.table.read_all(batch, attributes, self.deadline, consistent=self.consistent)
            yield [items[key] for key in batch if key in items]

    @property
    def pk(self) -> str:
        return shard_pk(self.stream_id, self.metric, self.digit)


def _is_cheaper_by_key(selection: Selection[Any], timeframe: Timeframe) -> bool:
    selected = len(selection.series)
    return not selected or (
        selected * _COST_OF_A_KEY < selection.out_of and selected * count_periods(timeframe, "day") <= _MOST_KEYS
    )
