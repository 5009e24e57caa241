"""The reads: metrics, their series and points, views and unit metrics. Routes and HTTP, nothing else."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import re
import time
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.problems import (
    MAX_REPORTED_ERRORS,
    InvalidParameters,
    OutOfTime,
    ParameterError,
    StreamNotFound,
    TooMuch,
)
from unitstream.questions import (
    metrics_question,
    points_question,
    series_question,
    unit_metric_question,
    view_question,
)
from unitstream.reading import MetricsReader, MetricSummary, Page, Point, Series
from unitstream.streams import StreamsTable
from unitstream.views import Cell, UnitCell, UnitMetric, View
from unitstream_http import (
    RETRY_AFTER_SECONDS,
    create_resolver,
    deadline_of,
    invalid_request,
    logger,
    metrics,
    problem,
    stream_not_found,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from unitstream.questions import (
        MetricsQuestion,
        PointsQuestion,
        SeriesQuestion,
        UnitMetricQuestion,
        ViewQuestion,
    )

    Parameters = dict[str, list[str]]

Q = TypeVar("Q")
A = TypeVar("A")

# What is left for a call that starts right before the deadline, and for writing out the largest answer.
RESERVED_SECONDS = LONGEST_CALL + 2.0
TOKEN_HEADER = "X-Data-Stream-Token"  # noqa: S105  # the name of a header
# Lambda takes 6 MiB for the whole response, in which the body is quoted; 64 KiB are left for the rest.
LARGEST_BODY_BYTES = (6 * 1024 - 64) * 1024
TOO_LARGE = (
    "The answer would have more than the 6 MB that are allowed: choose a shorter range of days, a coarser granularity, "
    "fewer dimensions to group by, or a lower limit, or filter."
)

JSON, CSV = "application/json", "text/csv"
CONTENT_TYPES = {JSON: JSON, CSV: f"{CSV}; charset=utf-8"}
# What spreadsheets take for the beginning of a formula, also in full width, or skip before one.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

app = create_resolver()


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    metrics.add_dimension("function", "views")
    # The resolver finds the route by its own text: a metric's name in the path may hold anything, such as what would be
    # stripped as a custom domain's base path.
    response = app.resolve(event | {"path": event["resource"]}, context)
    response["multiValueHeaders"]["Cache-Control"] = ["no-store"]
    metrics.add_metric(f"Status{response['statusCode']:d}", MetricUnit.Count, 1)
    return response


@app.get("/api/metrics")
def list_metrics() -> Response[str]:
    return read(metrics_question, MetricsReader.metrics, metrics_document, metrics_table)


@app.get("/api/metrics/{metric_name}/{metric_agg_func}/series")
def list_series() -> Response[str]:
    return read(series_question_of_path, MetricsReader.series, series_document, series_table)


@app.get("/api/points")
def list_points() -> Response[str]:
    return read(points_question, MetricsReader.points, points_document, points_table)


@app.get("/api/views")
def get_view() -> Response[str]:
    return read(view_question, MetricsReader.view, view_document, view_table)


@app.get("/api/unit-metrics")
def get_unit_metric() -> Response[str]:
    return read(unit_metric_question, MetricsReader.unit_metric, unit_metric_document, unit_metric_table)


def read(
    ask: Callable[[Parameters], Q],
    answer: Callable[[MetricsReader, str, Q, float], A],
    document: Callable[[Q, A], dict[str, Any]],
    table: Callable[[Q, A], Table],
) -> Response[str]:
    """Read the `answer` to what the parameters `ask`, and write it as a JSON `document` or as a CSV `table`."""
    event = app.current_event
    deadline = deadline_of(app, RESERVED_SECONDS)
    form = form_of(", ".join(event.multi_value_headers.get("Accept") or [event.headers.get("Accept", "")]) or "*/*")
    if not form:
        return not_acceptable()
    token = event.headers.get(TOKEN_HEADER, "")
    missing = [] if token else [ParameterError(TOKEN_HEADER, "missing", f"the header {TOKEN_HEADER} is required")]
    try:
        question = ask(event.resolved_query_string_parameters)
    except InvalidParameters as exc:
        return invalid_parameters([*missing, *exc.errors], len(missing) + exc.total)
    if missing:
        return invalid_parameters(missing, len(missing))
    if not token.isascii():
        raise StreamNotFound  # no token is, and what is half of a surrogate pair has no hash
    streams_table, reader = tables()
    stream = streams_table.find(token, deadline)
    logger.append_keys(stream_id=stream.stream_id)

    started = time.perf_counter()
    found = answer(reader, stream.stream_id, question, deadline)
    answered = time.perf_counter()
    body = to_json(document(question, found)) if form == JSON else to_csv(table(question, found))
    size, points = len(json.dumps(body)), points_in(found)
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, (answered - started) * 1000)
    metrics.add_metric("RenderTime", MetricUnit.Milliseconds, (time.perf_counter() - answered) * 1000)
    metrics.add_metric("PointsRead", MetricUnit.Count, points)
    metrics.add_metric("AnswerBytes", MetricUnit.Bytes, size)
    logger.info("read", extra={"route": event.resource, "points": points, "bytes": size})
    if size > LARGEST_BODY_BYTES:
        raise TooMuch(TOO_LARGE)
    cursor = {"X-Next-Cursor": found.next_cursor} if isinstance(found, Page) and found.next_cursor else {}
    return Response(HTTPStatus.OK, CONTENT_TYPES[form], body, cursor)


def points_in(found: object) -> int:
    """Return how many points went into an answer."""
    match found:
        case View() | UnitMetric():
            return sum(cell.points for row in found.series for cell in row.data)
        case Page(items=[Point(), *_]):
            return len(found.items)
    return 0


def series_question_of_path(parameters: Parameters) -> SeriesQuestion:
    # The gateway decodes the query string, but not the path. What is not UTF-8 becomes surrogates, which are refused.
    name, function = (
        unquote(app.current_event.path_parameters[part], errors="surrogateescape")
        for part in ("metric_name", "metric_agg_func")
    )
    return series_question(name, function, parameters)


def form_of(accept: str) -> str:
    """Return the media type that a client which sends `accept` wants most, JSON if it does not care, or nothing."""
    wanted = {media_type: quality(media_type, accept) for media_type in (JSON, CSV)}
    best = max(wanted, key=lambda media_type: wanted[media_type])
    return best if wanted[best] else ""


def quality(media_type: str, accept: str) -> float:
    """Return how much `accept` wants `media_type`, from 0 to 1: as much as the narrowest range that it falls in."""
    ranges = ["*/*", f"{media_type.partition('/')[0]}/*", media_type]
    found = {}
    for one in accept.lower().split(","):
        name, *parameters = (part.strip() for part in one.split(";"))
        if name in ranges:
            qualities = [match[1] for match in map(_QUALITY.fullmatch, parameters) if match]
            found[ranges.index(name)] = float(qualities[0]) if qualities else 1.0
    return found[max(found)] if found else 0.0


@cache
def tables() -> tuple[StreamsTable, MetricsReader]:
    client = create_client()
    return StreamsTable(client, os.environ["STREAMS_TABLE"]), MetricsReader(client, os.environ["METRICS_TABLE"])


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def metrics_document(_: MetricsQuestion, page: Page[MetricSummary]) -> dict[str, Any]:
    return {"metrics": [one._asdict() for one in page.items], "next_cursor": page.next_cursor}


def series_document(question: SeriesQuestion, page: Page[Series]) -> dict[str, Any]:
    return question.metric._asdict() | {
        "series": [one._asdict() for one in page.items],
        "next_cursor": page.next_cursor,
    }


def points_document(question: PointsQuestion, page: Page[Point]) -> dict[str, Any]:
    start, end = question.timeframe
    return question.metric._asdict() | {
        "start_date": start,
        "end_date": end,
        "points": [point._asdict() for point in page.items],
        "next_cursor": page.next_cursor,
    }


def view_document(question: ViewQuestion, view: View) -> dict[str, Any]:
    start, end = question.timeframe
    return question.metric._asdict() | {
        "granularity": question.granularity,
        "start_date": start,
        "end_date": end,
        "series": [
            {"dimensions": row.dimensions, "data": [cell._asdict() for cell in row.data]} for row in view.series
        ],
    }


def unit_metric_document(question: UnitMetricQuestion, unit_metric: UnitMetric) -> dict[str, Any]:
    start, end = question.timeframe
    return {
        "numerator": question.numerator._asdict(),
        "denominator": question.denominator._asdict(),
        "granularity": question.granularity,
        "start_date": start,
        "end_date": end,
        "previous_start_date": unit_metric.previous.start,
        "previous_end_date": unit_metric.previous.end,
        "series": [
            {"dimensions": row.dimensions, "data": [cell._asdict() for cell in row.data]} for row in unit_metric.series
        ],
    }


# --- CSV --------------------------------------------------------------------------------------------------------------


class Table(NamedTuple):
    """An answer as a table. `keys` are dimensions, whose columns come after the first one."""

    keys: Sequence[str]
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


def to_csv(table: Table) -> str:
    """Write `table` as RFC 4180 has it. None is an empty cell.

    Raises `TooMuch` as soon as that is too much: each of many points may bring columns of its own.
    """
    first, *others = table.columns
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(cell_of, [first, *names_of(table.keys, table.columns), *others]))
    for row in table.rows:
        writer.writerow(map(cell_of, row))
        if text.tell() > LARGEST_BODY_BYTES:
            raise TooMuch(TOO_LARGE)
    return text.getvalue()


def names_of(keys: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Name the columns of dimensions after their keys, but so that no other column has that name.

    A key has the same name on each page, whatever other keys are there, and no other key has it.
    """
    reserved = re.compile(f"(?:dimension_)*(?:{'|'.join(columns)})")
    return [f"dimension_{key}" if reserved.fullmatch(key) else key for key in keys]


def cell_of(value: object) -> object:
    """Return what is written for `value`: of text that a spreadsheet would take for a formula, just text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def moment_of(moment: str) -> str:
    """Return a day as it is, and an hour or another moment in the form that spreadsheets know."""
    return moment.replace("T", " ").removesuffix("Z")


def keys_of(items: Iterable[Series | Point]) -> list[str]:
    return sorted({key for one in items for key in one.dimensions})


def metrics_table(_: MetricsQuestion, page: Page[MetricSummary]) -> Table:
    # The keys in one cell: there is no column for each, as there is where they have values.
    rows = ([", ".join(part) if isinstance(part, list) else part for part in one] for one in page.items)
    return Table([], MetricSummary._fields, rows)


def series_table(_: SeriesQuestion, page: Page[Series]) -> Table:
    keys = keys_of(page.items)
    return Table(keys, ["record_id"], ([one.record_id, *map(one.dimensions.get, keys)] for one in page.items))


def points_table(_: PointsQuestion, page: Page[Point]) -> Table:
    keys = keys_of(page.items)
    rows = (
        [
            moment_of(point.timestamp),
            *map(point.dimensions.get, keys),
            point.value,
            point.record_id,
            moment_of(point.received_at),
        ]
        for point in page.items
    )
    return Table(keys, ["timestamp", "value", "record_id", "received_at"], rows)


def view_table(question: ViewQuestion, view: View) -> Table:
    return Table(question.group_by, Cell._fields, rows_of(view))


def unit_metric_table(question: UnitMetricQuestion, unit_metric: UnitMetric) -> Table:
    return Table(question.group_by, UnitCell._fields, rows_of(unit_metric))


def rows_of(found: View | UnitMetric) -> Iterator[list[object]]:
    for row in found.series:
        group = list(row.dimensions.values())
        for date, *values in row.data:
            yield [moment_of(date), *group, *values]


# The answers that are not a success. Those of every function are in unitstream_http, the gateway's in template.yaml.


def invalid_parameters(errors: Sequence[ParameterError], total: int) -> Response[str]:
    metrics.add_metric("ValidationErrors", MetricUnit.Count, total)
    shown = [asdict(error) for error in errors[:MAX_REPORTED_ERRORS]]
    cut = "" if total == len(shown) else f" The first {len(shown)} are listed."
    return invalid_request(f"The request has {total:,} error{'s' if total > 1 else ''}.{cut}", shown, total)


def not_acceptable() -> Response[str]:
    return problem(
        HTTPStatus.NOT_ACCEPTABLE,
        "not-acceptable",
        "Form not available",
        f"The header Accept must allow {JSON} or {CSV}: there is nothing else.",
    )


@app.exception_handler(StreamNotFound)
def token_unknown(_: StreamNotFound) -> Response[str]:
    return stream_not_found(f"The token in {TOKEN_HEADER} names no stream, or was revoked.")


@app.exception_handler(TooMuch)
def too_much(exc: TooMuch) -> Response[str]:
    return problem(HTTPStatus.BAD_REQUEST, "answer-too-large", "Too much for one answer", exc.detail)


@app.exception_handler(OutOfTime)
def out_of_time(_: OutOfTime) -> Response[str]:
    logger.warning("out of time")
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database-busy",
        "The database is busy",
        "The database did not answer in time. The same request can be sent again.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


# What is imported by now stays, so the garbage collector need not look at it.
gc.freeze()
