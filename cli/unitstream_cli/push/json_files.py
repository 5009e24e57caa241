"""JSON in any form: a point on each line, arrays of them, bodies of requests, and what `unitstream points` prints."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from unitstream.json_numbers import parse_float
from unitstream_cli.errors import BadInput
from unitstream_cli.push.rows import LONGEST, READ_BACK, Fault, Header, Member, Row

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from unitstream_cli.push.rows import Lines, Part

_CHUNK = 4_000_000
# The members of a document that hold its rows, and how those call their dimensions.
_DIMENSIONS_OF = {"data": "custom_dimensions", "points": "dimensions"}


def ndjson_parts(lines: Lines) -> Iterator[Part]:
    """Yield a row for each line, in order."""
    for written in lines:
        lines.begin()
        if not written.strip():
            continue
        try:
            value = _decoder.decode(written)
        except (ValueError, RecursionError) as exc:
            yield Fault(lines.last, "", f"is not valid JSON: {_reason(exc)}")
            continue
        yield _row(lines.last, value)


def json_parts(file: str, text: io.TextIOWrapper, skipped_lines: int) -> Iterator[Part]:
    """Yield the rows of a document of any size, or of several one after the other, and what else they say."""
    for _ in range(skipped_lines):
        text.readline(LONGEST)
    scanner = _Scanner(text, skipped_lines + 1)
    try:
        while begins := scanner.peek():
            if begins == "[":
                yield from scanner.rows()
            elif begins == "{":
                yield from _object(scanner)
            else:
                raise BadInput(f"{file} holds neither an array of points nor an object with them in `data`.")
    except UnicodeError:
        raise
    except (ValueError, RecursionError) as exc:
        raise BadInput(f"{file}:{scanner.line}: is not valid JSON: {_reason(exc)}.") from exc


def is_document(line: str) -> bool | None:
    """Whether the first line of a text holds, or begins, more than one row; None if it is no JSON."""
    if line.startswith("[") or line.strip() == "{":
        return True
    try:
        value, end = _decoder.raw_decode(line)
    except (ValueError, RecursionError):
        return None
    more = line[end:].strip()
    if more:
        return True if more.startswith(("{", "[")) else None
    return any(isinstance(value.get(name), list) for name in _DIMENSIONS_OF)


def _object(scanner: _Scanner) -> Iterator[Part]:
    """Yield what an object is: a row, unless it is a document that has rows."""
    line, members, has_rows = scanner.line, list[tuple[str, Any]](), False
    for _ in scanner.members("}"):
        name = scanner.value()
        if not isinstance(name, str):
            raise ValueError("a name in quotation marks is expected")  # noqa: TRY004  # the JSON is wrong, not the program
        scanner.expect(":")
        if name not in _DIMENSIONS_OF or not scanner.next_is("["):
            members.append((name, scanner.value()))
            continue
        has_rows = True
        yield from (Member(*member) for member in members)
        members.clear()
        if name == "points":
            yield Header([*READ_BACK], read_back=True)
        yield from scanner.rows(_DIMENSIONS_OF[name])
    if has_rows:
        yield from (Member(*member) for member in members)
    else:
        yield _row(line, _members(members))


class _Repeating(dict[str, Any]):
    """An object with a key that occurs twice: parsers keep the last value and say nothing."""

    __slots__ = ("repeated",)

    repeated: str


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeating = _Repeating(members)
    names = [name for name, _ in pairs]
    repeating.repeated = next(name for name in names if names.count(name) > 1)
    return repeating


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_float=parse_float)
_blank = re.compile(r"[ \t\r\n]*")


class _Scanner:
    """Walks through a JSON text of any size, a value at a time, and knows the line."""

    def __init__(self, text: io.TextIOWrapper, line: int) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self.line = line

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while True:
            # A whole value is always in the buffer, so what does not parse is wrong rather than cut off.
            if len(self._buffer) - self._at < LONGEST:
                self._buffer, self._at = self._buffer[self._at :] + self._text.read(_CHUNK), 0
            blank = _blank.match(self._buffer, self._at)
            self._move(blank.end() if blank else self._at)
            if self._at < len(self._buffer) or not self._buffer:
                return self._buffer[self._at : self._at + 1]

    def next_is(self, character: str) -> bool:
        return self.peek() == character

    def expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            expected = " or ".join(characters)
            raise ValueError(f"{expected} is expected, not {found!r}" if found else f"it ends before {expected}")
        self._move(self._at + 1)
        return found

    def value(self) -> Any:
        self.peek()
        try:
            value, end = _decoder.raw_decode(self._buffer, self._at)
        except json.JSONDecodeError as exc:
            self._move(exc.pos)
            raise ValueError(exc.msg) from exc
        self._move(end)
        return value

    def members(self, end: str) -> Iterator[None]:
        """Yield before each member of the array or object that begins here, and close it after the last."""
        self.expect("[{")
        if self.next_is(end):
            self.expect(end)
            return
        while True:
            self.peek()
            yield
            if self.expect("," + end) == end:
                return

    def rows(self, dimensions: str = "custom_dimensions") -> Iterator[Row | Fault]:
        """Yield the members of the array that begins here."""
        for _ in self.members("]"):
            line = self.line
            yield _row(line, self.value(), dimensions)

    def _move(self, to: int) -> None:
        self.line += self._buffer.count("\n", self._at, to)
        self._at = to


def _row(line: int, value: object, dimensions: str = "custom_dimensions") -> Row | Fault:
    """Return the row that `value` is. `dimensions` is the name of its member that holds them."""
    if not isinstance(value, dict):
        return Fault(line, "", "is not an object")
    custom = value.get(dimensions)
    for one in (value, custom):
        if isinstance(one, _Repeating):
            return Fault(line, one.repeated, "occurs more than once in its object: one of the values would be lost")
    if custom is not None and not isinstance(custom, dict):
        return Fault(line, dimensions, "must be an object")
    return Row(line, {name: field for name, field in value.items() if name != dimensions}, custom or {})


def _reason(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at character {exc.pos + 1:,}"
    return "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
