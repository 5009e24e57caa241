"""A year of real hourly values: saved, corrected, and replayed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import support
from stack import DEMO_TOKEN
from support import proxy_event, request_body

from unitstream.identity import record_id
from unitstream.instants import instant_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

NOW = 1_700_000_000_000
RECORD_ID = record_id("temperature", "Average", {"city": "Seattle"})


def by_key(points: list[dict[str, Any]], received_at: int) -> dict[tuple[str, str, int], tuple[int, float]]:
    """What the table must hold of `points`."""
    return {
        (RECORD_ID, point["timestamp"][:10], int(point["timestamp"][11:13])): (received_at, point["metric_value"])
        for point in points
    }


def test_a_year_of_temperatures(invoke: Callable[[dict[str, Any]], dict[str, Any]], tables: Tables) -> None:
    """Every value is found; corrections change those and only those; an old replay changes nothing."""
    year = support.year_of_temperatures()
    corrections = support.year_of_temperatures(correction=0.5)[::10]
    first = proxy_event(request_body(year, DEMO_TOKEN, "Average"), NOW)
    assert len(year) == 8_759

    answer = invoke(first)
    assert (answer["statusCode"], json.loads(answer["body"])["created"]) == (201, len(year))
    expected = by_key(year, NOW)
    assert support.stored_points(tables.client, tables.metrics) == expected

    answer = invoke(proxy_event(request_body(corrections, DEMO_TOKEN, "Average"), NOW + 3_600_000))
    assert (answer["statusCode"], json.loads(answer["body"])["updated"]) == (201, len(corrections))
    expected |= by_key(corrections, NOW + 3_600_000)
    assert support.stored_points(tables.client, tables.metrics) == expected

    before = support.scan(tables.client, tables.metrics)
    answer = invoke(first)
    assert json.loads(answer["body"]) == {
        "received": len(year),
        "created": 0,
        "updated": 0,
        "unchanged": len(year) - len(corrections),
        "superseded": len(corrections),
        "received_at": instant_text(NOW),
    }
    assert support.scan(tables.client, tables.metrics) == before
