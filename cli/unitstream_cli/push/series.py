"""What tells points apart: the name of their metric and their dimensions, checked as the server checks them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import ValidationError

from unitstream.faults import findings_of

if TYPE_CHECKING:
    from unitstream.problems import Finding


class SeriesKey(NamedTuple):
    """What tells points of the same hour apart. `dimensions` are sorted by key."""

    metric_name: str
    dimensions: tuple[tuple[str, str], ...]


class CheckedPoint(NamedTuple):
    """A checked point; `hour` counts the hours since 1970. `value` is a text where distinct ones are counted."""

    series: SeriesKey
    hour: int
    value: float | bytes


class InvalidSeries(Exception):
    """The name of a metric, or its dimensions, are not allowed: [(field or key, reason), …]."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__()
        self.faults = faults


# Files have many rows of few series.
@lru_cache(maxsize=65_536)
def series_of(metric_name: str, dimensions: tuple[tuple[str, str], ...]) -> SeriesKey:
    from unitstream.payload import POINTS  # noqa: PLC0415  # pydantic, without which all other commands start

    point = {"timestamp": 0, "metric_name": metric_name, "metric_value": 0, "custom_dimensions": dict(dimensions)}
    try:
        POINTS.validate_python([point])
    except ValidationError as exc:
        raise InvalidSeries([_named(error) for error in findings_of(exc)]) from exc
    return SeriesKey(metric_name, tuple(sorted(dimensions)))


def _named(error: Finding) -> tuple[str, str]:
    """The field or the dimension's key that `error` is about, and the reason."""
    name = (error.pointer or "").split("/")[-1].replace("~1", "/").replace("~0", "~")
    reason = error.detail.removeprefix(f"{name} ")
    if error.code == "too_many_dimensions":
        return "", f"{reason}: name those to keep with --dimension"
    return "" if name == "custom_dimensions" else name, reason
