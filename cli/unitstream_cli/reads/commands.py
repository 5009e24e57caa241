"""`unitstream metrics`, `series`, `points`, `views` and `unit-metrics`: the data, read back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from unitstream.aggregates import Cell
from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream.questions import MAX_LIMIT, MAX_POINTS_LIMIT
from unitstream.views import UnitCell
from unitstream_cli.reads.arguments import (
    ByOption,
    CsvOption,
    DecimalOption,
    DelimiterOption,
    FillOption,
    FilterOption,
    Form,
    FromOption,
    GiveUpOption,
    GroupByOption,
    MetricArgument,
    SortOption,
    ToOption,
    TopOption,
    TotalOption,
    metric,
    timeframe_of,
)
from unitstream_cli.reads.asking import Question, print_answer
from unitstream_cli.reads.drawing import (
    days_of,
    draw_metrics,
    draw_points,
    draw_series,
    draw_unit_metric,
    draw_view,
    name_of,
)
from unitstream_cli.reads.rows import ratios_of, values_of
from unitstream_cli.settings import JsonOption

_GIVE_UP_AFTER_SECONDS = 60.0
_SEE_METRICS = "`unitstream metrics` lists what there is."


def metrics(
    ctx: typer.Context,
    *,
    csv: CsvOption = False,
    json: JsonOption = False,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the metrics of the stream, as the other commands take them, with their dimensions and days.

    Sets of dimensions are divided by semicolons: where there are several, totals may count the same thing twice.
    """
    nothing = "The stream has no metrics yet. `unitstream push` sends some."
    question = Question("/api/metrics", {"limit": MAX_LIMIT}, "metrics", nothing)
    print_answer(ctx.obj, question, Form(csv, json), give_up_after, draw_metrics)


def series(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    filters: FilterOption = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the series of a metric: the dimensions of each, and its record ID.

    The table has the first 12 of its 64 digits, --csv and --json have them all.
    """
    path = f"/api/metrics/{quote(metric.metric_name, safe='')}/{metric.metric_agg_func}/series"
    parameters = {"filter": filters or [], "limit": MAX_LIMIT}
    nothing = f"There are no series of {name_of(metric)}{filter_clause(filters)}. {_SEE_METRICS}"
    print_answer(ctx.obj, Question(path, parameters, "series", nothing), Form(csv, json), give_up_after, draw_series)


def points(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    first: FromOption = None,
    last: ToOption = None,
    filters: FilterOption = None,
    sort: SortOption = "time",
    top: TopOption = None,
    total: TotalOption = False,
    csv: CsvOption = False,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = ".",
    json: JsonOption = False,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """List the points of a metric as they were sent, day by day."""
    timeframe = timeframe_of(first, last, datetime.now(UTC).date())
    parameters = {**metric._asdict(), **_days(timeframe), "filter": filters or [], "limit": MAX_POINTS_LIMIT}
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    question = Question("/api/points", parameters, "points", nothing, values_of(metric), fields=4)
    print_answer(ctx.obj, question, Form(csv, json, delimiter, decimal, sort, top, total), give_up_after, draw_points)


def views(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    first: FromOption = None,
    last: ToOption = None,
    granularity: ByOption = "day",
    group_by: GroupByOption = None,
    filters: FilterOption = None,
    fill: FillOption = False,
    sort: SortOption = "time",
    top: TopOption = None,
    total: TotalOption = False,
    csv: CsvOption = False,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = ".",
    json: JsonOption = False,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """Show a metric by period, and by dimension if you like.

    The table rounds; --csv and --json have all digits. Below it there is a line for each group, from the first day to
    the last, as high as the values are between the smallest and the largest.
    """
    timeframe = timeframe_of(first, last, datetime.now(UTC).date())
    parameters = metric._asdict() | _table_parameters(timeframe, granularity, group_by, filters, fill=fill)
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    question = Question("/api/views", parameters, "series", nothing, values_of(metric), len(Cell._fields))
    print_answer(ctx.obj, question, Form(csv, json, delimiter, decimal, sort, top, total), give_up_after, draw_view)


def unit_metrics(
    ctx: typer.Context,
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
    first: FromOption = None,
    last: ToOption = None,
    granularity: ByOption = "day",
    group_by: GroupByOption = None,
    filters: FilterOption = None,
    fill: FillOption = False,
    sort: SortOption = "time",
    top: TopOption = None,
    total: TotalOption = False,
    csv: CsvOption = False,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = ".",
    json: JsonOption = False,
    give_up_after: GiveUpOption = _GIVE_UP_AFTER_SECONDS,
) -> None:
    """Show one metric per another, such as the cost per order, beside the timeframe before.

    Each period is compared with the one as many periods earlier as the timeframe has. The table rounds; --csv and
    --json have all digits, and the numerators and denominators of the timeframe before.
    """
    timeframe = timeframe_of(first, last, datetime.now(UTC).date())
    parameters = {"numerator": ":".join(numerator), "denominator": ":".join(denominator)}
    parameters |= _table_parameters(timeframe, granularity, group_by, filters, fill=fill)
    nothing = (
        f"There are no points of {name_of(numerator)} or {name_of(denominator)} {days_of(timeframe)}"
        f"{filter_clause(filters)}, nor in the timeframe before. {_SEE_METRICS}"
    )
    kind = ratios_of(numerator, denominator)
    question = Question("/api/unit-metrics", parameters, "series", nothing, kind, len(UnitCell._fields))
    print_answer(
        ctx.obj, question, Form(csv, json, delimiter, decimal, sort, top, total), give_up_after, draw_unit_metric
    )


def _days(timeframe: Timeframe) -> dict[str, Any]:
    return {"start_date": timeframe.start, "end_date": timeframe.end}


def _table_parameters(
    timeframe: Timeframe, granularity: str, group_by: list[str] | None, filters: list[str] | None, *, fill: bool
) -> dict[str, Any]:
    parameters = _days(timeframe) | {"granularity": granularity, "group_by": group_by or [], "filter": filters or []}
    return parameters | ({"fill": "null"} if fill else {})


def filter_clause(filters: list[str] | None) -> str:
    return " that the filters keep" if filters else ""
