"""The items of the Metrics table: their keys, and what they hold.

    item     pk                                sk                      holds
    day      {stream_id}#{metric_id}#{shard}   2022-10-01#{record_id}  v00…v23 values, t00…t23 when received, rev
    series   {stream_id}#{metric_id}#{shard}   series#{record_id}      name, function, dimensions
    metric   {stream_id}#metrics               {metric_name}#{Sum}     name, function, ID, days, shards, key sets, rev
    saved    {stream_id}#unit-metrics          {name}                  unit_metric: the definition, as JSON
    publish  published#unit-metrics            {stream_id}#{digest}    stream and name of what may be published

The shard is the first digit of the record ID. So the days of a metric lie in order in at most 16 item collections, and
its series after them. An hour that was deleted has a `t`, when the deletion was received, and no `v`. `rev` is a random
text that each write of an item changes: writing on the condition that it is what was read tells whether somebody else
wrote in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.identity import Metric, metric_id

if TYPE_CHECKING:
    from unitstream.days import Span
    from unitstream.identity import Series

    # DynamoDB's JSON, as it is: the client passes it through.
    Item = dict[str, Any]

# The attributes of a day, by hour.
VALUE = tuple(f"v{hour:02}" for hour in range(24))
RECEIVED = tuple(f"t{hour:02}" for hour in range(24))

SERIES = "series#"
# Comes after all record IDs, in sort keys that end with one.
LAST = "~"
# No metric's sort key comes before the one or after the other: its name is not empty, and 1,024 bytes are the most.
FIRST_METRIC = "\0"
LAST_METRIC = "\U0010ffff" * 256


class Key(NamedTuple):
    pk: str
    sk: str

    def to_item(self) -> Item:
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}

    @classmethod
    def from_item(cls, item: Item) -> Key:
        return cls(item["pk"]["S"], item["sk"]["S"])


class Condition(NamedTuple):
    """What an item must meet to be among the answers of a query, and the values in it."""

    expression: str
    values: Item


class Range(NamedTuple):
    """The items under a partition key with sort keys from `first` to `last`, both included, that meet a condition."""

    pk: str
    first: str
    last: str
    holding: Condition | None = None


def received_in(span: Span) -> Condition:
    """Return the condition that a day holds a value that was last received in `span`."""
    hours = (
        f"attribute_exists({value}) AND {received} BETWEEN :received_first AND :received_last"
        for value, received in zip(VALUE, RECEIVED, strict=True)
    )
    values = {":received_first": {"N": str(span.start)}, ":received_last": {"N": str(span.end - 1)}}
    return Condition(" OR ".join(hours), values)


def shard_pk(stream_id: str, metric: Metric, shard: str) -> str:
    return f"{stream_id}#{metric_id(metric)}#{shard}"


def day_key(stream_id: str, metric: Metric, record_id: str, day: str) -> Key:
    return Key(shard_pk(stream_id, metric, record_id[0]), f"{day}#{record_id}")


def series_key(stream_id: str, metric: Metric, record_id: str) -> Key:
    return Key(shard_pk(stream_id, metric, record_id[0]), f"{SERIES}{record_id}")


def metrics_pk(stream_id: str) -> str:
    return f"{stream_id}#metrics"


def metric_key(stream_id: str, metric: Metric) -> Key:
    """Three letters of the function, so that 255 characters of 4 bytes still fit a sort key's 1,024 bytes."""
    return Key(metrics_pk(stream_id), f"{metric.metric_name}#{metric.metric_agg_func[:3]}")


def described(metric: Metric) -> Item:
    """Return what the items of a metric and of its series say of it."""
    return {"metric_name": {"S": metric.metric_name}, "metric_agg_func": {"S": metric.metric_agg_func}}


def series_attributes(series: Series) -> Item:
    dimensions = {key: {"S": value} for key, value in series.dimensions.items()}
    return described(series.metric) | {"dimensions": {"M": dimensions}}


def dimensions_of(item: Item) -> dict[str, str]:
    """Return the dimensions that a series' item holds."""
    return {key: value["S"] for key, value in item["dimensions"]["M"].items()}
