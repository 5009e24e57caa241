"""Reading back: the answers to questions about the metrics of a stream.

A metric's entry in the catalogue says which days and which shards there are. A view reads the shards side by side, each
in the order of its days, into aggregates that all have in common: so what is in memory are the aggregates and a page
per connection. Listings read one page after the other.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from unitstream.aggregates import MAX_CELLS, MAX_UNIT_CELLS
from unitstream.aggregating import PAGES_AT_ONCE, Part, aggregate_shard, halves_of, spans_of
from unitstream.dynamodb import side_by_side
from unitstream.entries import MetricEntry
from unitstream.extents import extents_of, notices_of
from unitstream.filters import passes
from unitstream.identity import AggFunc, Metric, Series
from unitstream.instants import instant_text
from unitstream.items import FIRST_METRIC, LAST_METRIC, Range, metrics_pk
from unitstream.pages import Candidate, Page, paginate, place_of
from unitstream.periods import overlap
from unitstream.points import StoredPoint, bytes_of, point_candidates
from unitstream.problems import MAX_REPORTED_ERRORS
from unitstream.shards import SERIES_A_PAGE
from unitstream.view_questions import cautions
from unitstream.views import unit_metric, view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unitstream.aggregating import ReadHalf
    from unitstream.extents import Extent
    from unitstream.items import Item
    from unitstream.problems import Finding
    from unitstream.questions import MetricsQuestion, PointsQuestion, SeriesQuestion
    from unitstream.table import Table
    from unitstream.view_questions import UnitMetricQuestion, ViewQuestion
    from unitstream.views import UnitMetric, View

T = TypeVar("T")

# What a metric and a series take in an answer, beside the keys and the dimensions.
_METRIC_BYTES = 250
_SERIES_BYTES = 110


class MetricSummary(NamedTuple):
    """A metric. The days are the first and the last for which points were saved, deleted ones among them.

    `dimension_key_sets` are the sets of keys that its series have: of many, the first `entries.MAX_KEY_SETS` that
    were met. `dimension_keys` are all the keys in them. `last_deleted_at` is when points were last deleted, with
    milliseconds, None for never.
    """

    metric_name: str
    metric_agg_func: AggFunc
    dimension_keys: list[str]
    dimension_key_sets: list[list[str]]
    first_day: str
    last_day: str
    last_deleted_at: str | None = None


class Reader:
    """Answers questions about the metrics of a stream. One instance serves all the requests of a warm function.

    Reads may be stale for a moment (about a second after a write). Every answer raises `OutOfTime` when DynamoDB
    throttles or fails until `deadline` (monotonic clock), and `TooMuch` when the answer would be too large or the work
    for it is not done by then. A call that is under way then may take `dynamodb.LONGEST_CALL` longer.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def metrics(self, stream_id: str, question: MetricsQuestion, deadline: float) -> Page[MetricSummary]:
        """Return a page of the metrics of a stream, by name and function."""
        after = place_of(stream_id, question)
        metrics = Range(metrics_pk(stream_id), after or FIRST_METRIC, LAST_METRIC)
        pages = self.table.query(metrics, repeat(question.limit + 2), deadline)
        items = (item for page in pages for item in page if item["sk"]["S"] != after)
        return paginate(stream_id, question, map(_metric_candidate, items))

    def series(self, stream_id: str, question: SeriesQuestion, deadline: float) -> Page[Series]:
        """Return a page of the series of a metric, by record ID."""
        after = place_of(stream_id, question) or ""
        extents = extents_of(self.table, stream_id, question, deadline)
        page_size = SERIES_A_PAGE if question.filters else question.limit + 1
        candidates = (
            _series_candidate(question, record_id, dimensions)
            for extent in extents.values()
            for shard in extent.shards
            if shard.digit >= after[:1]
            for record_id, dimensions in shard.series(after, page_size)
        )
        return self._page(stream_id, question, candidates, extents, deadline)

    def points(self, stream_id: str, question: PointsQuestion, deadline: float) -> Page[StoredPoint]:
        """Return a page of points, by day, record ID and hour."""
        after = place_of(stream_id, question)
        extents = extents_of(self.table, stream_id, question, deadline)
        candidates = (
            candidate
            for extent in extents.values()
            if (timeframe := overlap(extent.days, question.timeframe))
            for candidate in point_candidates(extent.shards, timeframe, question, after, extent.looked_at(question))
        )
        return self._page(stream_id, question, candidates, extents, deadline)

    def view(self, stream_id: str, question: ViewQuestion, deadline: float) -> View:
        """Return the whole view."""
        (half,) = halves = halves_of(question, most=MAX_CELLS)
        noticed = self._aggregate(stream_id, question, halves, deadline)
        return replace(view(question, half.table), notices=noticed)

    def unit_metric(self, stream_id: str, question: UnitMetricQuestion, deadline: float) -> UnitMetric:
        """Return the whole unit metric, with what it is compared with."""
        numerator, denominator = halves = halves_of(question, most=MAX_UNIT_CELLS)
        noticed = self._aggregate(stream_id, question, halves, deadline)
        return replace(unit_metric(question, numerator.table, denominator.table), notices=noticed)

    def _aggregate(
        self,
        stream_id: str,
        question: ViewQuestion | UnitMetricQuestion,
        halves: Sequence[ReadHalf],
        deadline: float,
    ) -> tuple[Finding, ...]:
        """Add the points of the metrics to the aggregates of their halves. Returns notices."""
        extents = extents_of(self.table, stream_id, question, deadline)
        parts: list[Part] = []
        for metric, extent in extents.items():
            its = [half for half in halves if half.side.metric == metric]
            spans = spans_of(its, extent.days)
            values = extent.looked_at(question) if spans or question.fill else {}
            parts += [Part(shard, spans, its, values) for shard in extent.shards]
        lock = Lock()
        side_by_side(lambda part: aggregate_shard(part, lock, fill=question.fill), parts, at_once=PAGES_AT_ONCE)
        noticed = notices_of(self.table, stream_id, question, extents, deadline)
        return (*cautions(question), *noticed)[:MAX_REPORTED_ERRORS]

    def _page(
        self,
        stream_id: str,
        question: SeriesQuestion | PointsQuestion,
        candidates: Iterable[Candidate[T]],
        extents: Mapping[Metric, Extent],
        deadline: float,
    ) -> Page[T]:
        page = paginate(stream_id, question, candidates)
        if question.cursor is not None:
            return page
        return replace(page, notices=notices_of(self.table, stream_id, question, extents, deadline))


def _metric_candidate(item: Item) -> Candidate[MetricSummary]:
    entry = MetricEntry.from_item(item)
    key_sets = sorted(map(list, entry.key_sets))
    keys = sorted({key for key_set in key_sets for key in key_set})
    name, agg_func = item["metric_name"]["S"], item["metric_agg_func"]["S"]
    deleted_at = instant_text(entry.deleted_at) if entry.deleted_at else None
    summary = MetricSummary(name, agg_func, keys, key_sets, entry.first_day, entry.last_day, deleted_at)
    return Candidate(item["sk"]["S"], summary, _METRIC_BYTES + bytes_of([name, keys, key_sets]))


def _series_candidate(question: SeriesQuestion, record_id: str, dimensions: dict[str, str]) -> Candidate[Series]:
    if not passes(question.filters, dimensions):
        return Candidate(record_id, None, 0)
    return Candidate(record_id, Series(record_id, question.metric, dimensions), _SERIES_BYTES + bytes_of(dimensions))
