"""Delete the days that the events of events/ write to the local stack, and nothing else.

`make replay` begins with it, so that each run finds the same.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack import DEMO_STREAM_ID

from unitstream.compression import unpacked
from unitstream.items import day_key
from unitstream.payload import parse
from unitstream_cli.admin.aws import find_stack, foreseen_errors
from unitstream_cli.errors import CommandFailed
from unitstream_cli.settings import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unitstream.items import Key

EVENTS = Path(__file__).resolve().parent.parent / "events"


def main() -> int:
    try:
        local = Options().stack()
        if not local.is_local:
            print(f"{local.name} is not the local stack: unset STACK_NAME and AWS_ENDPOINT_URL", file=sys.stderr)
            return 1
        with foreseen_errors(local):
            stack = find_stack(local)
            dynamodb = stack.client("dynamodb")
            for key in written_days(EVENTS.glob("*.json")):
                dynamodb.delete_item(TableName=stack.output("MetricsTableName"), Key=key.to_item())
    except CommandFailed as failure:
        print(f"no stack runs: make run ({failure.message})", file=sys.stderr)
        return failure.exit_code
    return 0


def written_days(events: Iterable[Path]) -> set[Key]:
    """Return the keys of the days that events write which are expected to be saved."""
    days = set()
    for path in events:
        answer = json.loads((path.parent / "answers" / path.name).read_text())
        if answer["statusCode"] != 201:
            continue
        event = json.loads(path.read_text())
        body = event["body"]
        ingest = parse(unpacked(base64.b64decode(body)) if event["isBase64Encoded"] else body.encode())
        days |= {
            day_key(DEMO_STREAM_ID, points.series.metric, points.series.record_id, day)
            for points in ingest.series
            for day in points.days
        }
    return days


if __name__ == "__main__":
    sys.exit(main())
