"""Where the metrics have points that a question is about, and what there is to say where it names what is not there."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from unitstream.entries import ENTRY_ATTRIBUTES, MetricEntry
from unitstream.identity import Metric
from unitstream.items import FIRST_METRIC, LAST_METRIC, Range, metric_key, metrics_pk
from unitstream.periods import Timeframe
from unitstream.shards import Shard
from unitstream.unknown import Known, named_keys, notices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unitstream.problems import Finding
    from unitstream.table import Table
    from unitstream.unknown import Question

# Among which a metric is looked for that may have been meant.
_MOST_METRICS = 1_000


class Extent(NamedTuple):
    """Where a metric has points, and what is known of its dimensions, to which a reading adds."""

    entry: MetricEntry
    shards: list[Shard]
    known: Known

    @property
    def days(self) -> Timeframe:
        return Timeframe(self.entry.first_day, self.entry.last_day)

    def looked_at(self, question: Question) -> dict[str, set[str]]:
        """Return the sets to which a reading of all series adds the values of the keys that the question names."""
        metric = self.shards[0].metric
        named = [key for side in question.sides if side.metric == metric for _, key in named_keys(side)]
        self.known.values.update((key, set()) for key in named)
        return self.known.values


def extents_of(
    table: Table, stream_id: str, question: Question, deadline: float, *, consistent: bool = False
) -> dict[Metric, Extent]:
    """Return where each metric of a question has points. Those that the catalogue does not know are left out.

    What is read of them may be stale for a moment, unless it is `consistent`.
    """
    keys = {metric_key(stream_id, side.metric): side.metric for side in question.sides}
    items = table.read_all(list(keys), ENTRY_ATTRIBUTES, deadline, consistent=consistent)
    extents: dict[Metric, Extent] = {}
    for key, item in items.items():
        entry, metric = MetricEntry.from_item(item), keys[key]
        shards = [Shard(table, stream_id, metric, digit, deadline, consistent) for digit in sorted(entry.shards)]
        known = Known(frozenset().union(*entry.key_sets), entry.knows_all_key_sets, {})
        extents[metric] = Extent(entry, shards, known)
    return extents


def notices_of(
    table: Table, stream_id: str, question: Question, extents: Mapping[Metric, Extent], deadline: float
) -> tuple[Finding, ...]:
    """Return notices about what the question names and the stream does not have."""
    others: list[Metric] = []
    if extents.keys() < {side.metric for side in question.sides}:
        names = ("metric_name", "metric_agg_func")
        every = Range(metrics_pk(stream_id), FIRST_METRIC, LAST_METRIC)
        page = next(table.query(every, repeat(_MOST_METRICS), deadline, attributes=names))
        others = [Metric(item["metric_name"]["S"], item["metric_agg_func"]["S"]) for item in page]
    return notices(question, {metric: extent.known for metric, extent in extents.items()}, others)
