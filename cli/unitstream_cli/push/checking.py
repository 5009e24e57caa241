"""Checking the files of a push: as a whole, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from unitstream.values import parse_value
from unitstream_cli.console import counted, printable, say
from unitstream_cli.errors import BadInput
from unitstream_cli.push.faults import SHOWN_FAULTS
from unitstream_cli.push.mapping import Columns, contradiction
from unitstream_cli.push.names import columns_of, has_column, not_there
from unitstream_cli.push.replacing import Owned
from unitstream_cli.push.rows import Dialect, Fault, Header, Member, Row, read_as_one
from unitstream_cli.push.series import CheckedPoint, SeriesKey
from unitstream_cli.push.sources import Source, size_of
from unitstream_cli.push.spool import Place, Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from unitstream_cli.push.combining import Combine
    from unitstream_cli.push.faults import Faults

# Between two looks at the progress of reading.
_ROWS_A_LOOK = 2_000
# A row that is wrong and takes more is most likely many rows, between two quotation marks too much.
_MOST_LINES_LEFT_OUT = 100
_KNOWN_COLUMNS = 1_000


@dataclass
class _Named:
    """The columns that options name, and of which no row of JSON has been found that has them; `known` are others."""

    missing: dict[str, None] = field(default_factory=dict)
    known: dict[str, None] = field(default_factory=dict)
    file: str = ""

    def look(self, file: str, columns: Columns, row: Row) -> None:
        """Look for them in `row`."""
        if not self.file:
            self.file = file
            self.missing = dict.fromkeys(columns.named)
        if self.missing:
            self.missing = {name: None for name in self.missing if not has_column(row, name)}
            if len(self.known) < _KNOWN_COLUMNS:
                self.known |= dict.fromkeys([*columns_of(row.fields), *row.dimensions])


@dataclass
class Reading:
    """The files of a push: their rows are checked and their points put into the spool."""

    paths: list[Path]
    columns: Columns
    dialect: Dialect
    spool: Spool
    _content: Any
    owned: Owned = field(default_factory=Owned)
    rows: int = 0
    points: int = 0
    sources: list[Source] = field(default_factory=list)
    # Whether several rows may become one point.
    combines: bool = False
    # The files that have several rows on a line.
    _crowded: set[int] = field(default_factory=set)
    # Whether it was said that names have line ends.
    _told: bool = False
    _named: _Named = field(default_factory=_Named)

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
        self.combines = combine is not None
        task = progress.add_task("Checking", total=size_of(self.paths), unit="bytes", notice="", speed="")
        for number, source in enumerate(self.sources):
            before = self.rows
            self._read(number, source, faults, lambda: self._count(progress, task))
            if self.rows == before:
                # A job whose export comes out empty has most likely failed.
                message = f"{source.name} has no rows"
                if not skip_invalid:
                    raise BadInput(f"{message}; nothing was sent.")
                say(f"{message}.")
        self._look(progress, task)
        if self._named.missing:
            raise not_there(self._named.file, list(self._named.missing), self._named.known)
        self.points = self.spool.sort()
        self._look_for_repeated(faults)
        faults.show()
        if faults.repeated or (faults.rows and not skip_invalid):
            raise self._invalid(faults, combine, skip_invalid=skip_invalid)
        if faults.rows:
            say(f"{counted(faults.rows, 'row')} of {self.rows:,} left out.")
        if not self.points:
            raise BadInput("no point is left; nothing was sent.")
        progress.remove_task(task)

    def _read(self, number: int, source: Source, faults: Faults, count: Callable[[], None]) -> None:
        columns, metric = self.columns, None
        rows = line = 0
        for part in source.parts(self.dialect):
            match part:
                case Member("metric_name", str(name)):
                    metric = name
                case Member(name, said):
                    self._check_member(source.name, name, said)
                case Header(_, read_back=True):
                    columns = self.columns.of_read_back(source.name, metric)
                case Header(names):
                    columns = replace(self.columns, header=True)
                    columns.check_header(source.name, names)
                case Row() | Fault():
                    rows += 1
                    if part.line == line:
                        self._crowded.add(number)
                    line = part.line
                    if wrong := self._add(Place(number, line, rows), part, columns):
                        faults.add_row(source.name, wrong)
                    count()

    def _check_member(self, file: str, name: str, said: object) -> None:
        meant = self.columns.envelope.get(name)
        if meant is not None and said != meant:
            raise BadInput(f"{file}: {name} {contradiction(name, said, meant)}.", "Nothing was sent.")

    def _add(self, place: Place, row: Row | Fault, columns: Columns) -> list[Fault]:
        file = self.sources[place.file].name
        if isinstance(row, Row) and self.dialect.nulls and not columns.read_back:
            row = _without_nulls(row, self.dialect.nulls)
        points, wrong = columns.points(file, row) if isinstance(row, Row) else ([], [row])
        wrong += [Fault(row.line, "", reason) for reason in self._objections(points)]
        if isinstance(row, Row) and not columns.header:
            self._named.look(file, columns, row)
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

    def _objections(self, points: list[CheckedPoint]) -> list[str]:
        if not self.owned.filters:
            return []
        found = (self.owned.objection(point.series) for point in points)
        return list(dict.fromkeys(filter(None, found)))

    def _count(self, progress: Progress, task: TaskID) -> None:
        self.rows += 1
        if self.rows % _ROWS_A_LOOK == 0:
            self._look(progress, task)

    def _look(self, progress: Progress, task: TaskID) -> None:
        read = sum(source.bytes_read for source in self.sources)
        progress.update(task, completed=read, speed=f"{self.rows:,} rows")

    def _look_for_repeated(self, faults: Faults) -> None:
        """Report every hour of a record that several rows are for, or whose combined value cannot be saved."""
        for series, timestamp, (first, second), rows, combined in self.spool.repeated():
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
            hints.append(f"Mend what is wrong{'' if self.owned.replaces else ', or leave it out with --skip-invalid'}.")
        if faults.repeated:
            points = counted(faults.repeated, "point")
            if combine is None:
                wrong.append(f"{points} {'is' if faults.repeated == 1 else 'are'} named by more than one row")
                hints.append(
                    "--combine sum|average|maximum|minimum|last|count says what to make of rows for the same hour."
                )
            else:
                wrong.append(f"what --combine makes of the rows for {points} cannot be saved")
        more = faults.count - SHOWN_FAULTS
        listed = "" if more <= 0 else f"; the first {SHOWN_FAULTS} are listed"
        listed += (
            f", all are in {faults.file.name}" if faults.file else ", --errors PATH writes all" if more > 0 else ""
        )
        return BadInput(
            f"{', and '.join(wrong)}{listed}. Nothing was sent.",
            "\n".join(hints) or None,
        )


def _without_nulls(row: Row, nulls: tuple[str, ...]) -> Row:
    dimensions = {key: value for key, value in row.dimensions.items() if value not in nulls}
    return row._replace(fields=_nulled(row.fields, nulls), dimensions=dimensions)


def _nulled(value: Any, nulls: tuple[str, ...]) -> Any:
    """Return `value` with None in place of the texts that stand for nothing, also in objects within it."""
    if isinstance(value, dict):
        return {name: _nulled(member, nulls) for name, member in value.items()}
    return None if value in nulls else value


def _names(series: SeriesKey) -> list[str]:
    return [series.metric_name, *(f"{key}={value}" for key, value in series.dimensions)]
