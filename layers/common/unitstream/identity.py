"""Metrics and their series, and the IDs under which DynamoDB knows them."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

AggFunc = Literal["Sum", "Average", "Maximum", "Minimum"]

# In characters: names of metrics and keys of dimensions, and their values.
MAX_NAME = 255
MAX_DIMENSION_VALUE = 1_024
# Of a series.
MAX_DIMENSIONS = 10

# Built once: `json.dumps` with arguments makes an encoder at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Metric(NamedTuple):
    """A metric: its name, and the function that aggregates it. The same name with another function is another."""

    metric_name: str
    metric_agg_func: AggFunc


class Series(NamedTuple):
    """The points of a metric that have the same dimensions. `record_id` is what `record_id()` returns for them."""

    record_id: str
    metric: Metric
    dimensions: dict[str, str]


def record_id(metric_name: str, metric_agg_func: str, dimensions: Mapping[str, str]) -> str:
    """Return the record ID, 64 hexadecimal digits.

    It is the SHA-256 of the compact JSON array `[metric_name, metric_agg_func, [[key, value], ...]]` in UTF-8, with the
    dimensions sorted by key. JSON, because joining with a separator would let `{"a": "b=c"}` and `{"a=b": "c"}`
    collide. Stored points depend on it, so it may never change.
    """
    document = _encode([metric_name, metric_agg_func, sorted(dimensions.items())])
    return hashlib.sha256(document.encode()).hexdigest()


@lru_cache(maxsize=1_024)
def metric_id(metric: Metric) -> str:
    """Return the metric ID, 24 hexadecimal digits: so that a long name costs nothing in each item of the metric.

    It is the beginning of the SHA-256 of the compact JSON array `[metric_name, metric_agg_func]` in UTF-8.
    """
    return hashlib.sha256(_encode([*metric]).encode()).hexdigest()[:24]
