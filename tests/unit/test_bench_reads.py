"""The benchmark of reading charges what DynamoDB does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks.loads import Load, items_of
from benchmarks.reads import units_of


def on_the_wire(operation: str, **sent: Any) -> bytes:
    return f"DynamoDB_20120810.{operation}\t{json.dumps(sent)}\n".encode()


def query(start: str = "", **values: str) -> bytes:
    return on_the_wire(
        "Query",
        ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
        **({"ExclusiveStartKey": {"pk": {"S": values["pk"]}, "sk": {"S": start}}} if start else {}),
    )


SIZES = {"a": {"2022-10-01": 3_000, "2022-10-02": 3_000, "2022-10-03": 100}, "b": {"2022-10-01": 9_000}}


@pytest.mark.parametrize(
    ("lines", "units"),
    [
        ([query(pk="a", first="2022-10-01", last="2022-10-03")], 1.0),  # 6.1 kB: two times 4 KB, at half a unit
        ([query(pk="a", first="2022-10-02", last="2022-10-03")], 0.5),
        ([query(pk="a", first="2022-10-04", last="2022-10-09")], 0.5),  # nothing costs the minimum
        ([query(pk="c", first="2022", last="2023")], 0.5),
        # each page is rounded by itself: 6 kB and 100 bytes
        ([query(start, pk="a", first="2022", last="2023") for start in ("2022-10-02", "")], 1.5),
        ([query(pk="b", first="2022-09-30", last="2022-10-01")], 1.5),
        # so is each item of a batch
        (
            [
                on_the_wire(
                    "BatchGetItem",
                    RequestItems={
                        "t": {"Keys": [{"pk": {"S": pk}, "sk": {"S": "2022-10-01"}} for pk in ("a", "b", "c")]}
                    },
                )
            ],
            2.5,
        ),
    ],
)
def test_what_reads_cost(lines: list[bytes], units: float) -> None:
    """Half a unit for each 4 KB begun of what a call goes through."""
    assert units_of(lines, SIZES) == (len(lines), units)


def test_another_call_is_not_overlooked() -> None:
    """It would be free of charge."""
    with pytest.raises(ValueError, match="Scan"):
        units_of([on_the_wire("Scan")], SIZES)


def test_a_load_has_its_days_and_its_catalogue() -> None:
    """The metric's entry, an item per series, and one for each day of it, with as many values as it has hours."""
    entry, *items = items_of(Load(3, 4, 24))
    days = [item for item in items if "rev" in item]
    assert entry["last_day"] == {"S": "2022-01-04"}
    assert len(items) == 3 + len(days) == 3 + 12
    assert all(sum(name.startswith("v") for name in item) == 24 for item in days)
    assert sum("dimensions" in item for item in items) == 3
