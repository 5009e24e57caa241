"""Checking the files of a push: as a whole, before anything is sent."""

from __future__ import annotations

import contextlib
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from unitstream.values import parse_value
from unitstream_cli.console import printable, say
from unitstream_cli.errors import BadInput
from unitstream_cli.push.mapping import Columns, Series
from unitstream_cli.push.rows import Dialect, Fault, Row, Source, read_as_one, size_of
from unitstream_cli.push.spool import Combine, Place, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

_SHOWN_FAULTS = 20
# Between two looks at the progress of reading.
_ROWS_A_LOOK = 2_000
# A row that is wrong and takes more is most likely many rows, between two quotation marks too much.
_MOST_LINES_LEFT_OUT = 100


@dataclass
class Faults:
    """What is wrong: the first is shown, all is written to a file if there is one.

    `rows` are wrong by themselves; `repeated` points are named by several rows, and these do not add up to one.
    """

    file: TextIO | None = None
    rows: int = 0
    repeated: int = 0
    count: int = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path | None) -> Iterator[Faults]:
        if path is None:
            yield cls()
            return
        try:
            file = path.open("w", encoding="utf-8", newline="")
        except OSError as exc:
            raise BadInput(f"cannot write {path}: {exc.strerror}.") from exc
        with file:
            csv.writer(file).writerow(("file", "line", "column", "reason"))
            yield cls(file)

    def add_row(self, file: str, faults: list[Fault]) -> None:
        """Add what is wrong with one row."""
        self.rows += 1
        for fault in faults:
            self._add(file, fault)

    def add_repeated(self, file: str, fault: Fault) -> None:
        """Add what is wrong with several rows for one point."""
        self.repeated += 1
        self._add(file, fault)

    def _add(self, file: str, fault: Fault) -> None:
        line, column, reason = fault
        self.count += 1
        if self.file:
            csv.writer(self.file).writerow((file, line, column, reason))
        if self.count <= _SHOWN_FAULTS:
            say(printable(f"{file}:{line}: {column + ': ' if column else ''}{reason}"))


@dataclass
class Reading:
    """The files of a push: their rows are checked and their points put into the spool."""

    paths: list[Path]
    columns: Columns
    dialect: Dialect
    agg_func: str
    spool: Spool
    _content: Any
    rows: int = 0
    points: int = 0
    sources: list[Source] = field(default_factory=list)
    # The files that have several rows on a line.
    _crowded: set[int] = field(default_factory=set)
    # Whether it was said that names have line ends.
    _told: bool = False

    def __post_init__(self) -> None:
        self.sources = [Source(path, self._content) for path in self.paths]

    @property
    def digest(self) -> str:
        """Digest of the options and of all that was read."""
        digest: str = self._content.hexdigest()
        return digest

    def where(self, place: Place) -> str:
        """Return where a row stands, as a person is told."""
        row = f" (row {place.row:,})" if place.file in self._crowded else ""
        return f"{self.sources[place.file].name}:{place.line}{row}"

    def check(self, faults: Faults, combine: Combine | None, progress: Progress, *, skip_invalid: bool) -> None:
        """Fill the spool. `points` are how many there are to send then.

        Raises `BadInput` when something is wrong that is not to be skipped.
        """
        task = progress.add_task("Checking", total=size_of(self.paths), unit="bytes", notice="", speed="")
        for number, source in enumerate(self.sources):
            before = self.rows
            self._read(number, source, faults, lambda: self._look(progress, task))
            if self.rows == before:
                # A job whose export comes out empty has most likely failed.
                message = f"{source.name} has no rows"
                if not skip_invalid:
                    raise BadInput(f"{message}; nothing was sent.")
                say(f"{message}.")
        self._look(progress, task)
        self.points = self.spool.sort()
        self._look_for_repeated(faults, combine)
        if faults.repeated or (faults.rows and not skip_invalid):
            raise self._invalid(faults, combine, skip_invalid=skip_invalid)
        if faults.rows:
            say(f"{counted(faults.rows, 'row')} of {self.rows:,} left out.")
        if not self.points:
            raise BadInput("no point is left; nothing was sent.")
        progress.remove_task(task)

    def _read(self, number: int, source: Source, faults: Faults, look: Callable[[], None]) -> None:
        def check_agg_func(named: object) -> None:
            if named != self.agg_func:
                raise BadInput(f"{source.name} says metric_agg_func {named!r}, and --agg-func says {self.agg_func}.")

        rows = source.rows(self.dialect, lambda header: self.columns.check_header(source.name, header), check_agg_func)
        before = self.rows
        line = 0
        for row in rows:
            self.rows += 1
            if self.rows % _ROWS_A_LOOK == 0:
                look()
            if row.line == line:
                self._crowded.add(number)
            line = row.line
            wrong = self._add(Place(number, line, self.rows - before), row)
            if wrong:
                faults.add_row(source.name, wrong)

    def _add(self, place: Place, row: Row | Fault) -> list[Fault]:
        points, wrong = self.columns.points(row) if isinstance(row, Row) else ([], [row])
        if not wrong:
            self.spool.add(place, points)
        more = f"row {place.row:,}" if place.file in self._crowded else ""
        if isinstance(row, Row) and row.lines > 1:
            if wrong and row.lines > _MOST_LINES_LEFT_OUT:
                told = printable(f"and {wrong[0].column or 'it'} {wrong[0].reason}")
                raise read_as_one(self.where(place), row.line, row.line + row.lines - 1, told)
            more = f"lines {row.line:,} to {row.line + row.lines - 1:,} are one row, by their quotation marks"
            if not self._told and any(len(name.splitlines()) > 1 for point in points for name in _names(point.series)):
                self._told = True
                say(f"{self.where(place)}: {more}, and a name or a dimension has line ends. Is that meant so?")
        return [fault._replace(reason=f"{fault.reason} ({more})") for fault in wrong] if more else wrong

    def _look(self, progress: Progress, task: TaskID) -> None:
        read = sum(source.bytes_read for source in self.sources)
        progress.update(task, completed=read, speed=f"{self.rows:,} rows")

    def _look_for_repeated(self, faults: Faults, combine: Combine | None) -> None:
        """Report every hour of a record that several rows are for, or whose combined value cannot be saved."""
        for series, timestamp, (first, second), rows, combined in self.spool.repeated(combine):
            what = ", ".join(_names(series))
            reason = f"is for the same record and hour as {self.where(first)}: {what} at {timestamp}"
            if second.file in self._crowded:
                reason = f"row {second.row:,} {reason}"
            if rows > 2:
                reason += f", and so are {rows - 2:,} more"
            if combined is not None:
                try:
                    parse_value(combined)
                except PydanticCustomError as exc:
                    reason += f"; combined, the value {exc.message()}"
                else:
                    continue
            faults.add_repeated(self.sources[second.file].name, Fault(second.line, "", reason))

    def _invalid(self, faults: Faults, combine: Combine | None, *, skip_invalid: bool) -> BadInput:
        wrong, hints = [], []
        if faults.rows and not skip_invalid:
            wrong.append(f"{counted(faults.rows, 'row')} of {self.rows:,} {'is' if faults.rows == 1 else 'are'} wrong")
            hints.append("Mend what is wrong, or leave it out with --skip-invalid.")
        if faults.repeated:
            points = counted(faults.repeated, "point")
            if combine is None:
                wrong.append(f"{points} {'is' if faults.repeated == 1 else 'are'} named by more than one row")
                hints.append("--combine sum|average|maximum|minimum|last says what to make of rows for the same hour.")
            else:
                wrong.append(f"what --combine makes of the rows for {points} cannot be saved")
        more = faults.count - _SHOWN_FAULTS
        listed = "" if more <= 0 else f"; the first {_SHOWN_FAULTS} are listed"
        listed += (
            f", all are in {faults.file.name}" if faults.file else ", --errors PATH writes all" if more > 0 else ""
        )
        return BadInput(
            f"{', and '.join(wrong)}{listed}. Nothing was sent.",
            "\n".join(hints) or None,
        )


def _names(series: Series) -> list[str]:
    return [series.metric_name, *(f"{key}={value}" for key, value in series.dimensions)]


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
