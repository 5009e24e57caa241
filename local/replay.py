"""Send every event of events/ to the local stack's function, and compare its answers with those in events/answers.

`make replay` runs it beside `make run`. It begins by deleting the days that the events write, and nothing else, so that
each run finds the same.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import EndpointConnectionError
from stack import DEMO_STREAM_ID, REGION, REPOSITORY

from unitstream.payload import parse
from unitstream.store import Key, day_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EVENTS = REPOSITORY / "events"
STACK_ENV = REPOSITORY / ".local" / "stack.env"


class Exchange(NamedTuple):
    """An event, the answer that it must get, and the event that must come before it, if any."""

    name: str
    event: dict[str, Any]
    answer: dict[str, Any]
    after: str | None


def main() -> int:
    if not STACK_ENV.exists():
        print("no stack runs: make run", file=sys.stderr)
        return 1
    values = dict(line.split("=", 1) for line in STACK_ENV.read_text().splitlines())
    try:
        return _replay(ordered(EVENTS), values["AWS_ENDPOINT_URL"], values["STACK_NAME"])
    except EndpointConnectionError as exc:
        print(f"no stack runs: make run ({exc})", file=sys.stderr)
        return 1


def _replay(exchanges: list[Exchange], endpoint: str, stack_name: str) -> int:
    session: Any = boto3.Session("test", "test", region_name=REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)

    stack = client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    dynamodb, function = client("dynamodb"), client("lambda")
    for key in written_days(exchanges):
        dynamodb.delete_item(TableName=outputs["MetricsTableName"], Key=key.to_item())

    differing = 0
    for name, event, answer, _ in exchanges:
        invocation = function.invoke(FunctionName=outputs["IngestFunctionName"], Payload=json.dumps(event))
        actual = json.load(invocation["Payload"])
        different = difference(answer, actual)
        verdict = "differs" if different else "same"
        print(f"{verdict:8}{name:36}expected {_brief(answer)} | actual {_brief(_read(actual))}", flush=True)
        if different:
            differing += 1
            print(different)
    print(f"\n{len(exchanges)} events, {differing} of their answers differ")
    return int(differing > 0)


def ordered(events_dir: Path) -> list[Exchange]:
    """Return the events, each after the one that its answer names."""
    exchanges = {}
    for path in sorted(events_dir.glob("*.json")):
        answer = json.loads((events_dir / "answers" / path.name).read_text())
        after = answer.pop("after")
        exchanges[path.stem] = Exchange(path.stem, json.loads(path.read_text()), answer, after)
    before = {exchange.name: [exchange.after] if exchange.after else [] for exchange in exchanges.values()}
    return [exchanges[name] for name in TopologicalSorter(before).static_order()]


def written_days(exchanges: Iterable[Exchange]) -> set[Key]:
    """Return the keys of the days that the events write."""
    days = set()
    for _, event, answer, _ in exchanges:
        if answer["statusCode"] != 201:
            continue
        body = event["body"]
        ingest = parse(base64.b64decode(body) if event["isBase64Encoded"] else body.encode())
        days |= {day_key(DEMO_STREAM_ID, one.record_id, day) for one in ingest.series for day in one.days}
    return days


def difference(expected: dict[str, Any], actual: dict[str, Any]) -> str | None:
    """Return both answers in full when `actual`, a proxy response, is not the one `expected`, and None when it is."""
    # As text, because 1, 1.0 and true are equal to Python.
    want, got = (
        json.dumps(answer, indent=2, sort_keys=True, ensure_ascii=False) for answer in (expected, _read(actual))
    )
    return None if want == got else f"expected {want}\nactual {got}"


def _read(response: dict[str, Any]) -> dict[str, Any]:
    """Bring a proxy response into the form of events/answers. A function's crash, which is none, stays as it is."""
    if "statusCode" not in response:
        return response
    return {
        "statusCode": response["statusCode"],
        "headers": {"Content-Type": ", ".join(response["multiValueHeaders"].get("Content-Type", []))},
        "body": _parsed(response["body"]),
    }


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _brief(answer: dict[str, Any]) -> str:
    """Return an answer's status with its counts, its error codes, or the kind of problem that it is."""
    body = answer.get("body")
    if not isinstance(body, dict):
        return str(answer)
    if "type" in body and "errors" not in body:
        return f"{answer['statusCode']} {body['type'].rpartition(':')[2]}"
    counts = Counter(error["code"] for error in body["errors"]) if "errors" in body else body
    return " ".join([str(answer["statusCode"]), *(f"{name}={count}" for name, count in counts.items() if count)])


if __name__ == "__main__":
    sys.exit(main())
