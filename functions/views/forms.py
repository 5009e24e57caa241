"""What answers look like: as JSON documents, and as CSV tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.aggregates import TOTAL_OF_ALL, Cell
from unitstream.definitions import FIELDS
from unitstream.pages import Page
from unitstream.problems import TooMuch
from unitstream.reading import MetricSummary
from unitstream.spreadsheets import guarded
from unitstream.views import ComparedCell, UnitCell, UnitMetric, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unitstream.definitions import Definition
    from unitstream.identity import Series
    from unitstream.parameters import Query
    from unitstream.points import StoredPoint
    from unitstream.questions import MetricsQuestion, PointsQuestion, SavedQuestion, SeriesQuestion
    from unitstream.view_questions import UnitMetricQuestion, ViewQuestion

    Answer = Page[Any] | View | UnitMetric
    AnyCell = Cell | ComparedCell | UnitCell

JSON, CSV = "application/json", "text/csv"
CONTENT_TYPES = {JSON: JSON, CSV: f"{CSV}; charset=utf-8"}
# Lambda takes 6 MiB for the whole response, in which the body is quoted; 64 KiB are left for the rest.
LARGEST_BODY_BYTES = (6 * 1024 - 64) * 1024
# The gateway takes 10,240 bytes for all headers.
LARGEST_NOTICES_BYTES = 4_000
# The members of a cell that a total has not.
OF_PERIODS = {"date", "complete", "previous_date"}
TOO_LARGE = (
    "The answer would have more than the 6 MB that are allowed: choose a shorter range of days, a coarser granularity, "
    "fewer dimensions to group by, or a lower limit, or filter."
)


def media_type_for(accept: str) -> str:
    """Return the media type for a client that sends `accept`: CSV if it is named, else JSON."""
    named = {media_range.partition(";")[0].strip().lower() for media_range in accept.split(",")}
    return CSV if CSV in named else JSON


def headers_of(answer: Answer) -> dict[str, str]:
    """Return what a table has no place for: where the next page begins, and notices, as many as a header holds."""
    cursor = {"X-Next-Cursor": answer.next_cursor} if isinstance(answer, Page) and answer.next_cursor else {}
    told = [notice.to_json() for notice in answer.notices]
    while len(json.dumps(told)) > LARGEST_NOTICES_BYTES:
        told.pop()
    return cursor | ({"X-Notices": json.dumps(told)} if told else {})


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def notices_of(answer: Answer) -> dict[str, Any]:
    """Return what a document says beside the answer: nothing, unless there are notices."""
    return {"notices": [notice.to_json() for notice in answer.notices]} if answer.notices else {}


def metrics_document(_: MetricsQuestion, page: Page[MetricSummary]) -> dict[str, Any]:
    return {"metrics": [metric._asdict() for metric in page.items], "next_cursor": page.next_cursor}


def series_document(question: SeriesQuestion, page: Page[Series]) -> dict[str, Any]:
    return question.metric._asdict() | {
        "series": [{"record_id": series.record_id, "dimensions": series.dimensions} for series in page.items],
        "next_cursor": page.next_cursor,
    }


def points_document(question: PointsQuestion, page: Page[StoredPoint]) -> dict[str, Any]:
    start, end = question.timeframe
    return question.metric._asdict() | {
        "start_date": start,
        "end_date": end,
        "points": [point._asdict() for point in page.items],
        "next_cursor": page.next_cursor,
    }


def view_document(question: ViewQuestion, view: View) -> dict[str, Any]:
    compared = {"compare": question.compare, **previous_of(view)} if question.compare else {}
    return question.metric._asdict() | range_of(question) | compared | groups_of(view)


def unit_metric_document(question: UnitMetricQuestion, unit_metric: UnitMetric) -> dict[str, Any]:
    unit = {"unit": question.unit} if question.unit else {}
    sides = {"numerator": question.numerator._asdict(), "denominator": question.denominator._asdict()} | unit
    compared = {"compare": question.compare, **previous_of(unit_metric)}
    return sides | range_of(question) | compared | groups_of(unit_metric)


def saved_document(_: SavedQuestion, page: Page[Definition]) -> dict[str, Any]:
    return {"unit_metrics": [one.to_json() for one in page.items], "next_cursor": page.next_cursor}


def saved_data_document(_: Query, unit_metric: UnitMetric) -> dict[str, Any]:
    return unit_metric_document(unit_metric.question, unit_metric)


def range_of(question: ViewQuestion | UnitMetricQuestion) -> dict[str, str]:
    start, end = question.timeframe
    zone = {"timezone": question.timezone} if question.timezone != "UTC" else {}
    return {"granularity": question.granularity, **zone, "start_date": start, "end_date": end}


def previous_of(answer: View | UnitMetric) -> dict[str, str | None]:
    start, end = answer.previous or (None, None)
    return {"previous_start_date": start, "previous_end_date": end}


def groups_of(answer: View | UnitMetric) -> dict[str, Any]:
    series = [
        {"dimensions": row.dimensions, "data": [cell._asdict() for cell in row.data]} | total_of(row.total)
        for row in answer.series
    ]
    return {"series": series} | total_of(answer.total)


def total_of(cell: AnyCell | None) -> dict[str, Any]:
    """Return the value over all periods, which is no period itself, if there is one."""
    return {"total": {name: value for name, value in cell._asdict().items() if name not in OF_PERIODS}} if cell else {}


# --- CSV --------------------------------------------------------------------------------------------------------------


class CsvTable(NamedTuple):
    """An answer as a table. `keys` are dimensions, whose columns come after the first one."""

    keys: Sequence[str]
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


def to_csv(table: CsvTable) -> str:
    """Write `table` as RFC 4180 has it. None is an empty cell.

    Raises `TooMuch` as soon as that is too much: each of many points may bring columns of its own.
    """
    first, *others = table.columns
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(cell_of, [first, *column_names(table.keys, table.columns), *others]))
    for row in table.rows:
        writer.writerow(map(cell_of, row))
        if text.tell() > LARGEST_BODY_BYTES:
            raise TooMuch(TOO_LARGE)
    return text.getvalue()


def column_names(keys: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Name the columns of dimensions after their keys, but so that no other column has that name.

    A key has the same name on each page, whatever other keys are there, and no other key has it.
    """
    reserved = re.compile(f"(?:dimension_)*(?:{'|'.join(columns)})")
    return [f"dimension_{key}" if reserved.fullmatch(key) else key for key in keys]


def cell_of(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded(value) if isinstance(value, str) else value


def spreadsheet_time(time: str) -> str:
    """Return a day as it is, and an hour or another moment in the form that spreadsheets know."""
    return time.replace("T", " ").removesuffix("Z")


def dimension_keys(items: Iterable[Series | StoredPoint]) -> list[str]:
    return sorted({key for item in items for key in item.dimensions})


def metrics_table(_: MetricsQuestion, page: Page[MetricSummary]) -> CsvTable:
    # The keys in one cell: there is no column for each, as there is where they have values.
    rows = (
        [
            metric.metric_name,
            metric.metric_agg_func,
            ", ".join(metric.dimension_keys),
            "; ".join(map(", ".join, metric.dimension_key_sets)),
            metric.first_day,
            metric.last_day,
            metric.last_deleted_at and spreadsheet_time(metric.last_deleted_at),
        ]
        for metric in page.items
    )
    return CsvTable([], MetricSummary._fields, rows)


def series_table(_: SeriesQuestion, page: Page[Series]) -> CsvTable:
    keys = dimension_keys(page.items)
    rows = ([series.record_id, *map(series.dimensions.get, keys)] for series in page.items)
    return CsvTable(keys, ["record_id"], rows)


def points_table(_: PointsQuestion, page: Page[StoredPoint]) -> CsvTable:
    keys = dimension_keys(page.items)
    rows = (
        [
            spreadsheet_time(point.timestamp),
            *map(point.dimensions.get, keys),
            point.value,
            point.record_id,
            spreadsheet_time(point.received_at),
        ]
        for point in page.items
    )
    return CsvTable(keys, ["timestamp", "value", "record_id", "received_at"], rows)


def view_table(question: ViewQuestion, view: View) -> CsvTable:
    columns = ComparedCell._fields if question.compare else Cell._fields
    return CsvTable(question.group_by, columns, rows_of(question, view))


def unit_metric_table(question: UnitMetricQuestion, unit_metric: UnitMetric) -> CsvTable:
    return CsvTable(question.group_by, UnitCell._fields, rows_of(question, unit_metric))


def saved_table(_: SavedQuestion, page: Page[Definition]) -> CsvTable:
    rows = ([one.name, *(listed(one.fields.get(field)) for field in FIELDS)] for one in page.items)
    return CsvTable([], ("name", *FIELDS), rows)


def listed(value: object) -> object:
    """Return what a cell says of a field: the values of a list one after the other, and of an object as JSON."""
    if isinstance(value, list):
        return "; ".join(value)
    return json.dumps(value) if isinstance(value, dict) else value


def saved_data_table(_: Query, unit_metric: UnitMetric) -> CsvTable:
    return unit_metric_table(unit_metric.question, unit_metric)


def rows_of(question: ViewQuestion | UnitMetricQuestion, answer: View | UnitMetric) -> Iterator[list[object]]:
    for row in answer.series:
        for cell in row.data:
            yield row_of(cell, row.dimensions.values())
        if row.total:
            yield row_of(row.total, row.dimensions.values())
    if answer.total:
        yield row_of(answer.total._replace(date=TOTAL_OF_ALL), [None] * len(question.group_by))


def row_of(cell: AnyCell, dimensions: Iterable[str | None]) -> list[object]:
    date, *values = (
        spreadsheet_time(value) if name in {"date", "previous_date"} and value else value
        for name, value in cell._asdict().items()
    )
    return [date, *dimensions, *values]
