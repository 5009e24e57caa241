"""What is read: metrics in a table as saving leaves them, and the same days for the loop to read."""

from __future__ import annotations

import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.units import item_size

from unitstream.entries import MetricEntry
from unitstream.identity import Metric, Series, metric_id, record_id
from unitstream.items import RECEIVED, VALUE, Key, day_key, described, metric_key, series_attributes, series_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from unitstream.items import Item

STREAM, METRIC = "bench", Metric("gigabytes", "Sum")
# What the other one is divided by.
CUSTOMERS = Metric("customers", "Sum")
REGIONS = 5
FIRST_DAY = date(2022, 1, 1)
ITEMS_A_WRITE = 25
REVISION = "0123456789abcdef"
# Partition key -> sort key -> size in bytes.
Sizes = dict[str, dict[str, int]]


class Load(NamedTuple):
    """So many series with so many days, and points for so many hours of each."""

    series: int
    days: int
    hours: int

    def __str__(self) -> str:
        hours = {1: "a point a day", 24: "hourly"}[self.hours]
        return f"{self.series:,} series of {self.days:,} days, {hours}"

    @property
    def points(self) -> int:
        return self.series * self.days * self.hours

    @property
    def last_day(self) -> str:
        return str(FIRST_DAY + timedelta(self.days - 1))

    def each_day(self) -> list[str]:
        return [str(FIRST_DAY + timedelta(day)) for day in range(self.days)]

    def each_series(self, metric: Metric = METRIC) -> Iterator[Series]:
        for index in range(self.series):
            dimensions = {"customer": f"c-{index:06}", "region": f"r-{index % REGIONS}"}
            yield Series(record_id(*metric, dimensions), metric, dimensions)


def items_of(load: Load, metric: Metric = METRIC) -> Iterator[Item]:
    """Yield the items of a load as saving leaves them: the metric's entry, the series, and their days."""
    every = list(load.each_series(metric))
    shards = frozenset(one.record_id[0] for one in every)
    key_sets = frozenset({tuple(sorted(every[0].dimensions))})
    entry = MetricEntry(str(FIRST_DAY), load.last_day, shards, key_sets, revision=REVISION)
    names = described(metric) | {"metric_id": {"S": metric_id(metric)}, "series_count": {"N": str(load.series)}}
    yield metric_key(STREAM, metric).to_item() | names | entry.attributes()
    for one in every:
        yield series_key(STREAM, metric, one.record_id).to_item() | series_attributes(one)
    for record, day, attributes in _days_of(load, every):
        yield day_key(STREAM, metric, record, day).to_item() | attributes


def loop_items_of(load: Load, series: int) -> Iterator[Item]:
    """Yield the days of the first `series` of a load, each series in a partition of its own."""
    for record, day, attributes in _days_of(load, list(load.each_series())[:series]):
        yield Key(record, day).to_item() | attributes


def _days_of(load: Load, series: Sequence[Series]) -> Iterator[tuple[str, str, Item]]:
    numbers = random.Random(str(load))  # noqa: S311  # reproducible, on purpose
    received = {"N": "1665000000000"}
    for one in series:
        for day in load.each_day():
            attributes: Item = {"rev": {"S": REVISION}}
            for hour in range(load.hours):
                attributes[VALUE[hour]] = {"N": repr(round(numbers.uniform(1, 10_000), 2))}
                attributes[RECEIVED[hour]] = received
            yield one.record_id, day, attributes


def fill(client: DynamoDBClient, table: str, items: Iterable[Mapping[str, Any]]) -> Sizes:
    """Put items into a table. Returns their sizes."""
    sizes: Sizes = defaultdict(dict)
    requests = []
    for item in items:
        sizes[item["pk"]["S"]][item["sk"]["S"]] = item_size(item)
        requests.append({"PutRequest": {"Item": item}})

    def put(batch: list[Any]) -> None:
        left: Any = {table: batch}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, (requests[at : at + ITEMS_A_WRITE] for at in range(0, len(requests), ITEMS_A_WRITE))))
    return sizes
