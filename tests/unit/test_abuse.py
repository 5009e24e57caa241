"""Requests that are made to hurt: each gets a clear 4xx and takes no more than a large honest request does.

What test_payload.py tries on the body and test_handler.py on the event is not repeated here.
"""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from support import LambdaContext, point, proxy_event, request_body

from ingest import app
from unitstream.payload import parse
from unitstream.problems import MAX_BODY_BYTES, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = "2022-10-01 00:00:00"
BODY = request_body([point(HOUR, 1)], "token")
# The least that the template lets a function have; a third of it is left for the runtime and the libraries.
SMALLEST_FUNCTION_MEGABYTES = 512


@pytest.fixture(autouse=True)
def _no_table_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def tables() -> NoReturn:
        pytest.fail("this request must be refused before a table is asked")

    monkeypatch.setattr(app, "tables", tables)


def send(body: str | None, **changes: Any) -> tuple[int, dict[str, Any]]:
    """Return status and problem of the answer, which is short whatever was sent."""
    answer = app.lambda_handler(proxy_event(body, 0, **changes), LambdaContext())
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert len(answer["body"]) < 40_000
    problem = json.loads(answer["body"])
    assert problem["status"] == answer["statusCode"]
    return answer["statusCode"], problem


def errors(body: str | None, **changes: Any) -> list[tuple[str, str]]:
    """Return pointers and codes of the errors of a request that is refused with 400."""
    status, problem = send(body, **changes)
    assert status == 400
    assert problem["total_errors"] >= len(problem["errors"])
    return [(error["pointer"], error["code"]) for error in problem["errors"]]


def with_point(members: str) -> str:
    """Return the text of a request with one point, of these members beside the ones that it needs."""
    return BODY[:-3] + ", " + members + "}]}"


# --- nesting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [10, 100, 190, 1_000, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
@pytest.mark.parametrize(
    ("member", "codes"),
    [
        ("metric_value", {"metric_value_invalid", "duplicate_key"}),
        ("timestamp", {"timestamp_invalid", "duplicate_key"}),
        ("custom_dimensions", {"wrong_type"}),
        ("unknown", {"unknown_field"}),
    ],
)
def test_nesting_of_any_depth_is_refused(depth: int, left: str, right: str, member: str, codes: set[str]) -> None:
    """Up to some depth as a value of the wrong type, beyond that as no JSON; the stack never overflows."""
    found = {code for _, code in errors(with_point(f'"{member}": {left * depth}0{right * depth}'))}
    assert found == codes or (found == {"json_invalid"} and depth > 100)


# --- numbers ----------------------------------------------------------------------------------------------------------

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("number", "codes"),
    [
        pytest.param("1" * MILLION, {"json_invalid"}, id="integer"),
        pytest.param("-" + "1" * MILLION, {"json_invalid"}, id="negative integer"),
        pytest.param("1" * MILLION + ".0", {"json_invalid"}, id="float"),
        pytest.param("1e" + "9" * MILLION, {"metric_value_not_finite"}, id="exponent"),
        pytest.param(f'"{"1" * MILLION}"', {"metric_value_not_finite"}, id="text"),
        pytest.param(f'"{"_".join("1" * MILLION)}"', {"metric_value_invalid"}, id="text with underscores"),
        pytest.param(f'"{"1" * MILLION}x"', {"metric_value_invalid"}, id="no number at its end"),
        pytest.param(f'"{" " * MILLION}"', {"metric_value_invalid"}, id="spaces"),
        pytest.param(f'"{"1" * MILLION}e{"1" * MILLION}x"', {"metric_value_invalid"}, id="no exponent at its end"),
        pytest.param(f'"0.{"0" * MILLION}1"', {"metric_value_out_of_range"}, id="text, nearly zero"),
        pytest.param(f"0.{'0' * MILLION}1", {"metric_value_out_of_range"}, id="nearly zero"),
        pytest.param(f"1e-{'9' * MILLION}", {"metric_value_out_of_range"}, id="negative exponent"),
    ],
)
def test_a_value_of_a_million_digits_is_refused(number: str, codes: set[str]) -> None:
    """However it is written, and without its digits in the answer."""
    body = BODY.replace('"metric_value": 1', f'"metric_value": {number}')
    assert {code for _, code in errors(body)} == codes


@pytest.mark.parametrize(
    ("timestamp", "codes"),
    [
        pytest.param("1" * MILLION, {"json_invalid"}, id="integer"),
        pytest.param("1" * 4_300, {"timestamp_out_of_range"}, id="integer as long as JSON allows"),
        pytest.param("-" + "1" * 4_300, {"timestamp_out_of_range"}, id="negative integer"),
        pytest.param("1" * 4_000 + ".0", {"timestamp_out_of_range"}, id="infinity"),
        pytest.param(f'"{"1" * MILLION}"', {"timestamp_invalid"}, id="text"),
        pytest.param(f'"{HOUR}.{"0" * MILLION}1"', {"timestamp_not_hourly"}, id="fraction of a second"),
        pytest.param(f'"{HOUR} {"+" * MILLION}"', {"timestamp_invalid"}, id="offset"),
    ],
)
def test_a_timestamp_of_a_million_digits_is_refused(timestamp: str, codes: set[str]) -> None:
    """The patterns take no longer for it than for its length."""
    assert {code for _, code in errors(BODY.replace(f'"{HOUR}"', timestamp))} == codes


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        pytest.param(lambda keys: BODY[:-1] + f", {keys}}}", [("", "too_many_fields")], id="request"),
        pytest.param(with_point, [("/data/0", "too_many_fields")], id="point"),
        pytest.param(
            lambda keys: with_point(f'"custom_dimensions": {{{keys}}}'),
            [("/data/0/custom_dimensions", "too_many_dimensions")],
            id="dimensions",
        ),
    ],
)
def test_a_hundred_thousand_keys_are_one_error(place: Callable[[str], str], expected: list[tuple[str, str]]) -> None:
    """Not each of them becomes an error of its own."""
    assert errors(place(",".join(f'"k{number}":"v"' for number in range(100_000)))) == expected
    # unknown, and there more than once
    assert len(errors(place(",".join(['"k":"v"'] * 100_000)))) <= 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param(BODY[:-1] + ', "data_stream_token": "token"}', "/data_stream_token", id="request"),
        pytest.param(BODY[:-1] + ', "data": ' + BODY.partition('"data": ')[2], "/data", id="data"),
        pytest.param(with_point('"metric_value": 1'), "/data/0/metric_value", id="point, the same value"),
        pytest.param(with_point('"metric_value": 2'), "/data/0/metric_value", id="point, another value"),
        pytest.param(with_point('"metric_v\\u0061lue": 2'), "/data/0/metric_value", id="point, escaped"),
        pytest.param(
            with_point('"custom_dimensions": {"a": "1"}, "custom_dimensions": null'),
            "/data/0/custom_dimensions",
            id="dimensions and null",
        ),
        pytest.param(
            with_point('"custom_dimensions": {"a": "1", "a": "2"}'), "/data/0/custom_dimensions/a", id="dimension"
        ),
        pytest.param(
            with_point('"custom_dimensions": {"a": "1", "\\u0061": "1"}'),
            "/data/0/custom_dimensions/a",
            id="dimension, escaped",
        ),
        pytest.param(
            with_point('"custom_dimensions": {"\\u0061": "1", "\\u0061": "1"}'),
            "/data/0/custom_dimensions/a",
            id="dimension, escaped twice",
        ),
        pytest.param(
            with_point('"custom_dimensions": {"~/": "1", "~\\/": "1"}'),
            "/data/0/custom_dimensions/~0~1",
            id="dimension, escaped slash",
        ),
        pytest.param(
            with_point('"custom_dimensions": {"\\"": "1", "\\u0022": "1"}'),
            '/data/0/custom_dimensions/"',
            id="dimension, quotation mark",
        ),
        pytest.param(
            with_point('"custom_dimensions": {"\\ud83d\\ude00": "1", "\U0001f600": "1"}'),
            "/data/0/custom_dimensions/\U0001f600",
            id="dimension, a pair of surrogates",
        ),
    ],
)
def test_a_key_twice_in_an_object_is_refused(body: str, pointer: str) -> None:
    """One of the two values would be lost, which parsers do without a word; the pointer names the member."""
    assert (pointer, "duplicate_key") in errors(body)


@pytest.mark.parametrize(
    "dimensions",
    [
        '{"a": "1", "A": "1"}',
        '{"a": "\\"", "b": "\\"a\\""}',
        '{"\\u00e9": "1", "e\\u0301": "1"}',
        '{"a": "{\\"a\\":1,\\"a\\":1}"}',
    ],
)
def test_keys_that_only_look_alike_are_no_repetition(dimensions: str) -> None:
    """Case, quoted text and the way to compose a character make different keys; only the value is wrong here."""
    body = with_point(f'"custom_dimensions": {dimensions}').replace('"metric_value": 1', '"metric_value": ""')
    assert errors(body) == [("/data/0/metric_value", "metric_value_invalid")]


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "surrogate", ["\\ud800", "\\udfff", "\\ude00\\ud83d", "\\ud83d\\ud83d", "\\ud83d\\n", "\ud83d"]
)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda text: BODY.replace("token", text, 1), id="key of the request"),
        pytest.param(lambda text: BODY.replace('"token"', f'"{text}"'), id="token"),
        pytest.param(lambda text: BODY.replace("orders", text), id="name"),
        pytest.param(lambda text: with_point(f'"custom_dimensions": {{"{text}": ""}}'), id="key of a dimension"),
        pytest.param(lambda text: with_point(f'"custom_dimensions": {{"k": "{text}"}}'), id="dimension"),
    ],
)
def test_a_surrogate_without_its_other_half_is_refused(place: Callable[[str], str], surrogate: str) -> None:
    """It is no character, and DynamoDB could not hold it."""
    assert errors(place(surrogate)) == [("", "json_invalid")]


BOMB = gzip.compress(bytes(4 * MAX_BODY_BYTES))


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, identity", "gzip, gzip", "gzip" * 50_000])
@pytest.mark.parametrize(
    ("body", "in_base64"),
    [(base64.b64encode(BOMB).decode(), True), (BOMB.decode(errors="replace"), False)],
    ids=["in base64", "as text"],
)
def test_another_content_encoding_is_refused(encoding: str, body: str, in_base64: object) -> None:
    """Nothing is decompressed, so a bomb does not go off; the answer says what to send instead."""
    event = proxy_event(body, 0, headers={"content-encoding": encoding}, isBase64Encoded=in_base64)
    tracemalloc.start()
    try:
        answer = app.lambda_handler(event, LambdaContext())
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer["statusCode"] == 415
    assert "plain JSON" in json.loads(answer["body"])["detail"]
    assert largest < MAX_BODY_BYTES


@pytest.mark.parametrize("changes", [{}, {"headers": {"Content-Encoding": "identity"}}, {"headers": None}], ids=str)
def test_compressed_data_that_does_not_say_so_is_no_json(changes: dict[str, Any]) -> None:
    """As the gateway passes it on, in base64 or with its bytes replaced."""
    assert errors(BOMB.decode(errors="replace"), **changes) == [("", "json_invalid")]
    assert errors(base64.b64encode(BOMB).decode(), isBase64Encoded=True, **changes) == [("", "json_invalid")]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("timestamp,metric_name,metric_value\n2022-10-01,orders,1\n", id="CSV"),
        pytest.param("data_stream_token=token&metric_agg_func=Sum&data=%5B%5D", id="form"),
        pytest.param('--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n[]\r\n--x--\r\n', id="multipart"),
        pytest.param("<data_stream_token>token</data_stream_token>", id="XML"),
        pytest.param(BODY + "\n" + BODY, id="JSON lines"),
        pytest.param(f")]}}',\n{BODY}", id="guarded JSON"),
        pytest.param("\ufeff\ufeff" + BODY, id="two byte order marks"),
        pytest.param(BODY + "\x00", id="NUL at the end"),
        pytest.param(BODY.replace(" ", "\xa0", 1), id="no-break space"),
    ],
)
def test_what_is_no_json_is_refused_whatever_it_is(body: str) -> None:
    """No content type is guessed, and nothing is repaired."""
    assert errors(body) == [("", "json_invalid")]


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    """The gateway passes text and replaces such bytes, so that two names in Latin-1 could become the same."""
    replaced = BODY.replace("orders", "caf\ufffd")
    assert errors(replaced) == [("", "json_invalid")]
    as_sent = base64.b64encode(BODY.replace("orders", "caf\xe9").encode("latin-1")).decode()
    assert errors(as_sent, isBase64Encoded=True) == [("", "json_invalid")]
    escaped = BODY.replace("orders", "caf\\ufffd").replace('"metric_value": 1', '"metric_value": ""')
    assert errors(escaped) == [("/data/0/metric_value", "metric_value_invalid")]


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "text/html",
        "application/xml",
        "application/x-ndjson",
        "application/octet-stream",
        "application/jsonp",
        "multipart/form-data; boundary=application/json",
        "image/png",
        "json",
        ", application/json",
        pytest.param("x" * MILLION, id="a megabyte"),
    ],
)
def test_another_content_type_is_refused(content_type: str) -> None:
    """What is said to be something else is not read as JSON, even if it could be."""
    status, problem = send(BODY, headers={"content-type": content_type})
    assert status == 415
    assert "application/json" in problem["detail"]


@pytest.mark.parametrize(
    "content_type",
    ["APPLICATION/JSON", "application/json; charset=utf-8", "application/vnd.api+json", "text/plain;charset=UTF-8", ""],
)
def test_json_by_other_names_is_read(content_type: str) -> None:
    """Parameters and case do not matter, nor does the lack of a type: the error is that of the body."""
    assert errors("{", headers={"Content-Type": content_type}) == [("", "json_invalid")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-Anything", "secret" * MILLION, id="six megabytes"),
        pytest.param("\0", "\ud800 secret", id="no text"),
        pytest.param("", "secret", id="no name"),
    ],
)
def test_headers_that_mean_nothing_do_no_harm(name: str, value: str) -> None:
    """They are neither an error of the server's nor part of the answer."""
    status, problem = send("{", headers={name: value}, multiValueHeaders={name: [value] * 3})
    assert status == 400
    assert "secret" not in json.dumps(problem)


# --- memory and time --------------------------------------------------------------------------------------------------

START = '{"data_stream_token":"t","metric_agg_func":"Sum","data":['
SAME = '{"timestamp":0,"metric_name":"a","metric_value":0'
FLOODS = [
    (START, SAME + "}", "]}"),
    (START, SAME + ',"metric_value":1}', "]}"),
    (START + "[" * 150, '{"":0,"":0}', "]" * 150 + "]}"),
    ("{", '"":0', "}"),
    (START, SAME + ',"custom_dimensions":{' + ",".join(f'"{number}":0' for number in range(10)) + "}}", "]}"),
    (START, '"\\u0061\\ud83d\\ude00"', "]}"),
]


@pytest.mark.parametrize(("head", "item", "tail"), FLOODS)
def test_what_a_flood_takes_is_bounded_by_its_size(head: str, item: str, tail: str) -> None:
    """So little memory that the smallest function could read six megabytes of it; the six megabytes go over HTTP."""
    body = (head + ",".join([item] * (100_000 // (len(item) + 1))) + tail).encode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as refused:
            parse(body)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(refused.value.errors) <= 100
    assert largest / len(body) < SMALLEST_FUNCTION_MEGABYTES * 0.7 / 6
