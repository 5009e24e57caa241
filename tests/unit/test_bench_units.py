"""The benchmark's accounting, against the documented rules.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (sizes) and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html (units).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks.units import Calls, Stored, item_size, read_units, write_units


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"pk": {"S": "orders"}}, 2 + 6),
        ({"pk": {"S": "äöü"}}, 2 + 6),
        # a byte for two digits and one more; zeros in front and behind don't count
        ({"n": {"N": "12.34"}}, 1 + 2 + 1),
        ({"n": {"N": "-0.0012300"}}, 1 + 2 + 1),
        ({"n": {"N": "0"}}, 1 + 0 + 1),
        # 3 bytes for a map and one for each of its elements
        ({"m": {"M": {"city": {"S": "Seattle"}}}}, 1 + 3 + 1 + 4 + 7),
        ({"m": {"M": {}}}, 1 + 3),
    ],
)
def test_the_size_of_an_item(item: dict[str, Any], size: int) -> None:
    """An item is as large as its names and values."""
    assert item_size(item) == size


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [(None, 1, 1), (None, 1024, 1), (None, 1025, 2), (1500, 700, 2), (700, 1500, 2), (None, None, 1)],
)
def test_a_write_costs_what_the_larger_of_both_items_does(before: int | None, after: int | None, units: int) -> None:
    """A unit for each 1 KB begun, before or after the write."""
    assert write_units(before, after) == units


@pytest.mark.parametrize(
    ("size", "consistent", "units"),
    [
        (None, False, 0.5),
        (4096, False, 0.5),
        (4097, False, 1.0),
        (None, True, 1.0),
        (3500, True, 1.0),
        (9000, True, 3.0),
    ],
)
def test_a_read_costs_half_if_it_may_be_stale(size: int | None, consistent: bool, units: float) -> None:  # noqa: FBT001  # parametrized
    """Per 4 KB begun, and the same minimum for what isn't there."""
    assert read_units(size, consistent=consistent) == units


def test_the_calls_of_a_run() -> None:
    """Each item that is read and each that is written counts, and so does a write that changed nothing."""
    keys = [{"pk": {"S": "a"}, "sk": {"S": "1"}}, {"pk": {"S": "a"}, "sk": {"S": "2"}}]
    texts = ['INSERT INTO "metrics" VALUE {}', 'UPDATE "metrics" SET a=?', 'UPDATE "metrics" SET a=?']
    sent = {
        "BatchGetItem": {"RequestItems": {"metrics": {"ConsistentRead": False, "Keys": keys}}},
        "BatchExecuteStatement": {"Statements": [{"Statement": text} for text in texts]},
    }
    calls = Calls.from_wire(f"DynamoDB_20120810.{name}\t{json.dumps(body)}\n".encode() for name, body in sent.items())
    before = {("a", "1"): Stored(5000, 1), ("b", "1"): Stored(50, 1)}
    after = {("a", "1"): Stored(5100, 2), ("a", "2"): Stored(300, 3), ("b", "1"): Stored(50, 1)}
    assert calls.by_operation == {"BatchGetItem": 1, "BatchExecuteStatement": 1}
    assert calls.units(before, after) == (5 + 1 + 1, 1.0 + 0.5)


def test_calls_that_are_missing_do_not_pass_unseen() -> None:
    """What changed without a recorded write means that the recorder missed something."""
    with pytest.raises(ValueError, match="0 writes cannot change 1 items"):
        Calls().units({}, {("a", "1"): Stored(10, 1)})
