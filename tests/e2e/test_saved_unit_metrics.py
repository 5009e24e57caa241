"""A unit metric is saved over HTTP, and the function of the schedule publishes it, on the deployed local stack."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from support import point, request_body

if TYPE_CHECKING:
    from support import Stack


def published(stack: Stack, name: str) -> list[dict[str, Any]]:
    """Run what the schedule runs, and return what its log has of a unit metric, in the order of time."""
    logs, function = stack.client("logs"), stack.outputs()["PublishFunctionName"]
    before = datetime.now(UTC)
    answer = stack.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    assert "FunctionError" not in answer
    counts = json.loads(answer["Payload"].read())
    assert counts["failed"] == 0
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{stack.name}-publish", startTime=int(before.timestamp() * 1_000)
    )
    messages = [event["message"].strip() for page in pages for event in page["events"]]
    lines = [json.loads(message) for message in messages if message.startswith('{"_aws"') and 'UnitMetric"' in message]
    return [line for line in lines if line.get("name") == name]


def save(stack: Stack, day: str, cost: float) -> None:
    body = request_body([point(day, cost, "e2e_costs"), point(day, 4, "e2e_orders")], stack.token)
    assert stack.post(body)[0] == 201


def test_a_saved_unit_metric_is_published_with_its_time_and_corrected(stack: Stack) -> None:
    """Its value is in the log as EMF; after a correction the next run has the corrected one."""
    name = f"cost {uuid.uuid4().hex[:8]}"
    path = f"/api/unit-metrics/{name.replace(' ', '%20')}"
    yesterday = str((datetime.now(UTC) - timedelta(days=1)).date())
    save(stack, yesterday, 8)
    definition = {"numerator": "e2e_costs:Sum", "denominator": "e2e_orders:Sum", "publish": True}
    assert stack.change("PUT", path, definition)[0] == 200
    status, _, body = stack.get(f"{path}/data", start_date=yesterday, end_date=yesterday)
    assert status == 200
    assert json.loads(body)["series"][0]["data"][0]["current_timeframe_unit_metric"] == 2.0

    (line,) = published(stack, name)
    moment = datetime.fromisoformat(f"{yesterday}T00:00:00+00:00")
    assert line["_aws"]["Timestamp"] == int(moment.timestamp() * 1_000)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stream", "name", "group"]]
    assert (line["name"], line["group"], line["UnitMetric"]) == (name, "all", 2.0)

    save(stack, yesterday, 12)
    assert [line["UnitMetric"] for line in published(stack, name)][-1] == 3.0
    assert json.loads(stack.change("DELETE", path)[2]) == {"deleted": 1}
    assert stack.get(path)[0] == 404
