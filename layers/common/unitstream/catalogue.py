"""The catalogue: which metrics a stream has, and which series a metric.

It is written before the days that it tells of, so that no saved point is missing from what readers look at. What it
says only grows, so what a warm function remembers of it stays true.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unitstream.entries import MAX_KEY_SETS, MetricEntry, key_set_of
from unitstream.items import metric_key, series_attributes, series_key
from unitstream.new_keys import notices_of_new_keys
from unitstream.problems import InvalidRequest
from unitstream.series_limit import SeriesCounts, beyond, new_among
from unitstream.table import Outcome
from unitstream.widening import Entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unitstream.entries import KeySet
    from unitstream.identity import Metric, Series
    from unitstream.items import Key
    from unitstream.payload import SeriesPoints
    from unitstream.problems import Finding
    from unitstream.table import Table

# Series that a warm function remembers, about 0.2 kB each.
REMEMBERED_SERIES = 100_000


@dataclass(slots=True)
class _Wanted:
    """What a request needs the catalogue to say of a metric, and where in it each set of keys comes first."""

    metric: Metric
    days: set[str] = field(default_factory=set)
    shards: set[str] = field(default_factory=set)
    indexes: dict[KeySet, int] = field(default_factory=dict)
    points: list[SeriesPoints] = field(default_factory=list)

    def entry(self) -> MetricEntry:
        key_sets = sorted(self.indexes)[:MAX_KEY_SETS]
        return MetricEntry(min(self.days), max(self.days), frozenset(self.shards), frozenset(key_sets))


class Catalogue:
    """Writes the catalogue. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._entries = Entries(table)
        self._counts = SeriesCounts(table)
        # Of which stream, and the record ID.
        self._series: set[tuple[str, str]] = set()

    def put_metrics(
        self, stream_id: str, points: Iterable[SeriesPoints], max_series: int, deadline: float, *, dry_run: bool
    ) -> list[Finding]:
        """See to it that the catalogue has the metrics of `points`, or with `dry_run` only look.

        Returns notices about sets of dimension keys that no series of a known metric had. Raises `InvalidRequest`, with
        nothing written, when a metric would have more than `max_series` series, or `OutOfTime`.
        """
        wanted = _wanted(stream_id, points)
        outdated = [key for key, want in wanted.items() if self._has_to_look(stream_id, key, want, dry_run=dry_run)]
        self._entries.read(outdated, deadline, consistent=dry_run)
        self._require_room(stream_id, wanted, max_series, deadline)
        unmet = {key: entry for key, want in wanted.items() if not self._entries.cover(key, entry := want.entry())}
        if dry_run:
            before = {key: known for key in unmet if (known := self._entries.get(key))}
        else:
            before = self._entries.widen({key: (wanted[key].metric, entry) for key, entry in unmet.items()}, deadline)
        return notices_of_new_keys((wanted[key].metric, wanted[key].indexes, entry) for key, entry in before.items())

    def notices_of_deleted(
        self, stream_id: str, deleted: Iterable[SeriesPoints], live: Iterable[Series]
    ) -> list[Finding]:
        """Return notices about sets of keys of which a dry run met deleted points and no others: as good as new ones.

        Of metrics that have other sets. What the catalogue says of sets only grows.
        """
        met = {(one.metric, key_set_of(one)) for one in live}
        asked: dict[tuple[Metric, KeySet], int] = {}
        for one in deleted:
            pair = (one.series.metric, key_set_of(one.series))
            if pair not in met:
                asked[pair] = min(one.index, asked.get(pair, one.index))
        found = []
        for (metric, key_set), index in asked.items():
            entry = self._entries.get(metric_key(stream_id, metric))
            if entry and (others := entry.key_sets - {key_set}):
                found.append((metric, {key_set: index}, entry._replace(key_sets=others)))
        return notices_of_new_keys(found, deleted=True)

    def put_deletion(self, stream_id: str, metric: Metric, entry: MetricEntry, deadline: float) -> None:
        """See to it that the catalogue has what `entry` says of a metric that is there. Raises `OutOfTime`."""
        self._entries.widen({metric_key(stream_id, metric): (metric, entry)}, deadline)

    def put_series(
        self, stream_id: str, series: Iterable[Series], deadline: float, *, consistent: bool
    ) -> tuple[set[str], int]:
        """See to it that the catalogue has `series`.

        Returns the record IDs of those for which that failed this time, and how many of the others are new. A read may
        be stale unless it is `consistent`: then the insert finds what is there.
        """
        unmet = (one for one in series if (stream_id, one.record_id) not in self._series)
        keys = {series_key(stream_id, one.metric, one.record_id): one for one in unmet}
        items, unread = self._table.read(list(keys), (), deadline, consistent=consistent)
        new = [key for key in keys if key not in items and key not in unread]
        inserts = [self._table.insert(key, series_attributes(keys[key])) for key in new]
        outcomes = dict(zip(new, self._table.write(inserts, deadline), strict=True))
        created = Counter(keys[key].metric for key, outcome in outcomes.items() if outcome is Outcome.WRITTEN)
        self._counts.note({metric_key(stream_id, metric): number for metric, number in created.items()}, deadline)
        # Somebody else's insert says the same thing: an item's key tells all that it holds.
        there = {
            key for key, outcome in outcomes.items() if outcome in {Outcome.WRITTEN, Outcome.EXISTS}
        } | items.keys()
        self._remember({(stream_id, keys[key].record_id) for key in there})
        return {one.record_id for key, one in keys.items() if key not in there}, created.total()

    def finish(self, stream_id: str, points: Iterable[SeriesPoints], deadline: float) -> None:
        """Remember the series of points that were saved, which the catalogue has, and count those that are new."""
        self._remember({(stream_id, one.series.record_id) for one in points})
        self._counts.write(deadline)

    def _remember(self, series: set[tuple[str, str]]) -> None:
        if len(self._series) + len(series) > REMEMBERED_SERIES:
            self._series.clear()
        self._series |= series

    def _has_to_look(self, stream_id: str, key: Key, want: _Wanted, *, dry_run: bool) -> bool:
        """Whether what is remembered of a metric will not do: nothing is, or series come that were never met.

        How many it has by now, others know who created some. A dry run, which writes nothing, is not corrected by the
        table either.
        """
        if self._entries.get(key) is None or (dry_run and not self._entries.cover(key, want.entry())):
            return True
        return any((stream_id, one.series.record_id) not in self._series for one in want.points)

    def _require_room(self, stream_id: str, wanted: Mapping[Key, _Wanted], limit: int, deadline: float) -> None:
        """Raise `InvalidRequest` when a metric of `wanted` would have more series than `limit`."""

        def missing(points: Sequence[SeriesPoints]) -> list[SeriesPoints]:
            unmet = (one for one in points if (stream_id, one.series.record_id) not in self._series)
            keys = {series_key(stream_id, one.series.metric, one.series.record_id): one for one in unmet}
            found = self._table.read_side_by_side(list(keys), (), deadline, consistent=True)
            self._remember({(stream_id, keys[key].series.record_id) for key in found})
            return [one for key, one in keys.items() if key not in found]

        errors: list[Finding] = []
        for key, want in wanted.items():
            entry = self._entries.get(key)
            count = entry.series_count if entry else 0
            if count + len(want.points) > limit:
                errors += beyond(want.metric, count, new_among(want.points, missing), limit)
        if errors:
            raise InvalidRequest(errors)


def _wanted(stream_id: str, points: Iterable[SeriesPoints]) -> dict[Key, _Wanted]:
    wanted: dict[Metric, _Wanted] = {}
    for one in points:
        want = wanted.get(one.series.metric)
        if want is None:
            want = wanted[one.series.metric] = _Wanted(one.series.metric)
        want.days.update(one.days)
        want.shards.add(one.series.record_id[0])
        want.points.append(one)
        want.indexes.setdefault(key_set_of(one.series), one.index)
    return {metric_key(stream_id, metric): want for metric, want in wanted.items()}
