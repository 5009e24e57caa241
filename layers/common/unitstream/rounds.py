"""Rounds of reading days, merging, cataloguing what is new, and writing.

A day of a record is read, merged and written back on the condition that nobody wrote it in between; who loses the race
is merged again in the next round. Rounds go on until all is settled, or the deadline comes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from unitstream.days import DELETED
from unitstream.dynamodb import paced
from unitstream.items import RECEIVED, VALUE, Key
from unitstream.table import Outcome, new_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from unitstream.catalogue import Catalogue
    from unitstream.days import Version
    from unitstream.identity import Series
    from unitstream.items import Item
    from unitstream.table import Table

T = TypeVar("T")


class Origin(NamedTuple):
    """What all that a request does has in common.

    `received_at` is when the gateway got it, in epoch milliseconds, `max_series` how many series a metric may have.
    """

    stream_id: str
    received_at: int
    max_series: int


@dataclass(slots=True)
class Effort:
    """What a request took. Times are in seconds, added up over the batches that are worked on side by side."""

    # Of reading, merging and writing: one, where no race was lost and nothing was throttled.
    rounds: int = 0
    lost_races: int = 0
    throttles: int = 0
    series_created: int = 0
    read_time: float = 0.0
    merge_time: float = 0.0
    write_time: float = 0.0

    def add(self, other: Effort) -> None:
        """Add the effort of a batch beside this one."""
        self.rounds = max(self.rounds, other.rounds)
        self.lost_races += other.lost_races
        self.throttles += other.throttles
        self.series_created += other.series_created
        self.read_time += other.read_time
        self.merge_time += other.merge_time
        self.write_time += other.write_time


@dataclass(slots=True)
class Day(Generic[T]):
    """A day of a record, of which some hours may change.

    `merge` is told what is stored of these hours, and returns the hours to write with their values, `DELETED` among
    them, and what comes of it. `series` is catalogued before the day when that is new.
    """

    key: Key
    hours: Iterable[int]
    merge: Callable[[Mapping[int, Version]], tuple[Mapping[int, float], T]]
    series: Series | None = None
    # What would have come of each attempt, by the revision that it wrote. A write whose answer was lost may have
    # worked: finding its revision in the table tells.
    attempts: dict[str, T] = field(default_factory=dict)


class _Change(NamedTuple, Generic[T]):
    """What is to be written of a day, what comes of it, and the item that was read, if there was one."""

    day: Day[T]
    winners: Mapping[int, float]
    result: T
    stored: Item | None


@dataclass(slots=True)
class Rounds(Generic[T]):
    """Changes some days. `results` are those of the days that are settled, `left` are the others."""

    table: Table
    catalogue: Catalogue
    origin: Origin
    deadline: float
    dry_run: bool
    left: list[Day[T]]
    results: list[tuple[Day[T], T]] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)

    def run(self, stored: Mapping[Key, Item | None] | None = None) -> None:
        """Settle the days, as far as there is time. `stored` is what is known of them, where that was read before."""
        for attempt in paced(self.deadline):
            # At first a read may be stale, at half the price: a stale day only loses the race.
            self._round(stored if attempt == 0 else None, consistent=attempt > 0)
            if not self.left:
                return

    def _round(self, stored: Mapping[Key, Item | None] | None, *, consistent: bool) -> None:
        started = time.perf_counter()
        if stored is None:
            stored = self._read(consistent=consistent)
        read = time.perf_counter()
        changes = self._merge(stored)
        merged = time.perf_counter()
        self._write(self._catalogued(changes, consistent=consistent))
        written = time.perf_counter()
        self.effort.rounds += 1
        self.effort.read_time += read - started
        self.effort.merge_time += merged - read
        self.effort.write_time += written - merged

    def _read(self, *, consistent: bool) -> dict[Key, Item | None]:
        """Return what is stored of the days that are left. Of those that could not be read, nothing is said."""
        hours = sorted({hour for day in self.left for hour in day.hours})
        attributes = ["rev", *(names[hour] for hour in hours for names in (VALUE, RECEIVED))]
        keys = [day.key for day in self.left]
        items, unread = self.table.read(keys, attributes, self.deadline, consistent=consistent)
        self.effort.throttles += len(unread)
        return {key: items.get(key) for key in keys if key not in unread}

    def _merge(self, stored: Mapping[Key, Item | None]) -> list[_Change[T]]:
        """Settle the days that need no write, and return what is to be written of the others."""
        changes: list[_Change[T]] = []
        unread: list[Day[T]] = []
        for day in self.left:
            if day.key not in stored:
                unread.append(day)
                continue
            item = stored[day.key]
            if item and (own := day.attempts.get(item["rev"]["S"])) is not None:
                self.results.append((day, own))
                continue
            winners, result = day.merge(versions_of(item, day.hours) if item else {})
            if self.dry_run or not winners:
                self.results.append((day, result))
            else:
                changes.append(_Change(day, winners, result, item))
        self.left = [*unread, *(change.day for change in changes)]
        return changes

    def _catalogued(self, changes: Sequence[_Change[T]], *, consistent: bool) -> list[_Change[T]]:
        """Return the changes whose series the catalogue has. A day that is there was catalogued before it."""
        new = [change.day.series for change in changes if not change.stored and change.day.series]
        failed, created = self.catalogue.put_series(self.origin.stream_id, new, self.deadline, consistent=consistent)
        self.effort.throttles += len(failed)
        self.effort.series_created += created
        return [
            change
            for change in changes
            if change.stored or (change.day.series and change.day.series.record_id not in failed)
        ]

    def _write(self, changes: Sequence[_Change[T]]) -> None:
        revision = new_revision()
        statements = []
        for change in changes:
            change.day.attempts[revision] = change.result
            attributes = _attributes(change.winners, self.origin.received_at, revision)
            deleted = tuple(VALUE[hour] for hour, value in change.winners.items() if value == DELETED)
            statements.append(
                self.table.update(change.day.key, attributes, change.stored["rev"]["S"], removed=deleted)
                if change.stored
                else self.table.insert(change.day.key, attributes)
            )
        outcomes = self.table.write(statements, self.deadline)
        written = set[Key]()
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome is Outcome.WRITTEN:
                self.results.append((change.day, change.result))
                written.add(change.day.key)
        self.left = [day for day in self.left if day.key not in written]
        self.effort.lost_races += sum(outcome in {Outcome.LOST_RACE, Outcome.EXISTS} for outcome in outcomes)
        self.effort.throttles += outcomes.count(Outcome.BUSY)


def versions_of(item: Item, hours: Iterable[int]) -> dict[int, Version]:
    """Return what `item`, a day, holds for `hours`. Of one that was deleted it has only when."""
    return {
        hour: (int(item[RECEIVED[hour]]["N"]), float(item[VALUE[hour]]["N"]) if VALUE[hour] in item else DELETED)
        for hour in hours
        if RECEIVED[hour] in item
    }


def _attributes(winners: Mapping[int, float], received_at: int, revision: str) -> Item:
    """Return what is written into a day, beside the values that are removed."""
    received = {"N": str(received_at)}
    attributes: Item = {"rev": {"S": revision}}
    for hour, value in winners.items():
        if value != DELETED:
            attributes[VALUE[hour]] = {"N": repr(value)}
        attributes[RECEIVED[hour]] = received
    return attributes
