"""Tokens with a right each, on the deployed local stack: every route takes those that it needs, and no other."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from stack import DEMO_READ_TOKEN, DEMO_WRITE_TOKEN
from support import point, request_body

from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Stack

    Command = Callable[..., subprocess.CompletedProcess[str]]

METRIC = {"metric_name": "rights", "metric_agg_func": "Sum"}
DAYS = {"start_date": "2022-10-01", "end_date": "2022-10-02"}
UNIT_METRIC = {"numerator": "rights:Sum", "denominator": "rights:Sum"}
# The right that each route needs, its method and path, its parameters, and what it answers to who has the right.
ROUTES: dict[str, tuple[str, str, str, dict[str, str], int]] = {
    "ingest": ("write", "POST", "/api/streams/ingest", {}, 201),
    "dry run": ("write", "POST", "/api/streams/ingest", {"dry_run": "true"}, 200),
    "delete": ("delete", "DELETE", "/api/points", METRIC | DAYS, 200),
    "metrics": ("read", "GET", "/api/metrics", {}, 200),
    "series": ("read", "GET", "/api/metrics/rights/Sum/series", {}, 200),
    "points": ("read", "GET", "/api/points", METRIC | DAYS, 200),
    "views": ("read", "GET", "/api/views", METRIC | DAYS, 200),
    "unit metrics": ("read", "GET", "/api/unit-metrics", UNIT_METRIC | DAYS, 200),
}
RIGHTS = ("write", "read", "delete")


@pytest.fixture(scope="module")
def tokens(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A token for each right."""
    home = tmp_path_factory.mktemp("rights")
    (home / ".local").symlink_to(stack.home)
    return {right: unitstream("tokens", "create", "demo", "--name", f"e2e-{right}", "--right", right) for right in RIGHTS}


@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_takes_tokens_with_its_right_alone(
    stack: Stack, tokens: dict[str, str], route: str, right: str
) -> None:
    """With another right the answer is 403, names the right that is needed, and nothing is done."""
    needed, method, path, parameters, success = ROUTES[route]
    status, answer = stack.ask(method, path, tokens[right], parameters)
    if right == needed:
        assert status == success, answer
        return
    assert status == 403
    assert answer["type"] == "urn:unitstream:problem:right-missing"
    assert (answer["needed_right"], answer["rights"]) == (needed, [right])
