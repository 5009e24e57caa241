"""The options of `unitstream push` that are about files, in groups."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from unitstream_cli.push.mapping import Columns
from unitstream_cli.push.moments import Ambiguous, Floor
from unitstream_cli.push.numbers import Decimal
from unitstream_cli.push.rows import Format

_COLUMNS, _ROWS, _FILES = "Columns", "Rows", "Files"


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


class ColumnOptions(NamedTuple):
    """Which column of a file is what."""

    timestamp: Annotated[
        str,
        typer.Option(
            "--timestamp",
            metavar="COLUMN",
            help="Column with the hour. Several, and what stands between them: '{date} {hour}'.",
            rich_help_panel=_COLUMNS,
        ),
    ] = Columns.timestamp
    metric_name: Annotated[
        str,
        typer.Option(
            "--metric-name", metavar="COLUMN", help="Column with the metric's name.", rich_help_panel=_COLUMNS
        ),
    ] = Columns.metric_name
    value: Annotated[
        str, typer.Option("--value", metavar="COLUMN", help="Column with the value.", rich_help_panel=_COLUMNS)
    ] = Columns.value
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Name of the one metric that all rows are of; no column names it.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None
    wide: Annotated[
        bool,
        typer.Option(
            "--wide",
            help="Every column is a metric, save the timestamp and those named by --dimension or --ignore. "
            "An empty cell is no point.",
            rich_help_panel=_COLUMNS,
        ),
    ] = False
    dimension: Annotated[
        list[str] | None,
        typer.Option(
            "--dimension",
            metavar="[KEY=]COLUMN",
            help="Column that is a dimension, under a KEY of your own if you like; for several, repeat it. In JSON, "
            "region=place.region is a field of an object. Default: every column that is nothing else. An empty cell: "
            "the row lacks the dimension.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="COLUMN", help="Column to leave out; may be repeated.", rich_help_panel=_COLUMNS
        ),
    ] = None


class RowOptions(NamedTuple):
    """What is to be made of rows."""

    floor: Annotated[
        Floor | None,
        typer.Option("--floor", help="Put every timestamp at the start of its UTC hour or day.", rich_help_panel=_ROWS),
    ] = None
    combine: Annotated[
        str | None,
        typer.Option(
            "--combine",
            metavar="HOW",
            help="What to make of several rows for the same record and hour, which are an error otherwise: sum, "
            "average, maximum, minimum or last of their values; count, of the rows; count-distinct:COLUMN, of the "
            "texts in it.",
            rich_help_panel=_ROWS,
        ),
    ] = None
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Send the valid rows although others are not.", rich_help_panel=_ROWS),
    ] = False
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors",
            metavar="PATH",
            help="Write everything that is wrong to this CSV file; the terminal shows the first 20.",
            rich_help_panel=_ROWS,
        ),
    ] = None


class FileOptions(NamedTuple):
    """How files are written."""

    file_format: Annotated[
        Format | None,
        typer.Option("--format", help="Default: by the name of the file, or how it begins.", rich_help_panel=_FILES),
    ] = None
    encoding: Annotated[
        str, typer.Option("--encoding", metavar="NAME", help="Such as cp1252 or utf-16.", rich_help_panel=_FILES)
    ] = "utf-8"
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHARACTER",
            help="Between cells; or tab. Default: comma, semicolon or tab, by the header.",
            rich_help_panel=_FILES,
        ),
    ] = None
    skip_lines: Annotated[
        int, typer.Option("--skip-lines", metavar="N", min=0, help="Lines before the header.", rich_help_panel=_FILES)
    ] = 0
    comment: Annotated[
        str | None,
        typer.Option(
            "--comment",
            metavar="CHARACTER",
            help="Lines of CSV and NDJSON that begin with it are left out.",
            rich_help_panel=_FILES,
        ),
    ] = None
    null: Annotated[
        list[str] | None,
        typer.Option(
            "--null",
            metavar="TEXT",
            help="Text that stands for an empty cell, such as NULL; may be repeated.",
            rich_help_panel=_FILES,
        ),
    ] = None
    decimal: Annotated[
        Decimal, typer.Option("--decimal", help="What stands before the decimals.", rich_help_panel=_FILES)
    ] = Decimal.POINT
    thousands: Annotated[
        str | None,
        typer.Option(
            "--thousands",
            metavar="CHARACTER",
            help="What stands between groups of three digits; a blank is any blank.",
            rich_help_panel=_FILES,
        ),
    ] = None
    timestamp_format: Annotated[
        str | None,
        typer.Option(
            "--timestamp-format",
            metavar="FORM",
            help="Form of timestamps that the API does not know, in the letters of strptime: '%d.%m.%Y %H:%M'.",
            rich_help_panel=_FILES,
        ),
    ] = None
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            help="Time zone of timestamps without an offset, such as Europe/Berlin. Default: UTC.",
            rich_help_panel=_FILES,
        ),
    ] = None
    ambiguous: Annotated[
        Ambiguous | None,
        typer.Option(
            "--ambiguous",
            help="Which of the two hours is meant that have the same name when clocks are set back; an "
            "error otherwise.",
            rich_help_panel=_FILES,
        ),
    ] = None
