"""`?dry_run=true`: the same answer, and nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import support
from stack import DEMO_TOKEN
from support import point, proxy_event, request_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

    Invoke = Callable[[dict[str, Any]], dict[str, Any]]

NOW = 1_700_000_000_000


def event(points: list[dict[str, Any]], received_at: int, **parameters: list[str]) -> dict[str, Any]:
    return proxy_event(
        request_body(points, DEMO_TOKEN),
        received_at,
        queryStringParameters={name: values[-1] for name, values in parameters.items()} or None,
        multiValueQueryStringParameters=parameters or None,
    )


def test_a_dry_run_says_what_the_request_would_do_and_does_not_do_it(invoke: Invoke, tables: Tables) -> None:
    """200 with the very counts that the request then gets, and an untouched table before that."""
    invoke(event([point("2022-10-01 00:00:00", 1), point("2022-10-01 01:00:00", 2)], NOW))
    invoke(event([point("2022-10-01 02:00:00", 3)], NOW + 20))
    before = support.scan(tables.client, tables.metrics)
    request = [point(f"2022-10-01 {hour:02}:00:00", value) for hour, value in enumerate((1, 20, 30, 4))]
    request.append(point("2022-10-02", 5, "a new metric", {"of": "a new series"}))

    asked = invoke(event(request, NOW + 10, dry_run=["true"]))
    assert support.scan(tables.client, tables.metrics) == before
    done = invoke(event(request, NOW + 10, dry_run=["false"]))
    assert (asked["statusCode"], done["statusCode"]) == (200, 201)
    expected = {"received": 5, "created": 2, "updated": 1, "unchanged": 1, "superseded": 1}
    assert json.loads(asked["body"]) == json.loads(done["body"]) == expected


def test_a_dry_run_is_validated_like_any_request(invoke: Invoke) -> None:
    """The errors are those of the request."""
    answer = invoke(event([point("2022-10-01 00:30:00", 1)], NOW, dry_run=["true"]))
    assert (answer["statusCode"], json.loads(answer["body"])["errors"][0]["code"]) == (400, "timestamp_not_hourly")


@pytest.mark.parametrize(
    ("parameters", "named", "code"),
    [
        ({"dryrun": ["true"]}, "dryrun", "unknown_parameter"),
        ({"dry_run": ["yes"]}, "dry_run", "dry_run_unknown"),
        ({"dry_run": [""]}, "dry_run", "dry_run_unknown"),
        ({"dry_run": ["true", "false"]}, "dry_run", "repeated"),
        ({"dry_run": ["true"], "force": ["1"]}, "force", "unknown_parameter"),
    ],
)
def test_a_parameter_that_is_misspelt_saves_nothing(
    invoke: Invoke, tables: Tables, parameters: dict[str, list[str]], named: str, code: str
) -> None:
    """Who meant a dry run must not save by mistake; the answer names the parameter."""
    answer = invoke(event([point("2022-10-01", 1)], NOW, **parameters))
    error = json.loads(answer["body"])["errors"][0]
    assert (answer["statusCode"], error["parameter"], error["code"]) == (400, named, code)
    assert support.scan(tables.client, tables.metrics) == []
