"""Reading back from the Metrics table, whose items `store` describes.

The series of a metric come from the catalogue, 16 shards of it. A view reads the shards side by side: a shard's series
page by page, and of each series that is asked for the days in the range, into aggregates that all have in common. So
what is in memory are the aggregates and a page per connection. Listings are read one thing after the other, in the
order of record IDs, whose first digit is the shard.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from unitstream.dynamodb import CALL_ERRORS, CONNECTIONS, is_transient, paced
from unitstream.periods import Timeframe, hour_of, previous_timeframe
from unitstream.problems import OutOfTime, TooMuch
from unitstream.questions import PointPlace, next_cursor
from unitstream.store import KEYS_PER_READ, day_key, metric_key, series_key
from unitstream.views import MAX_UNIT_CELLS, Aggregates, Compared, group_of, unit_metric, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesTypeDef

    from unitstream.identity import AggFunc
    from unitstream.questions import (
        Filter,
        Metric,
        MetricsQuestion,
        PointsQuestion,
        SeriesQuestion,
        UnitMetricQuestion,
        ViewQuestion,
    )
    from unitstream.store import Key
    from unitstream.views import Group, UnitMetric, View

    # DynamoDB's JSON, as it is: the client passes it through.
    Item = dict[str, Any]

T = TypeVar("T")

SHARDS = "0123456789abcdef"
# Of a page, in an answer that is quoted in JSON once more, as Lambda's are. 6 MB is Lambda's limit.
MAX_PAGE_BYTES = 4_000_000
# A page of metrics ends after the metric with which so many series were counted, or half of the time was used.
SERIES_COUNTED_A_PAGE = 50_000

_HOURS = [f"{hour:02}" for hour in range(24)]
_HOUR_OF_VALUE = {f"v{hour}": hour for hour in _HOURS}
# Without the `t`s there is half as much to send and to parse; the read units are the same.
_VALUES = ",".join(["sk", *_HOUR_OF_VALUE])
# Of days, of 0.6 kB each: a year and a bit. A page of 1 MB, DynamoDB's limit, would be 12 MB of Python's objects.
_DAYS_A_CALL = 400
_SERIES_A_CALL = 100
_POINT_BYTES = 250
_SERIES_BYTES = 110
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MetricSummary(NamedTuple):
    """A metric. The days are those of its first and last point, None when the catalogue does not know them."""

    metric_name: str
    metric_agg_func: AggFunc
    series: int
    dimension_keys: list[str]
    first_day: str | None
    last_day: str | None


class Series(NamedTuple):
    record_id: str
    dimensions: dict[str, str]


class Point(NamedTuple):
    """A stored point. `timestamp` is its hour, `2022-10-01T13:00:00Z`, and `received_at` has milliseconds."""

    timestamp: str
    value: float
    dimensions: dict[str, str]
    record_id: str
    received_at: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many things, in order. `next_cursor` asks for those that follow, and is None at the end.

    A page may have fewer things than its limit, even none, and still not be the last.
    """

    items: list[T]
    next_cursor: str | None


class MetricsReader:
    """Answers questions about the metrics of a stream. One instance serves all the requests of a warm function.

    Reads may be stale for a moment (about a second after a write). Every answer raises `OutOfTime` when DynamoDB
    throttles or fails until `deadline` (monotonic clock), and `TooMuch` when the answer would be too large or the work
    for it is not done by then. A call that is under way then may take `dynamodb.LONGEST_CALL` longer.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def metrics(self, stream_id: str, question: MetricsQuestion, deadline: float) -> Page[MetricSummary]:
        """Return a page of the metrics of a stream, by name and function. It ends early when there is much to count."""
        reading = _Reading(self._client, self._table_name, stream_id, deadline)
        enough_time = (time.monotonic() + deadline) / 2
        found: list[MetricSummary] = []
        place, counted = "", 0
        try:
            for item in reading.metrics(question.cursor, question.limit + 1):
                full = len(found) == question.limit or counted > SERIES_COUNTED_A_PAGE
                if full or (found and time.monotonic() > enough_time):
                    return Page(found, next_cursor(question, place))
                name, agg_func = item["metric_name"]["S"], item["metric_agg_func"]["S"]
                series, keys = reading.count_series(name, agg_func)
                days = (item[day]["S"] if day in item else None for day in ("first_day", "last_day"))
                found.append(MetricSummary(name, agg_func, series, sorted(keys), *days))
                place, counted = item["sk"]["S"], counted + series
        except OutOfTime:
            if not found:
                raise
            return Page(found, next_cursor(question, place))
        except TooMuch as exc:
            if not found:
                raise TooMuch("The next metric has more series than can be counted in the time there is.") from exc
            return Page(found, next_cursor(question, place))
        return Page(found, None)

    def series(self, stream_id: str, question: SeriesQuestion, deadline: float) -> Page[Series]:
        """Return a page of the series of a metric, by record ID. It ends early when it gets large or takes long."""
        reading = _Reading(self._client, self._table_name, stream_id, deadline)
        found: list[Series] = []
        place, size = question.cursor, 0
        limit = None if question.filters else question.limit + 1
        try:
            for records in reading.records(question.metric, _after(question.cursor), limit=limit):
                for record_id, dimensions in records.items():
                    if all(one.keeps(dimensions) for one in question.filters):
                        size += _SERIES_BYTES + _bytes_of(dimensions)
                        if found and place and (len(found) == question.limit or size > MAX_PAGE_BYTES):
                            return Page(found, next_cursor(question, place))
                        found.append(Series(record_id, dimensions))
                    place = record_id
        except (OutOfTime, TooMuch):
            if place is None or place == question.cursor:
                raise
            return Page(found, next_cursor(question, place))
        return Page(found, None)

    def points(self, stream_id: str, question: PointsQuestion, deadline: float) -> Page[Point]:
        """Return a page of points, by record ID, day and hour. It ends early when it gets large or takes long."""
        reading = _Reading(self._client, self._table_name, stream_id, deadline)
        found: list[Point] = []
        place, size = question.cursor, 0
        try:
            for record_id, dimensions, item in _days_of_points(reading, question):
                if item is None:
                    place = PointPlace(record_id)
                    continue
                point_size = _POINT_BYTES + _bytes_of(dimensions)
                day = item["sk"]["S"]
                for hour, text in enumerate(_HOURS):
                    value = item.get(f"v{text}")
                    next_place = PointPlace(record_id, day, hour)
                    if value is None or _is_before(next_place, question.cursor):
                        continue
                    size += point_size
                    if found and place and (len(found) == question.limit or size > MAX_PAGE_BYTES):
                        return Page(found, next_cursor(question, place))
                    received = _EPOCH + timedelta(milliseconds=int(item[f"t{text}"]["N"]))
                    found.append(Point(hour_of(day, hour), float(value["N"]), dimensions, record_id, _shown(received)))
                    place = next_place
        except (OutOfTime, TooMuch):
            if place is None or place == question.cursor:
                raise
            return Page(found, next_cursor(question, place))
        return Page(found, None)

    def view(self, stream_id: str, question: ViewQuestion, deadline: float) -> View:
        """Return the whole view."""
        reading = _Reading(self._client, self._table_name, stream_id, deadline)
        asked = Aggregates(
            question.metric.metric_agg_func, question.timeframe, question.granularity, fill=question.fill
        )
        reading.aggregate({question.metric: {question.timeframe: asked}}, question.group_by, question.filters)
        return view(question, asked)

    def unit_metric(self, stream_id: str, question: UnitMetricQuestion, deadline: float) -> UnitMetric:
        """Return the whole unit metric, with its previous timeframe."""
        reading = _Reading(self._client, self._table_name, stream_id, deadline)
        previous, shift = previous_timeframe(question.timeframe, question.granularity)
        both = (question.numerator, question.denominator)
        timeframes = (previous, question.timeframe)
        found = {
            metric: {
                one: Aggregates(
                    metric.metric_agg_func, one, question.granularity, fill=question.fill, most=MAX_UNIT_CELLS
                )
                for one in timeframes
            }
            for metric in both
        }
        reading.aggregate(found, question.group_by, question.filters)
        before, now = (Compared(*(found[metric][one] for metric in both)) for one in timeframes)
        return unit_metric(question, now, before, previous, shift)


class _Stopped(Exception):
    """Another part of the answer failed, so this one is not needed."""


class _Reading:
    """The calls for one answer."""

    def __init__(self, client: DynamoDBClient, table_name: str, stream_id: str, deadline: float) -> None:
        self._client = client
        self._table_name = table_name
        self._stream_id = stream_id
        self._deadline = deadline
        self._stopped = False

    def aggregate(
        self,
        wanted: Mapping[Metric, Mapping[Timeframe, Aggregates]],
        group_by: Sequence[str],
        filters: Sequence[Filter],
    ) -> None:
        """Add the points of the metrics to the aggregates of the timeframes, which come one after the other."""
        lock = Lock()
        dimensions_matter = bool(group_by or filters)

        def aggregate_shard(part: tuple[Metric, str]) -> None:
            metric, shard = part
            timeframes = wanted[metric]
            spans = _joined(timeframes)
            for records in self.records(metric, shard, only_one=True, dimensions=dimensions_matter):
                groups = {
                    record_id: group_of(dimensions, group_by)
                    for record_id, dimensions in records.items()
                    if all(one.keeps(dimensions) for one in filters)
                }
                with lock:
                    for aggregates in timeframes.values():
                        for group in groups.values():
                            aggregates.know(group)
                for span in spans:
                    for record_id, items in self.days(list(groups), span, _VALUES, _DAYS_A_CALL):
                        with lock:
                            _add(items, groups[record_id], timeframes)

        self._side_by_side(aggregate_shard, [(metric, shard) for shard in SHARDS for metric in wanted])

    def count_series(self, metric_name: str, agg_func: AggFunc) -> tuple[int, set[str]]:
        """Return how many series a metric has, and the keys of their dimensions."""
        keys: set[str] = set()
        counts: list[int] = []

        def count(shard: str) -> None:
            pk = series_key(self._stream_id, metric_name, agg_func, shard).pk
            for items in self._query("pk = :pk", {":pk": pk}, projection="dimensions"):
                counts.append(len(items))
                keys.update(*(item["dimensions"]["M"] for item in items))

        self._side_by_side(count, SHARDS)
        return sum(counts), keys

    def metrics(self, after: str | None, limit: int) -> Iterator[Item]:
        """Yield the metrics whose sort key comes `after` another, in order."""
        values = {":pk": metric_key(self._stream_id, "", "").pk}
        condition = "pk = :pk"
        if after is not None:
            condition, values[":after"] = "pk = :pk AND sk > :after", after
        for items in self._query(condition, values, limit=limit):
            yield from items

    def records(
        self, metric: Metric, after: str, *, only_one: bool = False, dimensions: bool = True, limit: int | None = None
    ) -> Iterator[dict[str, dict[str, str]]]:
        """Yield the dimensions of the records of a metric whose IDs come `after` another, in order, in parts.

        With `only_one`, those of the first shard. Without `dimensions`, they are empty.
        """
        projection = "sk,dimensions" if dimensions else "sk"
        for shard in SHARDS[SHARDS.index(after[0]) :]:
            pk = series_key(self._stream_id, *metric, shard).pk
            values = {":pk": pk, ":after": after}
            for items in self._query("pk = :pk AND sk > :after", values, projection=projection, limit=limit):
                if items:
                    yield {item["sk"]["S"]: _dimensions(item) if dimensions else {} for item in items}
            if only_one:
                return

    def days(
        self, record_ids: Sequence[str], span: Timeframe, projection: str | None, limit: int
    ) -> Iterator[tuple[str, list[Item]]]:
        """Yield the days of records in `span`, of one record after the other, in parts, `limit` at a time.

        A single day of many records is read in batches, which costs the same read units and less of anything else.
        """
        if span.start == span.end and len(record_ids) > 1:
            for start in range(0, len(record_ids), KEYS_PER_READ):
                batch = record_ids[start : start + KEYS_PER_READ]
                keys = {day_key(self._stream_id, record_id, span.start): record_id for record_id in batch}
                found = self._batch_get(keys, projection and f"pk,{projection}")
                yield from ((record_id, [found[key.pk]]) for key, record_id in keys.items() if key.pk in found)
            return
        for record_id in record_ids:
            first = day_key(self._stream_id, record_id, span.start)
            values = {":pk": first.pk, ":first": first.sk, ":last": span.end}
            condition = "pk = :pk AND sk BETWEEN :first AND :last"
            for items in self._query(condition, values, projection=projection, limit=limit):
                yield record_id, items

    def _query(
        self, condition: str, values: Mapping[str, str], *, projection: str | None = None, limit: int | None = None
    ) -> Iterator[list[Item]]:
        """Yield the items that fulfil the key condition, a page at a time, each of at most `limit` items."""
        arguments: dict[str, Any] = {
            "TableName": self._table_name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        }
        if projection:
            arguments["ProjectionExpression"] = projection
        if limit:
            arguments["Limit"] = limit
        while True:
            answer = self._call(partial(self._client.query, **arguments))
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _batch_get(self, keys: Iterable[Key], projection: str | None) -> dict[str, Item]:
        """Return the items that there are under `keys`, at most `KEYS_PER_READ` of them, by partition key."""
        wanted: KeysAndAttributesTypeDef = {"Keys": [key.to_item() for key in keys]}
        if projection:
            wanted["ProjectionExpression"] = projection
        found: dict[str, Item] = {}

        def get() -> bool:
            answer = self._client.batch_get_item(RequestItems={self._table_name: wanted})
            found.update((item["pk"]["S"], item) for item in answer["Responses"].get(self._table_name, []))
            left = answer["UnprocessedKeys"].get(self._table_name)
            wanted["Keys"] = left["Keys"] if left else []
            return not left

        self._call(get)
        return found

    def _call(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, made again while it fails or returns nothing."""
        throttled = False
        for _ in paced(self._deadline):
            if self._stopped:
                raise _Stopped
            try:
                if answer := call():
                    return answer
            except CALL_ERRORS as exc:
                if not is_transient(exc):
                    raise
            throttled = True
        if throttled:
            raise OutOfTime
        raise TooMuch("There is more to read than there is time for: choose a shorter range of days, or filter.")

    def _side_by_side(self, work: Callable[[T], None], parts: Iterable[T]) -> None:
        """Do `work` for each part. When one fails, the others stop before their next call."""

        def attempt(part: T) -> None:
            done = False
            try:
                work(part)
                done = True
            finally:
                self._stopped |= not done

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            futures = [pool.submit(attempt, part) for part in parts]
        errors = [error for future in futures if (error := future.exception()) and not isinstance(error, _Stopped)]
        # A call that was throttled to the end says more than others that were only late.
        for error in sorted(errors, key=lambda error: not isinstance(error, OutOfTime)):
            raise error


def _add(items: list[Item], group: Group, timeframes: Mapping[Timeframe, Aggregates]) -> None:
    """Add days of a series in `group` to the aggregates of the timeframes that they belong to. Uses up the items."""
    for item in items:
        day = item.pop("sk")["S"]
        item.pop("pk", None)
        values = [float(value["N"]) for value in item.values()]
        for (start, end), aggregates in timeframes.items():
            if start <= day <= end:
                aggregates.add(group, day, map(_HOUR_OF_VALUE.__getitem__, item), values)


def _dimensions(item: Item) -> dict[str, str]:
    return {key: value["S"] for key, value in item["dimensions"]["M"].items()}


def _joined(timeframes: Iterable[Timeframe]) -> list[Timeframe]:
    """Join timeframes, which are in order, where one begins the day after another ends."""
    joined: list[Timeframe] = []
    for timeframe in timeframes:
        if joined and date.fromisoformat(timeframe.start) - date.fromisoformat(joined[-1].end) == timedelta(1):
            joined[-1] = Timeframe(joined[-1].start, timeframe.end)
        else:
            joined.append(timeframe)
    return joined


def _days_of_points(reading: _Reading, question: PointsQuestion) -> Iterator[tuple[str, dict[str, str], Item | None]]:
    """Yield the days with points from the cursor on: record ID, dimensions, and the item.

    At the end of some records, with points or without, comes the last of them without an item.
    """
    start, end = question.timeframe
    cursor = question.cursor
    days_a_page = -(-question.limit // len(_HOURS))
    resumed = cursor.record_id if cursor and cursor.day else None
    # The digits before its last come right before the record itself.
    after = resumed[:-1] if resumed else _after(cursor.record_id if cursor else None)
    for records in reading.records(question.metric, after, limit=_SERIES_A_CALL):
        matching = [
            record_id
            for record_id, dimensions in records.items()
            if all(one.keeps(dimensions) for one in question.filters)
        ]
        if resumed and cursor and cursor.day and matching[:1] == [resumed]:
            for _, items in reading.days([resumed], Timeframe(cursor.day, end), None, days_a_page):
                yield from ((resumed, records[resumed], item) for item in items)
            del matching[0]
        # No more at a time than there can be points.
        for first in range(0, len(matching), question.limit):
            batch = matching[first : first + question.limit]
            for record_id, items in reading.days(batch, Timeframe(start, end), None, days_a_page):
                yield from ((record_id, records[record_id], item) for item in items)
        yield next(reversed(records)), {}, None


def _is_before(place: PointPlace, cursor: PointPlace | None) -> bool:
    """Whether a page that ended at `cursor` had the point at `place`."""
    return (
        cursor is not None
        and cursor.day is not None
        and place.record_id == cursor.record_id
        and (place.day, place.hour) <= (cursor.day, cursor.hour)
    )


def _after(record_id: str | None) -> str:
    """Return what all record IDs after `record_id` come after, or all there are."""
    return record_id or SHARDS[0]


def _bytes_of(dimensions: Mapping[str, str]) -> int:
    """Return how much of an answer `dimensions` take, at most: in JSON that is quoted in JSON."""
    return len(json.dumps(json.dumps(dimensions)))


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
