"""The real handlers behind HTTP, in this process: for tests of what the command does with them."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
from pushing import Service
from stack import DEMO_TOKEN, DEMO_WRITE_TOKEN
from support import get_event, proxy_event

if TYPE_CHECKING:
    from collections.abc import Callable


def day_by_day(invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a service that has time for one day only, when it deletes."""

    def with_little_time(event: dict[str, Any]) -> dict[str, Any]:
        parameters = event["multiValueQueryStringParameters"] or {}
        if event["httpMethod"] != "DELETE" or parameters["start_date"] == parameters["end_date"]:
            return invoke(event)
        if "dry_run" in parameters:
            return _problem(400, "answer-too-large")
        for day in pd.date_range(parameters["start_date"][0], parameters["end_date"][0]):
            of_day = parameters | {name: [f"{day:%Y-%m-%d}"] for name in ("start_date", "end_date")}
            answer = json.loads(invoke(event | {"multiValueQueryStringParameters": of_day})["body"])
            if answer["deleted"]:
                return _problem(503, "out-of-time", **answer)
        return {"statusCode": 200, "body": json.dumps({"deleted": 0, "series": 0})}

    return with_little_time


def _problem(status: int, kind: str, **members: Any) -> dict[str, Any]:
    document = {"type": f"urn:unitstream:problem:{kind}", "title": kind, "status": status}
    return {"statusCode": status, "body": json.dumps(document | members)}


class Deployed(Service):
    """What stands before the real handlers, in this process and one request at a time, as the gateway does.

    `events` are what the functions got.
    """

    def __init__(self, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(tokens={DEMO_TOKEN, DEMO_WRITE_TOKEN})
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
