"""An answer as a table: its cells as the API gives them, to the digit, in the order that is wanted. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.aggregates import TOTAL
from unitstream.identity import Metric
from unitstream.zones import local_day, zone_of
from unitstream_cli.explore.question import conditions_of
from unitstream_cli.reads.rows import Kind, Row, ratios_of, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from unitstream_cli.explore.question import Asked

ROWS_A_PAGE = 100

_NAMES = {
    "value": "value",
    "points": "points",
    "complete": "complete",
    "previous_date": "compared with",
    "previous_timeframe_value": "before",
    "pop_diff": "difference",
    "pop_change": "change",
    "current_timeframe_numerator": "numerator",
    "current_timeframe_denominator": "denominator",
    "current_timeframe_unit_metric": "unit metric",
    "previous_timeframe_numerator": "numerator before",
    "previous_timeframe_denominator": "denominator before",
    "previous_timeframe_unit_metric": "before",
}
# Notices of these are about what the API compares unit metrics with even if nobody asks for it.
_OF_COMPARISONS = {"unequal_days", "unequal_totals"}
_TEXTS = {"date", "previous_date", "complete"}
# By whether it is a view and whether it is compared. What is looked for comes first: a table may be wider than a page.
_FIELDS: dict[tuple[bool, bool], tuple[str, ...]] = {
    (True, False): ("value", "points"),
    (True, True): (
        *("value", "previous_timeframe_value", "pop_diff", "pop_change"),
        *("previous_date", "complete", "points"),
    ),
    (False, False): (
        *("current_timeframe_unit_metric", "current_timeframe_numerator", "current_timeframe_denominator"),
        "points",
    ),
    (False, True): (
        *("current_timeframe_unit_metric", "previous_timeframe_unit_metric", "pop_diff", "pop_change"),
        *("current_timeframe_numerator", "current_timeframe_denominator"),
        *("previous_timeframe_numerator", "previous_timeframe_denominator"),
        *("previous_date", "complete", "points"),
    ),
}


class Column(NamedTuple):
    """A column: its `field` in a cell of the API or the dimension's `key`, and what it is called."""

    name: str
    title: str
    field: str | None = None
    key: str | None = None

    @property
    def is_number(self) -> bool:
        return self.field is not None and self.field not in _TEXTS

    def cell(self, row: Row) -> Any:
        """Return what a row has here: a text, a number, or None."""
        value = row.fields.get(self.field) if self.field else row.dimensions.get(self.key or "")
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


class Table(NamedTuple):
    """An answer. `value` and `before` are the fields to draw, the latter None without a comparison.

    `totals` has a row for each group, in their order, and `total` is that of all. `adds_up` says that several values
    are together their sum, `conditions` what was kept, in words; `above` is the threshold of a saved unit metric.
    """

    title: str
    conditions: str
    unit: str | None
    above: float | None
    columns: list[Column]
    rows: list[Row]
    totals: list[Row]
    total: Row | None
    kind: Kind
    value: str
    before: str | None
    adds_up: bool
    notices: list[str]
    document: dict[str, Any]

    @property
    def keys(self) -> list[str]:
        return [column.key for column in self.columns if column.key is not None]


def table_of(document: dict[str, Any], asked: Asked, above: float | None = None) -> Table:
    """Return the table of an answer of views or of unit metrics. `asked` has what a saved one's definition says."""
    is_view = "metric_name" in document
    if is_view:
        metric = Metric(document["metric_name"], document["metric_agg_func"])
        kind, title, adds_up = values_of(metric), ":".join(metric), metric.metric_agg_func == "Sum"
        value, before = "value", "previous_timeframe_value"
    else:
        numerator, denominator = (Metric(**document[side]) for side in ("numerator", "denominator"))
        kind, adds_up = ratios_of(numerator, denominator, asked.denominator_group_by), False
        title = f"{':'.join(numerator)} per {':'.join(denominator)}"
        value, before = "current_timeframe_unit_metric", "previous_timeframe_unit_metric"
    series = document["series"]
    rows = [Row(one["dimensions"], cell) for one in series for cell in one["data"]]
    compared = asked.compare is not None
    return Table(
        asked.saved or title,
        conditions_of(asked),
        document.get("unit"),
        above,
        columns_of(_keys(series, asked), is_view=is_view, compared=compared),
        rows,
        [Row(one["dimensions"], {"date": TOTAL} | one["total"]) for one in series if "total" in one],
        Row({}, {"date": TOTAL} | document["total"]) if "total" in document else None,
        kind,
        value,
        before if compared else None,
        adds_up,
        [one["detail"] for one in document.get("notices", []) if compared or one["code"] not in _OF_COMPARISONS],
        document,
    )


def _keys(series: list[dict[str, Any]], asked: Asked) -> list[str]:
    return list(series[0]["dimensions"]) if series else list(asked.group_by)


def columns_of(keys: Sequence[str], *, is_view: bool, compared: bool) -> list[Column]:
    """Return the columns of a table that is grouped by `keys`."""
    dimensions = [Column(f"dimension_{key}", key, key=key) for key in keys]
    fields = [Column(field, _NAMES[field], field) for field in _FIELDS[is_view, compared]]
    return [Column("date", "date", "date"), *dimensions, *fields]


def sorted_rows(table: Table, sort: str | None) -> list[Row]:
    """Return the rows in the order of a column, from the largest on with `-` before its name; what is missing last."""
    name = (sort or "").removeprefix("-")
    column = next((one for one in table.columns if one.name == name), None)
    if column is None:
        return table.rows
    present = [row for row in table.rows if column.cell(row) is not None]
    missing = [row for row in table.rows if column.cell(row) is None]
    return sorted(present, key=column.cell, reverse=(sort or "").startswith("-")) + missing


def count_pages(rows: Sequence[Row]) -> int:
    return max(1, -(-len(rows) // ROWS_A_PAGE))


def page_of(rows: Sequence[Row], page: int) -> Sequence[Row]:
    """Return the rows of a page; of one beyond the last, the last."""
    page = min(page, count_pages(rows))
    return rows[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE]


def shown(column: Column, value: float) -> str:
    """Return what a cell with a number shows."""
    return f"{percent(value)} %" if column.field == "pop_change" else digits(value)


def absent(column: Column, row: Row) -> str | None:
    """Return what stands for a dimension that a group lacks, or that is empty. The total of all has no dimensions."""
    return {None: "none", "": "empty"}.get(row.dimensions[column.key]) if column.key in row.dimensions else None


def notes(table: Table) -> list[str]:
    """Return the notices of an answer, as sentences."""
    return [f"Note: {notice}{'' if notice.endswith('?') else '.'}" for notice in table.notices]


def digits(value: float) -> str:
    """Write a number with all the digits that the API gave it."""
    return repr(value).removesuffix(".0")


def percent(share: float) -> str:
    """Write a share in percent, with all of its digits."""
    moved = Decimal(repr(share)) * 100
    return f"{moved:f}".rstrip("0").rstrip(".") if "." in f"{moved:f}" else f"{moved:f}"


def group_name(dimensions: dict[str, str | None]) -> str:
    """Return what a group is called in the picture."""
    return ", ".join(f"no {key}" if value is None else value or f"empty {key}" for key, value in dimensions.items())


def sentence(table: Table) -> str:
    """Return the question that a table answers, for a person."""
    document = table.document
    by = " and ".join([document["granularity"], *table.keys])
    text = f"{table.title} by {by}, {document['start_date']} to {document['end_date']}{table.conditions}"
    if table.before and document.get("previous_start_date"):
        text += f"; the faint line: {document['previous_start_date']} to {document['previous_end_date']}"
    return text


def when(table: Table, read_at: datetime) -> str:
    """Return in which zone days and times are, and when they were read."""
    zone = table.document.get("timezone")
    zones = f"Days and hours are those of {zone}, all else is in UTC" if zone else "Days and times are in UTC"
    return f"{zones}. Read at {read_at:%Y-%m-%d %H:%M:%S}."


def not_over(table: Table, now: datetime) -> list[str]:
    """Return what there is to say where days that are not over are compared: they have less, and so have totals."""
    zone = zone_of(table.document.get("timezone", "UTC"))
    today, last = str(local_day(now, zone) if zone else now.date()), table.document["end_date"]
    if not table.before or last < today:
        return []
    if last == today:
        return [f"{today} is not over yet: it and the totals are compared with whole days"]
    return [f"the days from {today} to {last} are not over or have not begun, and are compared with whole days"]


def strays(table: Table, asked: Asked) -> list[str]:
    """Return what an address asks of the table that it cannot do, in sentences."""
    found = []
    name = (asked.sort or "").removeprefix("-")
    if asked.sort and name not in {column.name for column in table.columns}:
        found.append(f"There is no column {name} to sort by: the rows are in the order of the answer.")
    if asked.page > (last := count_pages(table.rows)):
        found.append(f"There is no page {asked.page:,} of the table: this is the last one, {last:,}.")
    return found


def nothing_in(table: Table) -> list[str]:
    """Return what there is to say of an answer without data; if it has notices, they say why."""
    hint = [] if table.notices else ["Choose other days, or fewer filters."]
    return [" ".join([f"{sentence(table)}: there is no data in this range.", *hint])]
