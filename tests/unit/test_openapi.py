"""openapi.json: it is what `make openapi` writes, it is valid, and it says what the code does."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import jsonschema_rs
import openapi
import openapi_spec_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import REPOSITORY, LambdaContext, get_event, point, proxy_event, request_body, template

from ingest import app
from unitstream import faults, questions, view_questions
from unitstream.days import Counts
from unitstream.identity import AggFunc
from unitstream.payload import MAX_POINTS, parse
from unitstream.periods import Granularity
from unitstream.problems import InvalidRequest, OutOfTime
from unitstream.values import NUMBER
from unitstream_http import TOKEN_HEADER
from views import app as views_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT = json.loads(openapi.OPENAPI.read_text())
INGEST = DOCUMENT["paths"]["/api/streams/ingest"]["post"]
READS = {path: operations["get"] for path, operations in DOCUMENT["paths"].items() if "get" in operations}
ANSWERS = {path.stem: json.loads(path.read_text()) for path in sorted((openapi.EVENTS / "answers").glob("*.json"))}
EVENTS = {name: json.loads((openapi.EVENTS / f"{name}.json").read_text()) for name in ANSWERS}
WRITES = [name for name, event in EVENTS.items() if event["httpMethod"] == "POST"]
COMMON = REPOSITORY / "layers" / "common" / "unitstream_http.py"
SOURCES = [*REPOSITORY.glob("layers/common/unitstream/*.py"), COMMON, *REPOSITORY.glob("functions/*/*.py")]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator of a schema that refers to the document's components."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


REQUESTS = validator(INGEST["requestBody"]["content"]["application/json"]["schema"])


def operation_of(event: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"][event["resource"]][event["httpMethod"].lower()]
    return operation


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a node refers to, or else the node."""
    while "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = DOCUMENT["components"][kind][name]
    return node


def parameters_of(operation: dict[str, Any], place: str = "query") -> dict[str, dict[str, Any]]:
    """Return the parameters of an operation in the query string, or another place, by name."""
    found = map(resolved, operation["parameters"])
    return {one["name"]: one for one in found if one["in"] == place}


def answers_of(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the answers of an operation by status."""
    return {status: resolved(answer) for status, answer in operation["responses"].items()}


def calls(names: set[str]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the calls of these functions and methods in the sources, each with the arguments that are written out."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func).rpartition(".")[2]) in names:
                yield name, [one.value if isinstance(one, ast.Constant) else None for one in node.args]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_up_to_date() -> None:
    """Who changes the contract runs `make openapi`, and sees in the difference what clients will see."""
    assert openapi.OPENAPI.read_text() == openapi.render(openapi.build()), "run `make openapi`"


def test_it_is_an_openapi_document() -> None:
    """Tools that read OpenAPI 3.1 can read it."""
    openapi_spec_validator.validate(DOCUMENT)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each object in a document, save what is an example."""
    if isinstance(node, dict):
        yield node
        for name, member in node.items():
            if name not in {"example", "examples"}:
                yield from nodes(member)
    elif isinstance(node, list):
        for member in node:
            yield from nodes(member)


def test_every_example_is_valid() -> None:
    """What is shown is what is meant: each example fits the schema that it stands beside."""
    found = [(node, example) for node in nodes(DOCUMENT) for example in node.get("examples", [])]
    found += [(node["schema"], node["example"]) for node in nodes(DOCUMENT) if "example" in node]
    assert len(found) > 20
    wrong = [example for schema, example in found if not validator(schema).is_valid(example)]
    assert not wrong


def test_every_answer_and_the_request_have_an_example() -> None:
    """A reader need not imagine any of them."""
    described = [answer for one in (INGEST, *READS.values()) for answer in answers_of(one).values()]
    for one in (*described, INGEST["requestBody"]):
        assert all("example" in media_type for media_type in one["content"].values())


def test_a_client_has_one_class_for_each_set_of_words() -> None:
    """A generator makes a class of each enum: each stands once, as a component that all others refer to."""
    enums = [tuple(node["enum"]) for node in nodes(DOCUMENT) if "enum" in node]
    components = [tuple(one["enum"]) for one in DOCUMENT["components"]["schemas"].values() if "enum" in one]
    assert sorted(enums) == sorted(components)
    assert {get_args(AggFunc), get_args(Granularity)} <= set(enums)
    assert len(set(enums)) == len(enums)


def test_a_client_of_today_reads_what_is_answered_tomorrow() -> None:
    """Codes, kinds of problems and members may be added: answers have no closed list of them."""
    sent = {"IngestRequest", "Point", "UnitMetricDefinition"}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert ("additionalProperties" in schema and not schema["additionalProperties"]) == (name in sent), name
    for name in ("ErrorCode", "NoticeCode", "ProblemType"):
        assert validator(DOCUMENT["components"]["schemas"][name]).is_valid("one_more"), name


def test_reads_are_opened_by_key_and_token_and_ingest_by_the_key() -> None:
    """A generated client puts both into headers; the token of a request to ingest is in its body.

    Each says which right the token needs.
    """
    assert DOCUMENT["security"] == [{"api_key": []}]
    assert "security" not in INGEST
    assert "right to write" in INGEST["description"]
    for operation in READS.values():
        assert operation["security"] == [{"api_key": [], "stream_token": ["read"]}]
    delete = DOCUMENT["paths"]["/api/points"]["delete"]
    assert delete["security"] == [{"api_key": [], "stream_token": ["delete"]}]
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["stream_token"]["name"] == TOKEN_HEADER


# --- requests ---------------------------------------------------------------------------------------------------------


def moments() -> st.SearchStrategy[datetime]:
    hours = st.integers(0, 24 * 365 * 500)
    return hours.map(lambda number: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=number))


def forms(moment: datetime) -> st.SearchStrategy[object]:
    """The forms in which a producer may write `moment`, and some that are not accepted."""
    seconds = int(moment.timestamp())
    local = moment.astimezone(timezone(timedelta(minutes=(seconds // 3_600 % 95 - 47) * 15)))
    texts = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M:%S.000 +00", "%Y-%m-%d", "%Y%m%d%H%M%S", "%c"]
    numbers = [seconds, seconds * 1_000, seconds + 0.0]
    return st.sampled_from([*map(moment.strftime, texts), local.isoformat(), *numbers, *map(str, numbers)])


floats = st.floats(-9.99e125, 9.99e125)
texts = st.text(min_size=1, max_size=260)
points = st.builds(
    point,
    moments().flatmap(forms),
    floats
    | st.integers()
    | floats.map(str)
    | st.from_regex(NUMBER, fullmatch=True)
    | st.text(st.characters(categories=["Nd", "Zs"]), min_size=1),
    texts,
    st.none() | st.dictionaries(texts, texts, max_size=11),
)


@given(points, st.sampled_from(["Sum", "Average", "Maximum", "Minimum", "sum"]))
def test_whatever_is_accepted_fits_the_schema(one: dict[str, Any], agg_func: str) -> None:
    """A client that validates by the schema refuses nothing that the API would take."""
    body = request_body([one], "token", agg_func)
    try:
        parse(body.encode())
    except InvalidRequest:
        return
    assert REQUESTS.is_valid(json.loads(body))


# What a schema can tell. It knows neither calendars nor what converts to a float, and sees no point beside another.
TOLD_BY_THE_SCHEMA = {
    "missing",
    "unknown_field",
    "wrong_type",
    "empty",
    "too_long",
    "too_many_fields",
    "too_many_dimensions",
    "metric_agg_func_unknown",
}


@pytest.mark.parametrize("name", WRITES)
def test_a_request_of_the_events_fits_the_schema_if_it_is_accepted(name: str) -> None:
    """And only then, as far as a schema can tell."""
    event = EVENTS[name]
    codes = {error["code"] for error in ANSWERS[name]["body"].get("errors", [])}
    if event["isBase64Encoded"] or "json_invalid" in codes:
        return
    accepted = REQUESTS.is_valid(json.loads(event["body"]))
    if not codes:
        assert accepted
    elif codes & TOLD_BY_THE_SCHEMA:
        assert not accepted


def test_a_request_with_too_many_points_does_not_fit_the_schema() -> None:
    """The schema has the limits of the request."""
    request = json.loads(request_body([point("2022-10-01", 1)], "token"))
    assert REQUESTS.is_valid(request)
    assert not REQUESTS.is_valid(request | {"data": request["data"] * (MAX_POINTS + 1)})


# --- questions --------------------------------------------------------------------------------------------------------

ASK = {
    "/api/metrics": questions.metrics_question,
    "/api/metrics/{metric_name}/{metric_agg_func}/series": lambda parameters: questions.series_question(
        "orders", "Sum", parameters
    ),
    "/api/points": questions.points_question,
    "/api/views": view_questions.view_question,
    "/api/unit-metrics": view_questions.unit_metric_question,
}


def fits(operation: dict[str, Any], sent: dict[str, list[str]]) -> bool:
    """Whether parameters are those of an operation, as far as the schemas can tell."""
    described = parameters_of(operation)
    required = {name for name, one in described.items() if one.get("required")}
    if not required <= sent.keys() <= described.keys():
        return False
    for name, values in sent.items():
        schema = resolved(described[name]["schema"])
        if schema["type"] != "array" and len(values) > 1:
            return False
        value: Any = values if schema["type"] == "array" else values[0]
        if schema["type"] == "boolean":
            value = {"true": True, "false": False}.get(value, value)
        if schema["type"] == "integer":
            value = int(value) if re.fullmatch("-?[0-9]+", value) else value
        if schema["type"] == "boolean":
            value = {"true": True, "false": False}.get(value, value)
        if not validator(schema).is_valid(value):
            return False
    return True


@pytest.mark.parametrize("path", ASK)
def test_the_parameters_are_those_that_the_code_knows(path: str) -> None:
    """By their names, and those that are required."""
    described = parameters_of(READS[path])
    with pytest.raises(InvalidRequest) as refused:
        ASK[path]({"": [""]})
    unknown, *missing = refused.value.errors
    known = unknown.detail.partition("known here: ")[2].split(", ")
    assert list(described) == known
    required = {name for name, one in described.items() if one.get("required")}
    assert required == {error.parameter for error in missing if error.code == "missing"}


metric_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
tricky = st.text(st.sampled_from("ab:,-\\"), max_size=8)
functions = st.sampled_from([*get_args(AggFunc), "sum"])
days = st.dates().map(str) | st.sampled_from(["2022-10-1", "20221001", ""])
asked = st.fixed_dictionaries(
    {
        "metric_name": st.lists(metric_texts, min_size=1, max_size=1),
        "metric_agg_func": st.lists(functions, min_size=1, max_size=1),
        "numerator": st.lists(st.builds("{}:{}".format, metric_texts, functions) | tricky, min_size=1, max_size=1),
        "denominator": st.lists(st.builds("{}:{}".format, metric_texts, functions), min_size=1, max_size=1),
        "start_date": st.just(["1970-01-01"]) | st.lists(days, min_size=1, max_size=1),
        "end_date": st.just(["9999-12-31"]) | st.lists(days, min_size=1, max_size=1),
        "granularity": st.sampled_from([[one] for one in (*get_args(Granularity), "daily")]),
    },
    optional={
        "group_by": st.lists(tricky, min_size=1, max_size=3),
        "denominator_group_by": st.lists(tricky, min_size=1, max_size=3),
        "denominator_filter": st.lists(tricky, min_size=1, max_size=2),
        "compare": st.sampled_from([["year"], ["month"]]),
        "totals": st.sampled_from([["true"], ["yes"]]),
        "timezone": st.sampled_from([["Europe/Berlin"], [""], ["Asia/Kolkata"]]),
        "filter": st.lists(tricky, min_size=1, max_size=2),
        "fill": st.sampled_from([["null"], [""], ["null", "null"]]),
        "limit": st.integers(-1, 20_000).map(lambda limit: [str(limit)]),
    },
)


@given(asked, st.sampled_from(sorted(ASK)))
def test_whatever_is_answered_fits_the_schemas(sent: dict[str, list[str]], path: str) -> None:
    """A client that validates by the schemas refuses no question that the API would answer."""
    operation = READS[path]
    question = {name: values for name, values in sent.items() if name in parameters_of(operation)}
    try:
        ASK[path](question)
    except InvalidRequest:
        return
    assert fits(operation, question)


# What the schemas of parameters can tell. They know no calendar, and see no parameter beside another.
TOLD_BY_PARAMETERS = {"missing", "unknown_parameter", "granularity_unknown", "metric_invalid", "fill_unknown", "empty"}


@pytest.mark.parametrize("name", [name for name in EVENTS if name not in WRITES])
def test_a_question_of_the_events_fits_the_schemas_if_it_is_answered(name: str) -> None:
    """And only then, as far as schemas can tell."""
    event = EVENTS[name]
    accepted = fits(operation_of(event), event["multiValueQueryStringParameters"] or {})
    codes = (
        {
            error["code"]
            for error in ANSWERS[name]["body"].get("errors", [])
            if error.get("parameter") in parameters_of(operation_of(event)) or error["code"] == "unknown_parameter"
        }
        if ANSWERS[name]["statusCode"] == 400
        else set()
    )
    if not codes:
        assert accepted
    elif codes & TOLD_BY_PARAMETERS:
        assert not accepted


# --- answers ----------------------------------------------------------------------------------------------------------


def closed(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of answers without room for members that they do not describe; a problem may have any."""
    return {
        name: schema | ({"additionalProperties": False} if "properties" in schema and name != "Problem" else {})
        for name, schema in schemas.items()
    }


CLOSED = DOCUMENT["components"] | {"schemas": closed(DOCUMENT["components"]["schemas"])}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_to_the_events_are_described(name: str) -> None:
    """Each answer of events/answers has the status, the content type and the members that the document says."""
    answer = ANSWERS[name]
    described = answers_of(operation_of(EVENTS[name]))[str(answer["statusCode"])]["content"]
    media_type = described[answer["headers"]["Content-Type"].partition(";")[0]]
    answers = jsonschema_rs.Draft202012Validator(media_type["schema"] | {"components": CLOSED}, validate_formats=True)
    assert not [error.message for error in answers.iter_errors(answer["body"])]


def test_every_read_has_an_event_and_an_answer_in_both_forms() -> None:
    """What is described has been seen."""
    seen = {
        (event["resource"], ANSWERS[name]["headers"]["Content-Type"].partition(";")[0])
        for name, event in EVENTS.items()
        if event["httpMethod"] == "GET"
    }
    for path, operation in READS.items():
        assert {(path, media_type) for media_type in answers_of(operation)["200"]["content"]} <= seen


def test_every_status_is_described() -> None:
    """Those that the handlers and the gateway answer with are those of the document."""
    gateway = re.findall(r"^ +StatusCode: (\d+)$", REPOSITORY.joinpath("template.yaml").read_text(), re.MULTILINE)
    put = DOCUMENT["paths"]["/api/unit-metrics/{name}"]["put"]
    for function, operations in (("ingest", [INGEST]), ("views", [*READS.values(), put])):
        source = COMMON.read_text() + REPOSITORY.joinpath(f"functions/{function}/app.py").read_text()
        handled = {str(HTTPStatus[name].value) for name in re.findall(r"HTTPStatus\.([A-Z_]+)", source)}
        for operation in operations:
            without_a_body = set() if "requestBody" in operation else {"415"}
            assert (handled | set(gateway)) - without_a_body <= operation["responses"].keys()


def known(name: str) -> set[str]:
    """Return the words of which there may be more one day."""
    return set(DOCUMENT["components"]["schemas"][name]["x-extensible-enum"])


def test_every_kind_of_problem_is_described() -> None:
    """The kinds in the code and in the template are those of the document, no more and no fewer."""
    kinds = {f"urn:unitstream:problem:{arguments[1]}" for _, arguments in calls({"problem"})}
    kinds |= set(re.findall(r'"type":"([a-z:-]+)"', REPOSITORY.joinpath("template.yaml").read_text()))
    assert kinds == known("ProblemType")


def test_every_code_is_described() -> None:
    """The codes in the code and in the document are the same."""
    place = {"Finding": 0, "PydanticCustomError": 0, "wrong": 1, "word": 3}
    codes: set[Any] = {arguments[place[name]] for name, arguments in calls(set(place))}
    # a parameter that is one of a few words
    codes |= {f"{arguments[0]}_unknown" for _, arguments in calls({"choice"})}
    codes |= {code for code, _ in faults.SENTENCES.values()}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            # where an error is no Finding
            if isinstance(node, ast.Dict):
                keys = [ast.unparse(key) for key in node.keys if key]
                codes |= {
                    value.value
                    for key, value in zip(keys, node.values, strict=False)
                    if key == "'code'" and isinstance(value, ast.Constant)
                }
    # where a code is passed on
    codes.discard(None)
    assert codes == known("ErrorCode") | known("NoticeCode")


def raising(error: Exception) -> Callable[[], NoReturn]:
    def tables() -> NoReturn:
        raise error

    return tables


BODY = request_body([point("2022-10-01", 1)], "token")
SAVED = Counts(created=1_200, unchanged=3)


def assert_described(answer: dict[str, Any], operation: dict[str, Any]) -> None:
    """Assert that an answer is the example of its status, with the headers that the document promises."""
    described = answers_of(operation)[str(answer["statusCode"])]
    assert json.loads(answer["body"]) == described["content"]["application/problem+json"]["example"]
    for name, header in described.get("headers", {}).items():
        assert answer["multiValueHeaders"][name] == [str(header["example"])]


@pytest.mark.parametrize(
    ("tables", "headers"),
    [
        pytest.param(None, {"Content-Type": "text/csv"}, id="415"),
        pytest.param(raising(RuntimeError()), {}, id="500"),
        pytest.param(raising(OutOfTime(SAVED)), {}, id="503"),
    ],
)
def test_what_is_written_out_is_what_the_handler_answers(
    monkeypatch: pytest.MonkeyPatch, tables: Callable[[], NoReturn] | None, headers: dict[str, str]
) -> None:
    """Word for word: no event leads to these answers."""
    if tables:
        monkeypatch.setattr(app, "tables", tables)
    event = proxy_event(BODY, 1_664_590_205_125, **({"headers": headers} if headers else {}))
    event["requestContext"]["requestId"] = openapi.REQUEST_ID
    assert_described(app.lambda_handler(event, LambdaContext()), INGEST)


@pytest.mark.parametrize("error", [pytest.param(RuntimeError(), id="500"), pytest.param(OutOfTime(), id="503")])
def test_what_is_written_out_is_what_a_read_answers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Word for word: no event leads to these answers."""
    monkeypatch.setattr(views_app, "tables", raising(error))
    event = get_event("/api/metrics", "token")
    event["requestContext"]["requestId"] = openapi.REQUEST_ID
    assert_described(views_app.lambda_handler(event, LambdaContext()), READS["/api/metrics"])


# --- routes -----------------------------------------------------------------------------------------------------------


def test_the_routes_are_those_of_the_template() -> None:
    """What is described can be asked, and what can be asked is described."""
    described = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == set(openapi.routes(template()))


def test_every_route_leads_to_its_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes come from the template; a handler knows each of them."""
    for function in (app, views_app):
        monkeypatch.setattr(function, "tables", raising(OutOfTime()))
    event = proxy_event(BODY, 0)
    assert app.lambda_handler(event, LambdaContext())["statusCode"] == 503
    assert [path for path, operations in DOCUMENT["paths"].items() if "post" in operations] == [event["path"]]
    day = {"start_date": ["2022-10-01"], "end_date": ["2022-10-01"], "granularity": ["day"]}
    metric = {"metric_name": ["a"], "metric_agg_func": ["Sum"], "numerator": ["a:Sum"], "denominator": ["a:Sum"]}
    for path, operation in READS.items():
        described = parameters_of(operation)
        parameters = {name: values for name, values in (day | metric).items() if name in described}
        in_path = {name: {"metric_agg_func": "Sum"}.get(name, "a") for name in parameters_of(operation, "path")}
        assert list(in_path) == re.findall("{([a-z_]+)}", path)
        event = get_event(path, "token", parameters=parameters, pathParameters=in_path or None)
        assert views_app.lambda_handler(event, LambdaContext())["statusCode"] == 503


def test_the_parameter_is_the_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document names each query parameter as the handler knows it, with the values that it takes."""
    monkeypatch.setattr(app, "tables", raising(OutOfTime()))
    (parameter,) = map(resolved, INGEST["parameters"])
    assert parameter["schema"]["type"] == "boolean"
    for value in ("true", "false"):
        event = proxy_event(BODY, 0, multiValueQueryStringParameters={parameter["name"]: [value]})
        assert app.lambda_handler(event, LambdaContext())["statusCode"] == 503
