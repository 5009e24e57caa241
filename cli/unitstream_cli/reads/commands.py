"""`unitstream metrics`, `series`, `points`, `views` and `unit-metrics`: the data, read back."""

from __future__ import annotations

import contextlib
import csv as csv_module
import io
from datetime import UTC, date, datetime
from itertools import chain, islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args
from urllib.parse import quote

import typer
from rich.cells import cell_len
from rich.text import Text

from unitstream.identity import AggFunc
from unitstream.periods import Granularity, Timeframe
from unitstream_cli import settings
from unitstream_cli.api import Api, Refused
from unitstream_cli.console import err, out, print_json, printable, say
from unitstream_cli.errors import BadInput
from unitstream_cli.push.checking import counted
from unitstream_cli.reads.tables import (
    NOTHING,
    Column,
    along,
    bar_column,
    directions,
    number_column,
    numbers,
    percents,
    print_table,
    room_for_line,
    signed,
    sparkline,
    text_column,
)
from unitstream_cli.settings import ApiKeyFileOption, JsonOption, TokenFileOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DAYS_SHOWN = 30
# There is no data before it.
FIRST_DAY = date(1970, 1, 1)
# The most that the API allows.
_SERIES_A_PAGE, _POINTS_A_PAGE = 1_000, 10_000
_GIVE_UP_AFTER_SECONDS = 60.0
_RECORD_ID_DIGITS = 12
_SHORTEST_LINE = 8
_WIDEST_LABEL = 24

# The options and arguments that the API's parameters come from.
_OPTIONS = {
    "metric_name": "METRIC",
    "metric_agg_func": "METRIC",
    "numerator": "NUMERATOR",
    "denominator": "DENOMINATOR",
    "start_date": "--from",
    "end_date": "--to",
    "granularity": "--by",
    "group_by": "--group-by",
    "filter": "--filter",
    "fill": "--fill",
}


class Metric(NamedTuple):
    """A metric, as it is written on the command line: `orders:Sum`."""

    name: str
    function: str

    def __str__(self) -> str:
        return f"{self.name}:{self.function}"


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


MetricArgument = Annotated[
    Metric,
    typer.Argument(
        parser=metric,
        metavar="METRIC",
        help="Its name, a colon and its function, such as orders:Sum.",
        show_default=False,
    ),
]
FromOption = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        "--start-date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help=f"First day, in UTC. Default: {DAYS_SHOWN - 1} days before the last one.",
    ),
]
ToOption = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        "--end-date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Last day, which is included, in UTC. Default: today.",
    ),
]
ByOption = Annotated[
    Granularity, typer.Option("--by", "--granularity", help="Length of a period. Weeks begin on Mondays.")
]
GroupByOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group-by", metavar="KEY", help="Dimension that has a row for each of its values; for up to 3, repeat it."
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
FillOption = Annotated[bool, typer.Option("--fill", help="Show periods without data too.")]
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


def metrics(
    *,
    csv: CsvOption = False,
    json: JsonOption = False,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the metrics of the stream, as the other commands take them, with their dimensions and days.

    Sets of dimensions are divided by semicolons: where there are several, totals may count the same thing twice.
    """
    question = Question("/api/metrics", {"limit": _SERIES_A_PAGE}, "metrics")
    nothing = "The stream has no metrics yet. `unitstream push` sends some."
    _print_answer(
        question,
        ServiceOptions(url, api_key_file, token_file, give_up_after),
        draw_metrics,
        nothing,
        csv=csv,
        json=json,
    )


def series(
    metric: MetricArgument,
    *,
    filters: FilterOption = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the series of a metric: the dimensions of each, and its record ID.

    The table has the first 12 of its 64 digits, --csv and --json have them all.
    """
    path = f"/api/metrics/{quote(metric.name, safe='')}/{metric.function}/series"
    parameters = {"filter": filters or [], "limit": _SERIES_A_PAGE}
    nothing = f"There are no series of {name_of(metric)}{filter_clause(filters)}. {_SEE_METRICS}"
    where = ServiceOptions(url, api_key_file, token_file, give_up_after)
    _print_answer(Question(path, parameters, "series"), where, draw_series, nothing, csv=csv, json=json)


def points(
    metric: MetricArgument,
    *,
    start: FromOption = None,
    end: ToOption = None,
    filters: FilterOption = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the points of a metric as they were sent, day by day."""
    timeframe = timeframe_of(start, end, datetime.now(UTC).date())
    parameters = {**_parameters_of(metric), **_days(timeframe), "filter": filters or [], "limit": _POINTS_A_PAGE}
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    where = ServiceOptions(url, api_key_file, token_file, give_up_after)
    _print_answer(Question("/api/points", parameters, "points"), where, draw_points, nothing, csv=csv, json=json)


def views(
    metric: MetricArgument,
    *,
    start: FromOption = None,
    end: ToOption = None,
    granularity: ByOption = "day",
    group_by: GroupByOption = None,
    filters: FilterOption = None,
    fill: FillOption = False,
    csv: CsvOption = False,
    json: JsonOption = False,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """Show a metric by period, and by dimension if you like.

    The table rounds; --csv and --json have all digits. Below it there is a line for each group, from the first day to
    the last, as high as the values are between the smallest and the largest.
    """
    timeframe = timeframe_of(start, end, datetime.now(UTC).date())
    parameters = _parameters_of(metric) | _table_parameters(timeframe, granularity, group_by, filters, fill=fill)
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    where = ServiceOptions(url, api_key_file, token_file, give_up_after)
    _print_answer(Question("/api/views", parameters, "series"), where, draw_view, nothing, csv=csv, json=json)


def unit_metrics(
    numerator: Annotated[
        Metric,
        typer.Argument(
            parser=metric, metavar="NUMERATOR", help="What is divided, such as costs:Sum.", show_default=False
        ),
    ],
    denominator: Annotated[
        Metric,
        typer.Argument(
            parser=metric, metavar="DENOMINATOR", help="What it is divided by, such as orders:Sum.", show_default=False
        ),
    ],
    *,
    start: FromOption = None,
    end: ToOption = None,
    granularity: ByOption = "day",
    group_by: GroupByOption = None,
    filters: FilterOption = None,
    fill: FillOption = False,
    csv: CsvOption = False,
    json: JsonOption = False,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """Show one metric per another, such as the cost per order, beside the timeframe before.

    Each period is compared with the one as many periods earlier as the timeframe has. The table rounds; --csv and
    --json have all digits, and the numerators and denominators of the timeframe before.
    """
    timeframe = timeframe_of(start, end, datetime.now(UTC).date())
    parameters = {"numerator": str(numerator), "denominator": str(denominator)}
    parameters |= _table_parameters(timeframe, granularity, group_by, filters, fill=fill)
    nothing = (
        f"There are no points of {name_of(numerator)} or {name_of(denominator)} {days_of(timeframe)}"
        f"{filter_clause(filters)}, nor in the timeframe before. {_SEE_METRICS}"
    )
    where = ServiceOptions(url, api_key_file, token_file, give_up_after)
    _print_answer(
        Question("/api/unit-metrics", parameters, "series"), where, draw_unit_metric, nothing, csv=csv, json=json
    )


_SEE_METRICS = "`unitstream metrics` lists what there is."


def timeframe_of(start: datetime | None, end: datetime | None, today: date) -> Timeframe:
    """Return the days to ask for."""
    last = end.date() if end else today
    first = start.date() if start else date.fromordinal(max(FIRST_DAY.toordinal(), last.toordinal() - DAYS_SHOWN + 1))
    return Timeframe(str(first), str(last))


def one_table(pages: Sequence[bytes]) -> bytes:
    """Make one CSV of its pages, which may differ: a page has columns for those dimensions that occur in it."""
    texts = [io.StringIO(page.decode(), newline="") for page in pages]
    headers = [next(csv_module.reader(text)) for text in texts]
    if all(header == headers[0] for header in headers):
        # What is left of a page: its header may hold line breaks, as keys of dimensions may.
        return b"".join([pages[0], *(text.read().encode() for text in texts[1:])])
    readers = [csv_module.DictReader(text, header) for text, header in zip(texts, headers, strict=True)]
    # The dimensions, in order, stand between the first column and what all pages end with.
    end: list[str] = []
    for names in zip(*map(reversed, headers), strict=False):
        if len(set(names)) > 1:
            break
        end.insert(0, names[0])
    first = headers[0][0]
    dimensions = {name for header in headers for name in header} - {first, *end}
    text = io.StringIO()
    writer = csv_module.DictWriter(text, [first, *sorted(dimensions), *end], restval="")
    writer.writeheader()
    for reader in readers:
        writer.writerows(reader)
    return text.getvalue().encode()


# --- What a terminal shows --------------------------------------------------------------------------------------------


def draw_metrics(document: dict[str, Any]) -> None:
    print_table(metric_columns(document))


def draw_series(document: dict[str, Any]) -> None:
    print_table(series_columns(document))


def draw_points(document: dict[str, Any]) -> None:
    print_table(point_columns(document))


def draw_view(document: dict[str, Any]) -> None:
    timeframe = Timeframe(document["start_date"], document["end_date"])
    _print_title(f"{name_of(_metric_of(document))} by {document['granularity']} {days_of(timeframe)}, in UTC")
    print_table(view_columns(document))
    _print_lines(document, "value")


def draw_unit_metric(document: dict[str, Any]) -> None:
    timeframe = Timeframe(document["start_date"], document["end_date"])
    before = Timeframe(document["previous_start_date"], document["previous_end_date"])
    numerator, denominator = (name_of(_metric_of(document[part])) for part in ("numerator", "denominator"))
    _print_title(
        f"{numerator} per {denominator} by {document['granularity']} {days_of(timeframe)}, in UTC; "
        f"before: {days_of(before)}"
    )
    print_table(unit_metric_columns(document))
    _print_lines(document, "current_timeframe_unit_metric")


def metric_columns(document: dict[str, Any]) -> list[Column]:
    metrics = document["metrics"]
    return [
        text_column("metric", [name_of(_metric_of(metric)) for metric in metrics]),
        text_column("dimensions", [key_sets_of(metric["dimension_key_sets"]) for metric in metrics]),
        text_column("first day", [metric["first_day"] for metric in metrics], folds=False),
        text_column("last day", [metric["last_day"] for metric in metrics], folds=False),
    ]


def key_sets_of(key_sets: Sequence[Sequence[str]]) -> str:
    """Return the sets of keys that a metric's series have; that without any is a dash."""
    return "; ".join(printable(", ".join(keys)) or NOTHING for keys in key_sets)


def series_columns(document: dict[str, Any]) -> list[Column]:
    listed = document["series"]
    return [
        *dimension_columns([series["dimensions"] for series in listed]),
        text_column("record ID", [series["record_id"][:_RECORD_ID_DIGITS] for series in listed], folds=False),
    ]


def point_columns(document: dict[str, Any]) -> list[Column]:
    listed = document["points"]
    values = [point["value"] for point in listed]
    return [
        text_column("hour (UTC)", [_moment(point["timestamp"]) for point in listed], folds=False),
        *dimension_columns([point["dimensions"] for point in listed]),
        number_column("value", numbers(values)),
        bar_column(values, rank=2),
        text_column("received (UTC)", [_moment(point["received_at"]) for point in listed], folds=False, rank=1),
    ]


def view_columns(document: dict[str, Any]) -> list[Column]:
    groups, cells = _cells(document)
    values = [cell["value"] for cell in cells]
    return [
        text_column(document["granularity"], [_moment(cell["date"]) for cell in cells], folds=False),
        *dimension_columns(groups),
        number_column("value", numbers(values)),
        number_column("points", [f"{cell['points']:,}" for cell in cells], rank=1),
        bar_column(values, rank=2),
    ]


def unit_metric_columns(document: dict[str, Any]) -> list[Column]:
    groups, cells = _cells(document)

    def values_of(field: str) -> list[float | None]:
        return [cell[field] for cell in cells]

    now, before = values_of("current_timeframe_unit_metric"), values_of("previous_timeframe_unit_metric")
    diffs, changes = values_of("pop_diff"), values_of("pop_change")
    # With as many decimals, so that one sees how they belong together.
    written = numbers([*now, *before, *diffs])
    return [
        text_column(document["granularity"], [_moment(cell["date"]) for cell in cells], folds=False),
        *dimension_columns(groups),
        number_column("numerator", numbers(values_of("current_timeframe_numerator")), rank=2),
        number_column("denominator", numbers(values_of("current_timeframe_denominator")), rank=2),
        number_column("unit metric", written[: len(now)]),
        number_column("before", written[len(now) : -len(now)]),
        number_column("difference", signed(written[-len(now) :], diffs), directions(diffs), rank=1),
        number_column("change", percents(changes), directions(diffs)),
        bar_column(now, rank=3),
    ]


def dimension_columns(dimensions: Sequence[dict[str, str | None]]) -> list[Column]:
    """Return a column for each key. Names and values may hold what would move the cursor."""
    # Groups all have the same keys, and in the order that was asked for.
    keys = list(dimensions[0]) if len({*map(tuple, dimensions)}) == 1 else sorted({*chain.from_iterable(dimensions)})
    columns = ((key, [by_key.get(key) for by_key in dimensions]) for key in keys)
    return [
        text_column(printable(key), [None if value is None else printable(value) for value in values])
        for key, values in columns
    ]


def _cells(document: dict[str, Any]) -> tuple[list[dict[str, str | None]], list[dict[str, Any]]]:
    """Return the dimensions of each row, and the rest of it."""
    rows = [(group["dimensions"], cell) for group in document["series"] for cell in group["data"]]
    return [dimensions for dimensions, _ in rows], [cell for _, cell in rows]


def _moment(moment: str) -> str:
    """Return a day as it is, and another moment up to its minute."""
    return moment[:16].replace("T", " ")


def _print_title(title: str) -> None:
    out.print(Text(title, "bold"), soft_wrap=True)


def _print_lines(document: dict[str, Any], field: str) -> None:
    """Print a line for each group, if there is room for it."""
    timeframe = Timeframe(document["start_date"], document["end_date"])
    lines = []
    for group in document["series"]:
        values = [(cell["date"], cell[field]) for cell in group["data"]]
        present = [value for _, value in values if value is not None]
        if len(present) > 1:
            lines.append((label_of(group["dimensions"]), values, numbers([min(present), max(present)])))
    label = max((cell_len(text) for text, _, _ in lines), default=0)
    ends = max((cell_len(f"  {low} to {high}") for _, _, (low, high) in lines), default=0)
    room = room_for_line(label + 2 * bool(label) + ends)
    if not lines or room < _SHORTEST_LINE:
        return
    out.print()
    for text, values, (low, high) in lines:
        places = along(timeframe, document["granularity"], values, room)
        padded = f"{text}{' ' * (label - cell_len(text) + 2)}" if label else ""
        out.print(Text(f"{padded}{sparkline(places)}  {low} to {high}"), soft_wrap=True)


def label_of(dimensions: dict[str, str | None]) -> str:
    """Return the values of a group, shortened: the table has them whole."""
    text = Text(printable(", ".join("-" if value is None else value for value in dimensions.values())))
    text.truncate(_WIDEST_LABEL, overflow="ellipsis")
    return text.plain


# --- Questions --------------------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """What the API is asked. `rows` is the list in its answer of which a page has a part."""

    path: str
    parameters: dict[str, Any]
    rows: str

    def document(self, api: Api) -> dict[str, Any]:
        """Return the answer, all pages of it in one."""
        document: dict[str, Any] = api.get(self.path, self.parameters).json()
        while cursor := document.get("next_cursor"):
            page = api.get(self.path, self.parameters | {"cursor": cursor}).json()
            document[self.rows] += page[self.rows]
            document["next_cursor"] = page["next_cursor"]
        return document

    def table(self, api: Api) -> bytes:
        """Return the answer as CSV, all pages of it in one."""
        answer = api.get(self.path, self.parameters, "text/csv")
        pages = [answer.data]
        while cursor := answer.headers.get("X-Next-Cursor"):
            answer = api.get(self.path, self.parameters | {"cursor": cursor}, "text/csv")
            pages.append(answer.data)
        return one_table(pages)


class ServiceOptions(NamedTuple):
    """What the options say about the API."""

    url: str | None
    api_key_file: Path | None
    token_file: Path | None
    give_up_after: float

    @contextlib.contextmanager
    def open(self) -> Iterator[Api]:
        """The API, and in the block sentences for what it refuses."""
        service = settings.service(self.url, self.api_key_file, self.token_file)
        api = Api(service, stop=Event(), give_up_after=self.give_up_after, notice=say)
        with contextlib.closing(api), err.status("Reading"):
            try:
                yield api
            except Refused as exc:
                raise BadInput("\n".join(refusals(exc.errors)) or exc.message) from exc


def refusals(errors: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong, line by line, by the names that the command line has."""
    wrong = [
        f"{_OPTIONS.get(error['parameter'], error['parameter'])}: {printable(error['detail'])}." for error in errors
    ]
    return wrong if len(wrong) < 2 else [f"{counted(len(wrong), 'thing')} are wrong:", *wrong]


def _print_answer(
    question: Question,
    service: ServiceOptions,
    draw: Callable[[dict[str, Any]], None],
    nothing: str,
    *,
    csv: bool,
    json: bool,
) -> None:
    """Ask the service, and print what it answers: as a table, unless told otherwise. Say `nothing` if it is empty."""
    if csv and json:
        raise typer.BadParameter("--csv and --json exclude each other.")
    if csv:
        with service.open() as api:
            table = question.table(api)
        typer.echo(table, nl=False)
        empty = len(list(islice(csv_module.reader(io.StringIO(table.decode(), newline="")), 2))) < 2
    else:
        with service.open() as api:
            document = question.document(api)
        empty = not document[question.rows]
        if json:
            print_json(document)
        elif not empty:
            draw(document)
    if empty:
        say(nothing)


def _parameters_of(metric: Metric) -> dict[str, Any]:
    return {"metric_name": metric.name, "metric_agg_func": metric.function}


def _days(timeframe: Timeframe) -> dict[str, Any]:
    return {"start_date": timeframe.start, "end_date": timeframe.end}


def _table_parameters(
    timeframe: Timeframe, granularity: str, group_by: list[str] | None, filters: list[str] | None, *, fill: bool
) -> dict[str, Any]:
    parameters = _days(timeframe) | {"granularity": granularity, "group_by": group_by or [], "filter": filters or []}
    return parameters | ({"fill": "null"} if fill else {})


def _metric_of(document: dict[str, Any]) -> Metric:
    return Metric(document["metric_name"], document["metric_agg_func"])


def name_of(metric: Metric) -> str:
    return printable(str(metric))


def days_of(timeframe: Timeframe) -> str:
    return f"from {timeframe.start} to {timeframe.end}"


def filter_clause(filters: list[str] | None) -> str:
    return " that the filters keep" if filters else ""
