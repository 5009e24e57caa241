"""The demo's year: hourly costs and orders of a shop in three regions, the same on every machine.

Orders follow the hour and the weekday, and grow; costs follow orders, and in one region they rose a month ago.
"""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from math import cos, pi
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

DAYS = 365
_ROSE_DAYS_AGO = 29


class Region(NamedTuple):
    """Orders an hour, at which hour in UTC they are most, costs an order, and by how much those rose."""

    name: str
    orders: float
    busiest: int
    cost: float
    rise: float


REGIONS = (Region("eu", 120, 14, 2.4, 1.0), Region("us", 210, 20, 2.1, 1.35), Region("ap", 60, 6, 3.2, 1.0))


def write(path: Path, today: date) -> None:
    """Write the year before `today` as a CSV file with a column for each metric."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "region", "orders", "costs"])
        for back in range(DAYS, 0, -1):
            day = today - timedelta(back)
            for hour in range(24):
                moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
                rows.writerows([f"{moment:%Y-%m-%d %H:%M:%S}", *_values(region, moment, back)] for region in REGIONS)


def _values(region: Region, moment: datetime, back: int) -> tuple[str, int, str]:
    busy = 1 + 0.6 * cos((moment.hour - region.busiest) / 24 * 2 * pi)
    weekend = 0.7 if moment.weekday() >= 5 else 1.0
    growth = 1 + 0.3 * (DAYS - back) / DAYS
    orders = round(region.orders * busy * weekend * growth * (0.9 + 0.2 * _chance(region, moment, "orders")))
    rise = region.rise if back <= _ROSE_DAYS_AGO else 1.0
    costs = orders * region.cost * rise * (0.95 + 0.1 * _chance(region, moment, "costs")) + 20
    return region.name, orders, f"{costs:.2f}"


def _chance(region: Region, moment: datetime, metric: str) -> float:
    """Return what looks like chance, from 0 to 1, and is the same every time."""
    return crc32(f"{metric} {region.name} {moment:%Y%m%d%H}".encode()) / 0xFFFFFFFF
