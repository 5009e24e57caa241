"""The catalogue: which metrics a stream has, and which series a metric.

It is written before the days that it tells of, so that no saved point is missing from what readers look at. What it
says only grows, so what a warm function remembers of it stays true.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unitstream.dynamodb import paced, side_by_side
from unitstream.entries import ENTRY_ATTRIBUTES, MAX_KEY_SETS, MetricEntry, key_set_of
from unitstream.identity import metric_id
from unitstream.items import Key, described, metric_key, series_attributes, series_key
from unitstream.new_keys import notices_of_new_keys
from unitstream.problems import InvalidRequest, OutOfTime
from unitstream.series_limit import LARGE_SHARE, beyond, new_among
from unitstream.table import KEYS_PER_READ, Outcome, batches, new_revision

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from unitstream.entries import KeySet
    from unitstream.identity import Metric, Series
    from unitstream.items import Item
    from unitstream.payload import SeriesPoints
    from unitstream.problems import Finding
    from unitstream.table import Table

# Metrics and series that a warm function remembers, 0.3 kB each.
REMEMBERED_KEYS = 100_000


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
        self._metrics: dict[Key, MetricEntry] = {}
        self._series: set[Key] = set()
        # Metrics whose series this function has added to: how many others did, it does not know.
        self._outdated: set[Key] = set()

    def put_metrics(
        self, stream_id: str, points: Iterable[SeriesPoints], max_series: int, deadline: float, *, dry_run: bool
    ) -> list[Finding]:
        """See to it that the catalogue has the metrics of `points`, or with `dry_run` only look.

        Returns notices about sets of dimension keys that no series of a known metric had. Raises `InvalidRequest`, with
        nothing written, when a metric would have more than `max_series` series, or `OutOfTime`.
        """
        wanted = _wanted(stream_id, points)
        entries = {key: want.entry() for key, want in wanted.items()}
        unmet = [key for key in wanted if key not in self._metrics]
        if len(self._metrics) + len(unmet) > REMEMBERED_KEYS:
            self._metrics.clear()
            self._outdated.clear()
        outdated = [
            key
            for key, want in wanted.items()
            if key not in self._metrics
            or (dry_run and not self._knows(key, entries[key]))
            or self._may_be_crowded(stream_id, key, want, max_series)
        ]
        absent = self._read_entries(outdated, deadline, consistent=dry_run)
        self._require_room(stream_id, wanted, max_series, deadline)
        unknown = [key for key, entry in entries.items() if not self._knows(key, entry)]
        if dry_run:
            return _notices(wanted, {key: self._metrics[key] for key in unknown if key in self._metrics})

        def put(keys: list[Key]) -> dict[Key, MetricEntry]:
            return self._widen({key: (wanted[key].metric, entries[key]) for key in keys}, absent, deadline)

        before: dict[Key, MetricEntry] = {}
        for stored in side_by_side(put, list(batches(unknown, KEYS_PER_READ))):
            before |= stored
        return _notices(wanted, before)

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
            entry = self._metrics[metric_key(stream_id, metric)]
            if others := entry.key_sets - {key_set}:
                found.append((metric, {key_set: index}, entry._replace(key_sets=others)))
        return notices_of_new_keys(found, deleted=True)

    def put_deletion(self, stream_id: str, metric: Metric, entry: MetricEntry, deadline: float) -> None:
        """See to it that the catalogue has what `entry` says of a metric that is there. Raises `OutOfTime`."""
        self._widen({metric_key(stream_id, metric): (metric, entry)}, set(), deadline)

    def put_series(
        self, stream_id: str, series: Iterable[Series], deadline: float, *, consistent: bool
    ) -> tuple[set[str], int]:
        """See to it that the catalogue has `series`.

        Returns the record IDs of those for which that failed this time, and how many of the others are new. A read may
        be stale unless it is `consistent`: then the insert finds what is there.
        """
        keys = {series_key(stream_id, one.metric, one.record_id): one for one in series}
        unknown = [key for key in keys if key not in self._series]
        items, unread = self._table.read(unknown, (), deadline, consistent=consistent)
        new = [key for key in unknown if key not in items and key not in unread]
        inserts = [self._table.insert(key, series_attributes(keys[key])) for key in new]
        outcomes = dict(zip(new, self._table.write(inserts, deadline), strict=True))
        created = [key for key, outcome in outcomes.items() if outcome is Outcome.WRITTEN]
        self._count(Counter(metric_key(stream_id, keys[key].metric) for key in created), deadline)
        # Somebody else's insert says the same thing: an item's key tells all that it holds.
        there = {
            key for key, outcome in outcomes.items() if outcome in {Outcome.WRITTEN, Outcome.EXISTS}
        } | items.keys()

        self._remember(there)
        return {keys[key].record_id for key in unknown if key not in there}, len(created)

    def _remember(self, series: Collection[Key]) -> None:
        if len(self._series) + len(series) > REMEMBERED_KEYS:
            self._series.clear()
        self._series.update(series)

    def _count(self, created: Mapping[Key, int], deadline: float) -> None:
        """Add new series to the counts of their metrics: once, as what is tried again might be counted twice."""
        self._table.write([self._table.add(key, "series_count", number) for key, number in created.items()], deadline)
        self._outdated.update(created)

    def _may_be_crowded(self, stream_id: str, key: Key, want: _Wanted, limit: int) -> bool:
        """Whether a metric that is remembered has to be counted anew: series come that this function never met."""
        if key not in self._outdated and len(want.points) <= LARGE_SHARE * limit:
            return False
        keys = (series_key(stream_id, want.metric, one.series.record_id) for one in want.points)
        return any(key not in self._series for key in keys)

    def _require_room(self, stream_id: str, wanted: Mapping[Key, _Wanted], limit: int, deadline: float) -> None:
        """Raise `InvalidRequest` when a metric of `wanted` would have more series than `limit`."""

        def missing(points: Sequence[SeriesPoints]) -> list[SeriesPoints]:
            keys = {series_key(stream_id, one.series.metric, one.series.record_id): one for one in points}
            unknown = [key for key in keys if key not in self._series]
            found = self._read(unknown, (), deadline, consistent=True)
            self._remember(found.keys())
            return [keys[key] for key in unknown if key not in found]

        errors: list[Finding] = []
        for key, want in wanted.items():
            count = self._metrics[key].series_count if key in self._metrics else 0
            if count + len(want.points) > limit:
                errors += beyond(want.metric, count, new_among(want.points, missing), limit)
        if errors:
            raise InvalidRequest(errors)

    def _knows(self, key: Key, entry: MetricEntry) -> bool:
        return key in self._metrics and self._metrics[key].covers(entry)

    def _read_entries(self, keys: Sequence[Key], deadline: float, *, consistent: bool) -> set[Key]:
        """Remember what is stored of the metrics under `keys`. Returns those that are not there."""
        items = self._read(keys, ENTRY_ATTRIBUTES, deadline, consistent=consistent)
        self._metrics |= {key: MetricEntry.from_item(item) for key, item in items.items()}
        self._outdated.difference_update(items)
        return set(keys) - items.keys()

    def _read(
        self, keys: Sequence[Key], attributes: Iterable[str], deadline: float, *, consistent: bool
    ) -> dict[Key, Item]:
        """Return the items that there are under `keys`. Raises `OutOfTime`."""

        def read(batch: list[Key]) -> dict[Key, Item]:
            found: dict[Key, Item] = {}
            for _ in paced(deadline):
                items, unread = self._table.read(batch, attributes, deadline, consistent=consistent)
                found |= items
                batch = list(unread)
                if not batch:
                    return found
            raise OutOfTime

        return {
            key: item for items in side_by_side(read, list(batches(keys, KEYS_PER_READ))) for key, item in items.items()
        }

    def _widen(
        self, wanted: Mapping[Key, tuple[Metric, MetricEntry]], absent: set[Key], deadline: float
    ) -> dict[Key, MetricEntry]:
        """Write what the entries of the metrics lack, of which `absent` were not there a moment ago.

        Returns what was stored of them when that was done.
        """
        before: dict[Key, MetricEntry] = {}
        left = list(wanted)
        # The first time, what is remembered will do: if it is out of date, the write is refused.
        stored = {key: self._metrics[key] for key in left if key in self._metrics}
        for attempt in paced(deadline):
            unknown = [key for key in left if key not in stored and (attempt > 0 or key not in absent)]
            items, unread = self._table.read(unknown, ENTRY_ATTRIBUTES, deadline, consistent=attempt > 0)
            stored |= {key: MetricEntry.from_item(item) for key, item in items.items()}
            failed = self._write({key: wanted[key] for key in left if key not in unread}, stored, deadline)
            before |= {key: entry for key, entry in stored.items() if key not in failed}
            left = [key for key in left if key in unread or key in failed]
            if not left:
                return before
            stored.clear()
        raise OutOfTime

    def _write(
        self,
        wanted: Mapping[Key, tuple[Metric, MetricEntry]],
        stored: Mapping[Key, MetricEntry],
        deadline: float,
    ) -> set[Key]:
        """Write what the `stored` entries lack. Returns the keys of those for which that failed."""
        revision = new_revision()
        entries: dict[Key, MetricEntry] = {}
        statements = []
        for key, (metric, entry) in wanted.items():
            if key not in stored:
                entries[key] = entry._replace(revision=revision)
                attributes = described(metric) | {"metric_id": {"S": metric_id(metric)}, "series_count": {"N": "0"}}
                statements.append(self._table.insert(key, attributes | entries[key].attributes()))
            elif stored[key].covers(entry):
                self._metrics[key] = stored[key]
            else:
                # On the condition that nobody widened it since it was read.
                entries[key] = stored[key].widened(entry)._replace(revision=revision)
                statements.append(self._table.update(key, entries[key].attributes(), stored[key].revision))
        outcomes = dict(zip(entries, self._table.write(statements, deadline), strict=True))
        failed = {key for key, outcome in outcomes.items() if outcome is not Outcome.WRITTEN}
        self._metrics.update((key, entry) for key, entry in entries.items() if key not in failed)
        return failed


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


def _notices(wanted: Mapping[Key, _Wanted], before: Mapping[Key, MetricEntry]) -> list[Finding]:
    """Tell of sets of dimension keys that a metric which had series did not have."""
    return notices_of_new_keys((wanted[key].metric, wanted[key].indexes, entry) for key, entry in before.items())
