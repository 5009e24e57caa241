"""HTTP that the functions have in common: the resolver, the log, the metrics, and the answers that are problems.

It stands beside the package `unitstream`, which knows no HTTP, and is one file: a cold start compiles each anew.
"""

from __future__ import annotations

import base64
import json
import re
import time
import traceback
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

from unitstream.compression import unpacked
from unitstream.instants import instant_text
from unitstream.problems import (
    MAX_BODY_BYTES,
    BodyTooLarge,
    ContentTypeUnsupported,
    EncodingUnsupported,
    Finding,
    InvalidRequest,
    RightMissing,
    StreamNotFound,
    TooMuch,
    invalid_body,
)
from unitstream.rights import Right

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.event_handler.exceptions import NotFoundError
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

    from unitstream.parameters import Query
    from unitstream.streams import Stream, StreamsTable

Question = TypeVar("Question")

TOKEN_HEADER = "X-Data-Stream-Token"  # noqa: S105  # the name of a header
RETRY_AFTER_SECONDS = 5
# JSON, and what clients say of a body when they are not told: nothing, curl's and urllib's default, and text.
JSON_TYPES = {"", "application/json", "application/x-www-form-urlencoded", "text/plain"}

PLAIN, GZIP = ("", "identity"), ("gzip", "x-gzip")

# The gateway puts it for bytes that are not UTF-8, and so would make different names the same.
REPLACEMENT_CHARACTER = "\ufffd"

logger = Logger()
metrics = Metrics(namespace="unitstream")


def create_resolver() -> APIGatewayRestResolver:
    """Return a resolver without routes that answers what it does not know, and what nobody foresaw, with problems."""
    # A custom domain's base path comes before the path of the API.
    app = APIGatewayRestResolver(strip_prefixes=[re.compile(r"/.+(?=/api/)")])

    @app.not_found
    def route_not_found(_: NotFoundError) -> Response[str]:
        return problem(HTTPStatus.NOT_FOUND, "route-not-found", "No such route", "The API has no such path or method.")

    @app.exception_handler(TooMuch)
    def too_much(exc: TooMuch) -> Response[str]:
        return problem(HTTPStatus.BAD_REQUEST, "answer-too-large", "Too much for one answer", exc.detail)

    @app.exception_handler(RightMissing)
    def right_missing(exc: RightMissing) -> Response[str]:
        logger.warning("right missing", extra={"needed_right": exc.needed})
        rights = [right for right in Right if right in exc.rights]
        return problem(
            HTTPStatus.FORBIDDEN,
            "right-missing",
            "Right missing",
            f"This needs a token with the right to {exc.needed}, and this one's rights are: {', '.join(rights)}.",
            needed_right=exc.needed,
            rights=rights,
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

    _answer_wrong_bodies(app)
    return app


def _answer_wrong_bodies(app: APIGatewayRestResolver) -> None:
    @app.exception_handler(BodyTooLarge)
    def body_too_large(_: BodyTooLarge) -> Response[str]:
        return problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            "Body too large",
            f"The body has more than the {MAX_BODY_BYTES:,} bytes that are allowed: split the request. "
            "Nothing was saved.",
        )

    @app.exception_handler(ContentTypeUnsupported)
    def content_type_unsupported(_: ContentTypeUnsupported) -> Response[str]:
        return problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-type-unsupported",
            "Content type not supported",
            "The body must be JSON, with the header Content-Type: application/json. Nothing was saved.",
        )

    @app.exception_handler(EncodingUnsupported)
    def encoding_unsupported(_: EncodingUnsupported) -> Response[str]:
        return problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "encoding-unsupported",
            "Encoding not supported",
            "The body must be plain JSON, or JSON in gzip with the header Content-Encoding: gzip. Nothing was saved.",
        )


def body_of(event: APIGatewayProxyEvent) -> bytes:
    """Return the body of a request, unpacked.

    Raises `EncodingUnsupported`, `ContentTypeUnsupported`, `BodyTooLarge`, or `InvalidRequest` where it is damaged.
    """
    encoding = event.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {*PLAIN, *GZIP}:
        raise EncodingUnsupported
    media_type = event.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise ContentTypeUnsupported
    body = _bytes_of(event)
    if encoding in GZIP:
        body = unpacked(body)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return body


def _bytes_of(event: APIGatewayProxyEvent) -> bytes:
    text = event.body or ""
    if not event.is_base64_encoded:
        if REPLACEMENT_CHARACTER in text:
            raise invalid_body("is not valid UTF-8; the character U+FFFD itself can be sent as the escape \\ufffd")
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text)
    except ValueError as exc:
        raise invalid_body("is not valid base64") from exc


def deadline_of(app: APIGatewayRestResolver, reserved: float) -> float:
    """Return when `reserved` seconds are left of the request's time (monotonic clock)."""
    return time.monotonic() + app.lambda_context.get_remaining_time_in_millis() / 1000 - reserved


def token_and_question(app: APIGatewayRestResolver, parse: Callable[[Query], Question]) -> tuple[str, Question]:
    """Return the token in the header, and the question that `parse` makes of the parameters.

    Raises `InvalidRequest` with everything that is wrong with them, and `StreamNotFound` for what can be no token.
    """
    event = app.current_event
    token = event.headers.get(TOKEN_HEADER, "")
    missing = Finding("missing", f"the header {TOKEN_HEADER} is required", parameter=TOKEN_HEADER)
    errors = [] if token else [missing]
    try:
        question = parse(event.resolved_query_string_parameters)
    except InvalidRequest as exc:
        raise InvalidRequest([*errors, *exc.errors], len(errors) + exc.total) from exc
    if errors:
        raise InvalidRequest(errors)
    if not token.isascii():
        raise StreamNotFound  # no token is, and what is half of a surrogate pair has no hash
    return token, question


def received_at_of(event: dict[str, Any]) -> str:
    """Return when the gateway got a request, as answers and log lines say it."""
    return instant_text(event["requestContext"]["requestTimeEpoch"])


def open_stream(streams: StreamsTable, token: str, right: Right, deadline: float) -> Stream:
    """Return the stream that `token` opens. From here on, log lines name both: the token by its name.

    Raises `StreamNotFound`, `RightMissing` when the token lacks `right`, or `OutOfTime`.
    """
    stream = streams.find(token, deadline)
    logger.append_keys(stream_id=stream.stream_id, token=stream.token_name)
    stream.require(right)
    return stream


def stream_not_found(place: str, ending: str = "") -> Response[str]:
    """Return the problem of a token in `place` that opens nothing. `ending` is a further sentence."""
    detail = f"The token in {place} names no stream, was revoked, or has expired.{ending}"
    return problem(HTTPStatus.NOT_FOUND, "stream-not-found", "No stream found", detail)


def invalid_request(exc: InvalidRequest, ending: str) -> Response[str]:
    """Count the errors, and return the problem that lists them. `ending` ends the sentence that says how many."""
    metrics.add_metric("ValidationErrors", MetricUnit.Count, exc.total)
    for code, count in Counter(error.code for error in exc.errors).items():
        metrics.add_metric(f"Invalid_{code}", MetricUnit.Count, count)
    listed = "" if exc.total == len(exc.errors) else f" The first {len(exc.errors)} are listed."
    return problem(
        HTTPStatus.BAD_REQUEST,
        "invalid-request",
        "Invalid request",
        f"The request has {exc.total:,} error{'s' if exc.total > 1 else ''}{ending}{listed}",
        total_errors=exc.total,
        errors=[error.to_json() for error in exc.errors],
    )


def problem(
    status: HTTPStatus, kind: str, title: str, detail: str, headers: dict[str, str] | None = None, **members: object
) -> Response[str]:
    """Return an RFC 9457 problem."""
    document = {"type": f"urn:unitstream:problem:{kind}", "title": title, "status": status, "detail": detail} | members
    return Response(status, "application/problem+json", json.dumps(document), dict(headers or {}))
