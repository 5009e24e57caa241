"""openapi.json: it is what `make openapi` writes, it is valid, and it says what the code does."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema_rs
import openapi
import openapi_spec_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import REPOSITORY, LambdaContext, point, proxy_event, request_body

import app
from unitstream.days import Counts
from unitstream.payload import MAX_POINTS, parse
from unitstream.problems import InvalidPayload, OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT = json.loads(openapi.OPENAPI.read_text())
INGEST = DOCUMENT["paths"]["/api/streams/ingest"]["post"]
ANSWERS = {path.stem: json.loads(path.read_text()) for path in sorted((openapi.EVENTS / "answers").glob("*.json"))}
SOURCES = [*REPOSITORY.glob("layers/common/unitstream/*.py"), *REPOSITORY.glob("functions/*/*.py")]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator of a schema that refers to the document's components."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


REQUESTS = validator(INGEST["requestBody"]["content"]["application/json"]["schema"])


def errors_of_answer(status: int, body: Any) -> list[str]:
    """Return what is wrong with `body` as the answer with `status`."""
    (media_type,) = INGEST["responses"][str(status)]["content"].values()
    return [error.message for error in validator(media_type["schema"]).iter_errors(body)]


def calls(names: set[str]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the calls of these names in the sources, each with the arguments that are written out."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield node.func.id, [one.value if isinstance(one, ast.Constant) else None for one in node.args]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_up_to_date() -> None:
    """Who changes the contract runs `make openapi`, and sees in the difference what clients will see."""
    assert openapi.OPENAPI.read_text() == openapi.render(openapi.build()), "run `make openapi`"


def test_it_is_an_openapi_document() -> None:
    """Tools that read OpenAPI 3.1 can read it."""
    openapi_spec_validator.validate(DOCUMENT)


def examples(node: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each schema below `node` that has examples, with each of them."""
    if isinstance(node, dict):
        shown = node.get("examples", [])
        if isinstance(shown, dict):
            yield from ((node["schema"], example["value"]) for example in shown.values())
        else:
            yield from ((node, example) for example in shown)
        for member in node.values():
            yield from examples(member)
    elif isinstance(node, list):
        for member in node:
            yield from examples(member)


def test_every_example_is_valid() -> None:
    """What is shown is what is meant: each example fits the schema that it stands beside."""
    found = list(examples({"paths": DOCUMENT["paths"], "components": DOCUMENT["components"]}))
    assert len(found) > 20
    wrong = [example for schema, example in found if not validator(schema).is_valid(example)]
    assert not wrong


def test_every_answer_and_the_request_have_an_example() -> None:
    """A reader need not imagine any of them."""
    described = [*INGEST["responses"].values(), INGEST["requestBody"]]
    assert all(media_type["examples"] for one in described for media_type in one["content"].values())


# --- requests ---------------------------------------------------------------------------------------------------------


def moments() -> st.SearchStrategy[datetime]:
    hours = st.integers(0, 24 * 365 * 500)
    return hours.map(lambda number: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=number))


def forms(moment: datetime) -> st.SearchStrategy[object]:
    """The forms in which a producer may write `moment`, and some that are not accepted."""
    seconds = int(moment.timestamp())
    local = moment.astimezone(timezone(timedelta(minutes=(seconds // 3_600 % 95 - 47) * 15)))
    texts = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M:%S.000 +00", "%Y-%m-%d", "%Y%m%d%H%M%S", "%c"]
    return st.sampled_from([*map(moment.strftime, texts), local.isoformat(), seconds, seconds * 1_000, seconds + 0.0])


floats = st.floats(-9.99e125, 9.99e125)
texts = st.text(min_size=1, max_size=260)
points = st.builds(
    point,
    moments().flatmap(forms),
    floats | st.integers() | floats.map(str) | st.text(st.characters(categories=["Nd", "Zs"]), min_size=1),
    texts,
    st.none() | st.dictionaries(texts, texts, max_size=11),
)


@given(points, st.sampled_from(["Sum", "Average", "Maximum", "Minimum", "sum"]))
def test_whatever_is_accepted_fits_the_schema(one: dict[str, Any], agg_func: str) -> None:
    """A client that validates by the schema refuses nothing that the API would take."""
    body = request_body([one], "token", agg_func)
    try:
        parse(body.encode())
    except InvalidPayload:
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


@pytest.mark.parametrize("name", ANSWERS)
def test_a_request_of_the_events_fits_the_schema_if_it_is_accepted(name: str) -> None:
    """And only then, as far as a schema can tell."""
    event = json.loads((openapi.EVENTS / f"{name}.json").read_text())
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


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_to_the_events_are_described(name: str) -> None:
    """Each answer of events/answers has the status, the content type and the members that the document says."""
    answer = ANSWERS[name]
    assert not errors_of_answer(answer["statusCode"], answer["body"])
    assert [answer["headers"]["Content-Type"]] == list(INGEST["responses"][str(answer["statusCode"])]["content"])


def test_every_status_is_described() -> None:
    """Those that the handler and the gateway answer with, and what the README tells of, are those of the document."""
    described = set(INGEST["responses"])
    readme = REPOSITORY.joinpath("README.md").read_text()
    assert set(re.findall(r"^\| `(\d{3})` \|", readme, re.MULTILINE)) == described
    handled = set(re.findall(r"HTTPStatus\.([A-Z_]+)", REPOSITORY.joinpath("functions/ingest/app.py").read_text()))
    assert {str(HTTPStatus[name].value) for name in handled} <= described
    gateway = re.findall(r"^ +StatusCode: (\d+)$", REPOSITORY.joinpath("template.yaml").read_text(), re.MULTILINE)
    assert set(gateway) <= described


def test_every_kind_of_problem_is_described() -> None:
    """The kinds in the code and in the template are those of the document, no more and no fewer."""
    kinds = {arguments[1] for _, arguments in calls({"problem"})}
    template = REPOSITORY.joinpath("template.yaml").read_text()
    assert kinds | set(re.findall(r'"urn:unitstream:problem:([a-z-]+)"', template)) == openapi.PROBLEMS.keys()


def test_every_code_is_described() -> None:
    """The codes in the code, in the document and in the README are the same."""
    codes: set[Any] = {
        arguments[{"FieldError": 1}.get(name, 0)] for name, arguments in calls({"FieldError", "PydanticCustomError"})
    }
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            # the table of pydantic's codes and ours
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_CODES":
                codes |= set(ast.literal_eval(node.value).values())
            # where pydantic has one code for several cases
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"code, detail", "(code, detail)"}:
                assert isinstance(node.value, ast.Tuple)
                codes.add(ast.literal_eval(node.value.elts[0]))
            # where an error is no FieldError
            if isinstance(node, ast.Dict):
                keys = [ast.unparse(key) for key in node.keys if key]
                codes |= {
                    value.value
                    for key, value in zip(keys, node.values, strict=False)
                    if key == "'code'" and isinstance(value, ast.Constant)
                }
    # where a code is passed on
    codes.discard(None)
    assert codes == openapi.ERROR_CODES.keys()

    table = REPOSITORY.joinpath("README.md").read_text().partition("| code | |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)} == codes


def raising(error: Exception) -> Callable[[], NoReturn]:
    def tables() -> NoReturn:
        raise error

    return tables


BODY = request_body([point("2022-10-01", 1)], "token")
SAVED = Counts(created=1_200, unchanged=3)


@pytest.mark.parametrize(
    ("example", "tables", "changes"),
    [
        pytest.param(
            openapi.PARAMETER_INVALID, None, {"multiValueQueryStringParameters": {"dryrun": ["true"]}}, id="400"
        ),
        pytest.param(openapi.CONTENT_TYPE_UNSUPPORTED, None, {"headers": {"Content-Type": "text/csv"}}, id="415 type"),
        pytest.param(openapi.ENCODING_UNSUPPORTED, None, {"headers": {"Content-Encoding": "gzip"}}, id="415 encoding"),
        pytest.param(openapi.INTERNAL_ERROR, raising(RuntimeError()), {}, id="500"),
        pytest.param(openapi.OUT_OF_TIME, raising(OutOfTime(SAVED)), {}, id="503"),
    ],
)
def test_what_is_written_out_is_what_the_handler_answers(
    monkeypatch: pytest.MonkeyPatch, example: dict[str, Any], tables: Callable[[], NoReturn] | None, changes: Any
) -> None:
    """Word for word, with the headers that the document promises."""
    if tables:
        monkeypatch.setattr(app, "tables", tables)
    event = proxy_event(BODY, 0, **changes)
    event["requestContext"]["requestId"] = openapi.INTERNAL_ERROR["request_id"]
    answer = app.lambda_handler(event, LambdaContext())
    assert json.loads(answer["body"]) == example
    described = INGEST["responses"][str(answer["statusCode"])]
    for name, header in described.get("headers", {}).items():
        (value,) = answer["multiValueHeaders"][name]
        assert [int(value)] == header["schema"]["examples"]


# --- routes -----------------------------------------------------------------------------------------------------------


def test_every_route_leads_to_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes come from the template; a handler knows each of them."""
    monkeypatch.setattr(app, "tables", raising(OutOfTime()))
    for path, operations in DOCUMENT["paths"].items():
        for method in operations:
            event = proxy_event(BODY, 0, path=path, httpMethod=method.upper())
            assert app.lambda_handler(event, LambdaContext())["statusCode"] == 503


def test_the_parameter_is_the_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document names each query parameter as the handler knows it, with the values that it takes."""
    monkeypatch.setattr(app, "tables", raising(OutOfTime()))
    (parameter,) = INGEST["parameters"]
    assert parameter["schema"]["type"] == "boolean"
    for value in ("true", "false"):
        event = proxy_event(BODY, 0, multiValueQueryStringParameters={parameter["name"]: [value]})
        assert app.lambda_handler(event, LambdaContext())["statusCode"] == 503
