"""Tokens with a right each, on the deployed local stack: every route takes those with its right, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from stack import DEMO_READ_TOKEN, DEMO_WRITE_TOKEN
from support import point, request_body

from unitstream.rights import Right
from unitstream_cli.admin.registry import Registry
from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support import Stack

    Command = Callable[..., subprocess.CompletedProcess[str]]

METRIC = {"metric_name": "rights", "metric_agg_func": "Sum"}
DAYS = {"start_date": "2022-10-01", "end_date": "2022-10-02"}
UNIT_METRIC = {"numerator": "rights:Sum", "denominator": "rights:Sum"}
# The right that a route needs, its method, path and parameters, and the status that who has the right gets.
ROUTES: dict[str, tuple[Right, str, str, dict[str, str], int]] = {
    "ingest": (Right.WRITE, "POST", "/api/streams/ingest", {}, 201),
    "ingest as a dry run": (Right.WRITE, "POST", "/api/streams/ingest", {"dry_run": "true"}, 200),
    "delete": (Right.DELETE, "DELETE", "/api/points", METRIC | DAYS, 200),
    "delete as a dry run": (Right.DELETE, "DELETE", "/api/points", METRIC | DAYS | {"dry_run": "true"}, 200),
    "metrics": (Right.READ, "GET", "/api/metrics", {}, 200),
    "series": (Right.READ, "GET", "/api/metrics/rights/Sum/series", {}, 200),
    "points": (Right.READ, "GET", "/api/points", METRIC | DAYS, 200),
    "views": (Right.READ, "GET", "/api/views", METRIC | DAYS, 200),
    "unit metrics": (Right.READ, "GET", "/api/unit-metrics", UNIT_METRIC | DAYS, 200),
}


@pytest.fixture(scope="module")
def tokens(stack: Stack) -> dict[Right, str]:
    """A token for each right, of a stream of their own."""
    registry = Registry(stack.client("dynamodb"), stack.outputs()["StreamsTableName"])
    registry.create("rights")
    return {right: registry.create_token("rights", right, [right]).secret for right in Right}


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_takes_tokens_with_its_right_alone(stack: Stack, tokens: dict[Right, str], route: str) -> None:
    """With another right the answer is 403, and names the right that is needed and the one that the token has."""
    needed, method, path, parameters, success = ROUTES[route]
    for right, token in tokens.items():
        body = request_body([point("2022-10-01", 1, "rights")], token) if method == "POST" else None
        status, answer = stack.ask(method, path, token, body, **parameters)
        if right is needed:
            assert status == success, answer
        else:
            assert (status, answer["type"]) == (403, "urn:unitstream:problem:right-missing")
            assert (answer["needed_right"], answer["rights"]) == (needed, [right])


@pytest.fixture(scope="module")
def ended(stack: Stack) -> tuple[str, ...]:
    """Tokens that work no more, or never did."""
    registry = Registry(stack.client("dynamodb"), stack.outputs()["StreamsTableName"])
    registry.create("was there")
    revoked, replaced = (registry.create_token("was there", one, Right).secret for one in ("revoked", "replaced"))
    registry.revoke_token("was there", "revoked")
    registry.rotate_token("was there", "replaced", 0)
    of_a_revoked_stream = registry.create("was there itself").secret
    registry.revoke("was there itself")
    return "ds_unknown", revoked, replaced, of_a_revoked_stream


@pytest.mark.parametrize("route", ROUTES)
def test_no_answer_tells_whether_a_token_was_there_once(stack: Stack, ended: tuple[str, ...], route: str) -> None:
    """Unknown, revoked and replaced tokens, and those of revoked streams, get one and the same answer."""
    _, method, path, parameters, _ = ROUTES[route]

    def ask(token: str) -> tuple[int, Any]:
        body = request_body([point("2022-10-01", 1, "rights")], token) if method == "POST" else None
        return stack.ask(method, path, token, body, **parameters)

    (answer,) = {str(ask(token)) for token in ended}
    assert "stream-not-found" in answer


def test_a_token_that_can_only_read_is_enough_to_read(unitstream: Command) -> None:
    """And to push it is not: what is missing is said, and that it is not the API key."""
    days = ("--from", "2022-10-01", "--to", "2022-10-02")
    for command in (("metrics",), ("views", "orders:Sum", *days), ("points", "orders:Sum", *days)):
        done = unitstream(*command, DATA_STREAM_TOKEN=DEMO_READ_TOKEN)
        assert done.returncode == 0, done.stderr
    row = '{"timestamp": "2022-10-01", "metric_name": "rights", "metric_value": 1}'
    refused = unitstream("push", "--agg-func", "Sum", stdin=row, DATA_STREAM_TOKEN=DEMO_READ_TOKEN)
    assert refused.returncode == ExitCode.REJECTED
    assert "the right to write" in refused.stderr
    assert "API key" not in refused.stderr


def test_a_token_that_can_only_write_is_enough_to_push(unitstream: Command, tmp_path: Path) -> None:
    """Also for a dry run; and to read it is not."""
    (tmp_path / "rights.csv").write_text("timestamp,metric_name,metric_value\n2022-10-01,rights,1\n")
    for more in ((), ("--dry-run",)):
        done = unitstream("push", "rights.csv", "--agg-func", "Sum", *more, DATA_STREAM_TOKEN=DEMO_WRITE_TOKEN)
        assert done.returncode == 0, done.stderr
    refused = unitstream("metrics", DATA_STREAM_TOKEN=DEMO_WRITE_TOKEN)
    assert (refused.returncode, refused.stdout) == (ExitCode.REJECTED, "")
    assert "the right to read" in refused.stderr
    assert "API key" not in refused.stderr


def test_the_local_stack_has_a_token_to_write_and_one_to_read(stack: Stack) -> None:
    """Its file has them beside the owner's."""
    settings = dict(line.split("=", 1) for line in (stack.home / "stack.env").read_text().splitlines())
    assert (settings["WRITE_TOKEN"], settings["READ_TOKEN"]) == (DEMO_WRITE_TOKEN, DEMO_READ_TOKEN)
    assert settings["DATA_STREAM_TOKEN"] not in {DEMO_WRITE_TOKEN, DEMO_READ_TOKEN}
