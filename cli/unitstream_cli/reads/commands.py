"""`unitstream metrics`, `series`, `points`, `views` and `unit-metrics`: the data, read back."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import typer

from unitstream.aggregates import Cell
from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream.questions import MAX_LIMIT, MAX_POINTS_LIMIT
from unitstream.views import ComparedCell, UnitCell
from unitstream_cli.reads.arguments import Breakdown, FilterOption, Form, Halves, MetricArgument, Output, Span, metric
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
from unitstream_cli.reads.limits import Limits
from unitstream_cli.reads.rows import ratios_of, values_of

_SEE_METRICS = "`unitstream metrics` lists what there is."


def metrics(
    ctx: typer.Context,
    *,
    output: Output,
) -> None:
    """List the metrics of the stream, as the other commands take them, with their dimensions and days.

    Sets of dimensions are divided by semicolons: where there are several, totals may count the same thing twice.
    """
    nothing = "The stream has no metrics yet. `unitstream push` sends some."
    question = Question("/api/metrics", {"limit": MAX_LIMIT}, "metrics", nothing)
    print_answer(ctx.obj, question, Form(*output), draw_metrics)


def series(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    filters: FilterOption = None,
    output: Output,
) -> None:
    """List the series of a metric: the dimensions of each, and its record ID.

    The table has the first 12 of its 64 digits, --csv and --json have them all.
    """
    path = f"/api/metrics/{quote(metric.metric_name, safe='')}/{metric.metric_agg_func}/series"
    parameters = {"filter": filters or [], "limit": MAX_LIMIT}
    nothing = f"There are no series of {name_of(metric)}{filter_clause(filters)}. {_SEE_METRICS}"
    print_answer(ctx.obj, Question(path, parameters, "series", nothing), Form(*output), draw_series)


def points(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    span: Span,
    filters: FilterOption = None,
    form: Form,
) -> None:
    """List the points of a metric as they were sent, day by day."""
    timeframe = span.timeframe()
    parameters = metric._asdict() | _range(timeframe, filters) | {"limit": MAX_POINTS_LIMIT}
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    question = Question("/api/points", parameters, "points", nothing, values_of(metric), fields=4)
    print_answer(ctx.obj, question, form, draw_points)


def views(
    ctx: typer.Context,
    metric: MetricArgument,
    *,
    span: Span,
    breakdown: Breakdown,
    filters: FilterOption = None,
    form: Form,
) -> None:
    """Show a metric by period, and by dimension if you like.

    The table rounds; --csv and --json have all digits. Below it there is a line for each group, from the first day to
    the last, as high as the values are between the smallest and the largest.
    """
    timeframe = span.timeframe()
    parameters = metric._asdict() | _range(timeframe, filters) | breakdown.parameters() | form.parameters()
    nothing = f"There are no points of {name_of(metric)} {days_of(timeframe)}{filter_clause(filters)}. {_SEE_METRICS}"
    fields = len(ComparedCell._fields if breakdown.compare else Cell._fields)
    question = Question("/api/views", parameters, "series", nothing, values_of(metric), fields)
    print_answer(ctx.obj, question, form, draw_view)


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
    span: Span,
    breakdown: Breakdown,
    filters: FilterOption = None,
    halves: Halves,
    limits: Limits,
    form: Form,
) -> None:
    """Show one metric per another, such as the cost per order, beside earlier periods.

    Each period is compared with the one as many periods earlier as the range has, unless --compare says otherwise. The
    table rounds; --csv and --json have all digits, and the numerators and denominators of the earlier periods.
    """
    timeframe = span.timeframe()
    parameters = {"numerator": ":".join(numerator), "denominator": ":".join(denominator)}
    parameters |= _range(timeframe, filters) | breakdown.parameters() | halves.parameters() | form.parameters()
    nothing = (
        f"There are no points of {name_of(numerator)} or {name_of(denominator)} {days_of(timeframe)}"
        f"{filter_clause(filters)}, nor in the timeframe before. {_SEE_METRICS}"
    )
    limits.check_form(form)
    kind = ratios_of(numerator, denominator, halves.shared_keys())
    question = Question("/api/unit-metrics", parameters, "series", nothing, kind, len(UnitCell._fields))
    print_answer(ctx.obj, question, form, partial(draw_unit_metric, kind=kind), limits.check)


def _range(timeframe: Timeframe, filters: list[str] | None) -> dict[str, Any]:
    return {"start_date": timeframe.start, "end_date": timeframe.end, "filter": filters or []}


def filter_clause(filters: list[str] | None) -> str:
    return " that the filters keep" if filters else ""
