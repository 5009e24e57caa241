"""Bills of services, hour by hour, as files and as what the table holds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from unitstream.identity import record_id

if TYPE_CHECKING:
    from pushing import Push

HOURS = pd.date_range("2022-10-01", periods=300, freq="h")


def bill(services: str = "abc", factor: float = 1, hours: int = 300, **more: str) -> pd.DataFrame:
    """A bill of services, hour by hour."""
    rows = [
        (f"{hour:%Y-%m-%d %H:%M:%S}", "cost", round((ord(service) + number / 100) * factor, 2), service)
        for service in services
        for number, hour in enumerate(HOURS[:hours])
    ]
    return pd.DataFrame(rows, columns=["timestamp", "metric_name", "metric_value", "service"]).assign(**more)


def total(frame: pd.DataFrame) -> float:
    """The sum of cents."""
    return float((frame["metric_value"] * 100).round().sum() / 100)


def written(push: Push, frame: pd.DataFrame, name: str = "bill.csv") -> str:
    return push.file(frame.to_csv(index=False), name)


def expected(frame: pd.DataFrame, function: str = "Sum") -> dict[tuple[str, str, int], float]:
    keys = [name for name in frame if name not in {"timestamp", "metric_name", "metric_value"}]
    return {
        (
            record_id(row["metric_name"], function, {key: row[key] for key in keys}),
            row["timestamp"][:10],
            int(row["timestamp"][11:13]),
        ): row["metric_value"]
        for row in frame.to_dict("records")
    }
