"""`unitstream push` on the deployed local stack."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import vega_datasets

from unitstream.identity import Metric, record_id
from unitstream.items import day_key
from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from support import Stack

    Unitstream = Callable[..., subprocess.CompletedProcess[str]]

TEMPERATURES = Path(vega_datasets.__file__).parent / "_data" / "seattle-temps.csv"
SEATTLE = [
    *("push", TEMPERATURES, "--agg-func", "Average", "--metric", "temperature"),
    *("--timestamp", "date", "--timestamp-format", "%Y/%m/%d %H:%M", "--value", "temp"),
]


@pytest.fixture
def producer(unitstream: Unitstream, request: pytest.FixtureRequest, tmp_path: Path) -> Unitstream:
    """The command of somebody who has a data stream of their own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    token = unitstream("streams", "create", name).stdout.strip()
    assert token

    def run(*arguments: Any, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"DATA_STREAM_TOKEN": token, "UNITSTREAM_STATE_DIR": str(tmp_path / "state")} | environment
        return unitstream(*arguments, stdin=stdin, **variables)

    return run


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    document = json.loads(done.stdout)
    return {name: document[name] for name in ("created", "updated", "unchanged", "superseded") if document[name]}


def test_real_file(producer: Unitstream) -> None:
    """A year of hours is saved; the same again changes nothing, and is known before by asking."""
    asked = producer(*SEATTLE, "--dry-run", "--json")
    first, second = producer(*SEATTLE), producer(*SEATTLE, "--json")
    assert asked.returncode == first.returncode == second.returncode == ExitCode.OK, first.stderr
    assert counts(asked) == {"created": 8_759}
    assert "Saved all in 1 request" in first.stdout
    assert re.search(r"8,759 +created", first.stdout)
    assert counts(second) == {"unchanged": 8_759}


def test_events(producer: Unitstream, stack: Stack) -> None:
    """Single payments, with minutes and of two countries, become the sums of their hours."""
    events = [
        {"at": f"2022-10-01T{hour:02}:{minute:02}:30Z", "amount": hour + minute / 100, "country": country}
        for hour in range(3)
        for minute in (5, 25, 45)
        for country in ("de", "ch")
    ]
    mapping = ["--metric", "revenue", "--timestamp", "at", "--value", "amount"]
    arguments = ["push", "--agg-func", "sum", *mapping, "--floor", "hour"]
    stdin = "".join(json.dumps(event) + "\n" for event in events)
    refused = producer(*arguments, stdin=stdin)
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "stdin:3: is for the same record and hour as stdin:1" in refused.stderr
    pushed = producer(*arguments, "--combine", "sum", "--json", stdin=stdin)
    assert counts(pushed) == {"created": 6}

    sums: dict[str, float] = defaultdict(float)
    for event in events[::2]:
        sums[f"v{datetime.fromisoformat(str(event['at'])).astimezone(UTC).hour:02}"] += float(str(event["amount"]))
    name = re.sub("[^a-z0-9]+", "-", test_events.__name__)
    streams = json.loads(producer("streams", "list", "--json").stdout)
    ((stream_id,),) = [[one["stream_id"] for one in streams["streams"] if one["name"] == name]]
    revenue = Metric("revenue", "Sum")
    key = day_key(stream_id, revenue, record_id(*revenue, {"country": "de"}), "2022-10-01")
    table = stack.outputs()["MetricsTableName"]
    item = stack.client("dynamodb").get_item(TableName=table, Key=key.to_item())["Item"]
    assert {hour: float(value["N"]) for hour, value in item.items() if hour.startswith("v")} == pytest.approx(
        dict(sums)
    )


def test_refused(producer: Unitstream) -> None:
    """The gateway's refusal has an exit code of its own, and so has the function's."""
    row = "timestamp,metric_name,metric_value\n2022-10-01,orders,1\n"
    for name, value, said in (
        ("API_KEY", "none", "the API key is not accepted"),
        ("DATA_STREAM_TOKEN", "ds_none", "the token names no stream"),
    ):
        done = producer("push", "-", "--agg-func", "Sum", stdin=row, **{name: value})
        assert done.returncode == ExitCode.REJECTED
        assert said in done.stderr
