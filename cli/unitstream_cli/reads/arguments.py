"""What the read commands take: a metric, days, filters, and the form of the answer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import isfinite, nan
from typing import Annotated, Any, Literal, NamedTuple, get_args

import typer

from unitstream.comparisons import Compare
from unitstream.filters import split_keys
from unitstream.identity import AggFunc, Metric
from unitstream.metric_parameters import MAX_GROUP_BY
from unitstream.parameters import is_day
from unitstream.periods import FIRST_DAY, Granularity, Timeframe
from unitstream_cli.settings import JsonOption

DAYS_SHOWN = 30
GIVE_UP_AFTER_SECONDS = 60.0


def metric(text: str) -> Metric:
    """Read a metric. Its name may have colons of its own."""
    name, _, function = text.rpartition(":")
    agg_func = next((known for known in get_args(AggFunc) if known.lower() == function.lower()), None)
    if not name or agg_func is None:
        *others, last = get_args(AggFunc)
        raise typer.BadParameter(
            f"{text!r} is no metric: it is a name, a colon and {', '.join(others)} or {last}, such as orders:Sum."
        )
    return Metric(name, agg_func)


def day(text: str) -> date:
    """Read a day."""
    if not is_day(text):
        raise typer.BadParameter(f"{text!r} is no day that exists: write it like 2022-10-31.")
    return date.fromisoformat(text)


def number(text: str) -> float:
    """Read a finite number: nothing is above another."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise typer.BadParameter(f"{text!r} is no finite number.")
    return value


MetricArgument = Annotated[
    Metric,
    typer.Argument(
        parser=metric,
        metavar="METRIC",
        help="Its name, a colon and its function, such as orders:Sum.",
        show_default=False,
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY:VALUE[,VALUE...]",
        help="Only what has one of these values, or with a - before KEY only the rest; may be repeated, and then all "
        "must hold. A backslash goes before a colon, a comma or a backslash that belongs to a key or value.",
    ),
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV to stdout, for spreadsheets; messages go to stderr.")]
GiveUpOption = Annotated[
    float,
    typer.Option(
        "--give-up-after",
        metavar="SECONDS",
        min=0,
        help="How long to ask again while the service is busy or does not answer.",
    ),
]
Delimiter = Literal[",", ";", "|", "tab"]


class Span(NamedTuple):
    """Which days."""

    first: Annotated[
        date | None,
        typer.Option(
            "--from",
            "--start-date",
            parser=day,
            metavar="YYYY-MM-DD",
            help=f"First day, in UTC or --timezone. Default: {DAYS_SHOWN - 1} days before the last one.",
        ),
    ] = None
    last: Annotated[
        date | None,
        typer.Option(
            "--to",
            "--end-date",
            parser=day,
            metavar="YYYY-MM-DD",
            help="Last day, which is included, in UTC or --timezone. Default: today, in UTC.",
        ),
    ] = None

    def timeframe(self) -> Timeframe:
        return timeframe_of(self.first, self.last, datetime.now(UTC).date())


class Breakdown(NamedTuple):
    """By which periods and dimensions."""

    granularity: Annotated[
        Granularity, typer.Option("--by", "--granularity", help="Length of a period. Weeks begin on Mondays.")
    ] = "day"
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by",
            metavar="KEY",
            help=f"Dimension that has a row for each of its values; for up to {MAX_GROUP_BY}, repeat it.",
        ),
    ] = None
    fill: Annotated[bool, typer.Option("--fill", help="Show periods without data too.")] = False
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            help="Where days, weeks and longer periods begin, such as Europe/Berlin; for hourly data. Default: UTC.",
        ),
    ] = None
    compare: Annotated[
        Compare | None,
        typer.Option(
            "--compare",
            help="What each period stands beside: the one in its place in the range before, the one before it, or the "
            "same one a year earlier. Of unit metrics the first by default.",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        optional = {"fill": "null" if self.fill else None, "timezone": self.timezone, "compare": self.compare}
        given = {name: value for name, value in optional.items() if value is not None}
        return {"granularity": self.granularity, "group_by": self.group_by or []} | given


class Halves(NamedTuple):
    """What holds for one half of a unit metric alone."""

    numerator_filters: Annotated[
        list[str] | None,
        typer.Option("--numerator-filter", metavar="KEY:VALUE[,VALUE...]", help="As --filter, of the numerator alone."),
    ] = None
    denominator_filters: Annotated[
        list[str] | None,
        typer.Option(
            "--denominator-filter", metavar="KEY:VALUE[,VALUE...]", help="As --filter, of the denominator alone."
        ),
    ] = None
    denominator_group_by: Annotated[
        str | None,
        typer.Option(
            "--denominator-group-by",
            metavar="KEY[,KEY]",
            help='Those of the keys of --group-by by which the denominator is grouped too, or "" for none: then each '
            "group is divided by all of it. Default: all.",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        shared = {} if self.denominator_group_by is None else {"denominator_group_by": self.denominator_group_by}
        sides = {"numerator_filter": self.numerator_filters, "denominator_filter": self.denominator_filters}
        return {name: texts for name, texts in sides.items() if texts} | shared

    def shared_keys(self) -> list[str] | None:
        """Return the keys by which the denominator is grouped, None for all."""
        if self.denominator_group_by is None:
            return None
        try:
            return split_keys(self.denominator_group_by) if self.denominator_group_by else []
        except ValueError as exc:
            raise typer.BadParameter(f"--denominator-group-by {exc}.") from exc


class Output(NamedTuple):
    """How to print what has no values, and how long to ask for it. A `Form` begins so."""

    csv: CsvOption = False
    json: JsonOption = False
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS


class Form(NamedTuple):
    """How to print values, and how long to ask for them."""

    csv: CsvOption = False
    json: JsonOption = False
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS
    delimiter: Annotated[
        Delimiter | None,
        typer.Option(
            "--delimiter", help="Between cells, with --csv. Default: a comma, or a semicolon with --decimal ,."
        ),
    ] = None
    decimal: Annotated[
        Literal[".", ","], typer.Option("--decimal", help="What stands before the decimals, with --csv.")
    ] = "."
    sort: Annotated[
        Literal["time", "value"],
        typer.Option(
            "--sort", help="By value: the largest first. Of unit metrics it is that of the current timeframe."
        ),
    ] = "time"
    top: Annotated[
        int | None,
        typer.Option(
            "--top", metavar="N", min=1, help="Only the N rows with the largest values, and one of all others."
        ),
    ] = None
    total: Annotated[
        bool,
        typer.Option(
            "--total",
            help="Last rows of the whole range: `total` of each group, if there are several, and `total of all`. A "
            "sum, or of an Average, Maximum or Minimum what the function says.",
        ),
    ] = False

    @property
    def arranged(self) -> bool:
        """Whether rows are wanted that the answer does not have as they are."""
        return self.sort != "time" or self.top is not None or self.total

    @property
    def is_plain(self) -> bool:
        """Whether a table is wanted as the API answers it."""
        return not self.arranged and self.delimiter in {None, ","} and self.decimal == "."

    def check(self) -> None:
        """Refuse what has no meaning together."""
        if self.csv and self.json:
            raise typer.BadParameter("--csv and --json exclude each other.")
        if not self.csv and (self.delimiter or self.decimal != "."):
            raise typer.BadParameter("--delimiter and --decimal are of --csv.")
        if self.delimiter == self.decimal == ",":
            raise typer.BadParameter("--delimiter and --decimal cannot both be a comma.")
        if self.json and (self.sort != "time" or self.top is not None):
            raise typer.BadParameter("--sort and --top are of tables; --json is what the API answers.")

    def parameters(self) -> dict[str, Any]:
        """Return what the service is asked for beside the rows."""
        return {"totals": "true"} if self.total else {}


def timeframe_of(start: date | None, end: date | None, today: date) -> Timeframe:
    """Return the days to ask for."""
    last = end or today
    first = start or max(date.fromisoformat(FIRST_DAY), last - timedelta(days=min(DAYS_SHOWN, last.toordinal()) - 1))
    return Timeframe(str(first), str(last))
