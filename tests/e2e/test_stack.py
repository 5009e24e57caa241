"""The deployed local stack, over HTTP: gateway, API key, function with its layer, IAM, tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import support
from botocore.exceptions import ClientError
from support import point, request_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Stack


def saved(received: int, **counts: int) -> dict[str, int]:
    return {"received": received, "created": 0, "updated": 0, "unchanged": 0, "superseded": 0} | counts


def counts_of(body: str) -> dict[str, Any]:
    """Return what an answer counts: all that it says but when."""
    return {name: said for name, said in json.loads(body).items() if name != "received_at"}


def test_points_are_saved_with_201_and_counts(stack: Stack) -> None:
    """The first request creates; a changed value updates; the same again is unchanged."""
    for value, outcome in ((1, "created"), (2, "updated"), (2, "unchanged")):
        changing = point("2022-10-01 00:00:00", value, "of a stack")
        status, headers, body = stack.post(request_body([changing], stack.token))
        assert (status, headers["Content-Type"]) == (201, "application/json")
        assert counts_of(body) == saved(1, **{outcome: 1})


def test_without_a_valid_api_key_the_gateway_refuses(stack: Stack) -> None:
    """403, and the function is not even asked."""
    for key in ("", "wrong"):
        assert stack.post(request_body([point("2022-10-01", 1)], stack.token), **{"x-api-key": key})[0] == 403


def test_an_unknown_token_is_a_404_problem(stack: Stack) -> None:
    """In the shape of RFC 9457."""
    status, headers, body = stack.post(request_body([point("2022-10-01", 1)], "ds_unknown"))
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(body)["title"] == "No stream found"


def test_every_error_of_a_request_is_in_one_answer(stack: Stack) -> None:
    """Three points of which two are wrong in two ways each: 400, four errors, nothing saved."""
    good, bad = point("2022-10-01", 1, "untouched"), point("2022-10-01 00:15:00", "many", "untouched")
    status, headers, body = stack.post(request_body([good, bad, bad], stack.token))
    problem = json.loads(body)
    assert (status, headers["Content-Type"], problem["total_errors"]) == (400, "application/problem+json", 4)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [
        ("/data/1/timestamp", "timestamp_not_hourly"),
        ("/data/1/metric_value", "metric_value_invalid"),
        ("/data/2/timestamp", "timestamp_not_hourly"),
        ("/data/2/metric_value", "metric_value_invalid"),
    ]
    stored = support.scan(stack.client("dynamodb"), stack.outputs()["MetricsTableName"])
    assert not [item for item in stored if "untouched" in json.dumps(item)]


def test_a_body_over_the_limit_is_a_413_problem(stack: Stack) -> None:
    """Locally the function says so itself; on AWS the gateway does, in the same shape."""
    status, headers, body = stack.post(request_body([point("2022-10-01", 1, "x" * 7_000_000)], stack.token))
    assert (status, headers["Content-Type"], json.loads(body)["status"]) == (413, "application/problem+json", 413)


@pytest.mark.parametrize("body", ["", "{", "null", "[]", "\x00", '"\\ud800"', "[" * 10_000, '{"data":' + "9" * 100_000])
def test_garbage_is_a_400_problem(stack: Stack, body: str) -> None:
    """Whatever is sent, it is never a 500."""
    status, headers, answer = stack.post(body)
    assert (status, headers["Content-Type"]) == (400, "application/problem+json"), answer


def test_the_role_of_the_function_allows_what_it_does_and_no_more(stack: Stack) -> None:
    """With the function's own credentials: no scan, no delete, no plain write, no look into all streams."""
    outputs = stack.outputs()
    role = f"arn:aws:iam::000000000000:role/{outputs['IngestRoleName']}"
    assumed = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session: Any = boto3.Session(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
    client = session.client("dynamodb", endpoint_url=stack.endpoint)
    streams, metrics = outputs["StreamsTableName"], outputs["MetricsTableName"]
    key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    assert "Item" not in client.get_item(TableName=streams, Key={"token_sha256": {"S": "a"}})
    calls: list[Callable[[], object]] = [
        lambda: client.scan(TableName=metrics),
        lambda: client.scan(TableName=streams),
        lambda: client.get_item(TableName=metrics, Key=key),
        lambda: client.put_item(TableName=metrics, Item=key),
        lambda: client.delete_item(TableName=metrics, Key=key),
        lambda: client.put_item(TableName=streams, Item={"token_sha256": {"S": "a"}}),
        lambda: client.batch_get_item(RequestItems={streams: {"Keys": [{"token_sha256": {"S": "a"}}]}}),
        lambda: client.delete_table(TableName=metrics),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_alarms_and_dashboard_look_at_this_stack(stack: Stack) -> None:
    """By the names that its parts have after the deployment."""
    resources = stack.client("cloudformation").describe_stack_resources(StackName=stack.name)["StackResources"]
    names = {one["PhysicalResourceId"] for one in resources} | {stack.name, "views"}
    cloudwatch = stack.client("cloudwatch")
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    assert len(alarms) == sum(one["ResourceType"] == "AWS::CloudWatch::Alarm" for one in resources) > 0
    for alarm in alarms:
        assert {one["Value"] for one in alarm["Dimensions"]} <= names, alarm["AlarmName"]
    dashboard = cloudwatch.get_dashboard(DashboardName=stack.outputs()["DashboardName"])
    assert "${" not in dashboard["DashboardBody"]
    for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
        lines = [metric for metric in widget["properties"]["metrics"] if isinstance(metric[0], str)]
        assert all(metric[3] in names for metric in lines)
