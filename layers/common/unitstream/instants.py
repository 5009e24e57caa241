"""Instants to the millisecond, such as when a point was received: how they are written, and how they are read. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

FORMS = "ISO 8601, such as 2022-10-01T13:00:00Z, or 13 digits of epoch milliseconds"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The years 2001 to 2286. Fewer digits would be seconds, or a date.
EPOCH_MILLISECONDS = re.compile(r"[1-9][0-9]{12}")
ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)? ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def instant_text(milliseconds: int) -> str:
    """Return an instant, in epoch milliseconds, as `2022-10-01T13:00:00.000Z`."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def parse_instant(text: str) -> int:
    """Return the epoch milliseconds of the instant that `text` names, or of the first millisecond after it.

    Without an offset it is in UTC, and a day is its midnight. Raises `ValueError`.
    """
    if EPOCH_MILLISECONDS.fullmatch(text):
        return int(text)
    if not ISO.fullmatch(text):
        raise ValueError(f"not {FORMS}")
    moment = datetime.fromisoformat(f"{text[:10]} {text[11:].replace(' ', '').upper()}".strip())
    return -((_EPOCH - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))) // _MILLISECOND)
