"""Deleting points: the days of a metric are read in order, and the hours that are asked for are marked, in rounds.

A mark is a version of an hour as a value is, so what was received before the deletion does not come back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import repeat
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from unitstream.days import DELETED, Deletions, Span, deletable
from unitstream.decimals import exactly
from unitstream.dynamodb import side_by_side
from unitstream.extents import extents_of, notices_of
from unitstream.filters import passes
from unitstream.items import RECEIVED, VALUE, Key, received_in
from unitstream.periods import hour_of, overlap
from unitstream.problems import OutOfTime, TooMuch
from unitstream.rounds import Day, Rounds, versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unitstream.catalogue import Catalogue
    from unitstream.days import Version
    from unitstream.extents import Extent
    from unitstream.items import Item
    from unitstream.periods import Timeframe
    from unitstream.problems import Finding
    from unitstream.questions import DeleteQuestion
    from unitstream.rounds import Effort, Origin
    from unitstream.shards import Shard
    from unitstream.table import Table

# Full days with all they hold are 17 kB each in Python's objects, and shards are read side by side.
DAYS_A_PAGE = 500
_HOURS = range(24)


class Deleted(NamedTuple):
    """What was deleted, or what would be: how much, from which hour to which, and the sum of the values.

    The hours are `2022-10-01T13:00:00Z`. Where there is nothing they are None, and so is the sum.
    """

    counts: Deletions
    first_timestamp: str | None
    last_timestamp: str | None
    sum: float | None
    notices: Sequence[Finding]


class Deleter:
    """Deletes points. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table, catalogue: Catalogue) -> None:
        self._table = table
        self._catalogue = catalogue

    def delete(self, question: DeleteQuestion, origin: Origin, deadline: float, effort: Effort) -> Deleted:
        """Delete the points that `question` asks for, or if it is a dry run only say what that would do.

        What it finds is marked: of a request that is being saved at the same time it may miss some.

        Raises `OutOfTime`, with the counts so far, when that is not done at `deadline` (monotonic clock); the same
        question then goes on. A dry run that is only late raises `TooMuch`. Tells in `effort` what it took.
        """
        tally = _Tally()
        try:
            extents = extents_of(self._table, origin.stream_id, question, deadline, consistent=True)
            if extent := extents.get(question.metric):
                days = overlap(extent.days, question.timeframe)
                end = origin.received_at if question.received_before is None else question.received_before
                received = Span(question.received_from or 0, min(end, origin.received_at))
                if days and received.start < received.end:
                    _Deletion(self._catalogue, question, origin, extent, days, received, deadline, effort, tally).run()
            notices = notices_of(self._table, origin.stream_id, question, extents, deadline)
        except (OutOfTime, TooMuch) as exc:
            if question.dry_run:
                raise
            raise OutOfTime(tally.counts) from exc
        return Deleted(tally.counts, tally.first, tally.last, tally.sum, notices)


@dataclass(slots=True)
class _Tally:
    """What was deleted so far."""

    points: int = 0
    record_ids: set[str] = field(default_factory=set)
    first: str | None = None
    last: str | None = None
    total: Decimal = Decimal(0)

    def add(self, day: str, record_id: str, values: Mapping[int, float]) -> None:
        """Add the values of a day, by hour, of which there is at least one."""
        self.points += len(values)
        self.record_ids.add(record_id)
        first, last = hour_of(day, min(values)), hour_of(day, max(values))
        self.first, self.last = min(self.first or first, first), max(self.last or last, last)
        self.total = sum(map(Decimal, map(repr, values.values())), self.total)

    @property
    def counts(self) -> Deletions:
        return Deletions(self.points, len(self.record_ids))

    @property
    def sum(self) -> float | None:
        return float(self.total) + 0.0 if self.points else None  # no negative zero


@dataclass(slots=True)
class _Deletion:
    """The deletion of the points of a metric in some days that were last received in a span."""

    catalogue: Catalogue
    question: DeleteQuestion
    origin: Origin
    extent: Extent
    days: Timeframe
    received: Span
    deadline: float
    effort: Effort
    tally: _Tally
    lock: Lock = field(default_factory=Lock)
    announced: bool = False

    def run(self) -> None:
        # DynamoDB holds back the days that are done: so a deletion that goes on is not held up by them.
        holding = received_in(self.received)
        values = self.extent.looked_at(self.question)
        shards = [replace(shard, holding=holding) for shard in self.extent.shards]
        side_by_side(lambda shard: self._delete_in(shard, values), shards)

    def _delete_in(self, shard: Shard, values: Mapping[str, set[str]]) -> None:
        filters = self.question.filters
        selection = shard.select(lambda dimensions: passes(filters, dimensions) or None, values) if filters else None
        first, last_day = f"{self.days.start}#", self.days.end
        attributes = ("rev", *VALUE, *RECEIVED)
        for items in shard.days(first, last_day, repeat(DAYS_A_PAGE), attributes=attributes, selection=selection):
            keys = [Key(shard.pk, item["sk"]["S"]) for item in items]
            selected = {
                key: item
                for key, item in zip(keys, items, strict=True)
                if (not selection or key.sk.partition("#")[2] in selection.series)
                and deletable(versions_of(item, _HOURS), self.received)
            }
            if selected:
                self._delete_days(shard.table, selected)

    def _delete_days(self, table: Table, stored: Mapping[Key, Item]) -> None:
        if not self.question.dry_run:
            self._announce()
        days = [Day(key, _HOURS, self._marked) for key in stored]
        rounds = Rounds(table, self.catalogue, self.origin, self.deadline, self.question.dry_run, days)
        rounds.run(stored)
        with self.lock, exactly():
            self.effort.add(rounds.effort)
            for day, values in rounds.results:
                if values:
                    date, _, record_id = day.key.sk.partition("#")
                    self.tally.add(date, record_id, values)
        if rounds.left:
            raise OutOfTime

    def _marked(self, stored: Mapping[int, Version]) -> tuple[Mapping[int, float], Mapping[int, float]]:
        values = deletable(stored, self.received)
        return dict.fromkeys(values, DELETED), values

    def _announce(self) -> None:
        """Let the catalogue say that points were deleted, before the first of them is."""
        with self.lock:
            if not self.announced:
                entry = self.extent.entry._replace(deleted_at=self.origin.received_at)
                self.catalogue.put_deletion(self.origin.stream_id, self.question.metric, entry, self.deadline)
                self.announced = True
