"""`unitstream replay` on the deployed local stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import support
from stack import DEMO_STREAM_ID
from support import point, proxy_event, request_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Stack

    Command = Callable[..., subprocess.CompletedProcess[str]]

DAY_MILLISECONDS = 86_400_000
EVENTS = support.REPOSITORY / "events"


def stored(stack: Stack, stream_id: str) -> dict[Any, Any]:
    """Return every point of a stream that is in the Metrics table."""
    return support.stored_points(stack.client("dynamodb"), stack.outputs()["MetricsTableName"], stream_id)


def counts_of(replayed: subprocess.CompletedProcess[str]) -> list[dict[str, int]]:
    """Return the counts of each event, without those that are zero."""
    bodies = [event["body"] for event in json.loads(replayed.stdout)["events"]]
    return [{name: count for name, count in body.items() if count and name != "received_at"} for body in bodies]


def test_replaying_yesterdays_events_undoes_no_correction(stack: Stack, unitstream: Command, tmp_path: Path) -> None:
    """Events as after an outage, first lost and sent, then corrected over HTTP today, then replayed again."""
    own = stack.with_own_stream("replayed")
    yesterday = time.time_ns() // 1_000_000 - DAY_MILLISECONDS
    hours = [f"2022-10-01 {hour:02}:00:00" for hour in range(8)]
    regions = [{"region": "eu"}, {"region": "us"}]
    events = [
        proxy_event(request_body([point(hour, 10, "orders", one) for one in regions], own.token), yesterday + number)
        for number, hour in enumerate(hours)
    ]
    saved = tmp_path / "yesterday.ndjson"
    saved.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    first = unitstream("replay", saved, "--json")
    assert first.returncode == 0, first.stderr
    assert counts_of(first) == [{"received": 2, "created": 2}] * len(hours)

    corrections = [point(hour, 12, "orders", regions[0]) for hour in hours[::3]]
    status, _, body = stack.post(request_body(corrections, own.token))
    assert (status, json.loads(body)["updated"]) == (201, 3)
    corrected = stored(stack, "replayed")

    second = unitstream("replay", saved, "--json")
    assert second.returncode == 0, second.stderr
    expected = [{"received": 2, "unchanged": 2}, {"received": 2, "unchanged": 1, "superseded": 1}]
    assert counts_of(second) == [expected[number % 3 == 0] for number in range(len(hours))]
    assert stored(stack, "replayed") == corrected


def test_the_events_of_the_repository_get_their_answers_each_time(stack: Stack, tmp_path: Path) -> None:
    """What `make replay` does, twice."""
    (tmp_path / ".local").symlink_to(stack.home)
    events = [str(path) for path in EVENTS.glob("*.json") if json.loads(path.read_text())["httpMethod"] != "GET"]
    for _ in range(2):
        for script, arguments in (("forget_events.py", []), ("compare_answers.py", events)):
            command = [sys.executable, str(support.REPOSITORY / "local" / script), *arguments]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["same"] * len(events)


def test_only_the_local_stack_forgets(tmp_path: Path, stack: Stack) -> None:
    """Whatever the environment names: data of another stack is not deleted."""
    before = stored(stack, DEMO_STREAM_ID)
    forget = [sys.executable, str(support.REPOSITORY / "local" / "forget_events.py")]
    environment = {"STACK_NAME": stack.name, "AWS_ENDPOINT_URL": stack.endpoint}
    refused = subprocess.run(
        forget, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 1
    assert "is not the local stack" in refused.stderr
    assert stored(stack, DEMO_STREAM_ID).keys() >= before.keys() != set()
