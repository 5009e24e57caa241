"""No input whatever leads to a 500 or to a partial write: hypothesis looks for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import support
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stack import DEMO_TOKEN
from support import point, proxy_event, request_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Tables

NOW = 1_700_000_000_000

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=6,
)
timestamps = st.sampled_from(["2022-10-01 00:00:00", "2022-10-01", 1664582400, "1664586000", "9999-12-31T23:00:00Z", 0])
values = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.sampled_from(["1", "-2.5", " 7 ", "-0", "1_000", "1e-400", 1e-130, 9.99e125])
)
names = st.text(min_size=1, max_size=300)
dimensions = st.none() | st.dictionaries(names, st.text(max_size=1_100), max_size=11)
points = st.fixed_dictionaries(
    {"timestamp": timestamps | anything, "metric_name": names | anything, "metric_value": values | anything},
    optional={"custom_dimensions": dimensions | anything, "mertic_value": values},
)
good_points = st.fixed_dictionaries(
    {"timestamp": timestamps, "metric_name": st.text(min_size=1, max_size=255), "metric_value": st.integers(-9, 9)},
    optional={
        "custom_dimensions": st.none() | st.dictionaries(st.text(min_size=1, max_size=9), st.text(), max_size=10)
    },
)
requests = st.fixed_dictionaries(
    {
        "data_stream_token": st.just(DEMO_TOKEN) | st.text(),
        "metric_agg_func": st.sampled_from(["Sum", "Average", "Maximum", "Minimum"]) | anything,
        "data": st.lists(good_points, min_size=1, max_size=4) | st.lists(points, max_size=4) | anything,
    }
)
bodies = requests.map(json.dumps) | anything.map(json.dumps) | st.text() | requests.map(lambda r: json.dumps(r)[:-2])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=bodies)
@example(body="")
@example(body="\ufeff" + request_body([point(0, -0.0), point(3_600, "-0.0")], DEMO_TOKEN))
@example(body=request_body([point(0, 0), point(3_600, "v")], DEMO_TOKEN).replace('"v"', "1e-400"))
@example(body='{"data_stream_token": "\\u0000", "metric_agg_func": "Sum", "data": [{}]}')
def test_the_answer_is_never_a_500_and_the_table_is_all_or_nothing(
    body: str, invoke: Callable[[dict[str, Any]], dict[str, Any]], tables: Tables
) -> None:
    """201 means that every point of the request is stored, anything else that the table is as it was."""
    before = support.scan(tables.client, tables.metrics)
    answer = invoke(proxy_event(body, NOW))
    assert answer["statusCode"] in {201, 400, 404}, answer["body"]
    document = json.loads(answer["body"])
    if answer["statusCode"] != 201:
        assert document["status"] == answer["statusCode"]
        assert support.scan(tables.client, tables.metrics) == before
        return
    document.pop("notices", None)
    document.pop("received_at")
    sent = json.loads(body.removeprefix("\ufeff"))["data"]
    received = document.pop("received")
    assert received == len(sent) == sum(document.values())
    # Everything was received at the same time, so of two values for the same hour the larger one stays.
    stored = support.stored_points(tables.client, tables.metrics).values()
    assert {float(point["metric_value"]) for point in sent} <= {value for _, value in stored} or document["superseded"]
