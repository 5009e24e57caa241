"""Files of points as rows: CSV, NDJSON and JSON, read as streams.

A row keeps the number of the line it begins on, so that whatever is wrong with it can be found. What makes a file
unreadable as a whole (no such file, another encoding, a header that cannot be right) is a `BadInput`; what is wrong
with one row is a `Fault`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import sys
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.json_numbers import parse_float
from unitstream_cli.errors import BadInput, CommandFailed, ExitCode

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

STDIN = Path("-")

_HEAD_BYTES = 65_536
# Of one row or value, in characters: a point has at most some 14,000.
_LONGEST = 1_000_000
_JSON_CHUNK = 4_000_000
# What people take for CSV because a spreadsheet opens it.
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook, or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "Parquet",
}
# The line before the header that tells Excel the delimiter.
_SEPARATOR = re.compile(r"\"?sep=([^\"\r\n])\"?[\r\n]*", re.IGNORECASE)
_ENVELOPE = re.compile(rb'\s*\{\s*("(data|data_stream_token|metric_agg_func)"|\}|$)')


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


class Row(NamedTuple):
    """A row: the fields that it has a value for, and the custom dimensions of a JSON row.

    `line` is where it begins; a row of CSV with line ends in its cells takes several `lines`.
    """

    line: int
    fields: dict[str, Any]
    dimensions: dict[str, Any]
    lines: int = 1


class Fault(NamedTuple):
    """What is wrong with a row, in the column that the user knows; no column: with the row as a whole."""

    line: int
    column: str
    reason: str


class Dialect(NamedTuple):
    """How files are to be read; None: as they look."""

    format: Format | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None


class Source:
    """A file or stdin, of which it is counted and hashed what was read so far."""

    def __init__(self, path: Path, digest: HASH) -> None:
        self.name = "stdin" if path == STDIN else str(path)
        self._path = path
        self._digest = digest
        self._input = _Input(io.BytesIO(), digest)

    @property
    def bytes_read(self) -> int:
        return self._input.count

    def rows(
        self, dialect: Dialect, check_header: Callable[[list[str]], None], check_agg_func: Callable[[object], None]
    ) -> Iterator[Row | Fault]:
        """Yield the rows in order, and a fault for each that cannot be read.

        `check_header` gets the columns of a CSV file, `check_agg_func` the function that a JSON document names.
        Raises `BadInput` for what makes the file unreadable.
        """
        try:
            with self._open() as stream:
                # Files have other rows when they are divided in another place.
                self._digest.update(b"\0")
                self._input = _Input(stream, self._digest)
                self._check_kind()
                kind = dialect.format or _format(self._path, self._input.head)
                text = _text(self._input, dialect.encoding)
                match kind:
                    case Format.CSV:
                        yield from self._csv(text, dialect.delimiter, check_header)
                    case Format.NDJSON:
                        yield from self._ndjson(text)
                    case Format.JSON:
                        yield from self._json(text, check_agg_func)
        except OSError as exc:
            raise BadInput(f"cannot read {self.name}: {exc.strerror}.") from exc

    def _open(self) -> BinaryIO:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb") if self._path == STDIN else self._path.open("rb")

    def _check_kind(self) -> None:
        for start, what in _OTHER_FILES.items():
            if self._input.head.startswith(start):
                raise BadInput(f"{self.name} is {what}: save it as CSV, NDJSON or JSON.")

    def _csv(self, text: io.TextIOWrapper, delimiter: str | None, check: Callable[[list[str]], None]) -> Iterator[Any]:
        lines = self._lines(text)
        skipped, first = 0, next(lines, "")
        while (separator := _SEPARATOR.fullmatch(first)) or (first and not first.strip()):
            if separator:
                delimiter = delimiter or separator[1]
            skipped, first = skipped + 1, next(lines, "")
        if not first:
            return
        delimiter = delimiter or max(",;\t", key=first.count)
        reader = csv.reader(chain([first], lines), delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
        try:
            header = [name.strip() for name in next(reader)]
        except csv.Error as exc:
            raise BadInput(f"{self.name}:{skipped + 1}: the header is not valid CSV: {exc}.") from exc
        check(header)
        while True:
            line = skipped + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as exc:
                yield self._broken(line, skipped + reader.line_num, f"is not valid CSV: {exc}")
                continue
            if row is None:
                return
            # Exports pad cells; kept on one side only, blanks would make another series of the same name.
            cells = [cell.strip() for cell in row]
            # Spreadsheets write empty rows as a line of delimiters.
            if not any(cells):
                continue
            last = skipped + reader.line_num
            if len(cells) != len(header):
                yield self._broken(line, last, f"has {_cells(len(cells))}, and the header has {len(header)}")
                continue
            fields = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            yield Row(line, fields, {}, last - line + 1)

    def _broken(self, first: int, last: int, reason: str) -> Fault:
        """Return the fault of a row with these lines. Several may well be rows, and valid ones: that is `BadInput`."""
        if last > first:
            raise read_as_one(f"{self.name}:{first}", first, last, f"which {reason}")
        return Fault(first, "", reason)

    def _ndjson(self, text: io.TextIOWrapper) -> Iterator[Row | Fault]:
        for line, written in enumerate(self._lines(text), 1):
            if not written.strip():
                continue
            try:
                value = _decoder.decode(written)
            except (ValueError, RecursionError) as exc:
                yield Fault(line, "", f"is not valid JSON: {_json_reason(exc)}")
                continue
            yield _row(line, value)

    def _json(self, text: io.TextIOWrapper, check_agg_func: Callable[[object], None]) -> Iterator[Row | Fault]:
        scanner = _Scanner(text)
        try:
            if scanner.next_is("{"):
                for _ in scanner.members("}"):
                    name = scanner.value()
                    scanner.expect(":")
                    if name == "data" and scanner.next_is("["):
                        yield from scanner.rows()
                    elif name == "metric_agg_func":
                        check_agg_func(scanner.value())
                    else:
                        scanner.value()
            elif scanner.next_is("["):
                yield from scanner.rows()
            elif scanner.peek():
                raise BadInput(f"{self.name} holds neither an array of points nor an object with them in `data`.")
            if scanner.peek():
                raise BadInput(f"{self.name}:{scanner.line}: is not valid JSON: there is more after its end.")
        except UnicodeDecodeError as exc:
            raise self._undecodable(exc) from exc
        except (ValueError, RecursionError) as exc:
            raise BadInput(f"{self.name}:{scanner.line}: is not valid JSON: {_json_reason(exc)}.") from exc

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        line = 0
        try:
            while written := text.readline(_LONGEST):
                line += 1
                if len(written) == _LONGEST:
                    raise BadInput(f"{self.name}:{line}: the line is longer than {_LONGEST:,} characters.")
                yield written
        except UnicodeDecodeError as exc:
            raise self._undecodable(exc) from exc

    def _undecodable(self, exc: UnicodeDecodeError) -> BadInput:
        """Say where the byte is. `exc` knows the part that was read last."""
        wrong = exc.object[exc.start : exc.start + 1]
        line = self._input.line_ends - exc.object.count(b"\n", exc.start) + 1
        place = self._input.count - len(exc.object) + exc.start + 1
        guess = "utf-16" if place <= 2 and wrong in b"\xff\xfe" else "cp1252"
        return BadInput(
            f"{self.name}:{line}: the text is not {exc.encoding.upper()}: byte {place:,} of the file, 0x{wrong.hex()}, "
            "does not fit.",
            f"Say which encoding it has; perhaps it is --encoding {guess}.",
        )


def check_encoding(name: str) -> str:
    """Return the encoding called `name`; UTF-8 with or without a byte-order mark is the same."""
    try:
        found = codecs.lookup(name).name
        "".encode(name)
    except LookupError as exc:
        raise CommandFailed(
            f"there is no encoding {name!r}; known are utf-8, utf-16, cp1252, latin-1 and many more.",
            exit_code=ExitCode.USAGE,
        ) from exc
    return "utf-8-sig" if found == "utf-8" else found


class _Input(io.BufferedIOBase):
    """Bytes for a `TextIOWrapper`: counted, hashed, and their beginning is known beforehand."""

    def __init__(self, stream: BinaryIO, digest: HASH) -> None:
        self._stream = stream
        self._digest = digest
        self.head = self._rest = stream.read(_HEAD_BYTES)
        self.count = 0
        self.line_ends = 0

    @property
    def name(self) -> str:
        """What `TextIOWrapper` asks for, to be represented."""
        return "input"

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        part, self._rest = self._rest or self._stream.read(max(size, _HEAD_BYTES)), b""
        self.count += len(part)
        self.line_ends += part.count(b"\n")
        self._digest.update(part)
        return part

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(-1 if size is None else size)


def _text(stream: _Input, encoding: str) -> io.TextIOWrapper:
    # Line ends stay as they are: a quoted cell may hold some.
    return io.TextIOWrapper(stream, check_encoding(encoding), newline="")


def _format(path: Path, head: bytes) -> Format:
    """Tell the format by the file's name, or else by how it begins. An extension .json is used for both of JSON's."""
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return Format.CSV
        case ".ndjson" | ".jsonl":
            return Format.NDJSON
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"[") or _ENVELOPE.match(start):
        return Format.JSON
    if start.startswith(b"{"):
        return Format.NDJSON
    return Format.JSON if path.suffix.lower() == ".json" else Format.CSV


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
    """Walks through a JSON document of any size, a value at a time, and knows the line."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self.line = 1

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while True:
            # A whole value is always in the buffer, so what does not parse is wrong rather than cut off.
            if len(self._buffer) - self._at < _LONGEST:
                self._buffer, self._at = self._buffer[self._at :] + self._read(), 0
            blank = _blank.match(self._buffer, self._at)
            self._move(blank.end() if blank else self._at)
            if self._at < len(self._buffer) or not self._buffer:
                return self._buffer[self._at : self._at + 1]
            self._buffer, self._at = "", 0
            if not (more := self._read()):
                return ""
            self._buffer = more

    def _read(self) -> str:
        return self._text.read(_JSON_CHUNK)

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

    def rows(self) -> Iterator[Row | Fault]:
        """Yield the members of the array that begins here."""
        for _ in self.members("]"):
            line = self.line
            yield _row(line, self.value())

    def _move(self, to: int) -> None:
        self.line += self._buffer.count("\n", self._at, to)
        self._at = to


def _row(line: int, value: object) -> Row | Fault:
    if not isinstance(value, dict):
        return Fault(line, "", "is not an object")
    dimensions = value.get("custom_dimensions")
    for one in (value, dimensions):
        if isinstance(one, _Repeating):
            return Fault(line, one.repeated, "occurs more than once in its object: one of the values would be lost")
    if dimensions is not None and not isinstance(dimensions, dict):
        return Fault(line, "custom_dimensions", "must be an object")
    fields = {name: field for name, field in value.items() if field is not None and name != "custom_dimensions"}
    return Row(line, fields, dimensions or {})


def _json_reason(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at character {exc.pos + 1:,}"
    return "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)


def read_as_one(where: str, first: int, last: int, reason: str) -> BadInput:
    """Return the error for a row that is wrong and may be many: leaving it out would lose valid ones."""
    return BadInput(
        f"{where}: lines {first:,} to {last:,} were read as one row, {reason}.",
        "Most likely a quotation mark is missing or too much there.",
    )


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def size_of(paths: list[Path]) -> int | None:
    """Return how many bytes there are to read, or None when that is not known: stdin, pipes, files that are missing."""
    if not all(path.is_file() for path in paths):
        return None
    return sum(path.stat().st_size for path in paths)
