"""What the options of `unitstream push` come to, and what is wrong usage of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.push.combining import Combine
from unitstream_cli.push.mapping import Columns, Dimension
from unitstream_cli.push.moments import Clock, check_form, check_zone
from unitstream_cli.push.numbers import Numerals
from unitstream_cli.push.rows import Dialect
from unitstream_cli.push.sources import check_encoding
from unitstream_cli.settings import STDIN

if TYPE_CHECKING:
    from pathlib import Path

    from unitstream_cli.push.moments import Ambiguous, Floor
    from unitstream_cli.push.numbers import Decimal
    from unitstream_cli.push.options import ColumnOptions, FileOptions, RowOptions
    from unitstream_cli.settings import Options


class Plan(NamedTuple):
    """How files are to be read: their columns, how they are written, and what becomes of rows for the same hour."""

    columns: Columns
    dialect: Dialect
    combine: Combine | None


def plan_of(columns: ColumnOptions, rows: RowOptions, files: FileOptions, envelope: dict[str, str]) -> Plan:
    """Return what the options come to. `envelope` is what a request says of all its points."""
    check_metrics(columns, rows.combine)
    combine, distinct = combine_of(rows.combine)
    return Plan(
        Columns(
            columns.timestamp,
            columns.metric_name,
            columns.value,
            columns.metric,
            columns.wide,
            dimensions_of(columns.dimension or []),
            tuple(columns.ignore or []),
            combine is Combine.COUNT,
            distinct,
            clock_of(files.timestamp_format, files.timezone, files.ambiguous, rows.floor),
            numerals_of(files.decimal, files.thousands),
            envelope=envelope,
        ),
        Dialect(
            files.file_format,
            check_encoding(files.encoding),
            character_of("--delimiter", files.delimiter),
            files.skip_lines,
            character_of("--comment", files.comment),
            tuple(files.null or []),
        ),
        combine,
    )


def check_metrics(columns: ColumnOptions, combine: str | None) -> None:
    """Refuse options that contradict each other about where metrics and values are."""
    names_metrics, names_values = columns.metric_name != Columns.metric_name, columns.value != Columns.value
    counts = (combine or "").startswith("count")
    if columns.wide and (columns.metric is not None or names_metrics or names_values or counts):
        raise usage(
            "--wide says that there is a metric in each column; --metric, --metric-name, --value and --combine count "
            "say otherwise."
        )
    if columns.metric is not None and names_metrics:
        raise usage("--metric names the one metric there is, and --metric-name a column with their names.")
    if not columns.wide and not counts and (other := _other_meaning(columns)):
        raise usage(f"--value and {other} name the same column, {columns.value}.")


def _other_meaning(columns: ColumnOptions) -> str | None:
    """Return the option that says of the column with values that it is something else: each would be a series."""
    others = dict.fromkeys(columns.ignore or [], "--ignore")
    others |= {one.column: "--dimension" for one in dimensions_of(columns.dimension or [])}
    others |= {columns.timestamp: "--timestamp"}
    others |= {columns.metric_name: "--metric-name"} if columns.metric is None else {}
    return others.get(columns.value)


def dimensions_of(written: list[str]) -> tuple[Dimension, ...]:
    found = []
    for one in written:
        key, equals, column = one.partition("=")
        found.append(Dimension(column, key) if equals else Dimension(one, one))
    keys = [one.key for one in found]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise usage(f"--dimension has the key {repeated[0]} more than once.")
    return tuple(found)


def combine_of(written: str | None) -> tuple[Combine | None, str | None]:
    """Return how to combine rows, and the column whose texts are counted, if some are."""
    if written is None:
        return None, None
    name, colon, column = written.partition(":")
    if name not in {*Combine} or (name == Combine.COUNT_DISTINCT) != bool(colon and column):
        raise usage(f"--combine is {', '.join(Combine)}:COLUMN, and not {written!r}.")
    return Combine(name), column or None


def clock_of(form: str | None, zone: str | None, ambiguous: Ambiguous | None, floor: Floor | None) -> Clock:
    if ambiguous and not zone:
        raise usage("--ambiguous says which hour of a time zone is meant; --timezone names it.")
    try:
        if form is not None:
            check_form(form)
        if zone is not None:
            check_zone(zone)
    except ValueError as exc:
        raise usage(str(exc)) from exc
    return Clock(form, zone, ambiguous, floor)


def numerals_of(decimal: Decimal, thousands: str | None) -> Numerals:
    if thousands is not None and (len(thousands) != 1 or thousands.isalnum() or thousands in {decimal.value, "+", "-"}):
        raise usage("--thousands is one character, and not the one of --decimal.")
    return Numerals(decimal, thousands)


def character_of(option: str, written: str | None) -> str | None:
    """Return the one character that an option names."""
    found = "\t" if written in {"tab", "\\t"} else written
    if found is not None and (len(found) != 1 or found in '"\r\n'):
        raise usage(f"{option} is one character{', or tab' if option == '--delimiter' else ''}.")
    return found


def paths_of(files: list[Path], shared: Options, errors: Path | None) -> list[Path]:
    paths = files or [STDIN]
    if STDIN in paths:
        if not files and sys.stdin.isatty():
            raise usage("there is no FILE, and stdin is the terminal.")
        if paths.count(STDIN) > 1 or STDIN in {shared.api_key_file, shared.token_file}:
            raise usage("stdin can be read once only.")
    files_seen: dict[tuple[int, int], Path] = {}
    for path in (path for path in paths if path.is_file()):
        status = path.stat()
        first = files_seen.setdefault((status.st_dev, status.st_ino), path)
        if first is not path:
            raise usage(f"{path} is given twice: its rows would count twice.")
    if errors and any(path.exists() and errors.exists() and path.samefile(errors) for path in paths):
        raise usage("--errors would overwrite a file that is to be pushed.")
    return paths


def usage(message: str) -> CommandFailed:
    return CommandFailed(message, exit_code=ExitCode.USAGE)
