"""What template.yaml becomes in CloudFormation: who may do what, what the gateway answers, and what is kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse
from support import REPOSITORY

PROBLEM = "'application/problem+json'"


class NoManagedPolicies:
    """The template names managed policies by ARN or not at all."""

    def load(self) -> dict[str, str]:
        return {}


def expand(**parameters: object) -> dict[str, Any]:
    """Return the CloudFormation template that SAM makes of template.yaml."""
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    # What `sam package` replaces: only code that was uploaded can be expanded.
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][name] = "s3://bucket/key"
    expanded: dict[str, Any] = transform(template, parameters, NoManagedPolicies())
    return expanded


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return expand()


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    of_template: dict[str, Any] = template["Resources"]
    return of_template


def properties_of(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the resources of a type, by their names."""
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


# --- API --------------------------------------------------------------------------------------------------------------


def gateway_response(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    answer: dict[str, Any] = resources["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"][kind]
    return answer


def rendered(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the body as the gateway sends it: it puts in its variables, of which messageString has its quotes."""
    text = answer["responseTemplates"]["application/json"]
    text = text.replace("$context.error.messageString", '"a message"')
    body: dict[str, Any] = json.loads(re.sub(r"\$context(\.\w+)+", "1234-abcd", text))
    return body


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("INVALID_API_KEY", 403),
        ("ACCESS_DENIED", 403),
        ("MISSING_AUTHENTICATION_TOKEN", 404),
        ("REQUEST_TOO_LARGE", 413),
        ("THROTTLED", 429),
        ("QUOTA_EXCEEDED", 429),
    ],
)
def test_the_gateway_answers_with_problems(resources: dict[str, Any], kind: str, status: int) -> None:
    """What never reaches the function is a problem like those of the function, with the status that it is sent with."""
    answer = gateway_response(resources, kind)
    assert answer["statusCode"] == str(status)
    assert answer["responseParameters"]["gatewayresponse.header.Content-Type"] == PROBLEM
    body = rendered(answer)
    assert body["status"] == status
    assert body["type"].startswith("urn:unitstream:problem:")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == "1234-abcd"


@pytest.mark.parametrize("kind", ["DEFAULT_4XX", "DEFAULT_5XX"])
def test_any_other_answer_of_the_gateway_is_a_problem_too(resources: dict[str, Any], kind: str) -> None:
    """The answers that no own text was written for keep their status, and say which one it was in words."""
    answer = gateway_response(resources, kind)
    assert "statusCode" not in answer
    assert answer["responseParameters"]["gatewayresponse.header.Content-Type"] == PROBLEM
    body = rendered(answer)
    assert body["title"] == "a message"
    assert body["request_id"] == "1234-abcd"


@pytest.mark.parametrize("kind", ["THROTTLED", "QUOTA_EXCEEDED", "DEFAULT_5XX"])
def test_what_may_be_tried_again_says_when(resources: dict[str, Any], kind: str) -> None:
    """Who is throttled, or met a fault, learns how many seconds to wait."""
    wait = gateway_response(resources, kind)["responseParameters"]["gatewayresponse.header.Retry-After"]
    assert re.fullmatch(r"'[1-9]\d*'", wait)


def test_every_route_needs_an_api_key(resources: dict[str, Any]) -> None:
    """No route of any API can be called without a key in the header x-api-key."""
    apis = properties_of(resources, "AWS::ApiGateway::RestApi")
    assert apis
    for api in apis.values():
        scheme = api["Body"]["components"]["securitySchemes"]["api_key"]
        assert scheme == {"type": "apiKey", "name": "x-api-key", "in": "header"}
        routes = [route for methods in api["Body"]["paths"].values() for route in methods.values()]
        assert routes
        assert all(route["security"] == [{"api_key": []}] for route in routes)


def test_the_route_of_the_contract_calls_the_ingest_function(resources: dict[str, Any]) -> None:
    """POST /api/streams/ingest is there, and the function gets the whole request."""
    route = resources["Api"]["Properties"]["Body"]["paths"]["/api/streams/ingest"]["post"]
    integration = route["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws_proxy"
    assert "${IngestFunction.Arn}" in integration["uri"]["Fn::Sub"]


def test_the_usage_plan_takes_its_limits_from_parameters() -> None:
    """An operator sets throttle and quota at the deployment, and the key of the stack is bound to them."""
    resources = expand(RateLimit=7, BurstLimit=8, QuotaLimit=9, QuotaPeriod="DAY")["Resources"]
    ((name, plan),) = properties_of(resources, "AWS::ApiGateway::UsagePlan").items()
    assert plan["Throttle"] == {"RateLimit": 7, "BurstLimit": 8}
    assert plan["Quota"] == {"Limit": 9, "Period": "DAY"}
    (stage,) = properties_of(resources, "AWS::ApiGateway::Stage")
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": stage}}]
    (key,) = properties_of(resources, "AWS::ApiGateway::ApiKey")
    (binding,) = properties_of(resources, "AWS::ApiGateway::UsagePlanKey").values()
    assert binding == {"KeyId": {"Ref": key}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": name}}


def test_the_usage_plan_limits_by_default(resources: dict[str, Any]) -> None:
    """A stack that nobody configured is throttled, and its bill bounded."""
    (plan,) = properties_of(resources, "AWS::ApiGateway::UsagePlan").values()
    assert all(int(limit) > 0 for limit in plan["Throttle"].values())
    assert int(plan["Quota"]["Limit"]) > 0


# --- the ingest function ----------------------------------------------------------------------------------------------


def test_the_ingest_role_may_do_exactly_what_it_needs(resources: dict[str, Any]) -> None:
    """The function finds streams, and reads and merges points: it scans, deletes and administers nothing."""
    role = resources["IngestFunctionRole"]["Properties"]
    assert resources["IngestFunction"]["Properties"]["Role"] == {"Fn::GetAtt": ["IngestFunctionRole", "Arn"]}
    rights = []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            rights += [
                (action, statement["Resource"]) for action in ([actions] if isinstance(actions, str) else actions)
            ]
    streams, metrics = {"Fn::GetAtt": ["StreamsTable", "Arn"]}, {"Fn::GetAtt": ["MetricsTable", "Arn"]}
    assert sorted(rights, key=str) == [
        ("dynamodb:BatchGetItem", metrics),
        ("dynamodb:GetItem", streams),
        ("dynamodb:PartiQLInsert", metrics),
        ("dynamodb:PartiQLUpdate", metrics),
    ]


def test_the_ingest_role_has_no_other_source_of_rights(resources: dict[str, Any]) -> None:
    """Beyond its own statements the role has what SAM attaches for logs and traces; only Lambda may assume it."""
    role = resources["IngestFunctionRole"]["Properties"]
    assert sorted(arn.split(":policy/")[1] for arn in role["ManagedPolicyArns"]) == [
        "AWSXrayWriteOnlyAccess",
        "service-role/AWSLambdaBasicExecutionRole",
    ]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}
    assert not properties_of(resources, "AWS::IAM::Policy")
    assert not properties_of(resources, "AWS::IAM::ManagedPolicy")
    assert not properties_of(resources, "AWS::DynamoDB::ResourcePolicy")


def test_only_the_gateway_may_call_the_function(resources: dict[str, Any]) -> None:
    """The permission to call the function is for the one route of the one API."""
    (permission,) = properties_of(resources, "AWS::Lambda::Permission").values()
    assert permission["Principal"] == "apigateway.amazonaws.com"
    source, variables = permission["SourceArn"]["Fn::Sub"]
    assert source.endswith("${__ApiId__}/${__Stage__}/POST/api/streams/ingest")
    assert variables["__ApiId__"] == {"Ref": "Api"}


def test_the_function_answers_before_the_gateway_gives_up(resources: dict[str, Any]) -> None:
    """The gateway waits 29 seconds; an answer that comes later is lost."""
    assert resources["IngestFunction"]["Properties"]["Timeout"] < 29


def test_the_function_knows_its_tables(resources: dict[str, Any]) -> None:
    """The function reads from its environment where to look."""
    variables = resources["IngestFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["STREAMS_TABLE"] == {"Ref": "StreamsTable"}
    assert variables["METRICS_TABLE"] == {"Ref": "MetricsTable"}


def test_every_function_logs_where_logs_expire(template: dict[str, Any], resources: dict[str, Any]) -> None:
    """No function writes to a log group of Lambda's making, which would keep everything forever."""
    groups = properties_of(resources, "AWS::Logs::LogGroup")
    for function in properties_of(resources, "AWS::Lambda::Function").values():
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert 1 <= template["Parameters"]["LogRetentionDays"]["Default"] <= 365


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["StreamsTable", "MetricsTable"])
def test_tables_are_kept_and_guarded(template: dict[str, Any], resources: dict[str, Any], name: str) -> None:
    """A table is paid by use, encrypted, restorable to any second, and outlives its stack and a mistake."""
    table = resources[name]
    assert table["Type"] == "AWS::DynamoDB::Table"
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert template["Parameters"]["DeletionProtection"]["Default"] == "true"
    # A name of its own would keep the stack from replacing it, and a second stack from being deployed.
    assert "TableName" not in properties


def test_there_are_no_other_tables(resources: dict[str, Any]) -> None:
    """A new table comes with the same guarantees: add it above."""
    assert properties_of(resources, "AWS::DynamoDB::Table").keys() == {"StreamsTable", "MetricsTable"}


def test_keys_of_the_tables(resources: dict[str, Any]) -> None:
    """The keys may never change: CloudFormation would replace the table."""
    keys = {
        name: [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
        for name, table in properties_of(resources, "AWS::DynamoDB::Table").items()
    }
    assert keys == {
        "StreamsTable": [("token_sha256", "HASH")],
        "MetricsTable": [("pk", "HASH"), ("sk", "RANGE")],
    }
