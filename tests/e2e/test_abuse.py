"""Requests that are made to hurt, over HTTP: through the gateway and into the deployed function."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from stack import DEMO_TOKEN
from support import point, request_body

from unitstream.problems import MAX_BODY_BYTES

if TYPE_CHECKING:
    from support import Stack

BODY = request_body([point("2022-10-01", 1, "abuse")], DEMO_TOKEN).encode()
PROBLEM = "application/problem+json"


def send(
    stack: Stack, body: bytes, method: str = "POST", target: str = "/api/streams/ingest", **headers: str
) -> tuple[int, str, dict[str, Any]]:
    """Send exactly this. Returns status, content type and body of the answer."""
    address = urlsplit(stack.api_url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    try:
        connection.request(method, address.path + target, body, {"x-api-key": stack.api_key} | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_does_not_reach_the_function(stack: Stack, method: str) -> None:
    """MiniStack says 403; the template makes a 404 of it on AWS, which a unit test reads."""
    status, _, answer = send(stack, BODY, method)
    assert (status, answer) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
        ({"Content-Type": "text/csv"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "application/json", "X-Anything": "x" * 50_000}, 201),
        ({"Content-Type": "application/json", "Accept": "image/png"}, 201),
    ],
    ids=lambda value: str(value)[:70],
)
def test_headers_say_what_the_body_is(stack: Stack, headers: dict[str, str], status: int) -> None:
    """JSON by whatever name is read, another type or an encoding is refused, and other headers do not matter."""
    assert send(stack, BODY, **headers)[0] == status


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {}], ids=["announced", "not announced"])
def test_a_gzip_bomb_does_not_go_off(stack: Stack, headers: dict[str, str]) -> None:
    """A few kilobytes that would become ten times what a request may have."""
    bomb = gzip.compress(bytes(10 * MAX_BODY_BYTES))
    status, content_type, _ = send(stack, bomb, **headers)
    assert (status, content_type) == (400, PROBLEM)  # the emulator carries text only


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BODY.replace(b"abuse", b"caf\xe9"), id="Latin-1"),
        pytest.param(BODY.replace(b"abuse", b"\xed\xa0\x80"), id="surrogate"),
        pytest.param(BODY.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(BODY.replace(b"abuse", b"\\ud800"), id="escaped surrogate"),
        pytest.param(BODY[:-1] + b', "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested"),
        pytest.param(BODY.replace(b'"metric_value": 1', b'"metric_value": ' + b"1" * 1_000_000), id="million digits"),
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(stack: Stack, body: bytes) -> None:
    """Also when the gateway has replaced what it could not decode."""
    status, content_type, answer = send(stack, body)
    assert (status, content_type) == (400, PROBLEM)
    assert [error["code"] for error in answer["errors"]] == ["json_invalid"]


START = b'{"data_stream_token":"t","metric_agg_func":"Sum","data":['
SAME = b'{"timestamp":0,"metric_name":"a","metric_value":0'


@pytest.mark.parametrize(
    ("head", "item", "tail"),
    [
        pytest.param(START, SAME + b"}", b"]}", id="the same point"),
        pytest.param(START, SAME + b',"metric_value":1}', b"]}", id="the same point with a key twice"),
        pytest.param(START + b"[" * 150, b'{"":0,"":0}', b"]" * 150 + b"]}", id="keys twice, deeply nested"),
        pytest.param(START, b"0", b"]}", id="zeros"),
        pytest.param(b"{", b'"k":0', b"}", id="a key without end"),
    ],
)
def test_a_flood_of_errors_gets_its_answer(stack: Stack, head: bytes, item: bytes, tail: bytes) -> None:
    """As much of the worst as fits into an event is a 400 like any other, listed up to the hundredth error."""
    size = MAX_BODY_BYTES * 2 // 3  # in an event each quotation mark takes two bytes
    status, content_type, answer = send(stack, head + b",".join([item] * (size // (len(item) + 1))) + tail)
    assert (status, content_type) == (400, PROBLEM)
    assert 1 <= len(answer["errors"]) <= 100


RIGHT = "metric_name=a&metric_agg_func=Sum&start_date=2022-10-01&end_date=2022-10-02"


def cursor(text: str) -> str:
    """Return the parameter that is a cursor with `text` in it."""
    return f"cursor={base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("&".join(f"p{number}=" for number in range(2_000)), id="unknown parameters"),
        pytest.param(f"{RIGHT}&" + "&".join(["filter=a:b"] * 2_000), id="filters"),
        pytest.param(f"{RIGHT}&filter=a:" + "%5C," * 5_000, id="backslashes"),
        pytest.param(f"{RIGHT}&limit=" + "9" * 20_000, id="digits"),
        pytest.param(f"{RIGHT}&limit=%D9%A3", id="digits of another script"),
        pytest.param(f"{RIGHT}&cursor=" + "A" * 20_000, id="a long cursor"),
        pytest.param(f"{RIGHT}&{cursor('[' * 3_000)}", id="a nested cursor"),
        pytest.param(f"{RIGHT}&{cursor('{}')}", id="a cursor that is an object"),
        pytest.param(f"{RIGHT}&cursor=%00%FF", id="a cursor of bytes"),
        pytest.param(RIGHT.replace("name=a", "name=" + "n" * 20_000), id="a long name"),
        pytest.param(RIGHT.replace("2022-10-01", "%EF%BC%92022-10-01"), id="wide digits"),
        pytest.param(RIGHT.replace("2022-10-01", "2022-10-01%0A"), id="a line's end"),
        pytest.param(RIGHT.replace("2022-10-01", "%25" * 5_000), id="percent signs"),
        pytest.param(f"{RIGHT}&{RIGHT}", id="everything twice"),
        pytest.param("&&&=&=x&%", id="nothing but separators"),
    ],
)
def test_a_question_that_is_none_is_refused(stack: Stack, query: str) -> None:
    """Whatever is in the query string, it is a 400 that says where, up to the hundredth error."""
    headers = {"X-Data-Stream-Token": DEMO_TOKEN}
    status, content_type, answer = send(stack, b"", "GET", f"/api/points?{query}", **headers)
    assert (status, content_type) == (400, PROBLEM)
    assert 1 <= len(answer["errors"]) <= 100
