"""The deployed local stack does what openapi.json says: schemathesis sends what the document allows, and what not."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openapi
import pytest
import schemathesis
import support
from hypothesis import settings
from schemathesis.checks import content_type_conformance, positive_data_acceptance, response_schema_conformance
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoveragePhaseData

from unitstream_http import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Stack

# Of each operation, beside those that are the same in each run.
EXAMPLES = 10
TOKEN = f"ds_{uuid.uuid4().hex}"
# What schemathesis cannot make up: with it most requests get beyond validation.
TRUE_VALUES: dict[str, list[str | float]] = {
    "body.data_stream_token": [TOKEN],
    "body.data[*].timestamp": ["2022-10-01 00:00:00", "2022-10-01T03:00:00+02:00", "20221001020000", 1664593200],
    "body.data[*].metric_value": [0, -1, 2.5, "1e3"],
    "query.start_date": ["2022-10-01", "2022-09-01"],
    "query.end_date": ["2022-10-01", "2023-01-31"],
    "query.received_from": ["2022-10-01", "2022-10-01T13:00:00.5+02:00", "1664593200000"],
    "query.received_before": ["2032-10-01 12:00Z", "1980593200000"],
    "query.metric_name": ["orders"],
    "query.numerator": ["orders:Sum"],
    "query.timezone": ["UTC", "America/New_York"],
    "path.name": ["kept"],
}
# What a schema cannot tell of a request: it knows neither calendars nor what converts to a float or what a cursor is,
# and sees no point or parameter beside another.
BEYOND_A_SCHEMA = {
    "timestamp_invalid",
    "timestamp_not_hourly",
    "timestamp_out_of_range",
    "metric_value_invalid",
    "metric_value_not_finite",
    "metric_value_out_of_range",
    "duplicate_point",
    "date_invalid",
    "date_out_of_range",
    "range_reversed",
    "instant_invalid",
    "escape_invalid",
    "filter_invalid",
    "too_long",
    "too_many_keys",
    "repeated",
    "not_unicode",
    "cursor_invalid",
    "cursor_of_another_question",
    "timezone_unknown",
    "timezone_not_hourly",
    "not_grouped_by",
    "name_invalid",
    "publish_too_coarse",
    "too_many_published",
}

schema = schemathesis.openapi.from_path(
    openapi.OPENAPI,
    config=schemathesis.Config.from_dict(
        {
            "dictionaries": {name: {"values": values} for name, values in TRUE_VALUES.items()},
            "parameters": {name: {"dictionary": name, "probability": 0.8} for name in TRUE_VALUES},
        }
    ),
)


@pytest.fixture(scope="module")
def statuses() -> Iterator[Counter[tuple[str, int]]]:
    """Counts the answers by operation and status, and fails at the end if some kind of answer never came."""
    counted: Counter[tuple[str, int]] = Counter()
    yield counted
    assert {status for _, status in counted} >= {200, 201, 400, 403, 404}
    for operation in {operation for operation, _ in counted}:
        assert {status for one, status in counted if one == operation} >= {200, 400}


@pytest.fixture(scope="module")
def tried() -> set[object]:
    """The wrong values that were tried already: what is wrong, and with which parameter."""
    return set()


@pytest.fixture(scope="module")
def own(stack: Stack) -> Stack:
    """The stack with a stream of its own, and a key without limits: more comes here than the stack's lets through."""
    support.create_stream(stack.client("dynamodb"), stack.outputs()["StreamsTableName"], TOKEN, "schemathesis")
    gateway = stack.client("apigateway")
    stage = {"apiId": stack.outputs()["ApiId"], "stage": "v1"}
    plan = gateway.create_usage_plan(name="schemathesis", apiStages=[stage])
    key = gateway.create_api_key(name="schemathesis", enabled=True)
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    return replace(stack, api_key=key["value"], token=TOKEN)


def is_right(case: schemathesis.Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def wrong_parameter(case: schemathesis.Case[Any]) -> tuple[object, ...] | None:
    """Return which parameter of the query is wrong and why: schemathesis tries it again beside each optional one."""
    about = case.meta.phase.data if case.meta else None
    if is_right(case) or not isinstance(about, CoveragePhaseData):
        return None
    if about.parameter_location is not ParameterLocation.QUERY:
        return None
    return case.operation.label, about.parameter, about.description


@schema.parametrize()
@settings(max_examples=EXAMPLES)
def test_requests_get_the_answers_that_the_document_promises(
    case: schemathesis.Case[Any], own: Stack, statuses: Counter[tuple[str, int]], tried: set[object]
) -> None:
    """Every check of schemathesis: statuses, content types, bodies, headers, what must be refused and what taken."""
    if wrong := wrong_parameter(case):
        if wrong in tried:
            return
        tried.add(wrong)
    elif is_right(case) and "cursor" in (case.query or ()):
        # Cursors come from answers: with one that is made up, nothing would be beyond validation.
        del case.query["cursor"]
    if case.operation.label not in {label for label, _ in statuses}:
        own.change("PUT", "/api/unit-metrics/kept", {"numerator": "orders:Sum", "denominator": "costs:Sum"})
    token = {} if case.method == "POST" else {TOKEN_HEADER: TOKEN}
    response = case.call(base_url=own.api_url, headers={"x-api-key": own.api_key} | token)
    statuses[case.operation.label, response.status_code] += 1
    excluded = []
    if response.status_code == 403 and response.json().keys() == {"message"}:
        # MiniStack ignores the gateway responses of the template, whose shape is a unit test's business.
        excluded = [content_type_conformance, response_schema_conformance]
    if response.status_code == 400 and {one["code"] for one in response.json().get("errors", [])} <= BEYOND_A_SCHEMA:
        excluded = [positive_data_acceptance]
    case.validate_response(response, excluded_checks=excluded)
