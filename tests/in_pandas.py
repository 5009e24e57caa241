"""The names that pandas has for functions and periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unitstream.identity import AggFunc
    from unitstream.periods import Granularity

FUNCTIONS: dict[AggFunc, str] = {"Sum": "sum", "Average": "mean", "Maximum": "max", "Minimum": "min"}
FREQUENCIES: dict[Granularity, str] = {
    "hour": "h",
    "day": "D",
    "week": "W-SUN",
    "month": "M",
    "quarter": "Q-DEC",
    "year": "Y-DEC",
}
