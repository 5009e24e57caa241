"""What the service's answers mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream_cli.errors import CommandFailed, Rejected, Unreachable

if TYPE_CHECKING:
    import urllib3

    from unitstream.days import Counts
    from unitstream_cli.settings import Service


PROBLEM = "urn:unitstream:problem:"

_ADDRESS = "--url is the address up to and including the stage: what comes before /api/."


class Refused(CommandFailed):
    """The service does not take the request as it is (400, 404, 413, …). `errors` and `kind` are the problem's."""

    def __init__(
        self, message: str, hint: str | None = None, *, errors: list[dict[str, Any]] | None = None, kind: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.errors = errors or []
        self.kind = kind


class NotTheApi(Unreachable):
    """Something else answers at the address, or an API that has no such path."""


class _Kind(NamedTuple):
    """How the command ends for a problem, what to do then, and the cause, where the command has words of its own."""

    error: type[Refused | Rejected | NotTheApi]
    hint: str
    cause: str = ""


# The problems that have an exit code of their own, or a hint.
_KINDS = {
    f"{PROBLEM}right-missing": _Kind(
        # The address and the API key are right, and so is the token, but for another purpose.
        Rejected,
        "Ask for a token with that right: unitstream tokens create STREAM --name NAME --right RIGHT.",
    ),
    f"{PROBLEM}stream-not-found": _Kind(
        Rejected,
        "`unitstream tokens list STREAM` shows the tokens that a stream has, and when they expire.",
        "the token names no stream, was revoked, or has expired",
    ),
    f"{PROBLEM}route-not-found": _Kind(NotTheApi, _ADDRESS),
    f"{PROBLEM}unit-metric-not-found": _Kind(Refused, "`unitstream unit-metrics list` has what there is."),
}


class Ingested(NamedTuple):
    """What became of the points of a request, and when the service received it, in ISO 8601.

    A dry run has up to 20 `changes` of stored values, and tells how many `large_changes` there would be.
    """

    counts: Counts
    received_at: str
    changes: list[dict[str, Any]]
    large_changes: int


class Deleted(NamedTuple):
    """What a request has deleted, or would. Unless it is `complete`, it goes on after a `pause` in seconds.

    `in_doubt`: an earlier attempt, which failed, may have deleted more.
    """

    points: int
    series: int
    complete: bool
    pause: float
    in_doubt: bool
    document: dict[str, Any]


def retry_after(answer: urllib3.BaseHTTPResponse) -> float | None:
    """Return the seconds that the service asks to wait for; it may say so as a number or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    # Not urllib3's parser: to that everything above six hours is six hours.
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def problem_of(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """Return the RFC 9457 problem that the answer is, empty if it is none."""
    try:
        document = json.loads(answer.data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def status_and_title(answer: urllib3.BaseHTTPResponse, problem: dict[str, Any]) -> str:
    title = problem.get("title") or problem.get("message")
    return f"{answer.status} {title}" if isinstance(title, str) else str(answer.status)


def failure_of(service: Service, answer: urllib3.BaseHTTPResponse, problem: dict[str, Any]) -> CommandFailed:
    """Return what a problem means. One whose type is unitstream's is the API's, whatever it is about."""
    kind = str(problem.get("type", ""))
    sentence = f"the service answered {status_and_title(answer, problem)}"
    told = f"{sentence}. {problem.get('detail', '')}".rstrip()
    if known := _KINDS.get(kind):
        return known.error(f"{sentence}: {known.cause}." if known.cause else told, known.hint)
    # Who answers that the key is wrong may also be another service.
    if answer.status in {401, 403} and (kind == f"{PROBLEM}forbidden" or not kind.startswith(PROBLEM)):
        return Rejected(
            f"{sentence}: the API key is not accepted.",
            f"Or {service.url} is not the address of the API: it ends with the stage, before /api/.",
        )
    if kind.startswith(PROBLEM) or answer.status in {400, 413, 415}:
        return Refused(told, errors=problem.get("errors"), kind=kind)
    return not_the_api(service, answer)


def not_the_api(service: Service, answer: urllib3.BaseHTTPResponse) -> NotTheApi:
    return NotTheApi(
        f"what answers at {service.url} is not the API: it says {answer.status}, and not what the API says then.",
        _ADDRESS,
    )
