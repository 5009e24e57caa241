"""Numbers of a JSON text that a float rounds to zero: parsers do so and say nothing."""

from __future__ import annotations

import json
import re
from math import copysign, ulp
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

# A float is rounded to zero beyond 323 places: some are in the exponent, and three digits say so; the rest are zeros.
# The pattern begins with what is rare in a text, which makes looking for it fast.
_MANY_PLACES = re.compile(r"-(?<=[0-9][eE]-)[0-9]{3}")
_MANY_ZEROS = "0" * 200
_value_of = itemgetter("metric_value")


class _AlmostZero(float):
    """The float next to zero, in place of a number that is nearer to zero; its text is the number's."""

    __slots__ = ("literal",)

    literal: str

    def __str__(self) -> str:
        return self.literal


def load(text: str) -> Any:
    """Return the request in `text`, in which no value is zero that is written as another number.

    Raises `ValueError` if `text` is no JSON.
    """
    document = from_json(text)
    if not _any_zero(document) or not (_MANY_ZEROS in text or _MANY_PLACES.search(text)):
        return document
    del document  # two of them at a time are too much
    return json.loads(text, parse_float=parse_float)


def _any_zero(request: Any) -> bool:
    """Whether a value is zero in a valid request; of any other it may be so."""
    try:
        return 0.0 in map(_value_of, request["data"])
    except (KeyError, TypeError):
        return True


def parse_float(literal: str) -> float:
    """Return the float that a number of a JSON text is, which is zero only if the number is."""
    number = float(literal)
    if number or is_zero(literal):
        return number
    almost = _AlmostZero(copysign(ulp(0.0), number))
    almost.literal = literal
    return almost


def is_zero(literal: str) -> bool:
    """Whether a number, which may be anything near zero, is zero."""
    return not any(digit in "123456789" for digit in literal.lower().partition("e")[0])
