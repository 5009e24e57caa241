"""`?dry_run=true`: the same answer, and nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import support
from stack import DEMO_TOKEN
from support import delete_event, point, proxy_event, request_body

from unitstream.instants import instant_text

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
    counts = {"received": 5, "created": 2, "updated": 1, "unchanged": 1, "superseded": 1}
    expected = counts | {"received_at": instant_text(NOW + 10)}
    changes = {"changes": [{"pointer": "/data/1", "stored_value": 2.0, "new_value": 20.0}], "large_changes": 0}
    assert json.loads(asked["body"]) == expected | changes
    assert json.loads(done["body"]) == expected


def test_a_dry_run_tells_20_changes_and_counts_large_ones(invoke: Invoke) -> None:
    """In the order of the request, wherever the points stand. A factor of 100 is large both ways, zero has none."""
    stored = [(hour, 1 + hour) for hour in range(24)]
    invoke(event([point(f"2022-10-02 {hour:02}:00:00", value, dimensions={"a": "b"}) for hour, value in stored], NOW))
    invoke(event([point(f"2022-10-01 0{hour}:00:00", value) for hour, value in enumerate((5, 5, 5, 0, 5, -5))], NOW))
    request = [point(f"2022-10-02 {hour:02}:00:00", 50 * value, dimensions={"a": "b"}) for hour, value in stored]
    request[3:3] = [point(f"2022-10-01 0{hour}:00:00", value) for hour, value in enumerate((500, 499, 0.05, 7, 0, 600))]
    answer = json.loads(invoke(event(request, NOW + 1, dry_run=["true"]))["body"])
    assert (answer["updated"], answer["large_changes"]) == (30, 3)
    assert len(answer["changes"]) == 20
    places = [int(change["pointer"].removeprefix("/data/")) for change in answer["changes"]]
    assert places == sorted(places)
    for place, change in zip(places, answer["changes"], strict=True):
        assert change["new_value"] == request[place]["metric_value"]
        assert change["stored_value"] in {change["new_value"] / 50, 0, 5, -5}


def test_a_dry_run_notices_dimensions_whose_points_were_deleted(invoke: Invoke) -> None:
    """A mistake that was undone is one again: the catalogue still knows the set, and no live point has it."""
    right, wrong = (
        [point("2022-10-01", 1, dimensions={"a": str(number)} | more) for number in range(3)]
        for more in ({}, {"b": "c"})
    )
    invoke(event(right, NOW))
    invoke(event(wrong, NOW + 1))
    span = {"start_date": ["2022-10-01"], "end_date": ["2022-10-01"]}
    orders = {"metric_name": ["orders"], "metric_agg_func": ["Sum"]}
    for first in (0, 3):
        assert "notices" not in json.loads(invoke(event(wrong[:first] + right, NOW + 2, dry_run=["true"]))["body"])
    invoke(delete_event(DEMO_TOKEN, NOW + 3, **orders, **span, received_from=[str(NOW + 1)]))
    answer = json.loads(invoke(event([*right, *wrong], NOW + 4, dry_run=["true"]))["body"])
    ((code, detail),) = [(one["code"], one["detail"]) for one in answer["notices"]]
    assert (answer["notices"][0]["pointer"], code) == ("/data/3", "new_dimension_keys")
    assert detail.startswith("the points of orders with the dimensions a, b were deleted, and it has the dimension a:")


def test_a_dry_run_over_a_deletion_creates(invoke: Invoke) -> None:
    """What was deleted is no stored value that changes."""
    invoke(event([point("2022-10-01", 1)], NOW))
    span = {"start_date": ["2022-10-01"], "end_date": ["2022-10-01"]}
    invoke(delete_event(DEMO_TOKEN, NOW + 1, metric_name=["orders"], metric_agg_func=["Sum"], **span))
    answer = json.loads(invoke(event([point("2022-10-01", 100)], NOW + 2, dry_run=["true"]))["body"])
    assert (answer["created"], answer["changes"], answer["large_changes"]) == (1, [], 0)


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
