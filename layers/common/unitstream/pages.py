"""Pages of long answers, and the cursors that lead from one page to the next. Pure.

A cursor is the place where a page ended, with a digest of the question and the stream that it belongs to. It says what
was looked at, not how much: so what others write in the meantime is neither skipped nor repeated.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from unitstream.parameters import CURSOR_INVALID, decode_cursor, encode_cursor, is_day, is_text
from unitstream.problems import Finding, InvalidRequest, OutOfTime, TooMuch
from unitstream.questions import MetricsQuestion, PointsQuestion, SavedQuestion, SeriesQuestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unitstream.questions import PagedQuestion

T = TypeVar("T")

# Of an answer that is quoted in JSON once more, as Lambda's are. Lambda takes 6 MB.
MAX_PAGE_BYTES = 4_000_000
# What DynamoDB takes for a sort key.
_MAX_SORT_KEY_BYTES = 1_024
_RECORD_ID = re.compile(r"[0-9a-f]{64}")
_CURSOR_OF_ANOTHER_QUESTION = Finding(
    "cursor_of_another_question", "cursor belongs to another question, or to another stream", parameter="cursor"
)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many things, in order. `next_cursor` asks for those that follow, and is None at the end.

    A page may have fewer things than its limit, even none, and still not be the last. `notices` stand on the first.
    """

    items: list[T]
    next_cursor: str | None
    notices: tuple[Finding, ...] = ()


class PointPlace(NamedTuple):
    """The place of a point among the points of a metric, which are in the order of time."""

    day: str
    record_id: str
    hour: int


class Candidate(NamedTuple, Generic[T]):
    """What comes next in an answer: something for the page, or None for what is not asked for.

    The place of a metric is its sort key, that of a series its record ID. `size` is what `item` adds to an answer, in
    bytes.
    """

    place: str | PointPlace
    item: T | None
    size: int


def paginate(stream_id: str, question: PagedQuestion, candidates: Iterable[Candidate[T]]) -> Page[T]:
    """Return a page of the candidates, which are in order and come after the question's cursor.

    It ends early where it would get too large, and where `candidates` raises `OutOfTime` or `TooMuch` after at least
    one of them.
    """
    items: list[T] = []
    last: str | PointPlace | None = None
    size = 0
    try:
        for place, item, item_size in candidates:
            if item is not None:
                size += item_size
                if last is not None and items and (len(items) == question.limit or size > MAX_PAGE_BYTES):
                    return Page(items, next_cursor(stream_id, question, last))
                items.append(item)
            last = place
    except (OutOfTime, TooMuch):
        if last is None:
            raise
        return Page(items, next_cursor(stream_id, question, last))
    return Page(items, None)


def next_cursor(stream_id: str, question: PagedQuestion, place: str | PointPlace) -> str:
    """Return the cursor of the page that begins after `place` in the answer to `question`."""
    return encode_cursor(_digest(stream_id, question), (place,) if isinstance(place, str) else place)


@overload
def place_of(stream_id: str, question: MetricsQuestion | SavedQuestion | SeriesQuestion) -> str | None: ...
@overload
def place_of(stream_id: str, question: PointsQuestion) -> PointPlace | None: ...
def place_of(stream_id: str, question: PagedQuestion) -> str | PointPlace | None:
    """Return the place after which the answer to `question` begins, None for the beginning.

    Raises `InvalidRequest` when the question's cursor belongs to another question or another stream, where it would
    skip what nobody has seen, and when it was made up.
    """
    if question.cursor is None:
        return None
    try:
        digest, steps = decode_cursor(question.cursor)
    except ValueError as exc:
        raise InvalidRequest([CURSOR_INVALID]) from exc
    if digest != _digest(stream_id, question):
        raise InvalidRequest([_CURSOR_OF_ANOTHER_QUESTION])
    place = _place(question, steps)
    if place is None:
        raise InvalidRequest([CURSOR_INVALID])
    return place


def _place(question: PagedQuestion, steps: list[Any]) -> str | PointPlace | None:
    """Return the place that a cursor says, None if it cannot be one: anybody can write a cursor."""
    match question, steps:
        case MetricsQuestion() | SavedQuestion(), [str(sort_key)]:
            return sort_key if is_text(sort_key) and 0 < len(sort_key.encode()) <= _MAX_SORT_KEY_BYTES else None
        case SeriesQuestion(), [str(record_id)]:
            return record_id if _RECORD_ID.fullmatch(record_id) else None
        case PointsQuestion(timeframe=(start, end)), [str(day), str(record_id), int(hour)]:
            in_range = is_day(day) and start <= day <= end and 0 <= hour <= 23
            # JSON's true is an int too.
            known = in_range and _RECORD_ID.fullmatch(record_id) and type(hour) is int
            return PointPlace(day, record_id, hour) if known else None
    return None


def _digest(stream_id: str, question: PagedQuestion) -> str:
    """Tell questions and streams apart, whatever the page."""
    document = repr((stream_id, replace(question, limit=0, cursor=None)))
    return hashlib.sha256(document.encode()).hexdigest()[:16]
