"""Saving and deleting points. Routes and HTTP, nothing else."""

from __future__ import annotations

import gc
import json
import os
from functools import cache
from http import HTTPStatus
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

from unitstream.catalogue import Catalogue
from unitstream.days import Counts, Deletions
from unitstream.deleting import Deleter
from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.payload import indexes_of, parse
from unitstream.problems import InvalidRequest, OutOfTime, StreamNotFound, pointer
from unitstream.questions import delete_question, dry_run_of
from unitstream.rights import Right
from unitstream.rounds import Effort, Origin
from unitstream.store import Store
from unitstream.streams import StreamsTable
from unitstream.table import Table
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from unitstream.payload import Ingest
    from unitstream.problems import Finding
    from unitstream.store import Change

# What is left for a call that starts right before the deadline, and for the answer.
RESERVED_SECONDS = LONGEST_CALL + 0.5
# What requests do with points, in the words of the answers.
DONE_BY = {"POST": "saved", "DELETE": "deleted"}

app = create_resolver()


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    logger.append_keys(received_at=received_at_of(event))
    response = app.resolve(event, context)
    metrics.add_metric(f"Status{response['statusCode']:d}", MetricUnit.Count, 1)
    return response


@app.post("/api/streams/ingest")
def ingest() -> Response[str]:
    deadline = deadline_of(app, RESERVED_SECONDS)
    dry_run = dry_run_of(app.current_event.resolved_query_string_parameters)
    body = body_of(app.current_event)
    request = parse(body)
    streams, store, _ = tables()
    origin = origin_of(streams, request.data_stream_token, Right.WRITE, deadline)
    effort = Effort()
    try:
        saved = store.save(request, origin, deadline, effort, dry_run=dry_run)
    finally:
        count_effort(effort)
    answer = {"received": request.received} | answer_of(saved.counts, saved.notices)
    logger.info("dry run" if dry_run else "saved", extra={"points": answer, "rounds": effort.rounds})
    answer |= received_at()
    if dry_run:
        answer |= {"changes": changes_of(body, request, saved.changes), "large_changes": saved.large_changes}
        return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, json.dumps(answer))
    count_points(saved.counts)
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, json.dumps(answer))


@app.delete("/api/points")
def delete_points() -> Response[str]:
    deadline = deadline_of(app, RESERVED_SECONDS)
    token, question = token_and_question(app, delete_question)
    streams, _, deleter = tables()
    origin = origin_of(streams, token, Right.DELETE, deadline)
    effort = Effort()
    try:
        deleted = deleter.delete(question, origin, deadline, effort)
    finally:
        count_effort(effort)
    answer = answer_of(deleted.counts, deleted.notices)
    logger.info("dry run" if question.dry_run else "deleted", extra={"points": answer, "rounds": effort.rounds})
    if question.dry_run:
        answer |= {name: getattr(deleted, name) for name in ("first_timestamp", "last_timestamp", "sum")}
    else:
        count_points(deleted.counts)
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, json.dumps(answer))


def received_at() -> dict[str, str]:
    """Return what the points of a request are stored with, as answers say it."""
    return {"received_at": received_at_of(app.current_event.raw_event)}


def origin_of(streams: StreamsTable, token: str, right: Right, deadline: float) -> Origin:
    """Return where a request comes from: the stream that `token` opens, and when the gateway got it."""
    stream = open_stream(streams, token, right, deadline)
    max_series = stream.max_series or int(os.environ["MAX_SERIES_PER_METRIC"])
    return Origin(stream.stream_id, app.current_event.request_context.request_time_epoch, max_series)


def answer_of(counts: Counts | Deletions, notices: Sequence[Finding]) -> dict[str, Any]:
    told = {"notices": [notice.to_json() for notice in notices]} if notices else {}
    return counts._asdict() | told


def changes_of(body: bytes, request: Ingest, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return what a dry run says of stored values that would be replaced, in the order of the request."""
    points = [(change.points.series.record_id, change.hour) for change in changes]
    indexes = indexes_of(body, request.metric_agg_func, points) if points else {}
    return [
        {"pointer": pointer("data", index), "stored_value": change.stored_value, "new_value": change.new_value}
        for index, change in sorted(zip(map(indexes.__getitem__, points), changes, strict=True), key=itemgetter(0))
    ]


def count_points(counts: Counts | Deletions) -> None:
    points = {"deleted": counts.deleted} if isinstance(counts, Deletions) else counts._asdict()
    for outcome, count in points.items():
        metrics.add_metric(f"Points{outcome.capitalize()}", MetricUnit.Count, count)


def count_effort(effort: Effort) -> None:
    metrics.add_metric("Rounds", MetricUnit.Count, effort.rounds)
    metrics.add_metric("LostRaces", MetricUnit.Count, effort.lost_races)
    metrics.add_metric("Throttles", MetricUnit.Count, effort.throttles)
    metrics.add_metric("SeriesCreated", MetricUnit.Count, effort.series_created)
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, effort.read_time * 1000)
    metrics.add_metric("MergeTime", MetricUnit.Milliseconds, effort.merge_time * 1000)
    metrics.add_metric("WriteTime", MetricUnit.Milliseconds, effort.write_time * 1000)


@cache
def tables() -> tuple[StreamsTable, Store, Deleter]:
    client = create_client()
    table = Table(client, os.environ["METRICS_TABLE"])
    catalogue = Catalogue(table)
    streams = StreamsTable(client, os.environ["STREAMS_TABLE"])
    return streams, Store(table, catalogue), Deleter(table, catalogue)


# The answers that are not a success. Those of every function are in unitstream_http, the gateway's in template.yaml.


@app.exception_handler(InvalidRequest)
def request_invalid(exc: InvalidRequest) -> Response[str]:
    return invalid_request(exc, f", and nothing was {DONE_BY[app.current_event.http_method]}.")


@app.exception_handler(StreamNotFound)
def token_unknown(_: StreamNotFound) -> Response[str]:
    method = app.current_event.http_method
    place = TOKEN_HEADER if method == "DELETE" else "data_stream_token"
    return stream_not_found(place, f" Nothing was {DONE_BY[method]}.")


@app.exception_handler(OutOfTime)
def out_of_time(exc: OutOfTime) -> Response[str]:
    deletes = app.current_event.http_method == "DELETE"
    counts = exc.counts or (Deletions() if deletes else Counts())
    logger.warning("out of time", extra={"points": counts._asdict()})
    count_points(counts)
    done = DONE_BY[app.current_event.http_method]
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "out-of-time",
        f"Not everything was {done} in time",
        f"The database was too busy, or there was too much to do. The counts say what is {done} so far. "
        "The same request can safely be sent again, which goes on with the rest.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        **answer_of(counts, exc.notices),
        **({} if deletes else received_at()),
    )


# What is imported by now stays, so the garbage collector need not look at it; most of what a request allocates lives
# until its end, so it need not look often. Together a sixth of the CPU of a large one.
gc.freeze()
gc.enable()
gc.set_threshold(50_000, 20, 100)
