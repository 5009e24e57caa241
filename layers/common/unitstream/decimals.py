"""Arithmetic with decimals as people write them, rounded to a float once at the end. Pure.

A float is not the decimal that it was written as, so sums of floats that net to zero are some 1e-15, and 0.3 / 0.1 is
not 3. The decimal that is meant is the shortest that names the float, which is what the table holds.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, localcontext
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Sums have at most 135 digits before the point and 147 after it; one that had more would fail rather than be rounded.
_EXACT = Context(prec=400, traps=[Inexact])
# More digits than a float has, so that it is the one nearest to a quotient or a difference.
_ROUNDED = Context(prec=40)


def exactly() -> AbstractContextManager[Context]:
    """Return the context in which decimals are added: a thread's own rounds sums to 28 digits."""
    return localcontext(_EXACT)


def mean(total: Decimal, count: int) -> float:
    """Return the mean of `count` decimals that add up to `total`."""
    # Whole numbers: their quotient is rounded once, where a decimal would be rounded before it becomes a float.
    numerator, denominator = total.as_integer_ratio()
    return numerator / (denominator * count)


def difference(value: float, other: float) -> float | None:
    """Return `value` less `other`, or None where no float holds it."""
    return _finite(_ROUNDED.subtract(_meant(value), _meant(other)))


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Return the quotient, or None where there is none: one of the two is missing, or no float holds it."""
    if numerator is None or not denominator:
        return None
    return _finite(_ROUNDED.divide(_meant(numerator), _meant(denominator)))


def _meant(value: float) -> Decimal:
    return Decimal(repr(value))


def _finite(value: Decimal) -> float | None:
    number = float(value) + 0.0  # no negative zero
    return number if isfinite(number) else None
