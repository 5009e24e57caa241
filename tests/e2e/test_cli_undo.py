"""Taking back and replacing, with the command on the deployed local stack."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from bills import bill
from support import point, proxy_event, request_body

from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support import Stack

    Unitstream = Callable[..., subprocess.CompletedProcess[str]]

DAYS = ["--from", "2022-10-01", "--to", "2022-10-31"]
TOKEN = "DATA_STREAM_TOKEN"


@pytest.fixture
def token(unitstream: Unitstream, request: pytest.FixtureRequest) -> str:
    """The token of a stream of the test's own."""
    return unitstream("streams", "create", re.sub("[^a-z0-9]+", "-", request.node.name)).stdout.strip()


@pytest.fixture
def producer(unitstream: Unitstream, token: str, tmp_path: Path) -> Unitstream:
    """The command of somebody who has a data stream of their own."""
    variables = {TOKEN: token, "UNITSTREAM_STATE_DIR": str(tmp_path / "state")}
    return lambda *arguments, **how: unitstream(*arguments, **how, **variables)


def push(producer: Unitstream, frame: pd.DataFrame, *options: str) -> subprocess.CompletedProcess[str]:
    return producer("push", "-", "--agg-func", "Sum", *options, stdin=frame.to_csv(index=False))


def totals(producer: Unitstream) -> dict[str, float]:
    """What the service says of each day."""
    view: dict[str, Any] = json.loads(producer("views", "cost:Sum", *DAYS, "--json").stdout)
    return {cell["date"]: cell["value"] for series in view["series"] for cell in series["data"]}


def by_pandas(frame: pd.DataFrame) -> dict[str, float]:
    cents = (frame["metric_value"] * 100).round().astype(int)
    return {str(day): total / 100 for day, total in cents.groupby(frame["timestamp"].str[:10]).sum().items()}


def test_one_more_dimension(producer: Unitstream, stack: Stack, token: str) -> None:
    """A bill with one more dimension is refused, doubles if it is meant so, and is taken back to the digit for good."""
    assert push(producer, bill()).returncode == ExitCode.OK
    before = totals(producer)
    assert before == by_pandas(bill())
    again = bill(region="eu")
    refused = push(producer, again)
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "had the dimensions region, service so far, but the dimension service" in refused.stderr
    assert totals(producer) == before

    done = push(producer, again, "--new-dimensions")
    assert done.returncode == ExitCode.OK
    assert totals(producer) == by_pandas(pd.concat([bill(), again]))
    (moment,) = re.findall("--received-from (.+)", done.stdout)
    deleted = producer("delete", "cost:Sum", *DAYS, "--received-from", moment, "--yes")
    assert "Deleted 900 points of 3 series of cost:Sum." in deleted.stdout, deleted.stderr
    assert totals(producer) == before

    points = [
        point(row["timestamp"], row["metric_value"], "cost", {"service": row["service"], "region": "eu"})
        for row in again.to_dict("records")
    ]
    received_at = int(pd.Timestamp(moment).timestamp() * 1000)
    replayed = json.loads(stack.invoke(proxy_event(request_body(points, token), received_at))["body"])
    assert replayed["superseded"] == 900
    assert totals(producer) == before


def test_a_restated_bill(producer: Unitstream) -> None:
    """What vanished is deleted, what stayed is unchanged, and what another producer owns is not touched."""
    theirs, ours = bill(account="2"), bill(account="1")
    assert push(producer, pd.concat([theirs, ours])).returncode == ExitCode.OK
    restated = pd.concat([bill("a", account="1"), bill("b", factor=1.5, account="1")])
    own = ["--replace", "--replace-filter", "account:1", "--json"]
    for options in ([*own, "--dry-run"], own):
        done = push(producer, restated, *options)
        counts = json.loads(done.stdout)
        assert [counts[name] for name in ("created", "updated", "unchanged", "deleted")] == [0, 300, 300, 300]
    assert totals(producer) == by_pandas(pd.concat([theirs, restated]))
