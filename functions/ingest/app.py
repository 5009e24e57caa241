"""`POST /api/streams/ingest`: routes and HTTP, nothing else."""

from __future__ import annotations

import base64
import gc
import json
import os
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

from unitstream.compression import unpacked
from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.payload import MAX_BODY_BYTES, invalid_body, parse
from unitstream.problems import BodyTooLarge, InvalidRequest, OutOfTime, StreamNotFound
from unitstream.questions import dry_run_of
from unitstream.store import Effort, Origin, Store
from unitstream.streams import StreamsTable
from unitstream.table import Table
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
    from collections.abc import Sequence

    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from unitstream.days import Counts
    from unitstream.problems import Finding

# What is left for a call that starts right before the deadline, and for the answer.
RESERVED_SECONDS = LONGEST_CALL + 0.5
# JSON, and what clients say of a body when they are not told: nothing, curl's and urllib's default, and text.
JSON_TYPES = {"", "application/json", "application/x-www-form-urlencoded", "text/plain"}

PLAIN, GZIP = ("", "identity"), ("gzip", "x-gzip")

# The gateway puts it for bytes that are not UTF-8, and so would make different names the same.
REPLACEMENT_CHARACTER = "\ufffd"

app = create_resolver()


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    response = app.resolve(event, context)
    metrics.add_metric(f"Status{response['statusCode']:d}", MetricUnit.Count, 1)
    return response


@app.post("/api/streams/ingest")
def ingest() -> Response[str]:
    event = app.current_event
    deadline = deadline_of(app, RESERVED_SECONDS)
    dry_run = dry_run_of(event.resolved_query_string_parameters)
    encoding = event.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {*PLAIN, *GZIP}:
        return encoding_unsupported()
    media_type = event.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        return content_type_unsupported()
    body = body_of(event)
    if encoding in GZIP:
        body = unpacked(body)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    request = parse(body)
    streams_table, store = tables()
    stream = streams_table.find(request.data_stream_token, deadline)
    logger.append_keys(stream_id=stream.stream_id)
    origin = Origin(stream.stream_id, event.request_context.request_time_epoch)
    effort = Effort()
    try:
        saved = store.save(request, origin, deadline, effort, dry_run=dry_run)
    finally:
        count_effort(effort)
    answer = {"received": request.received} | answer_of(saved.counts, saved.notices)
    logger.info("dry run" if dry_run else "saved", extra={"points": answer, "rounds": effort.rounds})
    if dry_run:
        return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, json.dumps(answer))
    count_points(saved.counts)
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, json.dumps(answer))


def answer_of(counts: Counts, notices: Sequence[Finding]) -> dict[str, Any]:
    told = {"notices": [notice.to_json() for notice in notices]} if notices else {}
    return counts._asdict() | told


def count_points(counts: Counts) -> None:
    for outcome, count in counts._asdict().items():
        metrics.add_metric(f"Points{outcome.capitalize()}", MetricUnit.Count, count)


def count_effort(effort: Effort) -> None:
    metrics.add_metric("Rounds", MetricUnit.Count, effort.rounds)
    metrics.add_metric("LostRaces", MetricUnit.Count, effort.lost_races)
    metrics.add_metric("Throttles", MetricUnit.Count, effort.throttles)
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, effort.read_time * 1000)
    metrics.add_metric("MergeTime", MetricUnit.Milliseconds, effort.merge_time * 1000)
    metrics.add_metric("WriteTime", MetricUnit.Milliseconds, effort.write_time * 1000)


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
def tables() -> tuple[StreamsTable, Store]:
    client = create_client()
    return StreamsTable(client, os.environ["STREAMS_TABLE"]), Store(Table(client, os.environ["METRICS_TABLE"]))


# The answers that are not a success. Those of every function are in unitstream_http, the gateway's in template.yaml.


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
        "The body must be plain JSON, or JSON in gzip with the header Content-Encoding: gzip. Nothing was saved.",
    )


@app.exception_handler(InvalidRequest)
def request_invalid(exc: InvalidRequest) -> Response[str]:
    return invalid_request(exc, ", and nothing of it was saved.")


@app.exception_handler(BodyTooLarge)
def body_too_large(_: BodyTooLarge) -> Response[str]:
    return problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        "Body too large",
        f"The body has more than the {MAX_BODY_BYTES:,} bytes that are allowed: split the request. Nothing was saved.",
    )


@app.exception_handler(StreamNotFound)
def token_unknown(_: StreamNotFound) -> Response[str]:
    return stream_not_found("data_stream_token names no stream, or one whose token was revoked. Nothing was saved.")


@app.exception_handler(OutOfTime)
def out_of_time(exc: OutOfTime) -> Response[str]:
    logger.warning("out of time", extra={"points": exc.saved._asdict()})
    count_points(exc.saved)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "out-of-time",
        "Not everything was saved in time",
        "The database was too busy. The counts say what is saved so far. The same request can safely be sent again, "
        "which completes it.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        **answer_of(exc.saved, exc.notices),
    )


# What is imported by now stays, so the garbage collector need not look at it; most of what a request allocates lives
# until its end, so it need not look often. Together a sixth of the CPU of a large one.
gc.freeze()
gc.enable()
gc.set_threshold(50_000, 20, 100)
