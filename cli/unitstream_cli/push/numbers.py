"""The numbers of files, as people and spreadsheets write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic_core import PydanticCustomError

from unitstream.values import parse_value

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
# 1,234 is among them: read with a decimal comma it would silently be a thousandth, if it is not meant so.
_THOUSANDS = re.compile(
    r"[+-]?[0-9]{1,3}(?:(?P<comma>(?:,[0-9]{3})+)(?:\.[0-9]*)?|(?:(?P<other>[.'\u2019\s])[0-9]{3})+(?P<decimals>,[0-9]*)?)"
)
_IN_PARENTHESES = re.compile(r"\((.+)\)")
_CURRENCY = re.compile(r"(?<![A-Za-z])(?:[A-Z]{1,2}?[$\u20ac\xa3\xa5]|[$\u20ac\xa3\xa5\u20b9\u20bd\u20a9]|[A-Z]{3})")


class Decimal(StrEnum):
    POINT = "."
    COMMA = ","


@dataclass(frozen=True)
class Numerals:
    """How numbers are written. `thousands` stands between groups of three digits; a blank is any blank."""

    decimal: Decimal = Decimal.POINT
    thousands: str | None = None

    @cached_property
    def _grouped(self) -> re.Pattern[str]:
        separator = r"\s" if (self.thousands or "").isspace() else re.escape(self.thousands or "")
        point = re.escape(self.decimal.value)
        groups = rf"(?P<first>{separator})[0-9]{{3}}(?:(?P=first)[0-9]{{3}})*"
        return re.compile(rf"\s*[+-]?[0-9]{{1,3}}{groups}(?:{point}[0-9]*)?\s*")

    def number(self, value: Any) -> float:
        """Return the number that `value` says. Raises `PydanticCustomError`."""
        if isinstance(value, str):
            if self.thousands and (grouped := self._grouped.fullmatch(value)):
                value = value.replace(grouped["first"], "")
            if self.decimal is Decimal.COMMA:
                if "." in value:
                    raise PydanticCustomError("metric_value_invalid", "has a point beside the decimal comma")
                value = value.replace(",", ".")
        return parse_value(value)

    def hint(self, value: Any) -> str:
        """Return what to do about a value that is no number, or nothing."""
        if not isinstance(value, str):
            return ""
        text, hints = value.strip(), []
        if inner := _IN_PARENTHESES.fullmatch(text):
            text = inner[1].strip()
            hints.append("; if parentheses mean that it is negative, write a minus sign")
        if text.endswith("%"):
            text = text[:-1].strip()
            hints.append("; remove the percent sign")
        without = _CURRENCY.sub("", text, count=1).strip()
        if without != text and any(character.isdigit() for character in without):
            text = without
            hints.append("; remove the currency")
        if thousands := _THOUSANDS.fullmatch(text):
            separator = "," if thousands["comma"] else thousands["other"]
            written = "' '" if separator.isspace() else '"\'"' if separator == "'" else separator
            decimal = " --decimal ," if separator == "." or thousands["decimals"] else ""
            if separator not in {self.thousands, self.decimal.value if not decimal else ""}:
                hints.append(f"; --thousands {written}{decimal} reads such numbers")
        elif self.decimal is Decimal.POINT and _DECIMAL_COMMA.fullmatch(text):
            hints.append("; if that is a decimal comma, add --decimal ,")
        return "".join(hints)
