"""The options of `unitstream push`, and what is wrong usage of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.push.mapping import Dimension
from unitstream_cli.push.moments import Ambiguous, Clock, Floor, check_form, check_zone
from unitstream_cli.push.numbers import Decimal, Numerals
from unitstream_cli.push.rows import Format
from unitstream_cli.push.spool import Combine
from unitstream_cli.settings import STDIN, Options

_COLUMNS, _ROWS, _FILES, _SENDING = "Columns", "Rows", "Files", "Sending"


class AggFunc(StrEnum):
    SUM = "Sum"
    AVERAGE = "Average"
    MAXIMUM = "Maximum"
    MINIMUM = "Minimum"


FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help="CSV, NDJSON or JSON, also compressed with gzip; - is stdin, and so is no FILE at all.",
    ),
]
AggFuncOption = Annotated[
    AggFunc,
    typer.Option(
        "--agg-func",
        case_sensitive=False,
        help="How the values of a metric are put together when they are looked at by day, month or region: "
        "Sum for what adds up (orders), Average for levels (temperatures), Maximum and Minimum for peaks. "
        "The same metric with another function is another record.",
    ),
]
TimestampOption = Annotated[
    str,
    typer.Option(
        "--timestamp",
        metavar="COLUMN",
        help="Column with the hour. Several, and what stands between them: '{date} {hour}'.",
        rich_help_panel=_COLUMNS,
    ),
]
MetricNameOption = Annotated[
    str,
    typer.Option("--metric-name", metavar="COLUMN", help="Column with the metric's name.", rich_help_panel=_COLUMNS),
]
ValueOption = Annotated[
    str, typer.Option("--value", metavar="COLUMN", help="Column with the value.", rich_help_panel=_COLUMNS)
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Name of the one metric that all rows are of; no column names it.",
        rich_help_panel=_COLUMNS,
    ),
]
WideOption = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Every column is a metric, save the timestamp and those named by --dimension or --ignore. "
        "An empty cell is no point.",
        rich_help_panel=_COLUMNS,
    ),
]
DimensionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dimension",
        metavar="[KEY=]COLUMN",
        help="Column that is a dimension, under a KEY of your own if you like; for several, repeat it. In JSON, "
        "region=place.region is a field of an object. Default: every column that is nothing else. An empty cell: the "
        "row lacks the dimension.",
        rich_help_panel=_COLUMNS,
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="COLUMN", help="Column to leave out; may be repeated.", rich_help_panel=_COLUMNS),
]
FloorOption = Annotated[
    Floor | None,
    typer.Option("--floor", help="Put every timestamp at the start of its UTC hour or day.", rich_help_panel=_ROWS),
]
CombineOption = Annotated[
    str | None,
    typer.Option(
        "--combine",
        metavar="HOW",
        help="What to make of several rows for the same record and hour, which are an error otherwise: sum, average, "
        "maximum, minimum or last of their values; count, of the rows; count-distinct:COLUMN, of the texts in it.",
        rich_help_panel=_ROWS,
    ),
]
SkipInvalidOption = Annotated[
    bool,
    typer.Option("--skip-invalid", help="Send the valid rows although others are not.", rich_help_panel=_ROWS),
]
ErrorsOption = Annotated[
    Path | None,
    typer.Option(
        "--errors",
        metavar="PATH",
        help="Write everything that is wrong to this CSV file; the terminal shows the first 20.",
        rich_help_panel=_ROWS,
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Default: by the name of the file, or how it begins.", rich_help_panel=_FILES),
]
EncodingOption = Annotated[
    str, typer.Option("--encoding", metavar="NAME", help="Such as cp1252 or utf-16.", rich_help_panel=_FILES)
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHARACTER",
        help="Between cells; or tab. Default: comma, semicolon or tab, by the header.",
        rich_help_panel=_FILES,
    ),
]
SkipLinesOption = Annotated[
    int, typer.Option("--skip-lines", metavar="N", min=0, help="Lines before the header.", rich_help_panel=_FILES)
]
CommentOption = Annotated[
    str | None,
    typer.Option(
        "--comment",
        metavar="CHARACTER",
        help="Lines of CSV and NDJSON that begin with it are left out.",
        rich_help_panel=_FILES,
    ),
]
NullOption = Annotated[
    list[str] | None,
    typer.Option(
        "--null",
        metavar="TEXT",
        help="Text that stands for an empty cell, such as NULL; may be repeated.",
        rich_help_panel=_FILES,
    ),
]
DecimalOption = Annotated[
    Decimal, typer.Option("--decimal", help="What stands before the decimals.", rich_help_panel=_FILES)
]
ThousandsOption = Annotated[
    str | None,
    typer.Option(
        "--thousands",
        metavar="CHARACTER",
        help="What stands between groups of three digits; a blank is any blank.",
        rich_help_panel=_FILES,
    ),
]
TimestampFormatOption = Annotated[
    str | None,
    typer.Option(
        "--timestamp-format",
        metavar="FORM",
        help="Form of timestamps that the API does not know, in the letters of strptime: '%d.%m.%Y %H:%M'.",
        rich_help_panel=_FILES,
    ),
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Time zone of timestamps without an offset, such as Europe/Berlin. Default: UTC.",
        rich_help_panel=_FILES,
    ),
]
AmbiguousOption = Annotated[
    Ambiguous | None,
    typer.Option(
        "--ambiguous",
        help="Which of the two hours is meant that have the same name when clocks are set back; an error otherwise.",
        rich_help_panel=_FILES,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Ask the server what would change, and save nothing.", rich_help_panel=_SENDING),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Skip what an interrupted push of the same files with the same options has saved.",
        rich_help_panel=_SENDING,
    ),
]
ParallelOption = Annotated[
    int, typer.Option("--parallel", min=1, max=64, help="Requests at a time.", rich_help_panel=_SENDING)
]
GiveUpAfterOption = Annotated[
    float,
    typer.Option(
        "--give-up-after",
        metavar="SECONDS",
        min=0,
        help="How long to try a request again while the service is busy or does not answer.",
        rich_help_panel=_SENDING,
    ),
]


def usage(message: str) -> CommandFailed:
    return CommandFailed(message, exit_code=ExitCode.USAGE)


def check_metrics(wide: bool, metric: str | None, named: set[str], combine: str | None) -> None:  # noqa: FBT001  # the option
    """Refuse options that contradict each other. `named` are those that name a column with metrics or values."""
    if wide and (metric is not None or named or (combine or "").startswith("count")):
        raise usage(
            "--wide says that there is a metric in each column; --metric, --metric-name, --value and --combine count "
            "say otherwise."
        )
    if metric is not None and "--metric-name" in named:
        raise usage("--metric names the one metric there is, and --metric-name a column with their names.")


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
