"""The events in events/ through the real handler."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import support
from compare_answers import difference, in_order

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = support.REPOSITORY / "events"
EXCHANGES = {exchange.name: exchange for exchange in in_order(EVENTS.glob("*.json"))}

# What API Gateway sends in each event of a REST API's Lambda proxy integration, payload 1.0.
KEYS = {
    "resource",
    "path",
    "httpMethod",
    "headers",
    "multiValueHeaders",
    "queryStringParameters",
    "multiValueQueryStringParameters",
    "pathParameters",
    "stageVariables",
    "requestContext",
    "body",
    "isBase64Encoded",
}
CONTEXT_KEYS = {
    "accountId",
    "apiId",
    "deploymentId",
    "domainName",
    "domainPrefix",
    "extendedRequestId",
    "httpMethod",
    "identity",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourceId",
    "resourcePath",
    "stage",
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_event_gets_its_answer(name: str, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """After the events that come before it."""
    chain = [EXCHANGES[name]]
    while before := chain[0].after:
        chain.insert(0, EXCHANGES[before])
    for exchange in chain:
        if different := difference(exchange.answer, invoke(exchange.event)):
            pytest.fail(f"{exchange.name}: {different}")


def test_every_event_has_an_answer_and_every_answer_an_event() -> None:
    assert {path.name for path in (EVENTS / "answers").iterdir()} == {
        path.name for path in EVENTS.iterdir() if path.is_file()
    }


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_event_is_a_complete_proxy_event(name: str) -> None:
    event = EXCHANGES[name].event
    context = event["requestContext"]
    assert event.keys() == KEYS
    assert context.keys() == CONTEXT_KEYS
    assert {"apiKey", "apiKeyId", "sourceIp", "userAgent"} <= context["identity"].keys()
    assert event["multiValueHeaders"] == {header: [value] for header, value in event["headers"].items()}
    received = datetime.strptime(context["requestTime"], "%d/%b/%Y:%H:%M:%S %z")
    assert received.timestamp() == context["requestTimeEpoch"] // 1000


def test_events_that_build_on_each_other_form_a_line() -> None:
    """Two that came after the same one would have no order between them. Reads need none: they change nothing."""
    writes = [exchange for exchange in EXCHANGES.values() if exchange.event["httpMethod"] != "GET"]
    befores = [exchange.after for exchange in writes if exchange.after]
    assert len(befores) == len(set(befores))
    assert set(befores) <= {exchange.name for exchange in writes}


def test_a_difference_shows_both_answers() -> None:
    """Also one that Python's `==` does not see."""
    expected = {"statusCode": 201, "headers": {"Content-Type": "application/json"}, "body": {"received": 1}}
    actual = {"statusCode": 201, "multiValueHeaders": {"Content-Type": ["application/json"]}}
    assert difference(expected, actual | {"body": '{"received": 1}'}) is None
    for body in ('{"received": 2}', '{"received": true}', "<html>"):
        shown = difference(expected, actual | {"body": body})
        assert shown is not None
        assert shown.count('"statusCode": 201') == 2
    assert difference(expected, actual | {"statusCode": 200, "body": '{"received": 1}'})
    assert difference(expected, actual | {"multiValueHeaders": {}, "body": '{"received": 1}'})
    assert difference(expected, {"errorType": "Runtime.ExitError"})
