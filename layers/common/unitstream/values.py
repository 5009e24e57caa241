"""Values of points: numbers that a float and DynamoDB can hold."""

from __future__ import annotations

import re
from math import isfinite

from pydantic_core import PydanticCustomError

from unitstream.faults import excerpt
from unitstream.json_numbers import is_zero

# What DynamoDB's numbers hold.
SMALLEST_MAGNITUDE = 1e-130
LARGEST_MAGNITUDE = 9.99e125
# A number as text: of ASCII alone, with what JSON takes for blanks around it.
NUMBER = re.compile(r"[ \t\r\n]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\r\n]*")
_NOT_FINITE = re.compile(r"[ \t\r\n]*[+-]?(?:nan|inf|infinity)[ \t\r\n]*", re.ASCII | re.IGNORECASE)


def parse_value(value: object) -> float:
    """Return the finite float that `value`, a number or a string, converts to.

    Raises `PydanticCustomError` with the code `metric_value_invalid`, `metric_value_not_finite` or
    `metric_value_out_of_range` (magnitudes that DynamoDB cannot hold).
    """
    if isinstance(value, str):
        if not NUMBER.fullmatch(value) and not _NOT_FINITE.fullmatch(value):
            raise PydanticCustomError(
                "metric_value_invalid", "{shown} does not convert to a float", {"shown": excerpt(value)}
            )
    elif isinstance(value, bool) or not isinstance(value, (int, float)):  # `int | float` is made anew at each call
        raise PydanticCustomError("metric_value_invalid", "is neither a number nor a string that converts to one")
    try:
        number = float(value)
    except OverflowError as exc:
        raise _out_of_range(value) from exc
    if SMALLEST_MAGNITUDE <= abs(number) <= LARGEST_MAGNITUDE:
        return number
    if not isfinite(number):
        raise PydanticCustomError("metric_value_not_finite", "is not a finite number, or too large for a float")
    if number or (isinstance(value, str) and not is_zero(value)):
        raise _out_of_range(value)
    return 0.0  # and not -0.0


def _out_of_range(value: object) -> PydanticCustomError:
    return PydanticCustomError(
        "metric_value_out_of_range",
        "{shown} is outside what can be saved: zero, and magnitudes from 1e-130 to 9.99e125",
        {"shown": excerpt(value)},
    )
