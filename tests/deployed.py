"""The real handlers behind HTTP, in this process: for tests of what the command does with them."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import TYPE_CHECKING, Any

from pushing import Service
from stack import DEMO_TOKEN
from support import get_event, proxy_event

if TYPE_CHECKING:
    from collections.abc import Callable


class Deployed(Service):
    """What stands before the real handlers, in this process and one request at a time, as the gateway does.

    `events` are what the functions got.
    """

    def __init__(self, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(tokens={DEMO_TOKEN})
        self.invoke = invoke
        self.events: list[dict[str, Any]] = []

    def answer(self, body: bytes, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
        event = proxy_event(body.decode(), time.time_ns() // 1_000_000)
        if dry_run:
            event |= {"queryStringParameters": {"dry_run": "true"}}
        return self._ask(event)

    def delete(self, token: str, parameters: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        event = get_event("/api/points", token, httpMethod="DELETE", parameters=parameters)
        event["requestContext"] |= {"requestTimeEpoch": time.time_ns() // 1_000_000, "httpMethod": "DELETE"}
        return self._ask(event)

    def _ask(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            # No two requests are received in the same millisecond.
            time.sleep(0.002)
            self.events.append(event)
            # The handler prints its metrics where the command prints its result.
            with contextlib.redirect_stdout(io.StringIO()):
                answer = self.invoke(event)
        return answer["statusCode"], json.loads(answer["body"])
