"""What a terminal shows of an answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream_cli.console import out, printable, say
from unitstream_cli.reads.rows import Row, arranged, ratios_of, values_of
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unitstream_cli.reads.arguments import Form
    from unitstream_cli.reads.rows import Kind, Rows

# More than a person looks through, and rich takes milliseconds for each.
MOST_ROWS = 2_000
_RECORD_ID_DIGITS = 12
_SHORTEST_LINE = 8
_WIDEST_LABEL = 24


def draw_metrics(document: dict[str, Any], _: Form) -> None:
    metrics = _shown(document["metrics"])
    print_table(
        [
            text_column("metric", [name_of(metric_of(metric)) for metric in metrics]),
            text_column("dimensions", [key_sets_of(metric["dimension_key_sets"]) for metric in metrics]),
            text_column("first day", [metric["first_day"] for metric in metrics], folds=False),
            text_column("last day", [metric["last_day"] for metric in metrics], folds=False),
        ]
    )


def key_sets_of(key_sets: Sequence[Sequence[str]]) -> str:
    """Return the sets of keys that a metric's series have; that without any is a dash."""
    return "; ".join(printable(", ".join(keys)) or NOTHING for keys in key_sets)


def draw_series(document: dict[str, Any], _: Form) -> None:
    listed = _shown(document["series"])
    print_table(
        [
            *dimension_columns([series["dimensions"] for series in listed]),
            text_column("record ID", [series["record_id"][:_RECORD_ID_DIGITS] for series in listed], folds=False),
        ]
    )


def draw_points(document: dict[str, Any], form: Form) -> None:
    points = [
        Row(point.pop("dimensions"), {"timestamp": point.pop("timestamp")} | point) for point in document["points"]
    ]
    rows = _wanted(points, values_of(metric_of(document)), form)
    received = [_moment(row.fields["received_at"] or NOTHING) for row in rows.all]
    print_table(
        [
            *_leading_columns("hour (UTC)", rows),
            *_value_columns(rows),
            text_column("received (UTC)", received, folds=False, rank=1),
        ]
    )


def draw_view(document: dict[str, Any], form: Form) -> None:
    metric, timeframe = metric_of(document), Timeframe(document["start_date"], document["end_date"])
    rows = _wanted(_rows_of(document), values_of(metric), form)
    _print_title(f"{name_of(metric)} by {document['granularity']} {days_of(timeframe)}, in UTC")
    value, bars = _value_columns(rows)
    points = number_column("points", [f"{row.fields['points']:,}" for row in rows.all], rank=1)
    print_table([*_leading_columns(document["granularity"], rows), value, points, bars])
    if form.top is None:
        _print_lines(document, "value")


def draw_unit_metric(document: dict[str, Any], form: Form) -> None:
    timeframe = Timeframe(document["start_date"], document["end_date"])
    before = Timeframe(document["previous_start_date"], document["previous_end_date"])
    sides = [metric_of(document[side]) for side in ("numerator", "denominator")]
    kind = ratios_of(*sides)
    rows = _wanted(_rows_of(document), kind, form)
    _print_title(
        f"{' per '.join(map(name_of, sides))} by {document['granularity']} {days_of(timeframe)}, in UTC; "
        f"before: {days_of(before)}"
    )
    print_table([*_leading_columns(document["granularity"], rows), *_unit_columns(rows)])
    if rows.together and any(side.metric_agg_func == "Average" for side in sides):
        say("An Average of several rows is left out: how many points are in each side is not known.")
    if form.top is None:
        _print_lines(document, kind.value)


def _unit_columns(rows: Rows) -> list[Column]:
    def values_of(field: str) -> list[float | None]:
        return [row.fields[field] for row in rows.all]

    now, before = values_of("current_timeframe_unit_metric"), values_of("previous_timeframe_unit_metric")
    diffs, changes = values_of("pop_diff"), values_of("pop_change")
    # With as many decimals, so that one sees how they belong together.
    written = numbers([*now, *before, *diffs])
    count = len(now)
    return [
        number_column("numerator", numbers(values_of("current_timeframe_numerator")), rank=2),
        number_column("denominator", numbers(values_of("current_timeframe_denominator")), rank=2),
        number_column("unit metric", written[:count]),
        number_column("before", written[count:-count]),
        number_column("difference", signed(written[-count:], diffs), directions(diffs), rank=1),
        number_column("change", percents(changes), directions(diffs)),
        _bars_of(rows, "current_timeframe_unit_metric", rank=3),
    ]


def _value_columns(rows: Rows) -> tuple[Column, Column]:
    return number_column("value", numbers([row.fields["value"] for row in rows.all])), _bars_of(rows, "value", rank=2)


def _bars_of(rows: Rows, field: str, rank: int) -> Column:
    """What stands for several rows has no bar: beside it the others would be short."""
    return bar_column([*(row.fields[field] for row in rows.each), *(None for _ in rows.together)], rank=rank)


def _leading_columns(title: str, rows: Rows) -> list[Column]:
    moments = [_moment(next(iter(row.fields.values()))) for row in rows.all]
    return [text_column(title, moments, folds=False), *dimension_columns([row.dimensions for row in rows.all])]


def dimension_columns(dimensions: Sequence[dict[str, str | None]]) -> list[Column]:
    """Return a column for each key. Names and values may hold what would move the cursor."""
    # Groups all have the same keys, and in the order that was asked for.
    keys = list(dimensions[0]) if len({*map(tuple, dimensions)}) == 1 else sorted({*chain.from_iterable(dimensions)})
    columns = ((key, [by_key.get(key) for by_key in dimensions]) for key in keys)
    return [
        text_column(printable(key), [None if value is None else printable(value) for value in values])
        for key, values in columns
    ]


def _rows_of(document: dict[str, Any]) -> list[Row]:
    return [Row(group["dimensions"], cell) for group in document["series"] for cell in group["data"]]


def _wanted(rows: Sequence[Row], kind: Kind, form: Form) -> Rows:
    found = arranged(rows, kind, form)
    return found._replace(each=_shown(found.each))


def _shown(rows: list[Any]) -> list[Any]:
    if len(rows) > MOST_ROWS:
        say(f"These are the first {MOST_ROWS:,} of {len(rows):,} rows. --csv has everything.")
    return rows[:MOST_ROWS]


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


def metric_of(document: dict[str, Any]) -> Metric:
    return Metric(document["metric_name"], document["metric_agg_func"])


def name_of(metric: Metric) -> str:
    return printable(":".join(metric))


def days_of(timeframe: Timeframe) -> str:
    return f"from {timeframe.start} to {timeframe.end}"
