"""The API as an OpenAPI document: openapi.json, which `make openapi` writes anew.

local/openapi.base.yaml holds paths and prose. What code decides is filled in here: limits, patterns and words, the
models of the payload, the members of answers, the gateway's answers in template.yaml, and the examples in events/.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from samtranslator.yaml_helper import yaml_parse

import unitstream_http
from unitstream import (
    days,
    definitions,
    identity,
    metric_parameters,
    payload,
    problems,
    questions,
    saved,
    store,
    values,
)
from unitstream.aggregates import Cell
from unitstream.comparisons import Compare
from unitstream.days import Counts, Deletions
from unitstream.identity import AggFunc
from unitstream.instants import EPOCH_MILLISECONDS, ISO
from unitstream.periods import Granularity
from unitstream.points import StoredPoint
from unitstream.reading import MetricSummary
from unitstream.timestamps import COMPACT, DATETIME, EPOCH
from unitstream.views import ComparedCell, UnitCell
from unitstream_http import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
OPENAPI = REPOSITORY / "openapi.json"
BASE = REPOSITORY / "local" / "openapi.base.yaml"
EVENTS = REPOSITORY / "events"

REQUEST_ID = "dbd82d69-6b12-42b4-8058-6bc4b941e434"
_NAMED = (Cell, ComparedCell, Counts, Deletions, MetricSummary, StoredPoint, UnitCell)
_MEMBERS = {tuple_.__name__: tuple_ for tuple_ in _NAMED}


class _Untitled(GenerateJsonSchema):
    """JSON schemas without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # pydantic's signature
        return False


def build() -> dict[str, Any]:
    """Return the OpenAPI document."""
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    api = template["Resources"]["Api"]["Properties"]
    document = _read_base(api["GatewayResponses"])
    schemas, members = document["components"]["schemas"], document.pop("members")
    models = _models()
    for name, schema in schemas.items():
        match schema:
            case _Model():
                schemas[name] = _with_refinements(models[name], schema["properties"])
            case _Members():
                schemas[name] = _object_of(schema, members)
    filled: dict[str, Any] = _filled(document, _constants() | {"STAGE": api["StageName"]})
    return filled


def routes(template: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and method of each route in the template."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            for event in resource["Properties"].get("Events", {}).values():
                if event["Type"] == "Api":
                    yield event["Properties"]["Path"], event["Properties"]["Method"].lower()


def render(document: dict[str, Any]) -> str:
    """Return `document` as the file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# --- the base's tags --------------------------------------------------------------------------------------------------


class _Model(dict[str, Any]):
    """What the base says of an object that is a model of the payload."""


class _Members(dict[str, Any]):
    """What the base says of an object that has the members of a NamedTuple."""


def _read_base(gateway: dict[str, Any]) -> dict[str, Any]:
    """Return the base, with all that its tags stand for but `!model` and `!members`, which need the whole of it."""
    loader_of_base: Any = type("LoaderOfBase", (yaml.SafeLoader,), {})

    def tag(name: str, construct: Callable[[Any], Any]) -> None:
        def constructor(loader: Any, node: Any) -> Any:
            if isinstance(node, yaml.ScalarNode):
                return construct(loader.construct_scalar(node))
            if isinstance(node, yaml.SequenceNode):
                return construct(loader.construct_sequence(node))
            return construct(loader.construct_mapping(node, deep=True))

        loader_of_base.add_constructor(name, constructor)

    tag("!request", _request)
    tag("!answer", _answer)
    tag("!gateway", lambda given: _gateway_answer(gateway[given["response"]], **given))
    tag("!parameters", lambda names: [{"$ref": f"#/components/parameters/{name}"} for name in names])
    tag("!known", _known)
    tag("!model", _Model)
    tag("!members", _Members)
    base: dict[str, Any] = loader_of_base(BASE.read_text()).get_single_data()
    return base


def _request(event: str) -> Any:
    return json.loads(json.loads((EVENTS / f"{event}.json").read_text())["body"])


def _answer(event: str) -> Any:
    return json.loads((EVENTS / "answers" / f"{event}.json").read_text())["body"]


def _gateway_answer(template: dict[str, Any], *, description: str, message: str = "", **_: str) -> dict[str, Any]:
    """An answer as the gateway gives it, with its variables filled in."""
    text = template["ResponseTemplates"]["application/json"]
    text = text.replace("$context.error.messageString", json.dumps(message)).replace("$context.requestId", REQUEST_ID)
    schema = {"$ref": "#/components/schemas/Problem"}
    answer = {
        "description": description,
        "content": {"application/problem+json": {"schema": schema, "example": json.loads(text)}},
    }
    retry_after = template["ResponseParameters"]["Headers"].get("Retry-After")
    if retry_after:
        answer["headers"] = {
            "Retry-After": {
                "description": "How many seconds to wait before sending the request again.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
                "example": int(retry_after.strip("'")),
            }
        }
    return answer


def _known(given: dict[str, Any]) -> dict[str, Any]:
    """A string of which some words are known. The extension is the one that several generators and linters read."""
    listed = "\n".join(f"- `{word}`: {text}" for word, text in given["words"].items())
    return {
        "description": f"{given['description']}\n\n{listed}",
        "type": "string",
        "x-extensible-enum": list(given["words"]),
    }


# --- schemas ----------------------------------------------------------------------------------------------------------


def _models() -> dict[str, Any]:
    """The schemas of what a request holds, as pydantic knows them."""
    return {
        "IngestRequest": payload.ENVELOPE.json_schema(schema_generator=_Untitled),
        "Point": payload.POINTS.json_schema(schema_generator=_Untitled)["$defs"]["Point"],
    }


def _with_refinements(model: dict[str, Any], refined: dict[str, Any]) -> dict[str, Any]:
    """A model's schema, in which the forms of some properties are others: a function that decides has no schema."""
    properties = model["properties"]
    for name, schema in refined.items():
        prose = {key: properties[name][key] for key in ("description", "examples") if key in properties[name]}
        properties[name] = prose | schema
    return {key: value for key, value in model.items() if key != "title"}


def _object_of(given: _Members, described: dict[str, Any]) -> dict[str, Any]:
    """An object that has what `given` says, and the members of a NamedTuple."""
    hints = get_type_hints(_MEMBERS[given["of"]], localns={"AggFunc": AggFunc})
    members = {
        name: described[name] if "$ref" in described[name] else TypeAdapter(hint).json_schema() | described[name]
        for name, hint in hints.items()
    }
    required = given.get("properties", {}) | members
    return {
        "description": given["description"],
        "type": "object",
        "properties": required | given.get("optional", {}),
        "required": list(required),
    }


# --- what stands for a constant ---------------------------------------------------------------------------------------


def _constants() -> dict[str, Any]:
    """What may stand in `${…}`."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    limits = {
        name: value
        for module in (
            days,
            definitions,
            identity,
            metric_parameters,
            payload,
            problems,
            questions,
            saved,
            store,
            unitstream_http,
            values,
        )
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float)
    }
    return limits | {
        "TITLE": project["name"],
        "VERSION": project["version"],
        "LICENSE": project["license"],
        "AggFunc": get_args(AggFunc),
        "Granularity": get_args(Granularity),
        "Compare": get_args(Compare),
        "MAX_BODY_MB": problems.MAX_BODY_BYTES // 1024**2,
        "SMALLEST_VALUE": -values.LARGEST_MAGNITUDE,
        "INSTANT": _in_full(ISO, EPOCH_MILLISECONDS),
        "NUMBER": _in_full(values.NUMBER),
        "TIMESTAMP": _in_full(DATETIME, COMPACT, EPOCH),
        "TOKEN_HEADER": TOKEN_HEADER,
        "REQUEST_ID": REQUEST_ID,
    }


def _filled(node: Any, constants: dict[str, Any]) -> Any:
    """Return `node` with its constants: as they are where one stands alone, as text within a text."""
    if isinstance(node, dict):
        return {key: _filled(value, constants) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, constants) for value in node]
    if not isinstance(node, str):
        return node
    if alone := re.fullmatch(r"\$\{(\w+)\}", node):
        return constants[alone[1]]
    return re.sub(r"\$\{(\w+)\}", lambda match: _as_text(constants[match[1]]), node)


def _as_text(constant: Any) -> str:
    if isinstance(constant, int):
        return f"{constant:,}"
    return "|".join(constant) if isinstance(constant, tuple) else str(constant)


def _in_full(*patterns: re.Pattern[str]) -> str:
    """One of the patterns, of which each is used with `fullmatch`, as JSON schemas know patterns."""
    return f"^(?:{'|'.join(re.sub(r'[(](?![?]:)([?]P<[a-z_]+>)?', '(?:', one.pattern) for one in patterns)})$"


if __name__ == "__main__":
    OPENAPI.write_text(render(build()))
    print(f"{OPENAPI.name} is written")
