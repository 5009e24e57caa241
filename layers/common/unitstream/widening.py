"""The entries of metrics: what a warm function remembers of them, and how they are widened.

What an entry says only grows, so what is remembered of it stays true. It is written on the condition that nobody wrote
it in between; who loses that race reads it and tries again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unitstream.dynamodb import paced, side_by_side
from unitstream.entries import ENTRY_ATTRIBUTES, MetricEntry
from unitstream.identity import metric_id
from unitstream.items import described
from unitstream.problems import OutOfTime
from unitstream.table import KEYS_PER_READ, Outcome, batches, new_revision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.items import Key
    from unitstream.table import Table

    # What an entry has to say at least, and of which metric.
    Wanted = tuple[Metric, MetricEntry]

# Metrics that a warm function remembers, about 0.3 kB each.
REMEMBERED_METRICS = 100_000


class Entries:
    """Reads and widens the entries of metrics. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[Key, MetricEntry] = {}

    def get(self, key: Key) -> MetricEntry | None:
        """Return what is remembered of a metric."""
        return self._known.get(key)

    def cover(self, key: Key, entry: MetricEntry) -> bool:
        """Whether what is remembered of a metric says all that `entry` does."""
        return key in self._known and self._known[key].covers(entry)

    def read(self, keys: Sequence[Key], deadline: float, *, consistent: bool) -> None:
        """Remember what is stored of metrics. Raises `OutOfTime`."""
        if len(self._known) + len(keys) > REMEMBERED_METRICS:
            self._known.clear()
        items = self._table.read_side_by_side(keys, ENTRY_ATTRIBUTES, deadline, consistent=consistent)
        self._known |= {key: MetricEntry.from_item(item) for key, item in items.items()}

    def widen(self, wanted: Mapping[Key, Wanted], deadline: float) -> dict[Key, MetricEntry]:
        """See to it that the entries say what is wanted. Returns what they said before. Raises `OutOfTime`."""

        def widen(keys: list[Key]) -> dict[Key, MetricEntry]:
            return self._widen({key: wanted[key] for key in keys}, deadline)

        parts = side_by_side(widen, list(batches(list(wanted), KEYS_PER_READ)))
        return {key: entry for before in parts for key, entry in before.items()}

    def _widen(self, wanted: Mapping[Key, Wanted], deadline: float) -> dict[Key, MetricEntry]:
        before: dict[Key, MetricEntry] = {}
        left = list(wanted)
        # The first time, what is remembered will do: if it is out of date, the write is refused.
        stored = {key: self._known[key] for key in left if key in self._known}
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

    def _write(self, wanted: Mapping[Key, Wanted], stored: Mapping[Key, MetricEntry], deadline: float) -> set[Key]:
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
                self._known[key] = stored[key]
            else:
                entries[key] = stored[key].widened(entry)._replace(revision=revision)
                statements.append(self._table.update(key, entries[key].attributes(), stored[key].revision))
        outcomes = dict(zip(entries, self._table.write(statements, deadline), strict=True))
        failed = {key for key, outcome in outcomes.items() if outcome is not Outcome.WRITTEN}
        self._known.update((key, entry) for key, entry in entries.items() if key not in failed)
        return failed
