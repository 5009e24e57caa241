"""Saving points: rounds of reading days, merging, cataloguing what is new, and writing.

A day of a record is read, merged and written back on the condition that nobody wrote it in between; who loses the race
is merged again in the next round. Rounds go on until all is saved, or the deadline comes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from unitstream.catalogue import Catalogue
from unitstream.days import Counts, Version, merge
from unitstream.dynamodb import paced, side_by_side
from unitstream.problems import OutOfTime
from unitstream.table import KEYS_PER_READ, RECEIVED, VALUE, Key, Outcome, batches, day_key, new_revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unitstream.identity import Series
    from unitstream.payload import Ingest
    from unitstream.problems import Finding
    from unitstream.table import Item, Table

# Days that are saved together, beside others: as many as a read takes.
DAYS_A_BATCH = KEYS_PER_READ


class Origin(NamedTuple):
    """What all points of a request have in common. `received_at` is when the gateway got it, in epoch milliseconds."""

    stream_id: str
    received_at: int


@dataclass(slots=True)
class Effort:
    """What saving took. Times are in seconds, added up over the batches that are saved side by side."""

    # Of reading, merging and writing: one, where no race was lost and nothing was throttled.
    rounds: int = 0
    lost_races: int = 0
    throttles: int = 0
    read_time: float = 0.0
    merge_time: float = 0.0
    write_time: float = 0.0

    def add(self, other: Effort) -> None:
        """Add the effort of a batch that was saved beside this one."""
        self.rounds = max(self.rounds, other.rounds)
        self.lost_races += other.lost_races
        self.throttles += other.throttles
        self.read_time += other.read_time
        self.merge_time += other.merge_time
        self.write_time += other.write_time


class Saved(NamedTuple):
    """What became of the points of a request, and what is to be said about them."""

    counts: Counts
    notices: Sequence[Finding]


class Store:
    """Saves points. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._catalogue = Catalogue(table)

    def save(self, ingest: Ingest, origin: Origin, deadline: float, effort: Effort, *, dry_run: bool = False) -> Saved:
        """Merge the points of `ingest` into the table, or with `dry_run` only say what that would do.

        Tells in `effort` what it took, also when time ran out.

        Raises `OutOfTime`, with the counts so far, when that is not done at `deadline` (monotonic clock). A call that
        is under way then may take `dynamodb.LONGEST_CALL` longer.
        """
        notices = self._catalogue.put_metrics(origin.stream_id, ingest.series, deadline, dry_run=dry_run)
        days = [
            _Day(day_key(origin.stream_id, points.series.metric, points.series.record_id, day), points.series, hours)
            for points in ingest.series
            for day, hours in points.days.items()
        ]

        def save(batch: list[_Day]) -> _Saving:
            saving = _Saving(self.table, self._catalogue, origin, deadline, dry_run, batch)
            saving.run()
            return saving

        counts = Counts()
        for saving in side_by_side(save, list(batches(days, DAYS_A_BATCH))):
            counts += saving.counts
            effort.add(saving.effort)
        if counts.total < ingest.received:
            raise OutOfTime(counts, notices)
        return Saved(counts, notices)


@dataclass(slots=True)
class _Day:
    """A day of a record on its way into the table."""

    key: Key
    series: Series
    hours: dict[int, float]
    # What each attempt would have saved, by the revision that it wrote. A write whose answer was lost may have worked:
    # finding its revision in the table tells.
    attempts: dict[str, Counts] = field(default_factory=dict)


class _Change(NamedTuple):
    """What is to be written of a day, what its points count as then, and the item that was read, if there was one."""

    day: _Day
    winners: Mapping[int, float]
    counts: Counts
    stored: Item | None


@dataclass(slots=True)
class _Saving:
    """The saving of some days. `counts` are those of the days that are settled, `left` are the others."""

    table: Table
    catalogue: Catalogue
    origin: Origin
    deadline: float
    dry_run: bool
    left: list[_Day]
    counts: Counts = Counts()  # noqa: RUF009  # immutable
    effort: Effort = field(default_factory=Effort)

    def run(self) -> None:
        for attempt in paced(self.deadline):
            # At first a read may be stale, at half the price: a stale day only loses the race.
            self._round(consistent=attempt > 0)
            if not self.left:
                return

    def _round(self, *, consistent: bool) -> None:
        started = time.perf_counter()
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

    def _merge(self, stored: Mapping[Key, Item | None]) -> list[_Change]:
        """Settle the days that need no write, and return what is to be written of the others."""
        changes: list[_Change] = []
        unread: list[_Day] = []
        for day in self.left:
            if day.key not in stored:
                unread.append(day)
                continue
            item = stored[day.key]
            if item and (own := day.attempts.get(item["rev"]["S"])):
                self.counts += own
                continue
            winners, counts = merge(_versions(item, day.hours) if item else {}, day.hours, self.origin.received_at)
            if self.dry_run or not winners:
                self.counts += counts
            else:
                changes.append(_Change(day, winners, counts, item))
        self.left = [*unread, *(change.day for change in changes)]
        return changes

    def _catalogued(self, changes: Sequence[_Change], *, consistent: bool) -> list[_Change]:
        """Return the changes whose series the catalogue has. A day that is there was catalogued before it."""
        new = [change.day.series for change in changes if not change.stored]
        failed = self.catalogue.put_series(self.origin.stream_id, new, self.deadline, consistent=consistent)
        self.effort.throttles += len(failed)
        return [change for change in changes if change.stored or change.day.series.record_id not in failed]

    def _write(self, changes: Sequence[_Change]) -> None:
        revision = new_revision()
        statements = []
        for change in changes:
            change.day.attempts[revision] = change.counts
            attributes = _attributes(change.winners, self.origin.received_at, revision)
            statements.append(
                self.table.update(change.day.key, attributes, change.stored["rev"]["S"])
                if change.stored
                else self.table.insert(change.day.key, attributes)
            )
        outcomes = self.table.write(statements, self.deadline)
        written = set[Key]()
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome is Outcome.WRITTEN:
                self.counts += change.counts
                written.add(change.day.key)
        self.left = [day for day in self.left if day.key not in written]
        self.effort.lost_races += sum(outcome in {Outcome.LOST_RACE, Outcome.EXISTS} for outcome in outcomes)
        self.effort.throttles += outcomes.count(Outcome.BUSY)


def _versions(item: Item, hours: Iterable[int]) -> dict[int, Version]:
    """Return what `item`, a day, holds for `hours`."""
    return {
        hour: (int(item[RECEIVED[hour]]["N"]), float(item[VALUE[hour]]["N"])) for hour in hours if VALUE[hour] in item
    }


def _attributes(winners: Mapping[int, float], received_at: int, revision: str) -> Item:
    """Return what is written into a day."""
    received = {"N": str(received_at)}
    attributes: Item = {"rev": {"S": revision}}
    for hour, value in winners.items():
        attributes[VALUE[hour]] = {"N": repr(value)}
        attributes[RECEIVED[hour]] = received
    return attributes
