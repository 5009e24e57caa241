"""Reading back: the answers to questions about the metrics of a stream.

A metric's entry in the catalogue says which days and which shards there are. A view reads the shards side by side, each
in the order of its days, into aggregates that all have in common: so what is in memory are the aggregates and a page
per connection. Listings read one page after the other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from itertools import repeat
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from unitstream.aggregates import MAX_UNIT_CELLS, Aggregates, group_of
from unitstream.decimals import exactly
from unitstream.dynamodb import side_by_side
from unitstream.entries import MetricEntry
from unitstream.extents import extents_of, notices_of
from unitstream.identity import AggFunc, Metric, Series
from unitstream.instants import instant_text
from unitstream.items import FIRST_METRIC, LAST_METRIC, VALUE, Range, metrics_pk
from unitstream.pages import Candidate, Page, paginate, place_of
from unitstream.periods import Timeframe, overlap, previous_timeframe
from unitstream.points import StoredPoint, bytes_of, point_candidates
from unitstream.shards import SERIES_A_PAGE
from unitstream.views import Compared, unit_metric, view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unitstream.aggregates import Group
    from unitstream.extents import Extent
    from unitstream.items import Item
    from unitstream.problems import Finding
    from unitstream.questions import (
        MetricsQuestion,
        PointsQuestion,
        SeriesQuestion,
        UnitMetricQuestion,
        ViewQuestion,
    )
    from unitstream.shards import Selection, Shard
    from unitstream.table import Table
    from unitstream.views import UnitMetric, View

T = TypeVar("T")

# 1 MB of full days, where DynamoDB ends a page. In Python's objects that is 12 MB, so few are read at once, which is
# enough to keep a core busy.
_DAYS_A_PAGE = 2_000
_PAGES_AT_ONCE = 4
_HOURS = {name: name[1:] for name in VALUE}
# What a metric and a series take in an answer, beside the keys and the dimensions.
_METRIC_BYTES = 250
_SERIES_BYTES = 110


class MetricSummary(NamedTuple):
    """A metric. The days are the first and the last for which points were saved, deleted ones among them.

    `dimension_key_sets` are the sets of keys that its series have: of many, the first `catalogue.MAX_KEY_SETS` that
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


class _Part(NamedTuple):
    """What there is to do in a shard: which days go into which aggregates.

    Its series are read if there are `values`, by the keys that the question names.
    """

    shard: Shard
    spans: list[Timeframe]
    aggregates: Mapping[Timeframe, Aggregates]
    values: Mapping[str, set[str]]


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
        metric, timeframe = question.metric, question.timeframe
        aggregates = Aggregates(metric.metric_agg_func, timeframe, question.granularity, fill=question.fill)
        noticed = self._aggregate(stream_id, question, {metric: {timeframe: aggregates}}, deadline)
        return replace(view(question, aggregates), notices=noticed)

    def unit_metric(self, stream_id: str, question: UnitMetricQuestion, deadline: float) -> UnitMetric:
        """Return the whole unit metric, with its previous timeframe."""
        previous, shift = previous_timeframe(question.timeframe, question.granularity)
        both = (question.numerator, question.denominator)
        timeframes = (previous, question.timeframe)
        aggregates = {
            metric: {
                timeframe: Aggregates(
                    metric.metric_agg_func, timeframe, question.granularity, fill=question.fill, most=MAX_UNIT_CELLS
                )
                for timeframe in timeframes
            }
            for metric in both
        }
        noticed = self._aggregate(stream_id, question, aggregates, deadline)
        before, now = (Compared(*(aggregates[metric][timeframe] for metric in both)) for timeframe in timeframes)
        return replace(unit_metric(question, now, before, previous, shift), notices=noticed)

    def _aggregate(
        self,
        stream_id: str,
        question: ViewQuestion | UnitMetricQuestion,
        aggregates: Mapping[Metric, Mapping[Timeframe, Aggregates]],
        deadline: float,
    ) -> tuple[Finding, ...]:
        """Add the points of the metrics to the aggregates of the timeframes, which come one after the other.

        Returns notices.
        """
        extents = extents_of(self.table, stream_id, question, deadline)
        parts: list[_Part] = []
        for metric, extent in extents.items():
            spans = _spans(aggregates[metric], extent.days)
            values = extent.looked_at(question) if spans or question.fill else {}
            parts += [_Part(shard, spans, aggregates[metric], values) for shard in extent.shards]
        lock = Lock()
        side_by_side(lambda part: _aggregate_shard(part, question, lock), parts, at_once=_PAGES_AT_ONCE)
        return notices_of(self.table, stream_id, question, extents, deadline)

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
    if not all(one.keeps(dimensions) for one in question.filters):
        return Candidate(record_id, None, 0)
    return Candidate(record_id, Series(record_id, question.metric, dimensions), _SERIES_BYTES + bytes_of(dimensions))


def _spans(timeframes: Iterable[Timeframe], days: Timeframe) -> list[Timeframe]:
    """Return what of the timeframes lies in `days`. Where one begins the day after another ends, they are joined."""
    spans: list[Timeframe] = []
    for timeframe in timeframes:
        span = overlap(timeframe, days)
        if span and spans and date.fromisoformat(span.start) - date.fromisoformat(spans[-1].end) == timedelta(1):
            spans[-1] = Timeframe(spans[-1].start, span.end)
        elif span:
            spans.append(span)
    return spans


def _aggregate_shard(part: _Part, question: ViewQuestion | UnitMetricQuestion, lock: Lock) -> None:
    """Add the points of a shard to the aggregates of their timeframes."""
    shard, spans, aggregates, values = part
    selection: Selection[Group] | None = None
    if values:
        selection = shard.select(question.filters, partial(group_of, group_by=question.group_by), values)
    if question.fill:
        with lock:
            for one in aggregates.values():
                one.know(set(selection.series.values()) if selection else {()})
    for span in spans:
        pages = shard.days(f"{span.start}#", span.end, repeat(_DAYS_A_PAGE), attributes=VALUE, selection=selection)
        for items in pages:
            with lock, exactly():
                _add_days(items, selection, aggregates)


def _add_days(
    items: Iterable[Item], selection: Selection[Group] | None, aggregates: Mapping[Timeframe, Aggregates]
) -> None:
    """Add days of a shard to the aggregates of the timeframes that they belong to. Uses up the items."""
    # First together what belongs together: adding the days of each series by themselves takes a tenth more CPU.
    together: defaultdict[tuple[str, Group], list[Item]] = defaultdict(list)
    for item in items:
        day, _, record_id = item.pop("sk")["S"].partition("#")
        item.pop("pk", None)
        group = selection.series.get(record_id) if selection else ()
        if group is not None and item:
            together[day, group].append(item)
    for (day, group), days in together.items():
        numbers = [value["N"] for item in days for value in item.values()]
        for (start, end), one in aggregates.items():
            if start <= day <= end:
                one.add(group, day, (_HOURS[name] for item in days for name in item), numbers)
