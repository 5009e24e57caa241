"""CSV as people and spreadsheets write it, and as unitstream writes it itself."""

from __future__ import annotations

import csv
import re
from itertools import chain
from typing import TYPE_CHECKING

from unitstream.spreadsheets import unguarded
from unitstream_cli.errors import BadInput
from unitstream_cli.push.rows import READ_BACK, Fault, Header, Row, read_as_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream_cli.push.rows import Dialect, Lines, Part

# The line before the header that tells Excel the delimiter.
_SEPARATOR = re.compile(r"\"?sep=([^\"\r\n])\"?[\r\n]*", re.IGNORECASE)
# How the column of a dimension is called whose key is the name of another column.
_PREFIXED = re.compile(f"dimension_((?:dimension_)*(?:{'|'.join(READ_BACK)}))")


def csv_parts(file: str, lines: Lines, dialect: Dialect) -> Iterator[Part]:
    """Yield the header, and the rows in order. A row with line ends in quotation marks takes several lines."""
    delimiter = dialect.delimiter
    first = next(lines, "")
    while (separator := _SEPARATOR.fullmatch(first)) or (first and not first.strip()):
        delimiter = delimiter or (separator[1] if separator else None)
        lines.begin()
        first = next(lines, "")
    if not first:
        return
    delimiter = delimiter or max(",;\t", key=first.count)
    reader = csv.reader(
        chain([first], lines), delimiter=delimiter, skipinitialspace=not delimiter.isspace(), strict=True
    )
    try:
        header = [name.strip() for name in next(reader)]
        # Blanks of its own are data, also at the beginning of a cell.
        own = next(csv.reader(lines.taken, delimiter=delimiter, strict=True))
    except csv.Error as exc:
        raise BadInput(f"{file}:{lines.first}: the header is not valid CSV: {exc}.") from exc
    if set(READ_BACK) <= set(own):
        yield Header([*READ_BACK], read_back=True)
        rows = _rows(file, lines, csv.reader(lines, delimiter=delimiter, strict=True), len(own))
        keys = [None if name in READ_BACK else _key(name) for name in own]
        yield from (part if isinstance(part, Fault) else _read_back_row(part, own, keys) for part in rows)
        return
    yield Header(header)
    for part in _rows(file, lines, reader, len(header)):
        if isinstance(part, Fault):
            yield part
            continue
        line, last, cells = part
        # Exports pad cells; kept on one side only, blanks would make another series of the same name.
        values = [cell.strip() or None for cell in cells]
        # A column without a name may occur several times: what has a value counts.
        fields = {name: value for name, value in zip(header, values, strict=True) if name or value}
        yield Row(line, fields, {}, last - line + 1)


def _rows(
    file: str, lines: Lines, reader: Iterator[list[str]], width: int
) -> Iterator[tuple[int, int, list[str]] | Fault]:
    """Yield the first and last line of each row, and its cells."""
    while True:
        lines.begin()
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            yield _broken(file, lines, f"is not valid CSV: {exc}")
            continue
        if cells is None:
            return
        # Spreadsheets write empty rows as a line of delimiters.
        if not any(map(str.strip, cells)):
            continue
        if len(cells) != width:
            yield _broken(file, lines, f"has {_counted_cells(len(cells))}, and the header has {width}")
            continue
        yield lines.first, lines.last, cells


def _broken(file: str, lines: Lines, reason: str) -> Fault:
    """Return the fault of a row with these lines. Several may well be rows, and valid ones: that is `BadInput`."""
    if lines.last > lines.first:
        raise read_as_one(f"{file}:{lines.first}", lines.first, lines.last, f"which {reason}")
    return Fault(lines.first, "", reason)


def _read_back_row(part: tuple[int, int, list[str]], header: list[str], keys: list[str | None]) -> Row:
    line, last, cells = part
    fields = {name: cell or None for name, key, cell in zip(header, keys, cells, strict=True) if key is None}
    dimensions = {key: unguarded(cell) for key, cell in zip(keys, cells, strict=True) if key is not None}
    return Row(line, fields, dimensions, last - line + 1)


def _key(column: str) -> str:
    name = unguarded(column)
    prefixed = _PREFIXED.fullmatch(name)
    return prefixed[1] if prefixed else name


def _counted_cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
