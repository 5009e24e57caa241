"""The catalogue: which metrics a stream has, and which series a metric.

It is written before the days that it tells of, so that no saved point is missing from what readers look at. What it
says only grows, so what a warm function remembers of it stays true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from unitstream.dynamodb import paced, side_by_side
from unitstream.identity import metric_id
from unitstream.items import Key, described, metric_key, series_attributes, series_key
from unitstream.problems import MAX_REPORTED_ERRORS, Finding, OutOfTime, pointer
from unitstream.table import KEYS_PER_READ, Outcome, batches, new_revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unitstream.identity import Metric, Series
    from unitstream.items import Item
    from unitstream.payload import SeriesPoints
    from unitstream.table import Table

    KeySet = tuple[str, ...]

# Metrics and series that a warm function remembers, 0.3 kB each.
REMEMBERED_KEYS = 100_000
# Sets of dimension keys that a metric's entry knows. Who has more uses keys for what are values.
MAX_KEY_SETS = 20
# Of those that are known, in a notice.
_LISTED_KEY_SETS = 3


class MetricEntry(NamedTuple):
    """What the catalogue says of a metric: from the first day to the last with points, in which shards, of which keys.

    Deleted points are among them. `key_sets` are the sets of dimension keys that series have, each sorted; those met
    first, when there are many. `deleted_at` is when points were last deleted, in epoch milliseconds, 0 for never.
    """

    first_day: str
    last_day: str
    shards: frozenset[str]
    key_sets: frozenset[KeySet]
    deleted_at: int = 0
    revision: str = ""

    @classmethod
    def from_item(cls, item: Item) -> MetricEntry:
        key_sets = (tuple(key["S"] for key in key_set["L"]) for key_set in item["key_sets"]["L"])
        first_day, last_day = item["first_day"]["S"], item["last_day"]["S"]
        deleted_at = int(item["deleted_at"]["N"])
        shards = frozenset(item["shards"]["S"])
        return cls(first_day, last_day, shards, frozenset(key_sets), deleted_at, item["rev"]["S"])

    def attributes(self) -> Item:
        key_sets = [{"L": [{"S": key} for key in key_set]} for key_set in sorted(self.key_sets)]
        return {
            "first_day": {"S": self.first_day},
            "last_day": {"S": self.last_day},
            "shards": {"S": "".join(sorted(self.shards))},
            "key_sets": {"L": key_sets},
            "deleted_at": {"N": str(self.deleted_at)},
            "rev": {"S": self.revision},
        }

    @property
    def knows_all_key_sets(self) -> bool:
        """Whether `key_sets` are all that there are."""
        return len(self.key_sets) < MAX_KEY_SETS

    def covers(self, other: MetricEntry) -> bool:
        return self.widened(other) == self

    def widened(self, other: MetricEntry) -> MetricEntry:
        """Return what says all that the two say, but for key sets beyond `MAX_KEY_SETS`."""
        more = sorted(other.key_sets - self.key_sets)[: max(0, MAX_KEY_SETS - len(self.key_sets))]
        return self._replace(
            first_day=min(self.first_day, other.first_day),
            last_day=max(self.last_day, other.last_day),
            shards=self.shards | other.shards,
            key_sets=self.key_sets.union(more),
            deleted_at=max(self.deleted_at, other.deleted_at),
        )


ENTRY_ATTRIBUTES = ("metric_name", "metric_agg_func", *MetricEntry._fields[:-1], "rev")


@dataclass(slots=True)
class _Wanted:
    """What a request needs the catalogue to say of a metric, and where in it each set of keys comes first."""

    metric: Metric
    days: set[str] = field(default_factory=set)
    shards: set[str] = field(default_factory=set)
    indexes: dict[KeySet, int] = field(default_factory=dict)

    def entry(self) -> MetricEntry:
        key_sets = sorted(self.indexes)[:MAX_KEY_SETS]
        return MetricEntry(min(self.days), max(self.days), frozenset(self.shards), frozenset(key_sets))


class Catalogue:
    """Writes the catalogue. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._metrics: dict[Key, MetricEntry] = {}
        self._series: set[Key] = set()

    def put_metrics(
        self, stream_id: str, points: Iterable[SeriesPoints], deadline: float, *, dry_run: bool
    ) -> list[Finding]:
        """See to it that the catalogue has the metrics of `points`, or with `dry_run` only look.

        Returns notices about sets of dimension keys that no series of a known metric had. Raises `OutOfTime`.
        """
        wanted = _wanted(stream_id, points)
        entries = {key: want.entry() for key, want in wanted.items()}
        unknown = [key for key, entry in entries.items() if not self._knows(key, entry)]
        if len(self._metrics) + len(unknown) > REMEMBERED_KEYS:
            self._metrics.clear()

        def put(keys: list[Key]) -> dict[Key, MetricEntry]:
            if dry_run:
                return self._look_up(keys, deadline)
            return self._widen({key: (wanted[key].metric, entries[key]) for key in keys}, deadline)

        before: dict[Key, MetricEntry] = {}
        for stored in side_by_side(put, list(batches(unknown, KEYS_PER_READ))):
            before |= stored
        return _notices(wanted, before)

    def put_deletion(self, stream_id: str, metric: Metric, entry: MetricEntry, deadline: float) -> None:
        """See to it that the catalogue has what `entry` says of a metric that is there. Raises `OutOfTime`."""
        self._widen({metric_key(stream_id, metric): (metric, entry)}, deadline)

    def put_series(self, stream_id: str, series: Iterable[Series], deadline: float, *, consistent: bool) -> set[str]:
        """See to it that the catalogue has `series`. Returns the record IDs of those for which that failed this time.

        A read may be stale unless it is `consistent`: then the insert finds what is there.
        """
        keys = {series_key(stream_id, one.metric, one.record_id): one for one in series}
        unknown = [key for key in keys if key not in self._series]
        items, unread = self._table.read(unknown, (), deadline, consistent=consistent)
        new = [key for key in unknown if key not in items and key not in unread]
        inserts = [self._table.insert(key, series_attributes(keys[key])) for key in new]
        outcomes = dict(zip(new, self._table.write(inserts, deadline), strict=True))
        # Somebody else's insert says the same thing: an item's key tells all that it holds.
        there = {
            key for key, outcome in outcomes.items() if outcome in {Outcome.WRITTEN, Outcome.EXISTS}
        } | items.keys()

        if len(self._series) + len(unknown) > REMEMBERED_KEYS:
            self._series.clear()
        self._series |= there
        return {keys[key].record_id for key in unknown if key not in there}

    def _knows(self, key: Key, entry: MetricEntry) -> bool:
        return key in self._metrics and self._metrics[key].covers(entry)

    def _look_up(self, keys: Sequence[Key], deadline: float) -> dict[Key, MetricEntry]:
        """Return what is stored of the metrics under `keys`, as of now."""
        stored: dict[Key, MetricEntry] = {}
        for _ in paced(deadline):
            items, unread = self._table.read(keys, ENTRY_ATTRIBUTES, deadline, consistent=True)
            stored |= {key: MetricEntry.from_item(item) for key, item in items.items()}
            keys = list(unread)
            if not keys:
                return stored
        raise OutOfTime

    def _widen(self, wanted: Mapping[Key, tuple[Metric, MetricEntry]], deadline: float) -> dict[Key, MetricEntry]:
        """Write what the entries of the metrics lack. Returns what was stored of them when that was done."""
        before: dict[Key, MetricEntry] = {}
        left = list(wanted)
        # The first time, what is remembered will do: if it is out of date, the write is refused.
        stored = {key: self._metrics[key] for key in left if key in self._metrics}
        for attempt in paced(deadline):
            unknown = [key for key in left if key not in stored]
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
                attributes = described(metric) | {"metric_id": {"S": metric_id(metric)}}
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
        want.indexes.setdefault(tuple(sorted(one.series.dimensions)), one.index)
    return {metric_key(stream_id, metric): want for metric, want in wanted.items()}


def _notices(wanted: Mapping[Key, _Wanted], before: Mapping[Key, MetricEntry]) -> list[Finding]:
    """Tell of sets of dimension keys that a metric which had series did not have: its totals may count twice."""
    new = [
        (index, wanted[key].metric, key_set, entry.key_sets)
        for key, entry in before.items()
        if entry.knows_all_key_sets
        for key_set, index in wanted[key].indexes.items()
        if key_set not in entry.key_sets
    ]
    return [_notice(*one) for one in sorted(new)[:MAX_REPORTED_ERRORS]]


def _notice(index: int, metric: Metric, key_set: KeySet, known: frozenset[KeySet]) -> Finding:
    others = [_named(one) for one in sorted(known)[:_LISTED_KEY_SETS]]
    detail = (
        f"no series of {metric.metric_name} had {_named(key_set)} so far, but {', or '.join(others)}"
        f"{', …' if len(known) > len(others) else ''}: if these points were sent before with other dimensions, "
        "totals count them twice"
    )
    return Finding("new_dimension_keys", detail, pointer=pointer("data", index))


def _named(key_set: KeySet) -> str:
    if not key_set:
        return "no dimensions"
    return f"the dimension{'s' if len(key_set) > 1 else ''} {', '.join(key_set)}"
