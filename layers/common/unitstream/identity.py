"""Record IDs: the name under which DynamoDB knows a series of points."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

AggFunc = Literal["Sum", "Average", "Maximum", "Minimum"]

# In characters: names of metrics and keys of dimensions, and their values.
MAX_NAME = 255
MAX_DIMENSION_VALUE = 1_024

# Built once: `json.dumps` with arguments makes an encoder at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def record_id(metric_name: str, metric_agg_func: str, dimensions: Mapping[str, str]) -> str:
    """Return the record ID, 64 hexadecimal digits.

    It is the SHA-256 of the compact JSON array `[metric_name, metric_agg_func, [[key, value], ...]]` in UTF-8, with the
    dimensions sorted by key. JSON, because joining with a separator would let `{"a": "b=c"}` and `{"a=b": "c"}`
    collide. Stored points depend on it, so it may never change.
    """
    document = _encode([metric_name, metric_agg_func, sorted(dimensions.items())])
    return hashlib.sha256(document.encode()).hexdigest()
