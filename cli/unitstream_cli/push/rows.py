"""What a file is made of: rows, faults, and what it says beside them.

A row keeps the number of the line it begins on, so that whatever is wrong with it can be found. What makes a file
unreadable as a whole (no such file, another encoding, a header that cannot be right) is a `BadInput`; what is wrong
with one row is a `Fault`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream_cli.errors import BadInput

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

# Of one row or value, in characters: a point has at most some 14,000.
LONGEST = 1_000_000
# The columns of what `unitstream points` wrote, beside those of dimensions.
READ_BACK = ("timestamp", "value", "record_id", "received_at")


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


class Row(NamedTuple):
    """A row: its fields, None where it has no value, and its dimensions where they stand apart from the fields.

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


class Header(NamedTuple):
    """The columns of the rows that follow. `read_back`: unitstream wrote them itself."""

    names: list[str]
    read_back: bool = False


class Member(NamedTuple):
    """What a JSON document says beside its rows."""

    name: str
    value: object


Part = Row | Fault | Header | Member


class Dialect(NamedTuple):
    """How files are to be read; None: as they look. `nulls` are texts that stand for no value."""

    format: Format | None = None
    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    skipped_lines: int = 0
    comment: str | None = None
    nulls: tuple[str, ...] = ()


class Lines:
    """The lines of a text, without those that are skipped and, outside of quotation marks, comments.

    `taken` is what was read since `begin`, the lines from `first` to `last`.
    """

    def __init__(self, file: str, text: io.TextIOWrapper, dialect: Dialect) -> None:
        self.first = self.last = 0
        self.taken: list[str] = []
        self._file = file
        self._text = text
        self._dialect = dialect
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._lines)

    def begin(self) -> None:
        """Begin a row."""
        self.first = 0
        self.taken.clear()

    def _read(self) -> Iterator[str]:
        comment, number, quoted = self._dialect.comment, 0, False
        while written := self._text.readline(LONGEST):
            number += 1
            if len(written) == LONGEST:
                raise BadInput(f"{self._file}:{number}: the line is longer than {LONGEST:,} characters.")
            if number <= self._dialect.skipped_lines:
                continue
            if comment:
                if not quoted and written.startswith(comment):
                    continue
                quoted ^= written.count('"') % 2 == 1
            self.first, self.last = self.first or number, number
            self.taken.append(written)
            yield written


def read_as_one(where: str, first: int, last: int, reason: str) -> BadInput:
    """Return the error for a row that is wrong and may be many: leaving it out would lose valid ones."""
    return BadInput(
        f"{where}: lines {first:,} to {last:,} were read as one row, {reason}.",
        "Most likely a quotation mark is missing or too much there.",
    )
