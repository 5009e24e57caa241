"""The HTTP client of the API: it waits and tries again for as long as that makes sense.

Every request can safely be sent again, so whatever may pass is tried again, with pauses that grow and are drawn at
random, or as long as the service asks for.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from random import SystemRandom
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from unitstream.days import Counts
from unitstream_cli import settings
from unitstream_cli.answers import Deleted, Ingested, failure_of, not_the_api, problem_of, retry_after, status_and_title
from unitstream_cli.errors import Interrupted, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from unitstream_cli.settings import Service

GIVE_UP_AFTER_SECONDS = 300.0
# The gateway answers within 29 s.
TIMEOUT = urllib3.Timeout(connect=10, read=40)
# The local stack's emulator is slower, and has no such limit.
LOCAL_TIMEOUT = urllib3.Timeout(connect=10, read=150)

# Smaller requests gain little.
COMPRESSED_FROM_BYTES = 16 * 1024

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_COUNTS = ("created", "updated", "unchanged", "superseded")
_random = SystemRandom()


@dataclass
class Exchange:
    """A request on its way: how often it was sent, and whether one that failed may have been carried out in part.

    `received_at` is when the service received the last of those, if it said so. `notices` are what it said of what is
    allowed but looks like a mistake.
    """

    attempts: int = 0
    in_doubt: bool = False
    received_at: str | None = None
    notices: list[dict[str, Any]] = field(default_factory=list)


class _TryAgain(Exception):
    """The request failed in a way that may pass.

    The service may ask for a pause of so many seconds, and say more in a sentence, which is told in the end.
    """

    def __init__(self, reason: str, pause: float | None = None, detail: str = "") -> None:
        super().__init__(reason)
        self.pause = pause
        self.detail = detail


class Api:
    """Sends requests to the service, from any number of threads.

    A request is given up when it has failed for `give_up_after` seconds, or would have to wait for longer. Setting
    `stop` ends all waiting. `notice` is told of every failure that is tried again.
    """

    def __init__(
        self,
        service: Service,
        *,
        stop: Event,
        give_up_after: float = GIVE_UP_AFTER_SECONDS,
        connections: int = 1,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._service = service
        self.stop = stop
        self._give_up_after = give_up_after
        self._notice = notice
        self._pool = urllib3.connection_from_url(
            service.url,
            maxsize=connections,
            block=True,
            timeout=LOCAL_TIMEOUT if settings.is_loopback(service.url) else TIMEOUT,
            retries=False,
        )
        self._path = urlsplit(service.url).path
        self._headers = {"User-Agent": f"unitstream/{version('unitstream')}", "x-api-key": service.api_key}

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def ingest(self, body: bytes, points: int, exchange: Exchange, *, dry_run: bool = False) -> Ingested:
        """Send a request with `points` points, and return what became of them: what the last answer said.

        A point that an earlier attempt saved, whose answer was lost or an error, counts as unchanged then: the counts
        are never too high. Raises `Refused`, `Rejected`, `Unreachable` or `Interrupted`.
        """
        headers = {"Content-Type": "application/json"}
        # The local stack's emulator cannot carry bytes that are no text.
        if len(body) >= COMPRESSED_FROM_BYTES and not settings.is_loopback(self._service.url):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=6, mtime=0)
        path = "/api/streams/ingest" + ("?dry_run=true" if dry_run else "")
        answer = self._request("POST", path, headers, body, exchange)
        try:
            document = answer.json()
            counts = Counts(*(int(document[name]) for name in _COUNTS))
            received_at = str(document["received_at"])
            datetime.fromisoformat(received_at)
            exchange.notices += document.get("notices", [])
        except (ValueError, KeyError, TypeError) as exc:
            raise not_the_api(self._service, answer) from exc
        if counts.total != points:
            raise not_the_api(self._service, answer)
        return Ingested(counts, received_at, document.get("changes", []), document.get("large_changes", 0))

    def get(
        self, path: str, parameters: Mapping[str, Any], accept: str = "application/json"
    ) -> urllib3.BaseHTTPResponse:
        """Ask the service, and return its answer, which is what `accept` says. `parameters` may have lists as values.

        Raises `Refused`, `Rejected`, `Unreachable` or `Interrupted`.
        """
        query = urlencode(parameters, doseq=True)
        headers = {"Accept": accept, "X-Data-Stream-Token": self._service.token}
        answer = self._request("GET", f"{path}?{query}" if query else path, headers, None, Exchange())
        if not answer.headers.get("Content-Type", "").startswith(accept):
            raise not_the_api(self._service, answer)
        return answer

    def document(self, path: str, parameters: Mapping[str, Any], members: Mapping[str, type]) -> dict[str, Any]:
        """Ask the service, and return the document that it answers, which has `members`. Raises as `get` does."""
        return self._document(self.get(path, parameters), members)

    def delete(self, parameters: Mapping[str, Any]) -> Deleted:
        """Ask the service to delete points, and return how far it got. Raises as `get` does.

        An answer that says what was deleted before the time ran out is progress, and no failure.
        """
        headers = {"X-Data-Stream-Token": self._service.token}
        path, exchange = f"/api/points?{urlencode(parameters, doseq=True)}", Exchange()
        answer = self._request("DELETE", path, headers, None, exchange)
        try:
            document = answer.json()
            points, series = int(document["deleted"]), int(document["series"])
        except (ValueError, KeyError, TypeError) as exc:
            raise not_the_api(self._service, answer) from exc
        pause = retry_after(answer) or 0.0
        return Deleted(points, series, answer.status == 200, pause, exchange.in_doubt, document)

    def send(
        self, method: str, path: str, members: Mapping[str, type], document: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a request that may be made again, with a document or without, and return the one that it answers.

        That has `members`. Raises as `get` does.
        """
        headers = {"X-Data-Stream-Token": self._service.token, "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        return self._document(self._request(method, path, headers, body, Exchange()), members)

    def _document(self, answer: urllib3.BaseHTTPResponse, members: Mapping[str, type]) -> dict[str, Any]:
        """Return the document of an answer, with members of these types: what stands before the API has others."""
        try:
            document = answer.json()
        except ValueError as exc:
            raise not_the_api(self._service, answer) from exc
        if isinstance(document, dict) and all(isinstance(document.get(name), kind) for name, kind in members.items()):
            return document
        raise not_the_api(self._service, answer)

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, exchange: Exchange
    ) -> urllib3.BaseHTTPResponse:
        again = Retrying(
            retry=retry_if_exception_type(_TryAgain),
            wait=_pause,
            stop=stop_before_delay(self._give_up_after),
            sleep=self.pause,
            before_sleep=self._before_sleep,
            reraise=True,
        )
        started = time.monotonic()
        try:
            return again(self._attempt, method, self._path + path, self._headers | dict(headers), body, exchange)
        except _TryAgain as exc:
            why = (
                f"and asks to wait for {exc.pause:,.0f} s, which is more than --give-up-after {self._give_up_after:g}"
                if exc.pause and exc.pause >= self._give_up_after
                else f"given up after {time.monotonic() - started:.1f} s and {exchange.attempts} "
                f"attempt{'' if exchange.attempts == 1 else 's'} (--give-up-after {self._give_up_after:g})"
            )
            raise Unreachable(f"{exc}, {why}. {exc.detail}".rstrip(), f"The address is {self._service.url}.") from exc

    def _attempt(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, exchange: Exchange
    ) -> urllib3.BaseHTTPResponse:
        exchange.attempts += 1
        try:
            answer = self._pool.request(method, path, headers=headers, body=body, redirect=False)
        except SSLError as exc:
            raise Unreachable(f"no secure connection to {self._service.url}: {exc}.") from exc
        except (NewConnectionError, ConnectTimeoutError) as exc:
            raise _TryAgain(f"there was no connection ({_plain(exc)})") from exc
        except HTTPError as exc:
            exchange.in_doubt = True
            raise _TryAgain(f"there was no answer ({_plain(exc)})") from exc
        if answer.status in {200, 201}:
            return answer
        problem = problem_of(answer)
        if method == "DELETE" and problem.get("deleted"):
            return answer
        if answer.status == 429 or answer.status >= 500:
            exchange.notices += problem.get("notices", [])
            exchange.received_at = problem.get("received_at", exchange.received_at)
            # The gateway's own 429 says that the function never saw the request.
            exchange.in_doubt |= answer.status != 429
            reason = f"the service answered {status_and_title(answer, problem)}"
            raise _TryAgain(reason, retry_after(answer), str(problem.get("detail", "")))
        raise failure_of(self._service, answer, problem)

    def pause(self, seconds: float) -> None:
        """Wait. Raises `Interrupted` as soon as `stop` is set."""
        if self.stop.wait(seconds):
            raise Interrupted("interrupted.")

    def _before_sleep(self, state: RetryCallState) -> None:
        if state.outcome and state.next_action:
            self._notice(f"{state.outcome.exception()}; trying again in {state.next_action.sleep:.1f} s")


def _pause(state: RetryCallState) -> float:
    """Return for how long to wait, in seconds: full jitter, so that clients do not come back all at once."""
    failure = state.outcome.exception() if state.outcome else None
    if isinstance(failure, _TryAgain) and failure.pause is not None:
        return failure.pause + _random.uniform(0, min(1.0, failure.pause))
    return _random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(state.attempt_number - 1, 16)))


def _plain(exc: HTTPError) -> str:
    """What a person can read of an error: urllib3's sentences begin with the representation of a connection."""
    return re.sub(r"^.*?Connection(Pool)?\(.*?\): ", "", str(exc)).rpartition(">: ")[2] or type(exc).__name__
