"""The body of a request: what is accepted, and what a producer is told about everything else."""

from __future__ import annotations

import codecs
import json
import math
import tracemalloc
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError, from_json
from support import point, request_body

from unitstream import faults, json_numbers
from unitstream.identity import Metric, Series, record_id
from unitstream.payload import MAX_POINTS, Envelope, Ingest, Point, parse
from unitstream.problems import MAX_BODY_BYTES, Finding, InvalidRequest
from unitstream.values import parse_value

if TYPE_CHECKING:
    from decimal import Decimal

HOUR = "2022-10-01 00:00:00"
POINT = point(HOUR, 1)
MISSING = object()


def body_with(**changes: object) -> bytes:
    """Return a valid body with `changes` to its members."""
    members = {"data_stream_token": "token", "metric_agg_func": "Sum", "data": [POINT]} | changes
    return json.dumps({name: value for name, value in members.items() if value is not MISSING}).encode()


def body_of(*points: object) -> bytes:
    return body_with(data=points)


def body_of_point(**changes: object) -> bytes:
    """Return a valid body of one point with `changes` to its members."""
    return body_of({name: value for name, value in (POINT | changes).items() if value is not MISSING})


def invalid(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    return caught.value


def only_error(body: bytes) -> Finding:
    problem = invalid(body)
    assert problem.total == len(problem.errors) == 1
    return problem.errors[0]


def outcome(body: bytes) -> Ingest | InvalidRequest:
    """Return what comes of `body`. Any other exception is a bug."""
    try:
        return parse(body)
    except InvalidRequest as problem:
        return problem


def codes(problem: InvalidRequest) -> list[tuple[str | None, str]]:
    return [(error.pointer, error.code) for error in problem.errors]


def resolve(document: Any, pointer: str) -> Any:
    """Return what an RFC 6901 JSON pointer points to. Raises `LookupError` if there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


# --- accepted ---------------------------------------------------------------------------------------------------------


def test_points_come_out_by_series_and_day() -> None:
    """The points of a request are grouped as the Metrics table keeps them."""
    web = {"app": "web"}

    def series(name: str, dimensions: dict[str, str]) -> Series:
        return Series(record_id(name, "Average", dimensions), Metric(name, "Average"), dimensions)

    ingest = parse(
        request_body(
            [
                point("2022-10-01 00:00:00", 1, "orders", web),
                point("2022-10-01T23:00:00Z", "2.5", "orders", web),
                point(20221002000000, -3, "orders", web),
                point("2022-10-01", 4, "orders"),
                point("2022-10-01", 5, "customers", web),
            ],
            token="ds_token",
            agg_func="Average",
        ).encode()
    )
    assert (ingest.data_stream_token, ingest.metric_agg_func, ingest.received) == ("ds_token", "Average", 5)
    assert [(points.series, points.index, points.days) for points in ingest.series] == [
        (series("orders", web), 0, {"2022-10-01": {0: 1.0, 23: 2.5}, "2022-10-02": {0: -3.0}}),
        (series("orders", {}), 3, {"2022-10-01": {0: 4.0}}),
        (series("customers", web), 4, {"2022-10-01": {0: 5.0}}),
    ]


def test_a_series_knows_its_first_point_in_a_large_request() -> None:
    """The index counts from the beginning of `data`, however many points come before."""
    points = [point(hour * 3_600, 1, name) for name in ("a", "b", "c") for hour in range(1_100)]
    assert [series.index for series in parse(body_of(*points)).series] == [0, 1_100, 2_200]


@pytest.mark.parametrize("agg_func", ["Sum", "Average", "Maximum", "Minimum"])
def test_each_aggregation_function_is_accepted(agg_func: str) -> None:
    """The four functions of the contract are accepted, and they are four different records."""
    ingest = parse(body_with(metric_agg_func=agg_func))
    assert [points.series.record_id for points in ingest.series] == [record_id("orders", agg_func, {})]


@pytest.mark.parametrize(
    "dimensions", [MISSING, None, {}], ids=["no custom_dimensions", "null custom_dimensions", "empty custom_dimensions"]
)
def test_without_dimensions_there_is_one_record(dimensions: object) -> None:
    """No dimensions, null and an empty object are the same record."""
    (points,) = parse(body_of_point(custom_dimensions=dimensions)).series
    assert points.series == Series(record_id("orders", "Sum", {}), Metric("orders", "Sum"), {})


def test_the_order_of_dimensions_makes_no_new_series() -> None:
    """Two points whose dimensions stand in another order belong to one series."""
    first, second = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    ingest = parse(body_of(point("2022-10-01", 1, "m", first), point("2022-10-02", 2, "m", second)))
    assert len(ingest.series) == 1


def test_limits_are_inclusive_and_count_characters() -> None:
    """Names of 255 and dimension values of 1,024 characters are accepted, in any script, and so are 10 dimensions."""
    emoji = "\U0001f600"
    dimensions = {f"{number}{emoji * 254}": emoji * 1_024 for number in range(10)}
    points = [point(HOUR, 1, emoji * 255, dimensions), point(HOUR, 1, "x", {"k": ""})]
    ingest = parse(body_with(data_stream_token=emoji * 255, data=points))
    assert [points.series.dimensions for points in ingest.series] == [dimensions, {"k": ""}]


def test_escaped_and_plain_text_are_the_same_request() -> None:
    """A producer may escape what is not ASCII or not."""
    request = {"data_stream_token": "t", "metric_agg_func": "Sum", "data": [POINT | {"metric_name": "\xe9\U0001f600"}]}
    assert parse(json.dumps(request).encode()) == parse(json.dumps(request, ensure_ascii=False).encode())


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Tools that write it at the beginning of UTF-8 are understood; one more, or another encoding's, is no JSON."""
    body = body_of(POINT)
    assert parse(codecs.BOM_UTF8 + body) == parse(body)
    for marked in (codecs.BOM_UTF8 * 2 + body, b" " + codecs.BOM_UTF8 + body, body + codecs.BOM_UTF8, codecs.BOM_UTF8):
        assert only_error(marked).code == "json_invalid"


def test_a_byte_order_mark_counts_as_three_bytes_of_the_body() -> None:
    """The place of what is not UTF-8 is one in the body as it was sent."""
    assert "at byte 3" in only_error(codecs.BOM_UTF8 + b"\xff").detail


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (1, 1.0),
        (-12.5, -12.5),
        ("12.50", 12.5),
        ("-1e3", -1000.0),
        ("+1.5E+2", 150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7.0),
        (" 7 ", 7.0),
        ("\t7\r\n", 7.0),
        ("0", 0.0),
        (10**20, 1e20),
        (10**125, 1e125),
        (1e-130, 1e-130),
        (-1e-130, -1e-130),
        (9.99e125, 9.99e125),
        ("-9.99e125", -9.99e125),
    ],
)
def test_values_that_convert_to_a_float(value: object, expected: float) -> None:
    """Numbers and numeric strings are accepted: zero, negative ones, and what DynamoDB can just hold."""
    (series,) = parse(body_of_point(metric_value=value)).series
    assert series.days == {"2022-10-01": {0: expected}}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "metric_value_invalid"),
        (False, "metric_value_invalid"),
        (None, "metric_value_invalid"),
        ([], "metric_value_invalid"),
        ({}, "metric_value_invalid"),
        ([1], "metric_value_invalid"),
        ("", "metric_value_invalid"),
        (" ", "metric_value_invalid"),
        ("x", "metric_value_invalid"),
        ("1,5", "metric_value_invalid"),
        ("0x10", "metric_value_invalid"),
        ("1 000", "metric_value_invalid"),
        ("true", "metric_value_invalid"),
        # What Python reads as a number, and hardly anyone else does.
        ("1_000", "metric_value_invalid"),
        ("1_0e1_0", "metric_value_invalid"),
        ("\uff11\uff12", "metric_value_invalid"),
        ("\u0663e-999", "metric_value_invalid"),
        ("1\u0662", "metric_value_invalid"),
        ("1e\u0662", "metric_value_invalid"),
        ("\u22121", "metric_value_invalid"),
        ("\xa07", "metric_value_invalid"),
        ("7\u2003", "metric_value_invalid"),
        ("7\x0b", "metric_value_invalid"),
        ("7\x1f", "metric_value_invalid"),
        ("7\x00", "metric_value_invalid"),
        ("\ufeff7", "metric_value_invalid"),
        ("- 7", "metric_value_invalid"),
        ("--7", "metric_value_invalid"),
        ("1.2.3", "metric_value_invalid"),
        ("1e", "metric_value_invalid"),
        ("1e1.5", "metric_value_invalid"),
        ("e5", "metric_value_invalid"),
        (".", "metric_value_invalid"),
        ("-.e1", "metric_value_invalid"),
        ("1d3", "metric_value_invalid"),
        ("0b1", "metric_value_invalid"),
        ("1j", "metric_value_invalid"),
        ("7\n7", "metric_value_invalid"),
        ("\u0131nf", "metric_value_invalid"),
        ("nan(1)", "metric_value_invalid"),
        (float("nan"), "metric_value_not_finite"),
        (float("inf"), "metric_value_not_finite"),
        (float("-inf"), "metric_value_not_finite"),
        ("NaN", "metric_value_not_finite"),
        ("nan", "metric_value_not_finite"),
        ("+inf", "metric_value_not_finite"),
        ("INF", "metric_value_not_finite"),
        (" -Infinity ", "metric_value_not_finite"),
        ("1e400", "metric_value_not_finite"),
        (1e126, "metric_value_out_of_range"),
        (-1e126, "metric_value_out_of_range"),
        ("9.991e125", "metric_value_out_of_range"),
        (9.9e-131, "metric_value_out_of_range"),
        (-5e-324, "metric_value_out_of_range"),
        ("1e-400", "metric_value_out_of_range"),
        pytest.param(f"0.{'0' * 400}1", "metric_value_out_of_range", id="a number that a float rounds to zero"),
        (10**126, "metric_value_out_of_range"),
        pytest.param(10**400, "metric_value_out_of_range", id="an integer too large for a float"),
        pytest.param(-(10**4_299), "metric_value_out_of_range", id="an integer as long as JSON allows"),
    ],
)
def test_values_that_do_not(value: object, code: str) -> None:
    """What is no finite number, or one that DynamoDB cannot hold, is an error at the point's value."""
    error = only_error(body_of_point(metric_value=value))
    assert (error.pointer, error.code) == ("/data/0/metric_value", code)


# Numbers as the text of a body has them, where a float would be zero and the number is not.
ALMOST_ZERO = [
    "1e-400",
    "-1e-400",
    "1E-400",
    "9.99e-0325",
    "2e-324",
    "123456789.5e-340",
    f"0.{'0' * 400}1",
    f"-0.{'0' * 230}1e-99",
    f"1{'0' * 400}e-900",
    f"0.{'0' * 400_000}1",
    f"1e-{'9' * 400_000}",
]


@pytest.mark.parametrize("literal", ALMOST_ZERO, ids=lambda literal: literal[:12])
def test_a_number_that_a_float_rounds_to_zero_is_out_of_range(literal: str) -> None:
    """As it is as text; other points of the request, and text that looks like it, make no difference."""
    other = json.dumps(point("2022-10-02", 0.0, f"not {literal[:20]}", {literal[:20]: literal[:20]}))
    body = body_of_point(metric_value="here").decode().replace("[{", f"[{other}, {{")
    for written in (literal, f'"{literal}"'):
        error = only_error(body.replace('"here"', written).encode())
        assert (error.pointer, error.code) == ("/data/1/metric_value", "metric_value_out_of_range")
        assert literal[:40] in error.detail


def test_a_number_that_is_almost_zero_is_a_number_everywhere() -> None:
    """It is no text where text is expected, and no hour."""
    body = body_of_point(timestamp="t", metric_name="n", metric_value=0, custom_dimensions={"k": "d"}).decode()
    for sent in ('"t"', '"n"', '"d"', '"token"'):
        body = body.replace(sent, "1e-400")
    assert codes(invalid(body.encode())) == [
        ("/data_stream_token", "wrong_type"),
        ("/data/0/timestamp", "timestamp_not_hourly"),
        ("/data/0/metric_name", "wrong_type"),
        ("/data/0/custom_dimensions/k", "wrong_type"),
    ]


@pytest.mark.parametrize("zero", ["-0.0", "-0", "-0e-400", "0.0e5", '"-0"', '"-0.000e-400"', '" -.0 "', '"0E+999"'])
def test_zero_has_no_sign(zero: str) -> None:
    """However zero is written, it is saved as 0, which DynamoDB and JSON write without a sign."""
    body = body_of_point(metric_value="here").decode().replace('"here"', zero)
    ((value,),) = [hours.values() for points in parse(body.encode()).series for hours in points.days.values()]
    assert (value, math.copysign(1, value)) == (0.0, 1.0)


@settings(max_examples=80)
@given(st.decimals(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_and_its_text_are_the_same(number: Decimal | float) -> None:
    """Whether a value is sent as a number or as a string of the same characters makes no difference."""
    body = body_of_point(metric_value="here")
    as_number, as_text = (outcome(body.replace(b'"here"', sent.encode())) for sent in (f"{number}", f'"{number}"'))
    if isinstance(as_number, Ingest):
        assert as_number == as_text
    else:
        assert isinstance(as_text, InvalidRequest)
        assert codes(as_number) == codes(as_text)


@settings(max_examples=80)
@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.from_regex(r"\A-?[0-9_.]+(e-?[0-9]+)?\Z")
)
def test_every_scalar_is_a_value_or_an_error(value: object) -> None:
    """Whatever is sent is zero or a float that DynamoDB holds, or an error that names one of the three codes."""
    try:
        number = parse_value(value)
    except PydanticCustomError as error:
        code = error.type
    else:
        code = "" if number == 0 or 1e-130 <= abs(number) <= 9.99e125 else "neither"
    assert code in {"", "metric_value_invalid", "metric_value_not_finite", "metric_value_out_of_range"}


# --- every error, with its place --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        pytest.param(body_with(data_stream_token=MISSING), "/data_stream_token", "missing", id="no token"),
        pytest.param(body_with(data_stream_token=""), "/data_stream_token", "empty", id="empty token"),
        pytest.param(body_with(data_stream_token="t" * 256), "/data_stream_token", "too_long", id="long token"),
        pytest.param(body_with(data_stream_token=1), "/data_stream_token", "wrong_type", id="number as token"),
        pytest.param(body_with(metric_agg_func=MISSING), "/metric_agg_func", "missing", id="no function"),
        pytest.param(body_with(metric_agg_func="Median"), "/metric_agg_func", "metric_agg_func_unknown", id="function"),
        pytest.param(
            body_with(metric_agg_func=None), "/metric_agg_func", "metric_agg_func_unknown", id="null function"
        ),
        pytest.param(body_with(metric_agg_func=["Sum"]), "/metric_agg_func", "metric_agg_func_unknown", id="functions"),
        pytest.param(body_with(data=MISSING), "/data", "missing", id="no data"),
        pytest.param(body_with(data=[]), "/data", "empty", id="empty data"),
        pytest.param(body_with(data=POINT), "/data", "wrong_type", id="one point without a list"),
        pytest.param(body_with(data=None), "/data", "wrong_type", id="null data"),
        pytest.param(body_with(extra=1), "/extra", "unknown_field", id="unknown field"),
        pytest.param(body_with(**{"[key]": 1}), "/[key]", "unknown_field", id="unknown field [key]"),
        pytest.param(body_with(**{"": 1}), "/", "unknown_field", id="unknown field without a name"),
        pytest.param(body_of(1), "/data/0", "wrong_type", id="number as point"),
        pytest.param(body_of(None), "/data/0", "wrong_type", id="null as point"),
        pytest.param(body_of([]), "/data/0", "wrong_type", id="list as point"),
        pytest.param(body_of_point(timestamp=MISSING), "/data/0/timestamp", "missing", id="no timestamp"),
        pytest.param(body_of_point(timestamp="soon"), "/data/0/timestamp", "timestamp_invalid", id="timestamp"),
        pytest.param(body_of_point(timestamp=None), "/data/0/timestamp", "timestamp_invalid", id="null timestamp"),
        pytest.param(body_of_point(timestamp=[]), "/data/0/timestamp", "timestamp_invalid", id="list as timestamp"),
        pytest.param(body_of_point(timestamp={}), "/data/0/timestamp", "timestamp_invalid", id="object as timestamp"),
        pytest.param(body_of_point(timestamp=0.5), "/data/0/timestamp", "timestamp_not_hourly", id="not hourly"),
        pytest.param(body_of_point(timestamp="1969-12-31"), "/data/0/timestamp", "timestamp_out_of_range", id="1969"),
        pytest.param(body_of_point(metric_name=MISSING), "/data/0/metric_name", "missing", id="no name"),
        pytest.param(body_of_point(metric_name=""), "/data/0/metric_name", "empty", id="empty name"),
        pytest.param(body_of_point(metric_name="\xe9" * 256), "/data/0/metric_name", "too_long", id="long name"),
        pytest.param(body_of_point(metric_name=7), "/data/0/metric_name", "wrong_type", id="number as name"),
        pytest.param(body_of_point(metric_value=MISSING), "/data/0/metric_value", "missing", id="no value"),
        pytest.param(body_of_point(unit="EUR"), "/data/0/unit", "unknown_field", id="unknown field of a point"),
        pytest.param(body_of_point(**{"[key]": 1}), "/data/0/[key]", "unknown_field", id="[key] of a point"),
        pytest.param(body_of_point(**{"a/b~c": 1}), "/data/0/a~1b~0c", "unknown_field", id="escaped pointer"),
        pytest.param(
            body_of_point(custom_dimensions=[]), "/data/0/custom_dimensions", "wrong_type", id="list as dimensions"
        ),
        pytest.param(
            body_of_point(custom_dimensions={f"k{n}": "v" for n in range(11)}),
            "/data/0/custom_dimensions",
            "too_many_dimensions",
            id="11 dimensions",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"k": 1}),
            "/data/0/custom_dimensions/k",
            "wrong_type",
            id="number as dimension",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"k": None}),
            "/data/0/custom_dimensions/k",
            "wrong_type",
            id="null as dimension",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"k": "v" * 1_025}),
            "/data/0/custom_dimensions/k",
            "too_long",
            id="long dimension",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"": "v"}),
            "/data/0/custom_dimensions/",
            "empty",
            id="dimension without a key",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"k" * 256: "v"}),
            "/data/0/custom_dimensions",
            "too_long",
            id="dimension with a long key",
        ),
        pytest.param(
            body_of_point(custom_dimensions={"~/": 1}), "/data/0/custom_dimensions/~0~1", "wrong_type", id="escaped key"
        ),
        pytest.param(
            body_of_point(custom_dimensions={"[key]": 1}),
            "/data/0/custom_dimensions/[key]",
            "wrong_type",
            id="dimension [key]",
        ),
        pytest.param(body_of(POINT, POINT), "/data/1", "duplicate_point", id="duplicate point"),
    ],
)
def test_each_error_has_a_code_and_a_place(body: bytes, pointer: str, code: str) -> None:
    """What is wrong is reported once, with a stable code and a pointer to it."""
    error = only_error(body)
    assert (error.pointer, error.code) == (pointer, code)
    assert error.detail


@pytest.mark.parametrize("body", [b"null", b"1", b'"text"', b"[]", b"true", b"NaN"])
def test_a_body_that_is_no_object(body: bytes) -> None:
    """JSON that is no object is an error of the whole document."""
    error = only_error(body)
    assert (error.pointer, error.code) == ("", "wrong_type")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": 1,}', id="trailing comma"),
        pytest.param(b"{} {}", id="two documents"),
        pytest.param(b"data_stream_token=t&metric_agg_func=Sum", id="form"),
        pytest.param(b'{"metric_name": "\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"metric_name": "\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"metric_name": "\\ud800"}', id="escaped lone surrogate"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b'{"a":' + b"1" * 5_000 + b"}", id="endless number"),
    ],
)
def test_a_body_that_is_no_json(body: bytes) -> None:
    """What is not JSON in UTF-8 is an error of the whole document."""
    error = only_error(body)
    assert (error.pointer, error.code) == ("", "json_invalid")


# --- what the messages say --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (body_with(data_stream_tokn="t"), "did you mean data_stream_token?"),
        (body_with(metric_agg_function="Sum"), "did you mean metric_agg_func?"),
        (body_of_point(mertic_value=1), "did you mean metric_value?"),
        (body_of_point(custom_dimension={}), "did you mean custom_dimensions?"),
        (body_of_point(Timestamp=0), "did you mean timestamp?"),
        (body_with(metric_agg_func="sum"), "did you mean Sum?"),
        (body_with(metric_agg_func="AVG"), "did you mean Average?"),
        (body_with(metric_agg_func="max"), "did you mean Maximum?"),
    ],
)
def test_a_near_miss_is_named(body: bytes, hint: str) -> None:
    """Who mistypes a field or a function is told the name that was meant."""
    assert hint in only_error(body).detail


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (body_with(zzz=1), ["data_stream_token", "metric_agg_func", "data"]),
        (body_of_point(zzz=1), ["timestamp", "metric_name", "metric_value", "custom_dimensions"]),
        (body_with(metric_agg_func="zzz"), ["Sum", "Average", "Maximum", "Minimum"]),
    ],
)
def test_without_a_near_miss_the_message_lists_what_is_known(body: bytes, known: list[str]) -> None:
    """An unknown field or function comes with those that there are."""
    detail = only_error(body).detail
    assert "did you mean" not in detail
    assert all(name in detail for name in known)


def test_the_hints_know_every_field() -> None:
    """A name is a near miss of the fields that there are."""
    assert tuple(get_type_hints(Envelope)) == faults.FIELDS_OF_A_REQUEST
    assert tuple(get_type_hints(Point)) == faults.FIELDS_OF_A_POINT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (body_with(data_stream_token=1), "data_stream_token must be a string, not a number"),
        (body_with(data={}), "data must be an array, not an object"),
        (body_of_point(custom_dimensions="a"), "custom_dimensions must be an object, not a string"),
        (body_of_point(custom_dimensions={"k": True}), "k must be a string, not a boolean"),
        (body_of_point(custom_dimensions={"[key]": True}), "[key] must be a string, not a boolean"),
        (body_of_point(custom_dimensions={"[key]": "v" * 1_025}), "[key] must have at most 1,024 characters"),
        (body_of_point(metric_name="n" * 300), "at most 255 characters, and has 300"),
        (body_of_point(custom_dimensions={str(n): "" for n in range(12)}), "at most 10 dimensions, and holds 12"),
        (body_of_point(**{"[key]": 1}), "'[key]' is not a field"),
        (body_of_point(metric_value="a lot"), "'a lot'"),
        (body_of_point(timestamp="2022-10-01 00:30:00"), "2022-10-01 00:30:00 UTC"),
    ],
)
def test_messages_say_what_was_sent_and_what_is_allowed(body: bytes, words: str) -> None:
    """A message is enough to mend the request."""
    assert words in only_error(body).detail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda long: body_with(**{long: 1}), id="unknown field"),
        pytest.param(lambda long: body_of_point(**{long: 1}), id="unknown field of a point"),
        pytest.param(lambda long: body_with(data_stream_token=long), id="token"),
        pytest.param(lambda long: body_with(metric_agg_func=long), id="function"),
        pytest.param(lambda long: body_of_point(timestamp=long), id="timestamp"),
        pytest.param(lambda long: body_of_point(metric_name=long), id="name"),
        pytest.param(lambda long: body_of_point(metric_value=long), id="value"),
        pytest.param(lambda long: body_of_point(custom_dimensions={long: "v"}), id="key of a dimension"),
        pytest.param(lambda long: body_of_point(custom_dimensions={"k": long}), id="value of a dimension"),
    ],
)
def test_a_megabyte_does_not_come_back(body: Any) -> None:
    """However long what was sent is, the answer about it stays short, and its pointer points to something."""
    sent = body("x/" * 500_000)
    error = only_error(sent)
    place = error.pointer or ""
    assert len(place) + len(error.detail) < 500
    resolve(json.loads(sent), place)


# --- all errors at once -----------------------------------------------------------------------------------------------


def test_every_error_of_a_request_is_reported() -> None:
    """Of three points two are wrong in two ways each: four errors, in their order."""
    problem = invalid(
        body_of(
            POINT | {"timestamp": "2022-10-01 00:30:00", "metric_value": "x"},
            POINT,
            POINT | {"metric_name": "", "custom_dimensions": {"k": 1}},
        )
    )
    assert problem.total == 4
    assert codes(problem) == [
        ("/data/0/timestamp", "timestamp_not_hourly"),
        ("/data/0/metric_value", "metric_value_invalid"),
        ("/data/2/metric_name", "empty"),
        ("/data/2/custom_dimensions/k", "wrong_type"),
    ]


def test_the_request_and_its_points_are_reported_together() -> None:
    """Who mistypes the token's field also learns what is wrong with the points, duplicates included."""
    body = body_with(
        data_stream_token=MISSING, data_stream_tokn="t", metric_agg_func="sum", data=[POINT, POINT, {"timestamp": 0}]
    )
    problem = invalid(body)
    assert problem.total == len(problem.errors) == 6
    assert sorted(codes(problem)[:3]) == [
        ("/data_stream_token", "missing"),
        ("/data_stream_tokn", "unknown_field"),
        ("/metric_agg_func", "metric_agg_func_unknown"),
    ]
    assert codes(problem)[3:] == [
        ("/data/1", "duplicate_point"),
        ("/data/2/metric_name", "missing"),
        ("/data/2/metric_value", "missing"),
    ]


@pytest.mark.parametrize("points", [100, 101, 2_500])
def test_the_first_100_errors_are_listed_with_the_total(points: int) -> None:
    """A request with many errors gets the first 100 of them, and how many there are."""
    problem = invalid(body_of(*[POINT | {"metric_value": None}] * points))
    assert problem.total == points
    assert codes(problem) == [(f"/data/{index}/metric_value", "metric_value_invalid") for index in range(100)]


def test_the_first_100_errors_are_the_first_of_the_document() -> None:
    """Errors of every kind share the 100 places by where they stand, however far apart."""
    points: list[dict[str, Any]] = [point(hour * 3_600, 1) for hour in range(3_000)]
    points[1] = points[0]
    points[999] = {}
    points[1_001] = points[0]
    for index in range(1_500, 3_000, 2):
        points[index] = points[index] | {"metric_name": 1}
        points[index + 1] = points[0]
    problem = invalid(body_of(*points))
    assert problem.total == 1 + 3 + 1 + 1_500
    assert codes(problem) == [
        ("/data/1", "duplicate_point"),
        ("/data/999/timestamp", "missing"),
        ("/data/999/metric_name", "missing"),
        ("/data/999/metric_value", "missing"),
        ("/data/1001", "duplicate_point"),
        *[
            error
            for index in range(1_500, 1_595, 2)
            for error in ((f"/data/{index}/metric_name", "wrong_type"), (f"/data/{index + 1}", "duplicate_point"))
        ][:95],
    ]


# --- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(POINT, POINT, id="same"),
        pytest.param(POINT, POINT | {"metric_value": 2}, id="another value"),
        pytest.param(POINT, POINT | {"timestamp": 1664582400}, id="another form of the hour"),
        pytest.param(POINT, POINT | {"timestamp": "2022-10-01T02:00:00+02:00"}, id="another offset of the hour"),
        pytest.param(POINT, POINT | {"custom_dimensions": {}}, id="none and {}"),
        pytest.param(POINT | {"custom_dimensions": None}, POINT | {"custom_dimensions": {}}, id="null and {}"),
        pytest.param(POINT | {"custom_dimensions": None}, POINT, id="null and none"),
        pytest.param(
            POINT | {"custom_dimensions": {"a": "1", "b": "2"}},
            POINT | {"custom_dimensions": {"b": "2", "a": "1"}},
            id="another order of dimensions",
        ),
    ],
)
def test_a_point_that_is_there_twice_names_both_places(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Of two values for the same record and hour one would be lost, so neither is taken."""
    error = only_error(body_of(first, point("2022-10-02", 1), second))
    assert (error.pointer, error.code) == ("/data/2", "duplicate_point")
    assert "/data/0" in error.detail


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"timestamp": "2022-10-01 01:00:00"}, id="hour"),
        pytest.param({"timestamp": "2022-10-02 00:00:00"}, id="day"),
        pytest.param({"metric_name": "Orders"}, id="case of the name"),
        pytest.param({"metric_name": "orders "}, id="space in the name"),
        pytest.param({"custom_dimensions": {"a": "1", "b": "2"}}, id="more dimensions"),
        pytest.param({"custom_dimensions": {"a": "2"}}, id="value of a dimension"),
        pytest.param({"custom_dimensions": {"b": "1"}}, id="key of a dimension"),
        pytest.param({"custom_dimensions": {"1": "a"}}, id="key and value exchanged"),
        pytest.param({"custom_dimensions": {}}, id="no dimensions"),
    ],
)
def test_points_that_differ_are_no_duplicates(other: dict[str, Any]) -> None:
    """The exact text of name and dimensions counts, and so does the hour."""
    one = POINT | {"custom_dimensions": {"a": "1"}}
    assert parse(body_of(one, one | other)).received == 2


def test_each_repetition_is_reported_against_the_first() -> None:
    """Three times the same point are two errors, and both name the first."""
    problem = invalid(body_of(POINT, point("2022-10-02", 1), POINT, POINT))
    assert codes(problem) == [("/data/2", "duplicate_point"), ("/data/3", "duplicate_point")]
    assert all("/data/0:" in error.detail for error in problem.errors)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2_499), (999, 1_000), (1_100, 1_200), (2_498, 2_499)])
def test_duplicates_are_found_anywhere_in_a_large_request(first: int, second: int) -> None:
    """Two points collide at any distance, and wherever they stand among thousands."""
    points = [point(hour * 3_600, 1) for hour in range(2_500)]
    points[second] = points[first]
    error = only_error(body_of(*points))
    assert (error.pointer, error.code) == (f"/data/{second}", "duplicate_point")
    assert f"/data/{first}:" in error.detail


def test_duplicates_are_reported_with_other_errors() -> None:
    """Duplicates stand among the other errors in the order of the document; a point that is wrong is no duplicate."""
    wrong = POINT | {"metric_value": "x"}
    problem = invalid(body_of(wrong, POINT, wrong, POINT, POINT | {"unit": "EUR"}))
    assert problem.total == 4
    assert codes(problem) == [
        ("/data/0/metric_value", "metric_value_invalid"),
        ("/data/2/metric_value", "metric_value_invalid"),
        ("/data/3", "duplicate_point"),
        ("/data/4/unit", "unknown_field"),
    ]
    assert "/data/1:" in problem.errors[2].detail


# --- large requests ---------------------------------------------------------------------------------------------------


def test_millions_of_points_are_refused_as_too_many() -> None:
    """A body that is full of zeros gets one error, not millions."""
    body = b'{"data_stream_token":"t","metric_agg_func":"Sum","data":[' + b"0," * 2_900_000 + b"0]}"
    assert len(body) < MAX_BODY_BYTES
    error = only_error(body)
    assert (error.pointer, error.code) == ("/data", "too_many_points")
    assert f"{MAX_POINTS:,}" in error.detail


def test_as_many_points_as_fit_into_a_body_are_not_too_many() -> None:
    """No valid request of 6 MB has too many points."""
    shortest = '{"timestamp":0,"metric_name":"a","metric_value":0}'
    assert len(shortest) * MAX_POINTS + MAX_POINTS - 1 <= MAX_BODY_BYTES < (len(shortest) + 1) * (MAX_POINTS + 1)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda flood: body_with(**flood), id="unknown fields"),
        pytest.param(lambda flood: body_of_point(**flood), id="unknown fields of a point"),
        pytest.param(lambda flood: body_of_point(custom_dimensions=flood), id="dimensions"),
    ],
)
def test_a_flood_of_errors_takes_little_memory(body: Any) -> None:
    """What is not reported is not held: 6 MB of unknown keys must not end a function that holds 6 MB of points easily.

    The measure is what the parsed document takes, which no answer can do without.
    """
    sent = body({f"k{number}": 0 for number in range(20_000)})

    def peak(read: Any) -> int:
        tracemalloc.start()
        try:
            read(sent)
        finally:
            largest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return largest

    invalid(sent)  # what is made once, at the first call
    assert peak(invalid) < 3 * peak(from_json)


# --- anything at all --------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
# Names that mean something here, what a pointer escapes, and how pydantic marks the key of an object.
names = st.sampled_from(
    ["data", "metric_value", "mertic_value", "custom_dimensions", "[key]", "~/", "", "0", "k" * 300]
) | st.text(max_size=8)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)


def mostly(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is valid, and one time in 20 anything."""
    return st.integers(0, 19).flatmap(lambda number: any_json if number == 19 else valid)


def nearly(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these members, a few of them wrong; sometimes some are missing or there are unknown ones."""
    wrong_at_times = {name: mostly(valid) for name, valid in members.items()}
    complete = st.fixed_dictionaries(wrong_at_times)
    partial = st.fixed_dictionaries({}, optional=wrong_at_times)
    extended = st.builds(lambda known, extra: extra | known, complete, st.dictionaries(names, any_json, max_size=2))
    return st.integers(0, 19).flatmap(lambda number: {18: partial, 19: extended}.get(number, complete))


valid_dimensions = st.none() | st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), max_size=2)
near_points = nearly(
    {
        "timestamp": st.sampled_from(["2022-10-01", "2022-10-01 00:00:00", "2022-10-01T01:00:00Z", 0, 1664582400]),
        "metric_name": st.text(min_size=1, max_size=3),
        "metric_value": st.floats(-1e9, 1e9).filter(lambda value: not 0 < abs(value) < 1e-130) | st.just("1.5"),
        "custom_dimensions": valid_dimensions,
    }
)
near_requests = nearly(
    {
        "data_stream_token": st.just("token"),
        "metric_agg_func": st.sampled_from(["Sum", "Average", "Maximum", "Minimum"]),
        "data": st.lists(mostly(near_points), max_size=5),
    }
)


@settings(max_examples=80)
@given(any_json)
def test_a_number_that_is_almost_zero_changes_nothing_else(document: Any) -> None:
    """Beside it every document is what it was; `repr` tells NaN, the types of numbers and the order of keys."""
    text = json.dumps([document, "1e-100"])
    assert repr(json_numbers.load(text)) == repr(from_json(text))


@settings(max_examples=120)
@given(document=any_json | near_requests, ensure_ascii=st.booleans())
def test_any_document_is_a_request_or_an_error_with_places(document: Any, ensure_ascii: bool) -> None:  # noqa: FBT001  # hypothesis fills it
    """Every JSON document is taken completely or refused, and each error points to what is in the document."""
    body = json.dumps(document, ensure_ascii=ensure_ascii).encode()
    result = outcome(body)
    if isinstance(result, Ingest):
        taken = sum(len(hours) for series in result.series for hours in series.days.values())
        assert taken == result.received == len(document["data"])
        return
    assert 1 <= len(result.errors) <= result.total
    for error in result.errors:
        assert error.detail
        place = error.pointer or ""
        if error.code == "missing":
            place, _, name = place.rpartition("/")
            assert name not in resolve(document, place)
        resolve(document, place)


@settings(max_examples=80)
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_request_or_an_error(body: bytes) -> None:
    """What is no JSON at all is refused as well."""
    with pytest.raises(InvalidRequest):
        parse(body)


@settings(max_examples=80)
@given(near_requests, st.data())
def test_a_body_that_was_cut_or_garbled_is_a_request_or_an_error(document: Any, data: st.DataObject) -> None:
    """A body that lost or changed some of its bytes is never taken for something that is neither."""
    body = bytearray(json.dumps(document).encode())
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    body[start:end] = data.draw(st.binary(max_size=4))
    result = outcome(bytes(body))
    assert result.received if isinstance(result, Ingest) else result.errors
