"""The reads: metrics, series, points, views and unit metrics; and saving those. Routes and HTTP, nothing else."""

from __future__ import annotations

import gc
import json
import os
import time
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

from unitstream.definitions import data_parameters, definition_of, name_alone
from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.extents import extents_of, notices_of
from unitstream.pages import Page
from unitstream.points import StoredPoint
from unitstream.problems import InvalidRequest, OutOfTime, StreamNotFound, TooMuch, UnitMetricNotFound
from unitstream.questions import metrics_question, points_question, saved_question, series_question
from unitstream.reading import Reader
from unitstream.rights import Right
from unitstream.saved import SavedUnitMetrics
from unitstream.streams import StreamsTable
from unitstream.table import Table
from unitstream.view_questions import unit_metric_question, view_question
from unitstream.views import UnitMetric, View
from unitstream_http import (
    RETRY_AFTER_SECONDS,
    TOKEN_HEADER,
    body_of,
    create_resolver,
    deadline_of,
    invalid_request,
    logger,
    metrics,
    open_stream,
    problem,
    received_at_of,
    stream_not_found,
    token_and_question,
)
from views import forms

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from unitstream.definitions import Definition
    from unitstream.parameters import Query
    from unitstream.questions import SavedQuestion, SeriesQuestion

Question = TypeVar("Question")
Answer = TypeVar("Answer", bound="forms.Answer")

# What is left for a call that starts right before the deadline, and for writing out the largest answer.
RESERVED_SECONDS = LONGEST_CALL + 2.0
app = create_resolver()


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    metrics.add_dimension("function", "views")
    logger.append_keys(received_at=received_at_of(event))
    # The resolver finds the route by its own text: a metric's name in the path may hold anything, such as what would be
    # stripped as a custom domain's base path.
    response = app.resolve(event | {"path": event["resource"]}, context)
    response["multiValueHeaders"]["Cache-Control"] = ["no-store"]
    metrics.add_metric(f"Status{response['statusCode']:d}", MetricUnit.Count, 1)
    return response


@app.get("/api/metrics")
def list_metrics() -> Response[str]:
    return respond(metrics_question, Reader.metrics, forms.metrics_document, forms.metrics_table)


@app.get("/api/metrics/{metric_name}/{metric_agg_func}/series")
def list_series() -> Response[str]:
    return respond(series_question_of_path, Reader.series, forms.series_document, forms.series_table)


@app.get("/api/points")
def list_points() -> Response[str]:
    return respond(points_question, Reader.points, forms.points_document, forms.points_table)


@app.get("/api/views")
def get_view() -> Response[str]:
    return respond(view_question, Reader.view, forms.view_document, forms.view_table)


@app.get("/api/unit-metrics")
def get_unit_metric() -> Response[str]:
    return respond(unit_metric_question, Reader.unit_metric, forms.unit_metric_document, forms.unit_metric_table)


@app.get("/api/saved-unit-metrics")
def list_saved() -> Response[str]:
    def read(reader: Reader, stream_id: str, question: SavedQuestion, deadline: float) -> Page[Definition]:
        return SavedUnitMetrics(reader.table).list(stream_id, question, deadline)

    return respond(saved_question, read, forms.saved_document, forms.saved_table)


@app.get("/api/unit-metrics/{name}/data")
def get_saved_data() -> Response[str]:
    name = path_parameter("name")

    def read(reader: Reader, stream_id: str, query: Query, deadline: float) -> UnitMetric:
        definition = SavedUnitMetrics(reader.table).get(stream_id, name, deadline)
        return reader.unit_metric(stream_id, definition.question(query), deadline)

    return respond(partial(data_parameters, name), read, forms.saved_data_document, forms.saved_data_table)


@app.get("/api/unit-metrics/{name}")
def get_saved() -> Response[str]:
    stream_id, name, saved, deadline = opened(Right.READ)
    body = forms.to_json(saved.get(stream_id, name, deadline).to_json())
    count_answer(0, len(json.dumps(body)))
    return Response(HTTPStatus.OK, forms.JSON, body)


@app.put("/api/unit-metrics/{name}")
def put_saved() -> Response[str]:
    name, body = path_parameter("name"), body_of(app.current_event)

    def parse(query: Query) -> Definition:
        return definition_of(name_alone(name, query), body)

    deadline = deadline_of(app, RESERVED_SECONDS)
    token, definition = token_and_question(app, parse)
    streams_table, reader = tables()
    stream_id = open_stream(streams_table, token, Right.WRITE, deadline).stream_id
    SavedUnitMetrics(reader.table).put(stream_id, definition, deadline)
    question = definition.question_of_some_day()
    extents = extents_of(reader.table, stream_id, question, deadline)
    noticed = notices_of(reader.table, stream_id, question, extents, deadline)
    told = {"notices": [notice.to_json() for notice in noticed]} if noticed else {}
    return changed("saved", name, definition.to_json() | told)


@app.delete("/api/unit-metrics/{name}")
def delete_saved() -> Response[str]:
    stream_id, name, saved, deadline = opened(Right.WRITE)
    return changed("deleted", name, {"deleted": int(saved.delete(stream_id, name, deadline))})


def opened(right: Right) -> tuple[str, str, SavedUnitMetrics, float]:
    """Return the stream that the token opens, the name in the path, what is saved, and when time is over."""
    deadline = deadline_of(app, RESERVED_SECONDS)
    token, name = token_and_question(app, partial(name_alone, path_parameter("name")))
    streams_table, reader = tables()
    stream_id = open_stream(streams_table, token, right, deadline).stream_id
    return stream_id, name, SavedUnitMetrics(reader.table), deadline


def changed(done: str, name: str, document: dict[str, Any]) -> Response[str]:
    """Say in the log what was done to a saved unit metric, and answer with `document`."""
    logger.info(f"unit metric {done}", extra={"route": app.current_event.resource, "unit_metric": name})
    return Response(HTTPStatus.OK, forms.JSON, forms.to_json(document))


def path_parameter(name: str) -> str:
    # The gateway decodes the query string, but not the path. What is not UTF-8 becomes surrogates, which are refused.
    return unquote(app.current_event.path_parameters[name], errors="surrogateescape")


def respond(
    parse: Callable[[Query], Question],
    read: Callable[[Reader, str, Question, float], Answer],
    to_document: Callable[[Question, Answer], dict[str, Any]],
    to_table: Callable[[Question, Answer], forms.CsvTable],
) -> Response[str]:
    """Answer the request: `parse` the question, `read` the answer, and write it as JSON or, if it is asked for, CSV."""
    deadline = deadline_of(app, RESERVED_SECONDS)
    token, question = token_and_question(app, parse)
    streams_table, reader = tables()
    stream = open_stream(streams_table, token, Right.READ, deadline)
    started = time.perf_counter()
    answer = read(reader, stream.stream_id, question, deadline)
    answered = time.perf_counter()
    media_type = forms.media_type_for(accept_header())
    if media_type == forms.CSV:
        body = forms.to_csv(to_table(question, answer))
    else:
        body = forms.to_json(to_document(question, answer) | forms.notices_of(answer))
    size = len(json.dumps(body))
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, (answered - started) * 1000)
    metrics.add_metric("RenderTime", MetricUnit.Milliseconds, (time.perf_counter() - answered) * 1000)
    count_answer(points_in(answer), size)
    if size > forms.LARGEST_BODY_BYTES:
        raise TooMuch(forms.TOO_LARGE)
    return Response(HTTPStatus.OK, forms.CONTENT_TYPES[media_type], body, forms.headers_of(answer))


def series_question_of_path(query: Query) -> SeriesQuestion:
    return series_question(path_parameter("metric_name"), path_parameter("metric_agg_func"), query)


def accept_header() -> str:
    """Return the header Accept; one that occurs several times is a list."""
    event = app.current_event
    return ", ".join(event.multi_value_headers.get("Accept") or [event.headers.get("Accept", "")])


def points_in(answer: object) -> int:
    """Return how many points went into an answer."""
    match answer:
        case View() | UnitMetric():
            return answer.points
        case Page(items=[StoredPoint(), *_]):
            return len(answer.items)
    return 0


def count_answer(points: int, size: int) -> None:
    metrics.add_metric("PointsRead", MetricUnit.Count, points)
    metrics.add_metric("AnswerBytes", MetricUnit.Bytes, size)
    logger.info("read", extra={"route": app.current_event.resource, "points": points, "bytes": size})


@cache
def tables() -> tuple[StreamsTable, Reader]:
    client = create_client()
    return StreamsTable(client, os.environ["STREAMS_TABLE"]), Reader(Table(client, os.environ["METRICS_TABLE"]))


# The answers that are not a success. Those of every function are in unitstream_http, the gateway's in template.yaml.


@app.exception_handler(InvalidRequest)
def request_invalid(exc: InvalidRequest) -> Response[str]:
    return invalid_request(exc, ".")


@app.exception_handler(StreamNotFound)
def token_unknown(_: StreamNotFound) -> Response[str]:
    return stream_not_found(TOKEN_HEADER)


@app.exception_handler(UnitMetricNotFound)
def unit_metric_unknown(_: UnitMetricNotFound) -> Response[str]:
    return problem(
        HTTPStatus.NOT_FOUND,
        "unit-metric-not-found",
        "No such unit metric",
        "The stream has no saved unit metric of that name.",
    )


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


# As in ingest/app.py.
gc.freeze()
gc.enable()
gc.set_threshold(50_000, 20, 100)
