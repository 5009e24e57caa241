"""Saving points: a request becomes days, which are changed in rounds, and what there is to say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from unitstream.days import DELETED, Counts, is_large, merge, replaced
from unitstream.dynamodb import side_by_side
from unitstream.items import day_key
from unitstream.problems import OutOfTime
from unitstream.rounds import Day, Rounds
from unitstream.table import KEYS_PER_READ, batches
from unitstream.timestamps import Hour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unitstream.catalogue import Catalogue
    from unitstream.days import Version
    from unitstream.identity import Series
    from unitstream.payload import Ingest, SeriesPoints
    from unitstream.problems import Finding
    from unitstream.rounds import Effort, Origin
    from unitstream.table import Table

# Days that are saved together, beside others: as many as a read takes.
DAYS_A_BATCH = KEYS_PER_READ
# Of which a dry run tells.
MAX_CHANGES = 20


class Change(NamedTuple):
    """A stored value that a point would replace."""

    points: SeriesPoints
    hour: Hour
    stored_value: float
    new_value: float


@dataclass(slots=True)
class _Met:
    """What a dry run meets: the values that points would replace, and series with stored points and with deleted."""

    changes: list[Change] = field(default_factory=list)
    live: list[Series] = field(default_factory=list)
    deleted: list[SeriesPoints] = field(default_factory=list)

    def note(self, points: SeriesPoints, day: str, stored: Mapping[int, Version], winners: Mapping[int, float]) -> None:
        self.changes += (Change(points, Hour(day, hour), *values) for hour, *values in replaced(stored, winners))
        values = [value for _, value in stored.values()]
        if DELETED in values:
            self.deleted.append(points)
        if any(value != DELETED for value in values):
            self.live.append(points.series)


class Saved(NamedTuple):
    """What became of the points of a request, and what is to be said about them.

    A dry run has the first `MAX_CHANGES` values that would be replaced, series by series, and how many of all would
    change by `days.LARGE_FACTOR` or more.
    """

    counts: Counts
    notices: Sequence[Finding]
    changes: Sequence[Change]
    large_changes: int


class Store:
    """Saves points. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table, catalogue: Catalogue) -> None:
        self.table = table
        self._catalogue = catalogue

    def save(self, ingest: Ingest, origin: Origin, deadline: float, effort: Effort, *, dry_run: bool = False) -> Saved:
        """Merge the points of `ingest` into the table, or with `dry_run` only say what that would do.

        Tells in `effort` what it took, also when time ran out.

        Raises `InvalidRequest`, with nothing saved, when a metric would have more series than it may have, and
        `OutOfTime`, with the counts so far, when that is not done at `deadline` (monotonic clock). A call that
        is under way then may take `dynamodb.LONGEST_CALL` longer.
        """
        notices = self._catalogue.put_metrics(
            origin.stream_id, ingest.series, origin.max_series, deadline, dry_run=dry_run
        )
        met = _Met() if dry_run else None
        days = [_day(points, day, hours, origin, met) for points in ingest.series for day, hours in points.days.items()]

        def save(batch: list[Day[Counts]]) -> Rounds[Counts]:
            rounds = Rounds(self.table, self._catalogue, origin, deadline, dry_run, batch)
            rounds.run()
            return rounds

        counts = Counts()
        for rounds in side_by_side(save, list(batches(days, DAYS_A_BATCH))):
            for _, of_day in rounds.results:
                counts += of_day
            effort.add(rounds.effort)
        saved = counts.total == ingest.received and not dry_run
        self._catalogue.finish(origin.stream_id, ingest.series if saved else (), deadline)
        if counts.total < ingest.received:
            raise OutOfTime(counts, notices)
        if met is None:
            return Saved(counts, notices, [], 0)
        notices += self._catalogue.notices_of_deleted(origin.stream_id, met.deleted, met.live)
        changes = sorted(met.changes, key=lambda change: (change.points.index, change.hour))
        large = sum(is_large(change.stored_value, change.new_value) for change in changes)
        return Saved(counts, notices, changes[:MAX_CHANGES], large)


def _day(points: SeriesPoints, day: str, hours: Mapping[int, float], origin: Origin, met: _Met | None) -> Day[Counts]:
    """Return a day that takes `hours`."""

    def merged(stored: Mapping[int, Version]) -> tuple[Mapping[int, float], Counts]:
        winners, counts = merge(stored, hours, origin.received_at)
        if met:
            met.note(points, day, stored, winners)
        return winners, counts

    key = day_key(origin.stream_id, points.series.metric, points.series.record_id, day)
    return Day(key, hours, merged, points.series)
