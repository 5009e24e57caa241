"""The merge rule: which of two values for the same hour stays. Pure.

A stored hour is a last-writer-wins register: of all the points that were ever sent for it, the one with the largest
`(received_at, value)` stays. The rule is commutative, associative and idempotent, so that any order, any repetition and
any interleaving of the same requests ends in the same table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# When the gateway received the value (epoch milliseconds), and the value: compared in this order.
Version = tuple[int, float]


class Counts(NamedTuple):
    """How many points had which outcome."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]  # outcome by outcome, not one after the other
        return Counts(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.superseded + other.superseded,
        )

    @property
    def total(self) -> int:
        return self.created + self.updated + self.unchanged + self.superseded


def merge(
    stored: Mapping[int, Version], incoming: Mapping[int, float], received_at: int
) -> tuple[dict[int, float], Counts]:
    """Merge the `incoming` values of a day, by hour, into the `stored` ones.

    Returns the hours to write with their values, and what becomes of each point. A value that is stored already counts
    as unchanged, yet is written again when it was received later: otherwise an old request with another value,
    delivered after it, would win.
    """
    winners: dict[int, float] = {}
    created = updated = unchanged = superseded = 0
    for hour, value in incoming.items():
        current = stored.get(hour)
        if current is None:
            created += 1
            winners[hour] = value
            continue
        wins = (received_at, value) > current
        if wins:
            winners[hour] = value
        if value == current[1]:
            unchanged += 1
        elif wins:
            updated += 1
        else:
            superseded += 1
    return winners, Counts(created, updated, unchanged, superseded)
