"""Query parameters: one reader for every route, which collects everything that is wrong with them. Pure.

Here is also how a cursor is written in one: base64url of a JSON array, a digest and a place, which are the business of
`pages`.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from unitstream.identity import MAX_NAME
from unitstream.instants import FORMS, parse_instant
from unitstream.periods import FIRST_DAY
from unitstream.problems import Finding, InvalidRequest, near_miss

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    # The values of each parameter of a request, in the order in which they came.
    Query = Mapping[str, Sequence[str]]

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

# Stands for a day that is out of range.
_BEFORE = "0000-00-00"
CURSOR_INVALID = Finding("cursor_invalid", "cursor is not one that an answer came with", parameter="cursor")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_LONGEST_CURSOR = 4_096
# Of what was sent, an error repeats no more.
_QUOTED_CHARACTERS = 64


class Parameters:
    """Reads the parameters of a request, and collects what is wrong with them.

    What is missing or wrong is read as something else, so that the reading goes on; `checked` never lets that out.
    """

    def __init__(self, query: Query, known: Sequence[str], path: Mapping[str, str] | None = None) -> None:
        """Read `query`, in which only the `known` names may occur, and the parameters in the `path`."""
        self._values = {**query, **{name: [text] for name, text in (path or {}).items()}}
        self._errors: list[Finding] = []
        for name in query:
            if name not in known:
                close = near_miss(name, known)
                hint = f": did you mean {close}?" if close else f"; known here: {', '.join(known) or 'none'}"
                self.wrong(_shortened(name), "unknown_parameter", f"{quoted(name)} is not a parameter{hint}")
        for name, values in self._values.items():
            if not all(map(is_text, values)):
                self.wrong(_shortened(name), "not_unicode", f"{quoted(name)} holds half of a surrogate pair")

    def wrong(self, parameter: str, code: str, detail: str) -> None:
        """Take note of an error."""
        self._errors.append(Finding(code, detail, parameter=parameter))

    def checked(self, question: T) -> T:
        """Return `question`, which was made of the parameters, or raise `InvalidRequest`."""
        if self._errors:
            raise InvalidRequest(self._errors)
        return question

    def values(self, name: str) -> Sequence[str]:
        """Return the values of a parameter that may occur any number of times."""
        return self._values.get(name, ())

    def text(self, name: str, *, required: bool = True) -> str | None:
        """Return the value of a parameter that may occur once, None where it is missing or repeated."""
        values = self.values(name)
        if len(values) > 1:
            self.wrong(name, "repeated", f"{name} must occur once, and occurs {len(values):,} times")
            return None
        if not values:
            if required:
                self.wrong(name, "missing", f"{name} is required")
            return None
        return values[0]

    def choice(self, name: str, words: Sequence[Word]) -> Word | None:
        """Return the value of an optional parameter that is one of `words`."""
        text = self.text(name, required=False)
        return None if text is None else self.word(text, words, name, f"{name}_unknown", name)

    def word(self, text: str, words: Sequence[Word], parameter: str, code: str, subject: str) -> Word | None:
        """Return the one of `words` that `text` is. `subject` is what an error calls it."""
        if text in words:
            return words[words.index(text)]
        close = near_miss(text, words, cutoff=0.5)
        hint = f": did you mean {close}?" if close else ""
        alternatives = f"one of {', '.join(words)}" if len(words) > 1 else words[0]
        self.wrong(parameter, code, f"{subject} must be {alternatives}{hint}")
        return None

    def check_name(self, name: str, parameter: str, subject: str) -> None:
        """Take note of a name, of a metric or of a dimension, that is too short or too long."""
        if not name:
            self.wrong(parameter, "empty", f"{subject} must have at least 1 character")
        elif len(name) > MAX_NAME:
            detail = f"{subject} must have at most {MAX_NAME} characters, and has {len(name):,}"
            self.wrong(parameter, "too_long", detail)

    def day(self, name: str, zone: ZoneInfo | None = None) -> str | None:
        """Return a day, which is required. Of a timestamp it is the day on which that lies, in UTC or in `zone`."""
        text = self.text(name)
        if text is None:
            return None
        day = text if is_day(text) else _day_of(text, zone)
        if day is None:
            detail = f"{name} must be a day that exists, as YYYY-MM-DD, and is {quoted(text)}"
            self.wrong(name, "date_invalid", detail)
        elif day < FIRST_DAY:
            self.wrong(name, "date_out_of_range", f"{name} must lie in the years 1970 to 9999")
        else:
            return day
        return None

    def instant(self, name: str) -> int | None:
        """Return an instant, which is optional, in epoch milliseconds."""
        text = self.text(name, required=False)
        if text is None:
            return None
        try:
            return parse_instant(text)
        except ValueError:
            self.wrong(name, "instant_invalid", f"{name} must be {FORMS}, and is {quoted(text)}")
            return None

    def limit(self, default: int, largest: int) -> int:
        """Return how many things a page may have."""
        text = self.text("limit", required=False)
        if text is None:
            return default
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= largest:
            self.wrong("limit", "limit_invalid", f"limit must be a whole number from 1 to {largest:,}")
            return default
        return int(text)

    def cursor(self) -> str | None:
        """Return a cursor as it was sent. Whether it belongs to the question is seen when the reading begins."""
        text = self.text("cursor", required=False)
        if text is not None:
            try:
                decode_cursor(text)
            except ValueError:
                self._errors.append(CURSOR_INVALID)
        return text


def encode_cursor(digest: str, place: Iterable[str | int]) -> str:
    """Return the cursor that `decode_cursor` reads."""
    text = json.dumps([digest, *place], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[str, list[Any]]:
    """Return the digest in a cursor, and its place, which may be anything. Raises `ValueError` for anything else."""
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError("too long")
    try:
        document = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    match document:
        case [str(digest), *place]:
            return digest, place
    raise ValueError("not a digest and a place")


def is_day(text: str) -> bool:
    """Whether `text` is a day that exists, as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _day_of(timestamp: str, zone: ZoneInfo | None) -> str | None:
    from pydantic_core import PydanticCustomError  # noqa: PLC0415  # most questions have days, and start without it

    from unitstream.timestamps import floor_hour  # noqa: PLC0415  # it brings pydantic_core
    from unitstream.zones import local_day  # noqa: PLC0415  # only timestamps in a zone need it

    try:
        day, hour = floor_hour(timestamp)
        return local_day(datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC), zone) if zone else day
    except PydanticCustomError as exc:
        return _BEFORE if exc.type == "timestamp_out_of_range" else None


def is_text(text: str) -> bool:
    """Whether `text` can be sent anywhere: JSON lets half of a surrogate pair through."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def quoted(text: str) -> str:
    """Return `text` in quotation marks, or its beginning if it is long."""
    return repr(text[:_QUOTED_CHARACTERS]) + ("…" if len(text) > _QUOTED_CHARACTERS else "")


def _shortened(name: str) -> str:
    """Return the beginning of a parameter's name as text."""
    return "".join(character if is_text(character) else "\ufffd" for character in name[:_QUOTED_CHARACTERS])
