"""What a terminal shows of an answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from unitstream.aggregates import TOTAL, TOTAL_OF_ALL
from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream_cli.console import out, printable, say
from unitstream_cli.reads.rows import Row, arranged, values_of
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
    kind = values_of(metric)
    rows = _wanted(_rows_of(document), kind, form, _totals_of(document))
    _print_title(f"{name_of(metric)} {_periods_of(document, timeframe)}", document)
    value, bars = _value_columns(rows)
    compared = (
        _compared_columns("value", rows, "value", "previous_timeframe_value") if "compare" in document else [value]
    )
    points = number_column("points", [f"{row.fields['points']:,}" for row in rows.all], rank=1)
    print_table([*_leading_columns(document["granularity"], rows), *compared, points, bars])
    _say_which_are_parts(document)
    if form.top is None:
        _print_lines(document, "value")


def draw_unit_metric(document: dict[str, Any], form: Form, kind: Kind) -> None:
    timeframe = Timeframe(document["start_date"], document["end_date"])
    sides = [metric_of(document[side]) for side in ("numerator", "denominator")]
    rows = _wanted(_rows_of(document), kind, form, _totals_of(document))
    names = " per ".join(map(name_of, sides))
    _print_title(f"{names} {_periods_of(document, timeframe)}", document)
    print_table([*_leading_columns(document["granularity"], rows), *_unit_columns(rows)])
    guessed = rows.together and (form.top is not None or "total" not in document)
    if guessed and any(side.metric_agg_func == "Average" for side in sides):
        say("An Average of several rows is left out: how many points are in each side is not known.")
    _say_which_are_parts(document)
    if form.top is None:
        _print_lines(document, kind.value)


def _unit_columns(rows: Rows) -> list[Column]:
    sides = [
        number_column(side, numbers([row.fields[f"current_timeframe_{side}"] for row in rows.all]), rank=2)
        for side in ("numerator", "denominator")
    ]
    unit, unit_before = "current_timeframe_unit_metric", "previous_timeframe_unit_metric"
    return [*sides, *_compared_columns("unit metric", rows, unit, unit_before), _bars_of(rows, unit, rank=3)]


def _compared_columns(title: str, rows: Rows, field: str, earlier_field: str) -> list[Column]:
    """Return a value, the one before, and how they differ."""
    now, before, diffs, changes = (
        [row.fields[name] for row in rows.all] for name in (field, earlier_field, "pop_diff", "pop_change")
    )
    # With as many decimals, so that one sees how they belong together.
    written = numbers([*now, *before, *diffs])
    count = len(now)
    return [
        number_column(title, written[:count]),
        number_column("before", written[count:-count]),
        number_column("difference", signed(written[-count:], diffs), directions(diffs), rank=1),
        number_column("change", percents(changes), directions(diffs)),
    ]


def _totals_of(document: dict[str, Any]) -> list[Row]:
    """Return the rows of the whole range: of each group, and of all."""
    if "total" not in document or not document["series"]:
        return []
    groups = document["series"]
    of_groups = [Row(group["dimensions"], {"date": TOTAL} | group["total"]) for group in groups]
    return [*of_groups, Row(dict.fromkeys(groups[0]["dimensions"]), {"date": TOTAL_OF_ALL} | document["total"])]


def _say_which_are_parts(document: dict[str, Any]) -> None:
    parts = {cell["date"] for group in document["series"] for cell in group["data"] if cell.get("complete") is False}
    if parts:
        named = " and ".join(sorted(parts))
        say(f"Of {named} the range has a part, which stands beside the same part of an earlier period.")


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


def _wanted(rows: Sequence[Row], kind: Kind, form: Form, totals: Sequence[Row] = ()) -> Rows:
    found = arranged(rows, kind, form, totals)
    return found._replace(each=_shown(found.each))


def _shown(rows: list[Any]) -> list[Any]:
    if len(rows) > MOST_ROWS:
        say(f"These are the first {MOST_ROWS:,} of {len(rows):,} rows. --csv has everything.")
    return rows[:MOST_ROWS]


def _moment(moment: str) -> str:
    """Return a day as it is, and another moment up to its minute."""
    return moment[:16].replace("T", " ")


def _print_title(title: str, document: dict[str, Any]) -> None:
    before = document.get("previous_start_date")
    compared = f"; before: {days_of(Timeframe(before, document['previous_end_date']))}" if before else ""
    out.print(Text(f"{title}{compared}", "bold"), soft_wrap=True)


def _periods_of(document: dict[str, Any], timeframe: Timeframe) -> str:
    return f"by {document['granularity']} {days_of(timeframe)}, in {printable(document.get('timezone', 'UTC'))}"


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
