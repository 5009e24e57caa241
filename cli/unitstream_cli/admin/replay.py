"""`unitstream replay`: give saved API Gateway events to the stack's functions once more.

An event carries the time at which it was received, so replaying it is safe: a value that was received later stays.
"""

from __future__ import annotations

import contextlib
import json as json_text
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import ijson
import typer
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt

from unitstream_cli.console import print_json, say
from unitstream_cli.errors import BadInput, CommandFailed, Interrupted
from unitstream_cli.settings import JsonOption, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unitstream_cli.admin.aws import Stack

# Lambda may be busy with the requests of now, which come first.
ATTEMPTS_WHEN_THROTTLED = 10
ATTEMPTS_WHEN_BUSY = 5
LONGEST_PAUSE_SECONDS = 60.0
DEFAULT_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a function made of an event: its proxy response, or the error that ended it."""

    response: dict[str, Any]
    error: str | None = None
    attempts: int = 1

    @property
    def status(self) -> int | None:
        return None if self.error else self.response["statusCode"]

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def brief(self) -> str:
        """Return the status with counts, error codes or a problem's title, in one line."""
        text = self.error or _brief(self.response["statusCode"], parsed(self.response["body"]))
        return text if self.attempts == 1 else f"{text} (attempt {self.attempts})"


def replay(
    ctx: typer.Context,
    events: Annotated[
        list[Path],
        typer.Argument(
            metavar="EVENT.json...",
            exists=True,
            dir_okay=False,
            help="Files of events: one event, a JSON array of events, or an event per line.",
            show_default=False,
        ),
    ],
    *,
    json: JsonOption = False,
) -> None:
    """Give saved API Gateway events to the stack's functions once more, as after an outage.

    This is always safe. An event carries the time at which it was received: where a value was received later, that one
    stays, and the event's counts as superseded.

    It works past the gateway, with your AWS credentials. Nothing is sent unless all files hold events. An answer of 503
    is tried again after a while. The exit code is 0 when every event got 2xx.
    """
    counts = [sum(1 for _ in read_events(path)) for path in events]
    total = sum(counts)
    plan = (
        (str(path) if count == 1 else f"{path}#{number}", event)
        for path, count in zip(events, counts, strict=True)
        for number, event in enumerate(read_events(path), 1)
    )
    width = max(len(str(path)) for path in events)
    results: list[dict[str, Any]] = []
    with functions(ctx.obj) as invoke:
        try:
            for label, event in plan:
                outcome = invoke(event)
                results.append({"event": label, "good": outcome.succeeded} | _as_json(outcome))
                line = f"{label:{width}} {outcome.brief()}"
                say(line) if json else typer.echo(line)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped after {len(results)} of {total} events.", "Replaying all of them is safe."
            ) from None
        finally:
            failed = sum(not one["good"] for one in results)
            if json:
                print_json({"events": results, "total": total, "failed": failed})
    if failed:
        raise CommandFailed(f"{failed:,} of {total:,} events did not get 2xx.")
    say(f"{total:,} event{'s' if total > 1 else ''}, and every one got 2xx.")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a file: one, an array, or one after the other.

    Raises `BadInput` at what is no event, and when there is none at all.
    """
    number = 0
    try:
        with path.open("rb") as file:
            is_array = file.read(100).lstrip().startswith(b"[")
            file.seek(0)
            found = ijson.items(file, "item" if is_array else "", multiple_values=not is_array, use_float=True)
            for number, event in enumerate(found, 1):
                _check(event, f"{path}, event {number}")
                yield event
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc.strerror}.") from exc
    except ijson.JSONError as exc:
        # Not its message, which quotes the file.
        raise BadInput(f"{path} is not JSON after {number} events.") from exc
    if not number:
        raise BadInput(f"{path} holds no event.")


def _check(event: Any, where: str) -> None:
    """Raise `BadInput` unless `event` is what a REST API's proxy integration gives to a function."""
    if not isinstance(event, dict):
        raise BadInput(f"{where} is no API Gateway event: it is no JSON object.")
    context = event.get("requestContext")
    lacking = [name for name in ("httpMethod", "path") if not isinstance(event.get(name), str)]
    # Without it the values would have no place among those that were received before and after.
    if not isinstance(context, dict) or not isinstance(context.get("requestTimeEpoch"), int):
        lacking.append("requestContext.requestTimeEpoch")
    if not isinstance(event.get("body", 0), str | None):
        lacking.append("body")
    if lacking:
        raise BadInput(f"{where} is no API Gateway event of a REST API (payload 1.0): it lacks {', '.join(lacking)}.")


@contextlib.contextmanager
def functions(options: Options) -> Iterator[Callable[[dict[str, Any]], Reply]]:
    """What gives an event to the function that is meant, and in the block sentences for what AWS refuses."""
    found = options.stack()
    from unitstream_cli.admin import aws  # noqa: PLC0415  # boto3: twice the time of all the rest

    with aws.foreseen_errors(found):
        deployed = aws.find_stack(found)
        client = deployed.client("lambda", ATTEMPTS_WHEN_THROTTLED)

        def invoke(event: dict[str, Any]) -> Reply:
            function = _function_of(event, deployed)
            retrying = Retrying(
                retry=retry_if_result(lambda outcome: outcome.status == 503),
                wait=_pause,
                stop=stop_after_attempt(ATTEMPTS_WHEN_BUSY),
                retry_error_callback=_last,
            )
            outcome: Reply = retrying(_invoke_once, client, function, event)
            return replace(outcome, attempts=retrying.statistics["attempt_number"])

        yield invoke


def _function_of(event: dict[str, Any], deployed: Stack) -> str:
    """What changes points is the business of one function, and all else that of the other."""
    reads = event["httpMethod"] == "GET" or event["resource"] == "/api/unit-metrics/{name}"
    if reads and (views := deployed.outputs.get("ViewsFunctionName")):
        return views
    return deployed.output("IngestFunctionName")


def _invoke_once(client: Any, function: str, event: dict[str, Any]) -> Reply:
    # As short as it came from the gateway, or a large one would be over Lambda's limit.
    payload = json_text.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    try:
        invocation = client.invoke(FunctionName=function, Payload=payload)
    except client.exceptions.RequestTooLargeException:
        return Reply({}, "the event is larger than Lambda takes")
    response = json_text.load(invocation["Payload"])
    if "FunctionError" in invocation or not isinstance(response, dict) or "statusCode" not in response:
        # Of an exception its type alone: the message may hold values. Lambda's own errors have a message alone.
        crash = response if isinstance(response, dict) else {}
        kind = crash.get("errorType") or crash.get("errorMessage") or "no proxy response"
        return Reply(crash, f"the function failed: {kind}")
    return Reply(response)


def _pause(state: RetryCallState) -> float:
    """Return how many seconds the answer asks to wait."""
    response = state.outcome.result().response if state.outcome else {}
    asked = _header(response, "Retry-After")
    return min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isdecimal() else DEFAULT_PAUSE_SECONDS


def _last(state: RetryCallState) -> Reply:
    """Return the last answer when there is no further attempt."""
    outcome: Reply = state.outcome.result()  # type: ignore[union-attr]  # there was an attempt
    return outcome


def _header(response: dict[str, Any], name: str) -> str:
    return ", ".join(response.get("multiValueHeaders", {}).get(name, []))


def parsed(body: str) -> Any:
    """Return what an answer's body says: a document, or a table as text."""
    try:
        return json_text.loads(body)
    except ValueError:
        return body


def _brief(status: int, body: Any) -> str:
    """Return an answer's status with its counts, its error codes, or the title of the problem that it is."""
    if not isinstance(body, dict):
        return str(status)
    if "errors" in body:
        counts = Counter(error["code"] for error in body["errors"])
    elif "title" in body:
        return f"{status} {body['title']}"
    else:
        counts = Counter({name: count for name, count in body.items() if isinstance(count, int)})
    return " ".join([str(status), *(f"{name}={count:,}" for name, count in counts.items() if count)])


def _as_json(outcome: Reply) -> dict[str, Any]:
    body = None if outcome.error else parsed(outcome.response["body"])
    return {"status": outcome.status, "error": outcome.error, "attempts": outcome.attempts, "body": body}
