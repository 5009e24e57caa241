"""Saved unit metrics as CloudWatch metrics: which periods are published, and a line of the log for each value. Pure.

A value is published at the beginning of its period, which CloudWatch takes up to two weeks back. Each run publishes the
last periods anew: a run more changes nothing, and a late or a corrected value follows with the next one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from string import ascii_letters, digits, punctuation
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from unitstream.problems import TooMuch
from unitstream.zones import zone_of

if TYPE_CHECKING:
    from unitstream.definitions import Definition
    from unitstream.view_questions import UnitMetricQuestion
    from unitstream.views import UnitCell, UnitMetric

# CloudWatch charges for each: a definition with more fails, rather than that some groups stay away.
MAX_PUBLISHED_GROUPS = 50
# The days that are published anew in each run, today included.
PUBLISHED_DAYS = {"hour": 2, "day": 8}
# What CloudWatch takes for the value of a dimension, which is ASCII.
_MOST_CHARACTERS = 1_024
_AS_THEY_ARE = (ascii_letters + digits + punctuation + " ").replace("%", "")


class Sample(NamedTuple):
    """A value of a group, at a moment in epoch milliseconds."""

    group: str
    moment: int
    value: float


def window(definition: Definition, now: datetime) -> UnitMetricQuestion:
    """Return the question for the last days, by the clock of the definition's zone."""
    zone = zone_of(definition.fields.get("timezone", "UTC")) or UTC
    days = PUBLISHED_DAYS[definition.granularity]
    start, end = (now.astimezone(zone).date() - timedelta(count) for count in (days - 1, 0))
    return definition.question({"start_date": [str(start)], "end_date": [str(end)], "compare": ["period"]})


def samples(definition: Definition, answer: UnitMetric, now: datetime) -> list[Sample]:
    """Return the values of the periods that are over, in the order of groups and time."""
    if len(answer.series) > MAX_PUBLISHED_GROUPS:
        raise TooMuch(
            f"{len(answer.series):,} groups are more than the {MAX_PUBLISHED_GROUPS} that are published: filter, or "
            "group by less."
        )
    return [
        Sample(_group_name(row.dimensions), int(begins.timestamp() * 1_000), cell.current_timeframe_unit_metric)
        for row in answer.series
        for cell in row.data
        if cell.current_timeframe_unit_metric is not None
        and _ends(begins := _begin(definition, cell), definition) <= now
    ]


def is_over(definition: Definition, answer: UnitMetric, now: datetime) -> bool:
    """Whether the last period that is over is beyond a threshold, in any group."""
    for row in answer.series:
        over = [cell for cell in row.data if _ends(_begin(definition, cell), definition) <= now]
        if over and _is_beyond(definition, over[-1]):
            return True
    return False


def emf(sample: Sample, stream_id: str, name: str) -> str:
    """Return the line of the log that CloudWatch makes a metric of."""
    directive = {
        "Namespace": "unitstream",
        "Dimensions": [["stream", "name", "group"]],
        "Metrics": [{"Name": "UnitMetric"}],
    }
    aws = {"Timestamp": sample.moment, "CloudWatchMetrics": [directive]}
    dimensions = {"stream": stream_id, "name": _dimension(name), "group": sample.group}
    return json.dumps({"_aws": aws, **dimensions, "UnitMetric": sample.value})


def _is_beyond(definition: Definition, cell: UnitCell) -> bool:
    thresholds = definition.fields.get("thresholds", {})
    value, change = cell.current_timeframe_unit_metric, cell.pop_change
    above, rise = thresholds.get("above"), thresholds.get("rise_percent")
    return (above is not None and value is not None and value > above) or (
        rise is not None and change is not None and change * 100 > rise
    )


def _begin(definition: Definition, cell: UnitCell) -> datetime:
    """Return when a period begins: of a day, its midnight in the zone."""
    moment = datetime.fromisoformat(cell.date)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone_of(definition.fields.get("timezone", "UTC")) or UTC)


def _ends(begins: datetime, definition: Definition) -> datetime:
    if definition.granularity == "hour":
        return begins.astimezone(UTC) + timedelta(hours=1)
    return (begins + timedelta(days=1)).astimezone(UTC)  # by the clock: days have 23 to 25 hours


def _group_name(dimensions: dict[str, str | None]) -> str:
    named = ", ".join(f"{key}={'-' if value is None else value}" for key, value in dimensions.items())
    return _dimension(named or "all")


def _dimension(text: str) -> str:
    """Return `text` as CloudWatch takes it: ASCII, no colon at its beginning, and not too long."""
    written = quote(text, safe=_AS_THEY_ARE)
    written = f"%3A{written[1:]}" if written.startswith(":") else written
    if len(written) > _MOST_CHARACTERS or not written.strip():
        raise TooMuch(f"CloudWatch takes up to {_MOST_CHARACTERS:,} characters for a name or a group.")
    return written
