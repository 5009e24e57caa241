"""The merge rule: which of two versions of the same hour stays. Pure.

A stored hour is a last-writer-wins register: of all the points that were ever sent for it, and of the deletions that
found one, the version with the largest `(received_at, value)` stays. The rule is commutative, associative and
idempotent, so that any order, any repetition and any interleaving of the same versions ends in the same table.
"""

from __future__ import annotations

from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# When the gateway received the value (epoch milliseconds), and the value: compared in this order.
Version = tuple[int, float]

# Stands for the value of an hour that was deleted. Values are finite, so at the same millisecond any of them wins.
DELETED = -inf
# A value that changes by so much may have been sent in another unit.
LARGE_FACTOR = 100


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


class Deletions(NamedTuple):
    """How many points were deleted, and how many series they belonged to."""

    deleted: int = 0
    series: int = 0


class Span(NamedTuple):
    """Instants from `start` to right before `end`, in epoch milliseconds."""

    start: int
    end: int


def merge(
    stored: Mapping[int, Version], incoming: Mapping[int, float], received_at: int
) -> tuple[dict[int, float], Counts]:
    """Merge the `incoming` values of a day, by hour, into the `stored` ones.

    Returns the hours to write with their values, and what becomes of each point. A value that is stored already counts
    as unchanged, yet is written again when it was received later: otherwise an old request with another value,
    delivered after it, would win. What replaces a deletion counts as created.
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
        elif not wins:
            superseded += 1
        elif current[1] == DELETED:
            created += 1
        else:
            updated += 1
    return winners, Counts(created, updated, unchanged, superseded)


def deletable(stored: Mapping[int, Version], received: Span) -> dict[int, float]:
    """Return the `stored` values of a day that were last received in the span, by hour: those that a deletion marks.

    The span ends when the deletion was received, or before, so that the mark wins.
    """
    return {
        hour: value
        for hour, (instant, value) in stored.items()
        if value != DELETED and received.start <= instant < received.end
    }


def replaced(stored: Mapping[int, Version], winners: Mapping[int, float]) -> Iterator[tuple[int, float, float]]:
    """Yield the hours whose value another one replaces, with the stored value and the new one."""
    for hour, new in winners.items():
        _, value = stored.get(hour, (0, DELETED))
        if value not in {DELETED, new}:
            yield hour, value, new


def is_large(stored_value: float, new_value: float) -> bool:
    """Whether a value changes by `LARGE_FACTOR` or more. From zero and to zero is no factor."""
    # As decimals: 28585.0 / 285.85 is a little less than 100.
    small, large = sorted(abs(Decimal(repr(value))) for value in (stored_value, new_value))
    return small > 0 and large >= LARGE_FACTOR * small
