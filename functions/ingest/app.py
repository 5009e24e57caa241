"""`POST /api/streams/ingest`: routes and HTTP, nothing else."""

from __future__ import annotations

import base64
import gc
import json
import os
import re
import time
import traceback
from collections import Counter
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.payload import MAX_BODY_BYTES, invalid_body, parse
from unitstream.problems import InvalidParameter, InvalidPayload, OutOfTime, StreamNotFound
from unitstream.store import Effort, MetricsTable, Origin
from unitstream.streams import StreamsTable

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.exceptions import NotFoundError
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from unitstream.days import Counts

# What is left for a call that starts right before the deadline, and for the answer.
RESERVED_SECONDS = LONGEST_CALL + 0.5
RETRY_AFTER_SECONDS = 5
DRY_RUN = "dry_run"
# JSON, and what clients say of a body when they are not told: nothing, curl's and urllib's default, and text.
JSON_TYPES = {"", "application/json", "application/x-www-form-urlencoded", "text/plain"}

# The gateway puts it for bytes that are not UTF-8, and so would make different names the same.
REPLACEMENT_CHARACTER = "\ufffd"

logger = Logger()
metrics = Metrics(namespace="unitstream")
# A custom domain's base path comes before the path of the API.
app = APIGatewayRestResolver(strip_prefixes=[re.compile(r"/.+(?=/api/)")])


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    response = app.resolve(event, context)
    metrics.add_metric(f"Status{response['statusCode']:d}", MetricUnit.Count, 1)
    return response


@app.post("/api/streams/ingest")
def ingest() -> Response[str]:
    event = app.current_event
    deadline = time.monotonic() + app.lambda_context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS
    dry_run = dry_run_of(event)
    if event.headers.get("Content-Encoding", "identity").lower() != "identity":
        return encoding_unsupported()
    media_type = event.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        return content_type_unsupported()
    body = body_of(event)
    if len(body) > MAX_BODY_BYTES:
        return body_too_large(len(body))
    request = parse(body)
    streams_table, metrics_table = tables()
    stream = streams_table.find(request.data_stream_token, deadline)
    logger.append_keys(stream_id=stream.stream_id)
    origin = Origin(stream.stream_id, request.metric_agg_func, event.request_context.request_time_epoch)
    effort = Effort()
    try:
        counts = metrics_table.save(request, origin, deadline, effort, dry_run=dry_run)
    finally:
        count_effort(effort)
    points = {"received": request.received} | asdict(counts)
    logger.info("dry run" if dry_run else "saved", extra={"points": points, "rounds": effort.rounds})
    if dry_run:
        return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, json.dumps(points))
    count_points(counts)
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, json.dumps(points))


def count_points(counts: Counts) -> None:
    for outcome, count in asdict(counts).items():
        metrics.add_metric(f"Points{outcome.capitalize()}", MetricUnit.Count, count)


def count_effort(effort: Effort) -> None:
    metrics.add_metric("Rounds", MetricUnit.Count, effort.rounds)
    metrics.add_metric("LostRaces", MetricUnit.Count, effort.lost_races)
    metrics.add_metric("Throttles", MetricUnit.Count, effort.throttles)
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, effort.read_time * 1000)
    metrics.add_metric("MergeTime", MetricUnit.Milliseconds, effort.merge_time * 1000)
    metrics.add_metric("WriteTime", MetricUnit.Milliseconds, effort.write_time * 1000)


def dry_run_of(event: APIGatewayProxyEvent) -> bool:
    """Whether the request is only a question. A parameter that is misspelt would save what was not to be saved."""
    parameters = event.resolved_query_string_parameters
    unknown = sorted(parameters.keys() - {DRY_RUN})
    values = parameters.get(DRY_RUN, ["false"])
    if unknown:
        raise InvalidParameter(unknown[0], f"there is no such parameter, only {DRY_RUN}")
    if values not in (["true"], ["false"]):
        raise InvalidParameter(DRY_RUN, "must be true or false, once")
    return values == ["true"]


def body_of(event: APIGatewayProxyEvent) -> bytes:
    text = event.body or ""
    if not event.is_base64_encoded:
        if REPLACEMENT_CHARACTER in text:
            raise invalid_body("is not valid UTF-8; the character U+FFFD itself can be sent as the escape \\ufffd")
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text)
    except ValueError as exc:
        raise invalid_body("is not valid base64") from exc


@cache
def tables() -> tuple[StreamsTable, MetricsTable]:
    client = create_client()
    return StreamsTable(client, os.environ["STREAMS_TABLE"]), MetricsTable(client, os.environ["METRICS_TABLE"])


# Every answer that is not a success, in one place. The gateway's own are in template.yaml.


def body_too_large(size: int) -> Response[str]:
    return problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        "Body too large",
        f"The body has {size:,} bytes, and {MAX_BODY_BYTES:,} are allowed: split the request.",
    )


def content_type_unsupported() -> Response[str]:
    return problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "content-type-unsupported",
        "Content type not supported",
        "The body must be JSON, with the header Content-Type: application/json. Nothing was saved.",
    )


def encoding_unsupported() -> Response[str]:
    return problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "encoding-unsupported",
        "Encoding not supported",
        "The body must be plain JSON, without a Content-Encoding. Nothing was saved.",
    )


@app.exception_handler(InvalidPayload)
def invalid_payload(exc: InvalidPayload) -> Response[str]:
    metrics.add_metric("ValidationErrors", MetricUnit.Count, exc.total)
    for code, count in Counter(error.code for error in exc.errors).items():
        metrics.add_metric(f"Invalid_{code}", MetricUnit.Count, count)
    shown = "" if exc.total == len(exc.errors) else f" The first {len(exc.errors)} are listed."
    return problem(
        HTTPStatus.BAD_REQUEST,
        "invalid-request",
        "Invalid request",
        f"The request has {exc.total:,} error{'s' if exc.total > 1 else ''}, and nothing of it was saved.{shown}",
        total_errors=exc.total,
        errors=[asdict(error) for error in exc.errors],
    )


@app.exception_handler(InvalidParameter)
def invalid_parameter(exc: InvalidParameter) -> Response[str]:
    return problem(
        HTTPStatus.BAD_REQUEST,
        "invalid-request",
        "Invalid request",
        "A query parameter is wrong, and nothing was saved.",
        total_errors=1,
        errors=[{"parameter": exc.parameter, "code": "parameter_invalid", "detail": exc.detail}],
    )


@app.exception_handler(StreamNotFound)
def stream_not_found(_: StreamNotFound) -> Response[str]:
    return problem(
        HTTPStatus.NOT_FOUND,
        "stream-not-found",
        "No stream found",
        "data_stream_token names no stream, or one whose token was revoked. Nothing was saved.",
    )


@app.not_found
def route_not_found(_: NotFoundError) -> Response[str]:
    return problem(HTTPStatus.NOT_FOUND, "route-not-found", "No such route", "The API has no such path or method.")


@app.exception_handler(OutOfTime)
def out_of_time(exc: OutOfTime) -> Response[str]:
    saved = asdict(exc.saved)
    logger.warning("out of time", extra={"points": saved})
    count_points(exc.saved)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "out-of-time",
        "Not everything was saved in time",
        "The database was too busy. The counts say what is saved so far. The same request can safely be sent again, "
        "which completes it.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        **saved,
    )


# The one place where any exception is caught: the answer must still be a problem, and the alarm must still go off.
@app.exception_handler(Exception)
def unforeseen(exc: Exception) -> Response[str]:
    # Neither the message nor the arguments: they may hold payload values.
    logger.error(
        "unforeseen error",
        extra={
            "error": type(exc).__name__,
            "code": exc.response["Error"]["Code"] if isinstance(exc, ClientError) else getattr(exc, "code", None),
            "frames": traceback.format_tb(exc.__traceback__, limit=-8),
        },
    )
    request_id = app.current_event.request_context.request_id
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "Internal error",
        f"Something unforeseen happened. The log has more under the request ID {request_id}. "
        "The same request can safely be sent again.",
        request_id=request_id,
    )


def problem(
    status: HTTPStatus, kind: str, title: str, detail: str, headers: dict[str, str] | None = None, **members: object
) -> Response[str]:
    """Return an RFC 9457 problem."""
    document = {"type": f"urn:unitstream:problem:{kind}", "title": title, "status": status, "detail": detail} | members
    return Response(status, "application/problem+json", json.dumps(document), dict(headers or {}))


# What is imported by now stays, so the garbage collector need not look at it: a tenth of the CPU of a large request.
gc.freeze()
