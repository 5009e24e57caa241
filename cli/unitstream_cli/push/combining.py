"""What becomes of several rows for the same record and hour."""

from __future__ import annotations

import itertools
from collections import deque
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from unitstream.decimals import exactly, mean

if TYPE_CHECKING:
    from collections.abc import Iterable


class Combine(StrEnum):
    """What to make of several rows for the same record and hour."""

    SUM = "sum"
    AVERAGE = "average"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    LAST = "last"
    # Of rows, each of which is 1.
    COUNT = "count"
    COUNT_DISTINCT = "count-distinct"

    @property
    def order(self) -> str:
        """The order in which `of` wants the values."""
        return "value" if self is Combine.COUNT_DISTINCT else "place, row"

    def of(self, values: Iterable[Any]) -> float:
        """Return the one value that stands for `values`, of which there is at least one, in the order of the rows.

        Sums are those of the decimals, as the service's are, rounded once. Values to count are sorted.
        """
        match self:
            case Combine.SUM | Combine.COUNT:
                return float(exact_sum(values))
            case Combine.AVERAGE:
                counted = itertools.count()
                total = exact_sum(value for value, _ in zip(values, counted, strict=False))
                return mean(total, next(counted))
            case Combine.MAXIMUM:
                return float(max(values))
            case Combine.MINIMUM:
                return float(min(values))
            case Combine.LAST:
                return float(deque(values, maxlen=1).pop())
            case Combine.COUNT_DISTINCT:
                return float(sum(1 for _ in groupby(values)))


def exact_sum(values: Iterable[float]) -> Decimal:
    with exactly():
        return sum(map(Decimal, map(repr, values)), Decimal(0))
