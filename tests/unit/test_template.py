"""What template.yaml becomes in CloudFormation: who may do what, what the gateway answers, and what is kept."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from http import HTTPStatus
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from support import REPOSITORY
from support import template as parsed_template

from unitstream.days import Counts

PROBLEM = "'application/problem+json'"


class NoManagedPolicies:
    """The template names managed policies by ARN or not at all."""

    def load(self) -> dict[str, str]:
        return {}


def source() -> dict[str, Any]:
    """Return template.yaml with what `sam package` replaces: only code that was uploaded can be expanded."""
    template = copy.deepcopy(parsed_template())
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][name] = "s3://bucket/key"
    return template


def expand(template: dict[str, Any] | None = None, /, **parameters: object) -> dict[str, Any]:
    """Return the CloudFormation template that SAM makes of template.yaml."""
    expanded: dict[str, Any] = transform(template or source(), parameters, NoManagedPolicies())
    return expanded


def deploy(**parameters: object) -> dict[str, Any]:
    """Return the resources that CloudFormation makes with these parameters: its conditions are decided."""
    template = expand(**parameters)
    values = {name: one.get("Default") for name, one in template["Parameters"].items()} | parameters
    conditions = {name: bool(decide(one, values)) for name, one in template["Conditions"].items()}

    def resolve(value: Any) -> Any:
        match value:
            case {"Fn::If": [condition, then, otherwise]}:
                return resolve(then if conditions[condition] else otherwise)
            case {"Ref": str(name)} if name in values:
                return values[name]
            case dict():
                resolved = {key: resolve(one) for key, one in value.items()}
                return {key: one for key, one in resolved.items() if one != {"Ref": "AWS::NoValue"}}
            case list():
                return [resolve(one) for one in value]
        return value

    return {
        name: resolve(one)
        for name, one in template["Resources"].items()
        if conditions.get(one.get("Condition", ""), True)
    }


def decide(value: Any, values: dict[str, Any]) -> Any:
    """Return what a condition or a rule comes to. CloudFormation compares everything as text."""
    match value:
        case {"Ref": str(name)}:
            return values[name]
        case {"Fn::Equals": [one, other]}:
            return str(decide(one, values)) == str(decide(other, values))
        case {"Fn::Not": [one]}:
            return not decide(one, values)
    return value


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return expand()


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    of_template: dict[str, Any] = template["Resources"]
    return of_template


@pytest.fixture(scope="module")
def deployed() -> dict[str, Any]:
    """What is there when nobody sets a parameter."""
    return deploy()


def properties_of(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the resources of a type, by their names."""
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


def texts(value: Any) -> list[str]:
    """Return every text in a structure."""
    match value:
        case dict():
            return [text for one in value.items() for part in one for text in texts(part)]
        case list():
            return [text for one in value for text in texts(one)]
        case str():
            return [value]
    return []


def substituted(text: str) -> str:
    """Return what Fn::Sub makes of a text, with some value for each variable."""
    return re.sub(r"\$\{[\w.:]+\}", "value", text)


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


ROUTES = {
    ("post", "/api/streams/ingest"): "IngestFunction",
    ("get", "/api/metrics"): "ViewsFunction",
    ("get", "/api/metrics/{metric_name}/{metric_agg_func}/series"): "ViewsFunction",
    ("get", "/api/views"): "ViewsFunction",
    ("get", "/api/unit-metrics"): "ViewsFunction",
    ("get", "/api/points"): "ViewsFunction",
    ("delete", "/api/points"): "IngestFunction",
    ("get", "/api/saved-unit-metrics"): "ViewsFunction",
    ("get", "/api/unit-metrics/{name}"): "ViewsFunction",
    ("put", "/api/unit-metrics/{name}"): "ViewsFunction",
    ("delete", "/api/unit-metrics/{name}"): "ViewsFunction",
    ("get", "/api/unit-metrics/{name}/data"): "ViewsFunction",
}


def test_the_routes_of_the_contract_call_their_functions(resources: dict[str, Any]) -> None:
    """Each is there, no other is, and the function gets the whole request."""
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == ROUTES.keys()
    for (method, path), function in ROUTES.items():
        integration = paths[path][method]["x-amazon-apigateway-integration"]
        assert integration["type"] == "aws_proxy"
        assert f"/functions/${{{function}.Arn}}/invocations" in integration["uri"]["Fn::Sub"]


def test_long_answers_are_compressed_and_compressed_requests_unpacked(resources: dict[str, Any]) -> None:
    """The gateway does both where it is told from which size on, and an answer of one packet gains nothing."""
    assert 1_000 < resources["Api"]["Properties"]["MinimumCompressionSize"] < 10_000


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


def test_all_keys_together_are_throttled_too(deployed: dict[str, Any]) -> None:
    """Many keys, or one that leaked into many plans, cannot take the whole account's requests."""
    (stage,) = properties_of(deploy(StageRateLimit=7, StageBurstLimit=8), "AWS::ApiGateway::Stage").values()
    (setting,) = stage["MethodSettings"]
    assert (setting["HttpMethod"], setting["ResourcePath"]) == ("*", "/*")
    assert (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"]) == (7, 8)
    (stage,) = properties_of(deployed, "AWS::ApiGateway::Stage").values()
    assert all(stage["MethodSettings"][0][f"Throttling{kind}Limit"] > 0 for kind in ("Rate", "Burst"))


# Neither the key's value nor anything that a client writes. `resourcePath` is the route's own text, not the request's.
LOGGED = {
    "error.responseType",
    "httpMethod",
    "identity.apiKeyId",
    "identity.sourceIp",
    "integration.latency",
    "integration.status",
    "requestId",
    "requestTime",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "status",
    "waf.status",
    "xrayTraceId",
}


def test_access_logs_hold_no_secret(deployed: dict[str, Any]) -> None:
    """A request leaves a line of JSON that tells who, what and how long, and nothing that the client wrote."""
    (stage,) = properties_of(deployed, "AWS::ApiGateway::Stage").values()
    text = stage["AccessLogSetting"]["Format"]["Fn::Sub"]
    variables = re.findall(r"\$context\.([\w.]+)", text)
    assert set(variables) == LOGGED
    assert text.count("$") == len(variables) + 1, "variables of the gateway's context, and the stack's name, alone"
    assert "\n" not in text
    line = json.loads(re.sub(r"\$context\.[\w.]+", "200", substituted(text)))
    assert (line["service"], line["status"]) == ("value", 200)


def test_the_gateway_logs_nothing_else(deployed: dict[str, Any]) -> None:
    """Execution logs would hold headers and bodies."""
    (stage,) = properties_of(deployed, "AWS::ApiGateway::Stage").values()
    assert [(one["LoggingLevel"], one["DataTraceEnabled"]) for one in stage["MethodSettings"]] == [("OFF", False)]


def test_access_logs_expire(deployed: dict[str, Any]) -> None:
    """Their group is the template's own, with its retention."""
    (stage,) = properties_of(deployed, "AWS::ApiGateway::Stage").values()
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
    assert deployed["AccessLogGroup"]["Properties"]["RetentionInDays"] == 30


@pytest.mark.parametrize(("choice", "logs", "role"), [("create-role", 1, 1), ("existing-role", 1, 0), ("off", 0, 0)])
def test_who_owns_the_role_of_the_access_logs(choice: str, logs: int, role: int) -> None:
    """An account has one such role for all of its APIs, and somebody else may own it; it survives this stack."""
    resources = deploy(AccessLogs=choice)
    (stage,) = properties_of(resources, "AWS::ApiGateway::Stage").values()
    assert ("AccessLogSetting" in stage) == ("AccessLogGroup" in resources) == bool(logs)
    assert ("GatewayThrottles" in resources) == ("GatewayThrottlesAlarm" in resources) == bool(logs)
    assert ("ApiGatewayAccount" in resources) == ("ApiGatewayLogRole" in resources) == bool(role)
    if role:
        assert "ApiGatewayAccount" in texts(resources["AccessLogGroup"]["Metadata"]), "logs wait for the role"
        assert resources["ApiGatewayAccount"]["DeletionPolicy"] == "Retain"
        assert resources["ApiGatewayLogRole"]["DeletionPolicy"] == "Retain"


def test_a_web_acl_is_an_option(deployed: dict[str, Any]) -> None:
    """WAF stands before the stage when a web ACL is given, and is not there by default."""
    kind = "AWS::WAFv2::WebACLAssociation"
    arn = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/mine/1"
    assert not properties_of(deployed, kind)
    resources = deploy(WebAclArn=arn)
    (association,) = properties_of(resources, kind).values()
    (stage,) = properties_of(resources, "AWS::ApiGateway::Stage")
    assert association["WebACLArn"] == arn
    assert association["ResourceArn"]["Fn::Sub"].endswith(f"::/restapis/${{Api}}/stages/${{{stage}}}")


def test_a_domain_is_an_option(template: dict[str, Any], deployed: dict[str, Any]) -> None:
    """It is regional, and speaks TLS 1.2 at least; a base path is an option of it."""
    names = {"Domain", "DomainMapping"}
    assert not names & deployed.keys()
    resources = deploy(DomainName="metrics.example.com", CertificateArn="arn")
    assert names <= resources.keys()
    domain, mapping = resources["Domain"]["Properties"], resources["DomainMapping"]["Properties"]
    (stage,) = properties_of(resources, "AWS::ApiGateway::Stage")
    assert domain == {
        "DomainName": "metrics.example.com",
        "RegionalCertificateArn": "arn",
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "SecurityPolicy": "TLS_1_2",
    }
    assert mapping == {"DomainName": {"Ref": "Domain"}, "RestApiId": {"Ref": "Api"}, "Stage": {"Ref": stage}}
    resources = deploy(DomainName="metrics.example.com", CertificateArn="arn", BasePath="v1")
    assert resources["DomainMapping"]["Properties"]["BasePath"] == "v1"
    assert {one["Condition"] for name, one in template["Outputs"].items() if name.startswith("DomainT")} == {
        "HasDomain"
    }


@pytest.mark.parametrize(("choice", "disabled"), [("true", True), ("false", False)])
def test_the_endpoint_of_execute_api_can_be_switched_off(choice: str, *, disabled: bool) -> None:
    """For those who have a domain, before which something of their own stands."""
    (api,) = properties_of(deploy(DisableExecuteApiEndpoint=choice), "AWS::ApiGateway::RestApi").values()
    (server,) = api["Body"]["servers"]
    assert server == {"x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": disabled}}


def broken_rules(template: dict[str, Any], **parameters: object) -> set[str]:
    values = {name: one.get("Default") for name, one in template["Parameters"].items()} | parameters
    return {
        name
        for name, rule in template["Rules"].items()
        if decide(rule["RuleCondition"], values)
        and not all(decide(one["Assert"], values) for one in rule["Assertions"])
    }


def test_parameters_that_do_not_go_together_are_refused(template: dict[str, Any]) -> None:
    """At the beginning of a deployment, not in the middle of it."""
    assert not broken_rules(template)
    assert broken_rules(template, DomainName="metrics.example.com") == {"DomainNeedsCertificate"}
    assert broken_rules(template, DisableExecuteApiEndpoint="true") == {"NoEndpointNeedsDomain"}
    assert not broken_rules(template, DomainName="metrics.example.com", CertificateArn="arn")


# --- functions --------------------------------------------------------------------------------------------------------


STREAMS, METRICS = ({"Fn::GetAtt": [name, "Arn"]} for name in ("StreamsTable", "MetricsTable"))
# A function that is added states its rights here.
RIGHTS: dict[str, list[tuple[str, Any]]] = {
    "IngestFunction": [
        ("dynamodb:BatchGetItem", METRICS),
        ("dynamodb:GetItem", STREAMS),
        ("dynamodb:PartiQLInsert", METRICS),
        ("dynamodb:PartiQLUpdate", METRICS),
        ("dynamodb:Query", METRICS),
        ("logs:CreateLogStream", {"Fn::GetAtt": ["IngestLogGroup", "Arn"]}),
        ("logs:PutLogEvents", {"Fn::GetAtt": ["IngestLogGroup", "Arn"]}),
        ("xray:PutTelemetryRecords", "*"),
        ("xray:PutTraceSegments", "*"),
    ],
    "PublishFunction": [
        ("dynamodb:BatchGetItem", METRICS),
        ("dynamodb:Query", METRICS),
        ("logs:CreateLogStream", {"Fn::GetAtt": ["PublishLogGroup", "Arn"]}),
        ("logs:PutLogEvents", {"Fn::GetAtt": ["PublishLogGroup", "Arn"]}),
        ("xray:PutTelemetryRecords", "*"),
        ("xray:PutTraceSegments", "*"),
    ],
    "ViewsFunction": [
        ("dynamodb:BatchGetItem", METRICS),
        ("dynamodb:DeleteItem", METRICS),
        ("dynamodb:GetItem", METRICS),
        ("dynamodb:GetItem", STREAMS),
        ("dynamodb:PutItem", METRICS),
        ("dynamodb:Query", METRICS),
        ("logs:CreateLogStream", {"Fn::GetAtt": ["ViewsLogGroup", "Arn"]}),
        ("logs:PutLogEvents", {"Fn::GetAtt": ["ViewsLogGroup", "Arn"]}),
        ("xray:PutTelemetryRecords", "*"),
        ("xray:PutTraceSegments", "*"),
    ],
}


# A right that holds for some items alone: those of saved unit metrics, by the end of their partition key.
CONDITIONS = {
    "SaveUnitMetrics": {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#unit-metrics"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
}


def role_of(resources: dict[str, Any], function: str) -> dict[str, Any]:
    """Return the properties of the role of a function, which is a resource of the template."""
    name, attribute = resources[function]["Properties"]["Role"]["Fn::GetAtt"]
    assert attribute == "Arn"
    properties: dict[str, Any] = resources[name]["Properties"]
    return properties


def test_the_rights_of_every_function_are_stated(resources: dict[str, Any]) -> None:
    """No function is left out below."""
    assert properties_of(resources, "AWS::Lambda::Function").keys() == RIGHTS.keys()


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_may_do_exactly_what_it_needs(resources: dict[str, Any], function: str) -> None:
    """To find streams, and to read and change points, or to read them: no function scans, drops or administers."""
    rights = []
    for policy in role_of(resources, function)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement.keys() - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
            assert statement.get("Condition") == CONDITIONS.get(statement["Sid"])
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            rights += [
                (action, statement["Resource"]) for action in ([actions] if isinstance(actions, str) else actions)
            ]
    assert sorted(rights, key=str) == RIGHTS[function]


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_has_no_other_source_of_rights(resources: dict[str, Any], function: str) -> None:
    """Its role has no managed policy and no policy from elsewhere, and only Lambda may assume it."""
    role = role_of(resources, function)
    assert role.keys() == {"AssumeRolePolicyDocument", "Policies", "Tags"} - ({"Tags"} - role.keys())
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_there_are_no_other_rights(resources: dict[str, Any]) -> None:
    """The one other role is the gateway's, which writes logs and does nothing else."""
    roles = properties_of(resources, "AWS::IAM::Role")
    functions = {one["Role"]["Fn::GetAtt"][0] for one in properties_of(resources, "AWS::Lambda::Function").values()}
    assert roles.keys() - functions == {"ApiGatewayLogRole"}
    role = roles["ApiGatewayLogRole"]
    assert role.keys() == {"AssumeRolePolicyDocument", "ManagedPolicyArns"}
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "apigateway.amazonaws.com"}
    (managed,) = role["ManagedPolicyArns"]
    assert managed["Fn::Sub"].endswith(":policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
    kinds = {one["Type"] for one in resources.values()}
    assert {kind for kind in kinds if kind.startswith("AWS::IAM::")} == {"AWS::IAM::Role"}
    assert not {kind for kind in kinds if kind.endswith(("Policy", "Url"))}


def test_only_the_gateway_may_call_the_functions(resources: dict[str, Any]) -> None:
    """The permissions to call a function are for its routes of the one API, one by one; one is for the schedule."""
    allowed = []
    permissions = properties_of(resources, "AWS::Lambda::Permission")
    assert permissions.pop("PublishPermission") == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": "PublishFunction"},
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["PublishRule", "Arn"]},
    }
    for permission in permissions.values():
        assert permission["Principal"] == "apigateway.amazonaws.com"
        source, variables = permission["SourceArn"]["Fn::Sub"]
        assert variables["__ApiId__"] == {"Ref": "Api"}
        allowed.append((permission["FunctionName"]["Ref"], source.partition("${__ApiId__}/${__Stage__}/")[2]))
    wildcards = {
        (function, f"{method.upper()}{re.sub('{[a-z_]+}', '*', path)}") for (method, path), function in ROUTES.items()
    }
    assert sorted(allowed) == sorted(wildcards)


def test_unit_metrics_are_published_only_if_somebody_says_when(deployed: dict[str, Any]) -> None:
    """Each published group costs money: by default nothing calls the function, and there are no alarms on it."""
    of_publishing = {
        "PublishRule",
        "PublishPermission",
        "UnitMetricsAlarm",
        "PublishFailuresAlarm",
        "PublishErrorsAlarm",
    }
    assert not of_publishing & deployed.keys()
    resources = deploy(PublishSchedule="rate(1 hour)")
    assert of_publishing <= resources.keys()
    assert resources["PublishRule"]["Properties"]["ScheduleExpression"] == "rate(1 hour)"


@pytest.mark.parametrize("function", sorted({*ROUTES.values()}))
def test_a_function_answers_before_the_gateway_gives_up(resources: dict[str, Any], function: str) -> None:
    """The gateway waits 29 seconds; an answer that comes later is lost."""
    assert resources[function]["Properties"]["Timeout"] < 29


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_knows_its_tables(resources: dict[str, Any], function: str) -> None:
    """It reads from its environment where to look."""
    variables = resources[function]["Properties"]["Environment"]["Variables"]
    assert variables["STREAMS_TABLE"] == {"Ref": "StreamsTable"}
    assert variables["METRICS_TABLE"] == {"Ref": "MetricsTable"}


def test_a_metric_has_so_many_series_by_default(deployed: dict[str, Any]) -> None:
    """More of them within an hour are an alarm, however many metrics they are of."""
    for resources, limit in ((deployed, 100_000), (deploy(MaxSeriesPerMetric=7), 7)):
        variables = resources["IngestFunction"]["Properties"]["Environment"]["Variables"]
        assert variables["MAX_SERIES_PER_METRIC"] == resources["SeriesCreatedAlarm"]["Properties"]["Threshold"] == limit


@pytest.mark.parametrize(
    ("parameter", "function", "other"),
    [
        ("ReservedConcurrency", "IngestFunction", "ViewsFunction"),
        ("ViewsReservedConcurrency", "ViewsFunction", "IngestFunction"),
    ],
)
def test_functions_take_what_the_account_has_by_default(
    deployed: dict[str, Any], parameter: str, function: str, other: str
) -> None:
    """A reserved concurrency is an option, and 0 is one too: it stops the function. The other has no share in it."""
    assert "ReservedConcurrentExecutions" not in deployed[function]["Properties"]
    for number in (0, 5):
        resources = deploy(**{parameter: number})
        assert resources[function]["Properties"]["ReservedConcurrentExecutions"] == number
        assert "ReservedConcurrentExecutions" not in resources[other]["Properties"]


def test_every_function_logs_where_logs_expire(template: dict[str, Any], resources: dict[str, Any]) -> None:
    """No function writes to a log group of Lambda's making, which would keep everything forever."""
    groups = properties_of(resources, "AWS::Logs::LogGroup")
    for function in properties_of(resources, "AWS::Lambda::Function").values():
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert 1 <= template["Parameters"]["LogRetentionDays"]["Default"] <= 365
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


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


def test_the_production_stack_keeps_its_tables() -> None:
    """Its configuration may not switch off what the template has on."""
    config = tomllib.loads((REPOSITORY / "samconfig.toml").read_text())
    overrides = config["prod"]["deploy"]["parameters"]["parameter_overrides"]
    assert "DeletionProtection=true" in overrides
    assert "DeletionProtection=false" not in overrides
    (metrics,) = {
        str(deploy()[name]["Properties"]["DeletionProtectionEnabled"]) for name in ("StreamsTable", "MetricsTable")
    }
    assert metrics == "true"


def test_warm_throughput_is_an_option(deployed: dict[str, Any]) -> None:
    """Of the Metrics table, which a first backfill fills; it costs, so it is off by default."""
    assert not [name for name, one in deployed.items() if "WarmThroughput" in one.get("Properties", {})]
    resources = deploy(WarmWriteUnits=20_000)
    assert resources["MetricsTable"]["Properties"]["WarmThroughput"] == {"WriteUnitsPerSecond": 20_000}
    assert "WarmThroughput" not in resources["StreamsTable"]["Properties"]


def test_what_the_tables_may_cost_is_bounded(deployed: dict[str, Any]) -> None:
    """By default too: the units of a second have a most, and the Streams table's is above what requests may ask for."""
    chosen = {"MaxWriteUnits": 1, "MaxReadUnits": 2, "StreamsMaxWriteUnits": 3, "StreamsMaxReadUnits": 4}
    resources = deploy(**chosen)
    bounds = [resources[name]["Properties"]["OnDemandThroughput"] for name in ("MetricsTable", "StreamsTable")]
    assert [tuple(bound.values()) for bound in bounds] == [(1, 2), (3, 4)]
    for name in ("MetricsTable", "StreamsTable"):
        assert all(units > 0 for units in deployed[name]["Properties"]["OnDemandThroughput"].values())
    reads = deployed["StreamsTable"]["Properties"]["OnDemandThroughput"]["MaxReadRequestUnits"]
    (stage,) = properties_of(deployed, "AWS::ApiGateway::Stage").values()
    assert reads > stage["MethodSettings"][0]["ThrottlingBurstLimit"]


# --- alarms and dashboard ---------------------------------------------------------------------------------------------

# Metrics that AWS has, with the dimensions that it has them by.
OF_AWS = {
    ("AWS/ApiGateway", "ApiName", "Stage"): {"4XXError", "5XXError", "Count", "Latency"},
    ("AWS/DynamoDB", "TableName"): {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
    ("AWS/Lambda", "FunctionName"): {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"},
}


@pytest.fixture(scope="module")
def metrics(deployed: dict[str, Any]) -> dict[tuple[str, ...], set[str]]:
    """Every metric there is: those of AWS, those that the functions' source adds, and those of log lines."""
    common = (REPOSITORY / "layers" / "common" / "unitstream_http.py").read_text()
    of_function = {}
    for function in ("ingest", "views"):
        code = common + (REPOSITORY / "functions" / function / "app.py").read_text()
        names = set(re.findall(r"add_metric\(\s*\"(\w+)\"", code))
        assert 'f"Status{' in code
        names |= {f"Status{HTTPStatus[name].value}" for name in re.findall(r"HTTPStatus\.([A-Z_]+)", code)}
        of_function[function] = names
        if 'f"Points{' in code:
            names |= {f"Points{name.capitalize()}" for name in (*Counts._fields, "deleted")}
    names = of_function["ingest"]
    assert "PointsCreated" in names
    for log in properties_of(deployed, "AWS::Logs::MetricFilter").values():
        (one,) = log["MetricTransformations"]
        assert (one["MetricNamespace"], one["Dimensions"]) == ("unitstream", [{"Key": "service", "Value": "$.service"}])
        names.add(one["MetricName"])
    return OF_AWS | {("unitstream", "service"): names, ("unitstream", "function", "service"): of_function["views"]}


def test_the_metrics_of_a_stack_are_its_own(resources: dict[str, Any]) -> None:
    """Several stacks in an account have the same namespace; the dimension `service` is the stack's name."""
    for function in properties_of(resources, "AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}
    assert resources["Api"]["Properties"]["Name"] == {"Ref": "AWS::StackName"}


OWN: dict[str, list[Any]] = {
    "ApiName": [{"Ref": "AWS::StackName"}],
    "FunctionName": [{"Ref": "IngestFunction"}, {"Ref": "ViewsFunction"}],
    "Stage": [{"Ref": "Apiv1Stage"}],
    "TableName": [{"Ref": "StreamsTable"}, {"Ref": "MetricsTable"}],
    "function": ["views"],
    "service": [{"Ref": "AWS::StackName"}],
}


def test_alarms_are_of_things_that_exist(metrics: dict[tuple[str, ...], set[str]]) -> None:
    """A misspelt metric or dimension makes an alarm that never goes off."""
    resources = deploy(NoDataHours=6)
    alarms = properties_of(resources, "AWS::CloudWatch::Alarm")
    assert alarms.keys() == {
        "ServerErrorsAlarm",
        "DurationAlarm",
        "FunctionThrottlesAlarm",
        "ViewsErrorsAlarm",
        "ViewsDurationAlarm",
        "ViewsThrottlesAlarm",
        "GatewayThrottlesAlarm",
        "WriteThrottlesAlarm",
        "ReadThrottlesAlarm",
        "StreamReadThrottlesAlarm",
        "WriteUnitsAlarm",
        "SeriesCreatedAlarm",
        "NoDataAlarm",
    }
    for alarm in alarms.values():
        dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
        assert alarm["MetricName"] in metrics[alarm["Namespace"], *sorted(dimensions)]
        for name, value in dimensions.items():
            assert value in OWN[name]
            assert value == "views" or value["Ref"] in {*resources, "AWS::StackName"}
        assert alarm["AlarmDescription"]
        assert "AlarmActions" not in alarm


def test_every_parameter_is_in_a_group(template: dict[str, Any]) -> None:
    """The console shows it there."""
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])


def test_alarms_tell_a_topic_if_there_is_one() -> None:
    """That they went off, and that it is over."""
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    for alarm in properties_of(deploy(AlarmTopicArn=topic, NoDataHours=1), "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


@pytest.mark.parametrize("name", ["DurationAlarm", "ViewsDurationAlarm"])
def test_the_duration_alarm_goes_off_before_the_function_is_stopped(resources: dict[str, Any], name: str) -> None:
    """Its threshold is below the function's timeout, and not by much."""
    alarm = resources[name]["Properties"]
    (function,) = (one["Value"]["Ref"] for one in alarm["Dimensions"])
    share = alarm["Threshold"] / 1000 / resources[function]["Properties"]["Timeout"]
    assert 0.7 < share < 0.85
    assert alarm["ExtendedStatistic"] == "p99"


def test_silence_is_an_alarm_only_on_demand(deployed: dict[str, Any]) -> None:
    """Nobody knows how often a producer sends, but its operator. No metric at all is silence too."""
    assert "NoDataAlarm" not in deployed
    alarm = deploy(NoDataHours=6)["NoDataAlarm"]["Properties"]
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (3600, 6)
    assert alarm["TreatMissingData"] == "breaching"


def test_the_dashboard_shows_metrics_that_exist(
    resources: dict[str, Any], metrics: dict[tuple[str, ...], set[str]]
) -> None:
    """Its body is JSON, its widgets do not overlap, and a misspelt metric would be an empty graph."""
    text = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    variables = set(re.findall(r"\$\{([\w:]+)\}", text))
    assert variables <= {*resources, "AWS::StackName", "AWS::Region"}
    body = json.loads(re.sub(r"\$\{([\w:]+)\}", r"\1", text))
    places = {(x, one["y"]) for one in body["widgets"] for x in range(one["x"], one["x"] + one["width"])}
    assert len(places) == sum(one["width"] for one in body["widgets"])
    assert all(0 <= x < 24 for x, _ in places)
    shown = set()
    for widget in body["widgets"]:
        assert widget["properties"]["region"] == "AWS::Region"
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                assert "{unitstream,service}" in metric[0]["expression"]
                assert 'service="AWS::StackName"' in metric[0]["expression"]
                continue
            namespace, name, *rest = metric[:-1] if isinstance(metric[-1], dict) else metric
            dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
            assert name in metrics[namespace, *sorted(dimensions)]
            for dimension, value in dimensions.items():
                assert value in OWN[dimension] or {"Ref": value} in OWN[dimension]
            shown.add((namespace, *sorted(dimensions), name))
    for own in (("unitstream", "service"), ("unitstream", "function", "service")):
        assert {(*own, name) for name in metrics[own]} <= shown, "every metric has its place"


# --- the security review ----------------------------------------------------------------------------------------------


def test_every_exception_of_the_review_has_its_reason(template: dict[str, Any]) -> None:
    """The findings of checkov are skipped one by one, on the resource, and not for the whole template."""
    assert "checkov" not in template["Metadata"]
    skips = [
        skip
        for one in source()["Resources"].values()
        for skip in one.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]
    assert skips
    for skip in skips:
        assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"])
        assert len(skip["comment"]) > 20
