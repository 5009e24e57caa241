"""How many series a metric may have: new ones beyond that are refused before anything of a request is saved.

A metric's entry counts its series. Who creates some adds them afterwards, and never twice: so the count may lag behind,
and somewhat more is let through, but never less. A request whose series would all fit costs nothing more, new or not.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from unitstream.problems import Finding, pointer
from unitstream.table import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.items import Key
    from unitstream.payload import SeriesPoints
    from unitstream.table import Table

# Of more series that may be new, those of one shard are looked up first: record IDs are uniform, so where none of them
# is new, hardly any is.
_SAMPLED_FROM = 1_600
_SAMPLED_SHARD = "0"
# New series of a metric that are counted together, or else at the end of a request.
_COUNTED_TOGETHER = 1_000


class SeriesCounts:
    """Adds new series to the counts of their metrics. One instance serves all the requests of a warm function."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lock = Lock()
        self._left: Counter[Key] = Counter()

    def note(self, new: Mapping[Key, int], deadline: float) -> None:
        """Take note of so many new series of metrics."""
        with self._lock:
            self._left.update(new)
        self.write(deadline, _COUNTED_TOGETHER)

    def write(self, deadline: float, least: int = 1) -> None:
        """Count those of metrics that have `least`: once, as what is tried again might be counted twice."""
        with self._lock:
            due = {key: self._left.pop(key) for key, number in list(self._left.items()) if number >= least}
        statements = [self._table.add(key, "series_count", number) for key, number in due.items()]
        outcomes = self._table.write(statements, deadline)
        unsent = {key: due[key] for key, outcome in zip(due, outcomes, strict=True) if outcome is Outcome.NOT_SENT}
        with self._lock:
            self._left.update(unsent)


def new_among(
    points: Sequence[SeriesPoints], missing: Callable[[Sequence[SeriesPoints]], list[SeriesPoints]]
) -> list[SeriesPoints]:
    """Return those whose series are new, as `missing` finds them; of many none if hardly any is."""
    if len(points) > _SAMPLED_FROM and not missing(
        [one for one in points if one.series.record_id[0] == _SAMPLED_SHARD]
    ):
        return []
    return missing(points)


def beyond(metric: Metric, count: int, new: Sequence[SeriesPoints], limit: int) -> list[Finding]:
    """Return the error of a metric that would have more than `limit` series, at the first point that is too much."""
    room = max(0, limit - count)
    if len(new) <= room:
        return []
    first = sorted(one.index for one in new)[room]
    detail = (
        f"{metric.metric_name} has {count:,} series, and {len(new):,} of this request are new: more than the {limit:,} "
        "that it may have. Is among the dimensions what is another one each time, such as the ID of a request?"
    )
    return [Finding("too_many_series", detail, pointer=pointer("data", first))]
