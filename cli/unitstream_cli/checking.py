"""Checking the files of a push: as a whole, before anything is sent."""

from __future__ import annotations

import contextlib
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from unitstream.payload import parse_value
from unitstream_cli.console import say
from unitstream_cli.errors import BadInput
from unitstream_cli.mapping import Columns
from unitstream_cli.rows import Dialect, Fault, Source, size_of
from unitstream_cli.spool import Combine, Place, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from unitstream_cli.rows import Row

_SHOWN_FAULTS = 20
# Between two looks at the progress of reading.
_ROWS_A_LOOK = 2_000


@dataclass
class Faults:
    """What is wrong with the rows: the first are shown, all are written to a file if there is one."""

    file: TextIO | None = None
    rows: int = 0
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

    def add(self, file: str, faults: list[Fault]) -> None:
        """Add what is wrong with one row."""
        self.rows += 1
        for line, column, reason in faults:
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
    sources: list[Source] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sources = [Source(path, self._content) for path in self.paths]

    @property
    def digest(self) -> str:
        """Digest of the options and of all that was read."""
        digest: str = self._content.hexdigest()
        return digest

    def check(self, faults: Faults, combine: Combine | None, progress: Progress, *, skip_invalid: bool) -> int:
        """Fill the spool, and return how many points there are to send.

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
        points = self.spool.sort()
        if faults.rows and not skip_invalid:
            self._look_for_repeated(faults, combine)
            raise self._invalid(faults, "Mend them, or leave them out with --skip-invalid.")
        invalid_rows = faults.rows
        repeated = self._look_for_repeated(faults, combine)
        if repeated and combine is None:
            raise self._invalid(
                faults, "--combine sum|average|maximum|minimum|last says what to make of rows for the same hour."
            )
        if repeated:
            raise self._invalid(faults, "What --combine makes of these rows cannot be saved.")
        if invalid_rows:
            say(f"{counted(invalid_rows, 'row')} of {self.rows:,} left out.")
        if not points:
            raise BadInput("no point is left; nothing was sent.")
        progress.remove_task(task)
        return points

    def _read(self, number: int, source: Source, faults: Faults, look: Callable[[], None]) -> None:
        def check_agg_func(named: object) -> None:
            if named != self.agg_func:
                raise BadInput(f"{source.name} says metric_agg_func {named!r}, and --agg-func says {self.agg_func}.")

        rows = source.rows(self.dialect, lambda header: self.columns.check_header(source.name, header), check_agg_func)
        for row in rows:
            self.rows += 1
            if self.rows % _ROWS_A_LOOK == 0:
                look()
            wrong = self._add(number, row)
            if wrong:
                faults.add(source.name, wrong)

    def _add(self, number: int, row: Row | Fault) -> list[Fault]:
        if isinstance(row, Fault):
            return [row]
        points, wrong = self.columns.points(row)
        if not wrong:
            self.spool.add(Place(number, row.line), points)
        return wrong

    def _look(self, progress: Progress, task: TaskID) -> None:
        read = sum(source.bytes_read for source in self.sources)
        progress.update(task, completed=read, speed=f"{self.rows:,} rows")

    def _look_for_repeated(self, faults: Faults, combine: Combine | None) -> int:
        """Report every hour of a record that several rows are for, or whose combined value cannot be saved."""
        found = 0
        for series, timestamp, (first, second), rows, combined in self.spool.repeated(combine):
            where = f"{self.sources[first.file].name}:{first.line}"
            what = ", ".join([series.metric_name, *(f"{key}={value}" for key, value in series.dimensions)])
            reason = f"is for the same record and hour as {where}: {what} at {timestamp}"
            if rows > 2:
                reason += f", and so are {rows - 2:,} more"
            if combined is not None:
                try:
                    parse_value(combined)
                except PydanticCustomError as exc:
                    reason += f"; combined, the value {exc.message()}"
                else:
                    continue
            found += 1
            faults.add(self.sources[second.file].name, [Fault(second.line, "", reason)])
        return found

    def _invalid(self, faults: Faults, hint: str) -> BadInput:
        more = faults.count - _SHOWN_FAULTS
        listed = "" if more <= 0 else f"; the first {_SHOWN_FAULTS} are listed"
        listed += (
            f", all are in {faults.file.name}" if faults.file else ", --errors PATH writes all" if more > 0 else ""
        )
        return BadInput(
            f"{counted(faults.rows, 'row')} of {self.rows:,} {'is' if faults.rows == 1 else 'are'} wrong{listed}. "
            "Nothing was sent.",
            hint,
        )


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """A file may hold what would move the cursor."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
