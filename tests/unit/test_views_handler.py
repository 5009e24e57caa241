"""HTTP of the function that reads: which answer a request gets, in which form, and what of it never reaches the log.

What is read is another test's business: here the reader answers what it is told to.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SECRET_TOKEN, LambdaContext, get_event

from unitstream.aggregates import Cell
from unitstream.identity import Metric, Series
from unitstream.pages import Page, next_cursor
from unitstream.parameters import decode_cursor
from unitstream.periods import Timeframe
from unitstream.points import StoredPoint
from unitstream.problems import Finding, OutOfTime, TooMuch
from unitstream.questions import MetricsQuestion, SeriesQuestion
from unitstream.reading import MetricSummary, Reader
from unitstream.spreadsheets import unguarded
from unitstream.view_questions import ViewQuestion
from unitstream.views import Row, View
from views import app, forms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support import Logged


TOKEN = SECRET_TOKEN
# What must never be logged: tokens, API keys, names, dimensions and values.
SECRETS = [TOKEN, "secret-api-key", "secret-metric", "secret-key", "secret-dimension", "31337"]
METRICS, VIEWS, UNIT_METRICS, POINTS = ("/api/metrics", "/api/views", "/api/unit-metrics", "/api/points")
SERIES = "/api/metrics/{metric_name}/{metric_agg_func}/series"
SERIES_PATH = {"metric_name": "secret-metric", "metric_agg_func": "Sum"}
METRIC = {"metric_name": ["secret-metric"], "metric_agg_func": ["Sum"]}
RANGE = {"start_date": ["2022-10-01"], "end_date": ["2022-10-31"]}
VIEW = METRIC | RANGE
UNIT_METRIC = RANGE | {"numerator": ["secret-metric:Sum"], "denominator": ["secret-metric:Average"]}
ORDERS = Metric("orders", "Sum")
# Each route, with the method of the reader that answers it, and a question that is right.
ROUTES = [
    pytest.param(METRICS, "metrics", {}, id="metrics"),
    pytest.param(SERIES, "series", {}, id="series"),
    pytest.param(POINTS, "points", METRIC | RANGE, id="points"),
    pytest.param(VIEWS, "view", VIEW, id="views"),
    pytest.param(UNIT_METRICS, "unit_metric", UNIT_METRIC, id="unit metrics"),
]


@dataclass
class Answer:
    status: int
    headers: dict[str, list[str]]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Function:
    """The handler as API Gateway calls it, and all that it logged."""

    logged: Logged

    def __call__(
        self, resource: str, token: str | None = TOKEN, context: LambdaContext | None = None, **changes: Any
    ) -> Answer:
        if resource == SERIES:
            changes = {"pathParameters": SERIES_PATH} | changes
        answer = app.lambda_handler(get_event(resource, token, **changes), context or LambdaContext())
        assert answer["isBase64Encoded"] is False
        return Answer(answer["statusCode"], answer["multiValueHeaders"], answer["body"])


@pytest.fixture(scope="module")
def _aws(streams_in_moto: None) -> Iterator[None]:  # noqa: ARG001  # sets the scene
    app.tables.cache_clear()
    yield
    app.tables.cache_clear()


@pytest.fixture
def function(_aws: None, logged: Logged) -> Function:
    return Function(logged)


def answers(monkeypatch: pytest.MonkeyPatch, method: str, outcome: object) -> list[Any]:
    """Let a `method` of the reader answer with `outcome`. Returns the questions that it is asked."""
    asked = []

    def answer(_: Reader, stream_id: str, question: Any, __: float) -> object:
        assert stream_id == "stream-1"
        asked.append(question)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(Reader, method, answer)
    return asked


def view_of(*rows: Row, group_by: tuple[str, ...] = ()) -> View:
    timeframe = Timeframe("2022-10-01", "2022-10-31")
    return View(ViewQuestion(Metric("secret-metric", "Sum"), timeframe, "day", group_by), list(rows))


def assert_problem(answer: Answer, status: int, title: str) -> None:
    """`answer` is an RFC 9457 problem that no cache may keep."""
    assert answer.status == answer.body["status"] == status
    assert answer.headers["Content-Type"] == ["application/problem+json"]
    assert answer.headers["Cache-Control"] == ["no-store"]
    assert answer.body["type"].startswith("urn:unitstream:problem:")
    assert answer.body["title"] == title
    assert answer.body["detail"]


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_a_view_is_json(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are the shortest that are the same float, and what is not there is null."""
    data = [Cell("2022-10-01", 0.1 + 0.2, 2), Cell("2022-10-02", None, 0), Cell("2022-10-03", -1e-130, 1)]
    answers(monkeypatch, "view", view_of(Row({"region": None}, data)))
    answer = function(VIEWS, parameters=VIEW | {"group_by": ["region"]})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == ["application/json"]
    assert answer.headers["Cache-Control"] == ["no-store"]
    assert '"value":0.30000000000000004,' in answer.text
    assert answer.body["series"] == [
        {
            "dimensions": {"region": None},
            "data": [
                {"date": "2022-10-01", "value": 0.30000000000000004, "points": 2},
                {"date": "2022-10-02", "value": None, "points": 0},
                {"date": "2022-10-03", "value": -1e-130, "points": 1},
            ],
        }
    ]


def test_listings_are_json(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A series does not repeat its metric, which the document has once."""
    summary = MetricSummary("orders", "Sum", ["a", "b"], [["a"], ["a", "b"]], "2022-10-01", "2022-10-02")
    answers(monkeypatch, "metrics", Page([summary], None))
    assert function(METRICS).body == {
        "metrics": [
            {
                "metric_name": "orders",
                "metric_agg_func": "Sum",
                "dimension_keys": ["a", "b"],
                "dimension_key_sets": [["a"], ["a", "b"]],
                "first_day": "2022-10-01",
                "last_day": "2022-10-02",
                "last_deleted_at": None,
            }
        ],
        "next_cursor": None,
    }
    answers(monkeypatch, "series", Page([Series("0a", ORDERS, {"a": "1"})], None))
    assert function(SERIES).body == {
        "metric_name": "secret-metric",
        "metric_agg_func": "Sum",
        "series": [{"record_id": "0a", "dimensions": {"a": "1"}}],
        "next_cursor": None,
    }
    point = StoredPoint("2022-10-01T13:00:00Z", 1.5, {"b": "1"}, "0a", "2022-10-01T13:05:07.123Z")
    answers(monkeypatch, "points", Page([point], None))
    assert function(POINTS, parameters=METRIC | RANGE).body["points"] == [point._asdict()]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize(("resource", "method"), [(METRICS, "metrics"), (SERIES, "series"), (POINTS, "points")])
def test_a_page_says_where_the_next_one_begins(
    function: Function, monkeypatch: pytest.MonkeyPatch, resource: str, method: str, accept: str
) -> None:
    """In the document, and in a header, which a table has instead; the last page says that it is the last."""
    parameters = METRIC | RANGE if resource == POINTS else {}
    for cursor in ("next", None):
        answers(monkeypatch, method, Page([], cursor))
        answer = function(resource, parameters=parameters, headers={"Accept": accept})
        assert answer.status == 200
        assert answer.headers.get("X-Next-Cursor", [None]) == [cursor]
        if accept == "application/json":
            assert answer.body["next_cursor"] == cursor


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_notices_stand_in_the_document_and_in_a_header(
    function: Function, monkeypatch: pytest.MonkeyPatch, resource: str, method: str, parameters: dict[str, list[str]]
) -> None:
    """In ASCII, and in the header as many as fit; without any, neither says a word."""
    told = [Finding("unknown_dimension_value", f"{number} no 'mün'", parameter="filter") for number in range(100)]
    outcome: Page[Any] | View = Page([], None) if method in {"metrics", "series", "points"} else view_of()
    for notices in ((), told[:2], told):
        answers(monkeypatch, method, replace(outcome, notices=tuple(notices)))
        for accept in ("application/json", "text/csv"):
            if (method, accept) == ("unit_metric", "application/json"):
                continue  # what is answered here is a view
            answer = function(resource, parameters=parameters, headers={"Accept": accept})
            (header,) = answer.headers.get("X-Notices", ["[]"])
            listed = [one.to_json() for one in notices]
            assert header.isascii()
            assert len(header) < 4_096
            assert json.loads(header) == listed[: len(json.loads(header))]
            assert len(json.loads(header)) == len(listed) or len(listed) == 100
            if accept == "application/json":
                assert answer.body.get("notices", []) == listed


# --- names in the path ------------------------------------------------------------------------------------------------

NAMES = ["a/b", "/api/metrics", "100%", "100%25", '"quoted"', "a b+c", "日本", "😀", "?#&=", "..", "<x>{y}", "\n"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_path_may_be_any(function: Function, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The gateway hands over the path as it was sent."""
    asked = answers(monkeypatch, "series", Page([], None))
    sent = {"metric_name": quote(name, safe=""), "metric_agg_func": "Sum"}
    path = f"/company/api/metrics/{sent['metric_name']}/Sum/series"
    answer = function(SERIES, pathParameters=sent, path=path)
    assert answer.status == 200
    assert answer.body["metric_name"] == name
    assert asked == [SeriesQuestion(Metric(name, "Sum"))]


@pytest.mark.parametrize("sent", ["%ff", "%ed%a0%80", "%80%80", "\ud800"])
def test_what_is_no_text_is_refused(function: Function, sent: str) -> None:
    """Bytes that are not UTF-8 are no name, and are not replaced by something that may be one."""
    answer = function(SERIES, pathParameters={"metric_name": sent, "metric_agg_func": "Sum"})
    assert_problem(answer, 400, "Invalid request")
    assert [(error["parameter"], error["code"]) for error in answer.body["errors"]] == [("metric_name", "not_unicode")]


@pytest.mark.parametrize(
    ("resource", "method"),
    [
        ("/api/metrics/{metric_name}", "GET"),
        ("/", "GET"),
        ("/api/streams/ingest", "POST"),
        (METRICS, "POST"),
        (VIEWS, "DELETE"),
    ],
)
def test_an_unknown_route_is_a_404(function: Function, resource: str, method: str) -> None:
    """A path or method that there is not gets a problem as well, and not the one of an unknown stream."""
    assert_problem(function(resource, httpMethod=method), 404, "No such route")


# --- which form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV;header=present", "text/csv"),
        ("text/*", "application/json"),
        ("application/json, text/csv;q=0.5", "text/csv"),
        ("text/csv ; q=0.5,*/*;q=0.1", "text/csv"),
        ("text/csvs, x-text/csv", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("q=1,;,", "application/json"),
    ],
)
def test_the_client_chooses_the_form(
    function: Function, monkeypatch: pytest.MonkeyPatch, accept: str | None, form: str
) -> None:
    """CSV if it names it, in any case and with any parameters, and else JSON."""
    answers(monkeypatch, "view", view_of())
    answer = function(VIEWS, parameters=VIEW, headers={} if accept is None else {"Accept": accept})
    assert answer.status == 200
    assert answer.headers["Content-Type"][0].startswith(form)


def test_the_header_may_occur_twice(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values are then one list."""
    answers(monkeypatch, "view", view_of())
    headers = {"accept": ["text/csv", "image/png"], "x-data-stream-token": [TOKEN]}
    answer = function(VIEWS, parameters=VIEW, multiValueHeaders=headers, headers={"accept": "image/png"})
    assert answer.headers["Content-Type"] == ["text/csv; charset=utf-8"]


# --- CSV --------------------------------------------------------------------------------------------------------------


def table(function: Function, resource: str, parameters: dict[str, list[str]]) -> list[list[str]]:
    """Return the cells of an answer that is a table."""
    answer = function(resource, parameters=parameters, headers={"Accept": "text/csv"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, ["text/csv; charset=utf-8"])
    assert answer.text.endswith("\r\n")
    return list(csv.reader(io.StringIO(answer.text, newline=""), strict=True))


def test_a_view_is_a_table(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a period, hours as spreadsheets know them, and an empty cell for what is not there."""
    rows = [
        Row({"region": "eu, north", "team": 'a "b"'}, [Cell("2022-10-01T13:00:00Z", -12.5, 2)]),
        Row({"region": None, "team": "line\r\nbreak"}, [Cell("2022-10-01", None, 0)]),
    ]
    answers(monkeypatch, "view", view_of(*rows, group_by=("region", "team")))
    assert table(function, VIEWS, VIEW | {"group_by": ["region,team"]}) == [
        ["date", "region", "team", "value", "points"],
        ["2022-10-01 13:00:00", "eu, north", 'a "b"', "-12.5", "2"],
        ["2022-10-01", "", "line\r\nbreak", "", "0"],
    ]


def test_points_have_a_column_for_every_dimension(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any point of the page, in the order of their names."""
    points = [
        StoredPoint("2022-10-01T13:00:00Z", 1.5, {"b": "1"}, "0a", "2022-10-01T13:05:07.123Z"),
        StoredPoint("2022-10-01T14:00:00Z", 2e-9, {"a": "2", "B": "3"}, "0b", "2022-10-01T13:05:07.000Z"),
    ]
    answers(monkeypatch, "points", Page(points, None))
    assert table(function, POINTS, METRIC | RANGE) == [
        ["timestamp", "B", "a", "b", "value", "record_id", "received_at"],
        ["2022-10-01 13:00:00", "", "", "1", "1.5", "0a", "2022-10-01 13:05:07.123"],
        ["2022-10-01 14:00:00", "3", "2", "", "2e-09", "0b", "2022-10-01 13:05:07.000"],
    ]


def test_metrics_and_series_are_tables(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are in one cell; a series without dimensions has a set of keys that is empty."""
    days = ("2022-10-01", "2022-10-02")
    summaries = [
        MetricSummary("orders", "Sum", ["a", "b"], [["a"], ["a", "b"]], *days, "2022-10-03T09:30:00.125Z"),
        MetricSummary("visits", "Average", [], [[]], *days),
    ]
    answers(monkeypatch, "metrics", Page(summaries, None))
    assert table(function, METRICS, {}) == [
        [*MetricSummary._fields],
        ["orders", "Sum", "a, b", "a; a, b", *days, "2022-10-03 09:30:00.125"],
        ["visits", "Average", "", "", *days, ""],
    ]
    answers(monkeypatch, "series", Page([Series("0a", ORDERS, {"a": "1"}), Series("0b", ORDERS, {})], None))
    assert table(function, SERIES, {}) == [["record_id", "a"], ["0a", "1"], ["0b", ""]]


def test_a_dimension_does_not_take_the_place_of_a_value(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks a column up by its name finds what it means on every page, whatever other columns are there."""
    rows = [Row({"value": "eu", "date": "x", "dimension_value": "y"}, [Cell("2022-10-01", 1.0, 1)])]
    answers(monkeypatch, "view", view_of(*rows, group_by=("value", "date", "dimension_value")))
    header, row = table(function, VIEWS, VIEW | {"group_by": ["value,date,dimension_value"]})
    assert header == ["date", "dimension_value", "dimension_date", "dimension_dimension_value", "value", "points"]
    assert row == ["2022-10-01", "eu", "x", "y", "1.0", "1"]


def test_text_is_no_formula(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a cell nor in a header; a number that the service writes is one."""
    answers(monkeypatch, "view", view_of(Row({"=k": "x;=1"}, [Cell("2022-10-01", -1.0, 1)]), group_by=("=k",)))
    assert table(function, VIEWS, VIEW | {"group_by": ["=k"]}) == [
        ["date", "'=k", "value", "points"],
        ["2022-10-01", "x;'=1", "-1.0", "1"],
    ]


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text(), max_size=4), min_size=1, max_size=4))
def test_any_text_can_be_read_back(dimensions: list[dict[str, str]]) -> None:
    """What a table holds is what there was, once the apostrophes before what might be a formula are off again."""
    items = [Series("0a", ORDERS, one) for one in dimensions]
    text = forms.to_csv(forms.series_table(SeriesQuestion(ORDERS), Page(items, None)))
    (_, *keys), *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = sorted({key for one in dimensions for key in one})
    assert len(keys) == len(names) == len(set(keys))
    for one, (_, *cells) in zip(dimensions, rows, strict=True):
        assert list(map(unguarded, cells)) == [one.get(key, "") for key in names]


# --- 400 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_unknown_parameters_are_errors(
    function: Function, resource: str, method: str, parameters: dict[str, list[str]]
) -> None:
    """Who misspells a filter would get numbers of something else."""
    assert method
    answer = function(resource, parameters=parameters | {"fitler": ["region:eu"]})
    assert_problem(answer, 400, "Invalid request")
    assert [(one["parameter"], one["code"]) for one in answer.body["errors"]] == [("fitler", "unknown_parameter")]


def test_all_that_is_wrong_is_said_at_once(function: Function) -> None:
    """The missing header too."""
    answer = function(VIEWS, None, parameters={"granularity": ["daily"], "start_date": ["2022-02-30"]})
    assert_problem(answer, 400, "Invalid request")
    assert {(error["parameter"], error["code"]) for error in answer.body["errors"]} == {
        ("X-Data-Stream-Token", "missing"),
        ("metric_name", "missing"),
        ("metric_agg_func", "missing"),
        ("start_date", "date_invalid"),
        ("end_date", "missing"),
        ("granularity", "granularity_unknown"),
    }
    assert answer.body["total_errors"] == 6
    assert "6 errors" in answer.body["detail"]


def test_many_errors_come_with_their_total(function: Function) -> None:
    """Of more than 100 errors the first 100 are listed, and the answer says so."""
    answer = function(METRICS, None, parameters={f"p{number}": [""] for number in range(1_000)})
    assert_problem(answer, 400, "Invalid request")
    assert answer.body["total_errors"] == 1_001
    assert len(answer.body["errors"]) == 100
    assert "first 100" in answer.body["detail"]


@pytest.mark.parametrize("name", ["x-data-stream-token", "X-DATA-STREAM-TOKEN", "X-Data-Stream-Token"])
def test_the_token_comes_in_a_header(function: Function, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In any case, as HTTP has it."""
    answers(monkeypatch, "view", view_of())
    assert function(VIEWS, None, parameters=VIEW, headers={name: TOKEN}).status == 200


def test_the_token_is_no_parameter(function: Function) -> None:
    """A URL is written down in too many places."""
    answer = function(METRICS, None, parameters={"X-Data-Stream-Token": [TOKEN], "data_stream_token": [TOKEN]})
    assert_problem(answer, 400, "Invalid request")
    assert TOKEN not in answer.text


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_too_much_is_refused_with_what_to_narrow(
    function: Function, monkeypatch: pytest.MonkeyPatch, resource: str, method: str, parameters: dict[str, list[str]]
) -> None:
    """Whether it is too large or too slow; it is never cut short."""
    answers(monkeypatch, method, TooMuch("Choose a shorter range of days."))
    answer = function(resource, parameters=parameters)
    assert_problem(answer, 400, "Too much for one answer")
    assert answer.body["detail"] == "Choose a shorter range of days."


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize("text", ["eu", '"', "😀"])
def test_an_answer_that_lambda_would_not_take_is_refused(
    function: Function, monkeypatch: pytest.MonkeyPatch, accept: str, text: str
) -> None:
    """Lambda takes 6 MB and counts the body as it is quoted in JSON, so quotation marks and other scripts take more."""
    row = Row({"region": text * 5_000}, [Cell("2022-10-01", 1.0, 1)])
    sizes = {}
    for rows in (1, 2):
        answers(monkeypatch, "view", view_of(*[row] * rows))
        answer = function(VIEWS, parameters=VIEW, headers={"Accept": accept})
        sizes[rows] = len(json.dumps(answer.text))
    fitting = (forms.LARGEST_BODY_BYTES - sizes[1]) // (sizes[2] - sizes[1])
    for rows, status in ((fitting, 200), (fitting + 2, 400)):
        answers(monkeypatch, "view", view_of(*[row] * rows))
        answer = function(VIEWS, parameters=VIEW, headers={"Accept": accept})
        assert answer.status == status
        assert len(json.dumps(answer.text)) < 6 * 1024**2
    assert_problem(answer, 400, "Too much for one answer")
    assert "choose a shorter range of days" in answer.body["detail"]


def cursor(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


DIGEST, _ = decode_cursor(next_cursor("stream-1", MetricsQuestion(), "orders#Sum"))
WRONG_CURSORS = [
    "",
    "=",
    "A",
    "\ud800",
    "é",
    "W10",
    "//++",
    "A" * 100_000,
    cursor([]),
    cursor({}),
    cursor(None),
    cursor([DIGEST]),
    cursor([DIGEST, None]),
    cursor([DIGEST, ""]),
    cursor([DIGEST, 1e999]),
    cursor([DIGEST, "\ud800"]),
    cursor([DIGEST, "x" * 1_025]),
    cursor([DIGEST, "orders#Sum", "more"]),
    cursor([DIGEST, {"a": []}]),
    cursor([[DIGEST], "orders#Sum"]),
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b"[" * 2_000 + b"]" * 2_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    base64.urlsafe_b64encode(b"1" * 3_000).decode(),
]


@pytest.mark.parametrize("wrong", WRONG_CURSORS, ids=lambda wrong: ascii(wrong)[:40])
def test_a_made_up_cursor_is_refused(function: Function, wrong: str) -> None:
    """Before anything is read, whatever is in it."""
    answer = function(METRICS, parameters={"cursor": [wrong]})
    assert_problem(answer, 400, "Invalid request")
    assert {error["parameter"] for error in answer.body["errors"]} == {"cursor"}


@pytest.mark.parametrize(("resource", "parameters"), [(METRICS, {}), (SERIES, {}), (POINTS, METRIC | RANGE)])
def test_a_cursor_of_another_stream_is_refused(
    function: Function, resource: str, parameters: dict[str, list[str]]
) -> None:
    """With the answer that any wrong parameter gets, although the token had to be looked up first."""
    sent = next_cursor("stream-2", MetricsQuestion(), "orders#Sum")
    answer = function(resource, parameters=parameters | {"cursor": [sent]})
    assert_problem(answer, 400, "Invalid request")
    assert answer.body["errors"] == [
        {
            "parameter": "cursor",
            "code": "cursor_of_another_question",
            "detail": "cursor belongs to another question, or to another stream",
        }
    ]


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
@pytest.mark.parametrize("value", ["x" * 40_000, "\\" * 20_000, ",:" * 20_000, "\ud800", "\x00", "%25" * 1_000])
def test_giant_and_broken_values_are_refused(
    function: Function, resource: str, method: str, parameters: dict[str, list[str]], value: str
) -> None:
    """In every parameter at once, and also as a parameter's name; an answer is never as long as what was sent."""
    assert method
    sent: dict[str, Any] = {
        "parameters": {name: [value] for name in (*parameters, "filter", "group_by", "limit", "cursor", "fill", value)}
    }
    if resource == SERIES:
        sent["pathParameters"] = {"metric_name": value, "metric_agg_func": value}
    answer = function(resource, **sent)
    assert_problem(answer, 400, "Invalid request")
    assert len(answer.text) < 20_000
    assert answer.text.isascii()


def test_a_table_with_too_many_columns_is_refused(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON it fits: each point has dimensions of its own, and a table has an empty cell for those of all others."""
    points = [
        StoredPoint(
            "2022-10-01T13:00:00Z", 1.0, {f"{number}-{key}": "" for key in range(10)}, "0a", "2022-10-01T13:05:07.123Z"
        )
        for number in range(400)
    ]
    monkeypatch.setattr(forms, "LARGEST_BODY_BYTES", 1_000_000)
    answers(monkeypatch, "points", Page(points, None))
    assert function(POINTS, parameters=METRIC | RANGE).status == 200
    refused = function(POINTS, parameters=METRIC | RANGE, headers={"Accept": "text/csv"})
    assert_problem(refused, 400, "Too much for one answer")
    assert "a lower limit" in refused.body["detail"]


# --- 404, 500, 503 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["ds_nobody", "ds_revoked", TOKEN.upper(), f"{TOKEN} ", "\U0001f600", "\ud800", "x" * 9_000], ids=ascii
)
@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_a_token_without_an_active_stream_is_a_404(
    function: Function, resource: str, method: str, parameters: dict[str, list[str]], token: str
) -> None:
    """An unknown and a revoked token get the same answer, which does not repeat the token."""
    assert method
    answer = function(resource, token, parameters=parameters)
    assert_problem(answer, 404, "No stream found")
    assert token not in answer.text


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_a_busy_database_is_a_503(
    function: Function, monkeypatch: pytest.MonkeyPatch, resource: str, method: str, parameters: dict[str, list[str]]
) -> None:
    """Who may send the same request again is told so, and when."""
    answers(monkeypatch, method, OutOfTime())
    answer = function(resource, parameters=parameters)
    assert_problem(answer, 503, "The database is busy")
    assert int(answer.headers["Retry-After"][0]) > 0
    assert "sent again" in answer.body["detail"]


def test_no_time_left_is_a_503(function: Function) -> None:
    """As when the cold start took it."""
    app.tables()[0]._remembered.clear()  # noqa: SLF001  # no other way to forget a stream
    assert_problem(function(METRICS, context=LambdaContext(timeout_seconds=1)), 503, "The database is busy")


@pytest.mark.parametrize(("resource", "method", "parameters"), ROUTES)
def test_an_error_of_the_code_is_a_500_with_nothing_internal(
    function: Function, monkeypatch: pytest.MonkeyPatch, resource: str, method: str, parameters: dict[str, list[str]]
) -> None:
    """The message of an exception may hold what was read, so neither the answer nor the log repeats it."""
    answers(monkeypatch, method, ValueError(f"could not read {SECRETS}"))
    answer = function(resource, parameters=parameters)
    assert_problem(answer, 500, "Internal error")
    assert answer.body["request_id"] == "99999999-8888-7777-6666-555555555555"
    assert not [secret for secret in [*SECRETS, "ValueError", "could not read"] if secret in answer.text]
    logged = function.logged.everything()
    assert "ValueError" in logged
    assert not [secret for secret in SECRETS if secret in logged]


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "parameters", "outcome", "status"),
    [
        pytest.param(TOKEN, VIEW | {"filter": ["secret-key:secret-dimension"]}, view_of(), 200, id="200"),
        pytest.param(TOKEN, VIEW | {"secret-key": ["31337"]}, view_of(), 400, id="400 unknown"),
        pytest.param(TOKEN, VIEW | {"filter": ["secret-dimension"]}, view_of(), 400, id="400 filter"),
        pytest.param(None, VIEW, view_of(), 400, id="400 token"),
        pytest.param(f"{TOKEN}!", VIEW, view_of(), 404, id="404"),
        pytest.param(TOKEN, VIEW, RuntimeError(f"{SECRETS}"), 500, id="500"),
        pytest.param(TOKEN, VIEW, OutOfTime(), 503, id="503"),
    ],
)
def test_nothing_that_was_sent_or_read_is_logged(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    *,
    token: str | None,
    parameters: dict[str, Sequence[str]],
    outcome: object,
    status: int,
) -> None:
    """No token, no API key, no name, no dimension and no value is in the log, whatever comes of the request."""
    answers(monkeypatch, "view", outcome)
    assert function(VIEWS, token, parameters=parameters).status == status
    logged = function.logged.everything()
    assert f'"Status{status}"' in logged
    assert not [secret for secret in SECRETS if secret in logged]


def test_a_name_in_the_path_is_not_logged(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the route's own text instead."""
    answers(monkeypatch, "series", Page([Series("0a", ORDERS, {"secret-key": "secret-dimension"})], None))
    assert function(SERIES, path="/api/metrics/secret-metric/Sum/series").status == 200
    logged = function.logged.everything()
    assert SERIES in logged
    assert not [secret for secret in SECRETS if secret in logged]


def test_reads_are_counted_apart_from_what_is_ingested(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dimension `function` keeps them apart; the points are those that went into the answer."""
    answers(monkeypatch, "view", replace(view_of(Row({}, [Cell("2022-10-01", 1.0, 23)])), points=23))
    function(VIEWS, parameters=VIEW)
    document = json.loads(function.logged.output.readouterr().out.splitlines()[-1])
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert "function" in directive["Dimensions"][0]
    assert document["function"] == "views"
    assert document["PointsRead"] == [23.0]
    assert document["Status200"] == [1.0]
    assert document["AnswerBytes"][0] > 100
    assert {"ReadTime", "RenderTime"} <= document.keys()
