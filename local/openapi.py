"""The API as an OpenAPI document: openapi.json, which `make openapi` writes anew.

It is put together from what decides: the validators of the payload, the routes and gateway responses of template.yaml,
and the answers in events/answers. Written out here is what code cannot tell: what a thing is for.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic.json_schema import GenerateJsonSchema
from samtranslator.yaml_helper import yaml_parse

from unitstream.days import Counts
from unitstream.identity import MAX_NAME, AggFunc
from unitstream.payload import ENVELOPE, MAX_BODY_BYTES, MAX_DIMENSIONS, POINTS
from unitstream.periods import Granularity
from unitstream.points import StoredPoint
from unitstream.problems import MAX_REPORTED_ERRORS
from unitstream.questions import (
    DEFAULT_LIMIT,
    DEFAULT_POINTS_LIMIT,
    INGEST_PARAMETERS,
    MAX_FILTERS,
    MAX_GROUP_BY,
    MAX_LIMIT,
    MAX_POINTS_LIMIT,
    METRICS_PARAMETERS,
    POINTS_PARAMETERS,
    SERIES_PARAMETERS,
    UNIT_METRIC_PARAMETERS,
    VIEW_PARAMETERS,
)
from unitstream.reading import MetricSummary
from unitstream.timestamps import COMPACT, DATETIME, EPOCH
from unitstream.values import LARGEST_MAGNITUDE, NUMBER
from unitstream.views import Cell, UnitCell
from unitstream_http import RETRY_AFTER_SECONDS
from views.app import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
OPENAPI = REPOSITORY / "openapi.json"
EVENTS = REPOSITORY / "events"

# The last hour of the year 9999, in milliseconds: no larger number is an hour.
_LARGEST_EPOCH = 253_402_297_200_000
_REQUEST_ID = "dbd82d69-6b12-42b4-8058-6bc4b941e434"

ERROR_CODES = {
    "json_invalid": "the body is no JSON, or not UTF-8",
    "gzip_invalid": "the body is gzip that is damaged or cut off",
    "missing": "a required field, parameter or header is not there",
    "unknown_field": "there is no such field; `detail` has the name that it resembles",
    "duplicate_key": "an object has the key more than once: one of the values would be lost",
    "wrong_type": "a string, an array or an object was expected",
    "empty": "a name, a token, a dimension's key or `data` is empty",
    "too_long": "a name, a token, a dimension's key or its value is too long",
    "not_unicode": "a parameter holds what is no text, such as bytes in the path that are not UTF-8",
    "too_many_fields": "an object has far more fields than there are",
    "too_many_points": "`data` has more points than fit into a request",
    "too_many_dimensions": f"`custom_dimensions` has more than {MAX_DIMENSIONS} keys",
    "metric_agg_func_unknown": "there is no such aggregation function",
    "timestamp_invalid": "no form that is accepted, no date and time that exists, or digits that have two readings",
    "timestamp_not_hourly": "not on the hour in UTC",
    "timestamp_out_of_range": "outside the years 1970 to 9999",
    "metric_value_invalid": "neither a number nor a string that converts to one",
    "metric_value_not_finite": "NaN, an infinity, or too large for a float",
    "metric_value_out_of_range": "of a magnitude that cannot be saved",
    "duplicate_point": "an earlier point has the same record ID and hour: one of the two values would be lost",
    "dry_run_unknown": "`dry_run` is neither `true` nor `false`",
    "unknown_parameter": "there is no such query parameter; `detail` has the name that it resembles",
    "repeated": "a parameter occurs more than once, or a key in `group_by` does",
    "date_invalid": "no day that exists, as `YYYY-MM-DD`",
    "date_out_of_range": "outside the years 1970 to 9999",
    "range_reversed": "`end_date` lies before `start_date`",
    "granularity_unknown": "there is no such granularity",
    "fill_unknown": "`fill` is not `null`",
    "metric_invalid": "a numerator or a denominator is not `name:Function`",
    "escape_invalid": "a backslash stands before something else than `\\`, `:`, `,` or `-`",
    "filter_invalid": "a filter is not `key:value[,value…]`, or has such a backslash",
    "too_many_filters": f"there are more than {MAX_FILTERS} filters",
    "too_many_keys": f"`group_by` names more than {MAX_GROUP_BY} keys",
    "limit_invalid": "`limit` is no whole number, or out of range",
    "cursor_invalid": "`cursor` is not one that an answer came with",
    "cursor_of_another_question": "`cursor` belongs to other parameters, or to another stream: ask with the same ones",
}
NOTICE_CODES = {
    "new_dimension_keys": "the metric had series, and none of them had this set of dimension keys: if the points were "
    "sent before with other dimensions, totals count them twice",
}
PROBLEMS = {
    "invalid-request": "400: `errors` says what is wrong",
    "answer-too-large": "400: no answer can hold so much, or it cannot be read in time; `detail` says what to narrow",
    "forbidden": "403: no valid API key",
    "stream-not-found": "404: the token names no stream, or a revoked one",
    "route-not-found": "404: there is no such path or method",
    "body-too-large": "413: split the request",
    "content-type-unsupported": "415: the body is not said to be JSON",
    "encoding-unsupported": "415: the body has a Content-Encoding other than gzip",
    "throttled": "429: the rate of the API key is reached",
    "quota-exceeded": "429: the quota of the API key is used up",
    "internal-error": "500: the log has more under the `request_id`",
    "out-of-time": "503: the counts say what is saved so far",
    "database-busy": "503: of a read; ask again",
}
COUNTS = {
    "received": "points in the request; the other counts add up to it",
    "created": "new points",
    "updated": "points whose stored value was another one, and was replaced",
    "unchanged": "points of which this very value was stored already",
    "superseded": "points of which a value that was received later is stored, so this one was not applied",
}


def _in_full(*patterns: re.Pattern[str]) -> str:
    """One of the patterns, of which each is used with `fullmatch`, as JSON schemas know patterns."""
    return f"^(?:{'|'.join(re.sub(r'[(](?![?]:)([?]P<[a-z_]+>)?', '(?:', one.pattern) for one in patterns)})$"


# What a function decides cannot be read from a model. Each is necessary, not sufficient: what breaks it is refused.
_FORMS: dict[str, list[dict[str, Any]]] = {
    "timestamp": [
        {
            "type": "string",
            "description": "`YYYY-MM-DD HH:MM:SS`, ISO 8601 with `T`, `Z` or an offset, `YYYY-MM-DD` (midnight), "
            "`yyyyMMddHHmmss`, or an epoch of 10 or 13 digits. No offset means UTC.",
            "pattern": _in_full(DATETIME, COMPACT, EPOCH),
        },
        {
            "type": "number",
            "description": "Epoch seconds, or milliseconds beyond 20,000,000,000. A whole number of fourteen digits is "
            "read as `yyyyMMddHHmmss`. One that has two readings, such as 2022102000, is refused.",
            "minimum": 0,
            "maximum": _LARGEST_EPOCH,
        },
    ],
    "metric_value": [
        {"type": "number", "minimum": -LARGEST_MAGNITUDE, "maximum": LARGEST_MAGNITUDE},
        {"type": "string", "pattern": _in_full(NUMBER)},
    ],
}


class _Untitled(GenerateJsonSchema):
    """JSON schemas without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # pydantic's signature
        return False


def build() -> dict[str, Any]:
    """Return the OpenAPI document."""
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    described = {("/api/streams/ingest", "post"): _ingest(template)} | _reads(template)
    paths: dict[str, dict[str, Any]] = {}
    for path, method in routes(template):
        paths.setdefault(path, {})[method] = described[path, method]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": project["name"],
            "version": project["version"],
            "summary": "Business metrics in, views and unit metrics out",
            "description": "An endpoint for business metrics in your own AWS account. A request is checked as a whole "
            "before anything is saved, and every error is reported at once. Sending a request again is always safe. "
            "It is read back as views, by period and dimension, and as unit metrics, such as cost per order.",
            "license": {"name": "Apache License 2.0", "identifier": project["license"]},
        },
        "servers": [
            {
                "url": "{base}",
                "description": "The stack's output `ApiUrl`, or a custom domain.",
                "variables": {"base": {"default": f"/{template['Resources']['Api']['Properties']['StageName']}"}},
            }
        ],
        "security": [{"api_key": []}],
        "tags": [
            {"name": "streams", "description": "Data streams, to which producers send points."},
            {"name": "reads", "description": "What a stream holds. Nothing here changes anything."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "An API key of the stack's usage plan, which limits its rate and its quota.",
                }
            },
            "parameters": {name: one for name, one in _parameters().items() if name != "limit"},
            "schemas": _schemas() | _read_schemas(),
        },
    }


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


# --- schemas ----------------------------------------------------------------------------------------------------------


def _payload_schemas() -> dict[str, Any]:
    """The schemas of what a request holds."""
    request = ENVELOPE.json_schema(schema_generator=_Untitled)
    point = POINTS.json_schema(schema_generator=_Untitled)["$defs"]["Point"]
    request["properties"]["data"]["items"] = _ref("Point")
    for name, forms in _FORMS.items():
        point["properties"][name]["anyOf"] = forms
    schemas = {"IngestRequest": request, "Point": point}
    for schema in schemas.values():
        del schema["title"]
    return schemas


def _notices() -> dict[str, Any]:
    return {
        "type": "array",
        "description": "What is allowed but looks like a mistake; absent when there is nothing to say.\n\n"
        + _listed(NOTICE_CODES),
        "items": _ref("Notice"),
        "minItems": 1,
        "maxItems": MAX_REPORTED_ERRORS,
    }


def _schemas() -> dict[str, Any]:
    counts = list(Counts._fields)
    kinds = {f"urn:unitstream:problem:{kind}": status for kind, status in PROBLEMS.items()}
    return _payload_schemas() | {
        "Counts": {
            "description": "What became of the points.",
            "type": "object",
            "properties": {name: _count(name) for name in ["received", *counts]} | {"notices": _notices()},
            "required": ["received", *counts],
            "additionalProperties": False,
        },
        "Problem": {
            "description": "An error (RFC 9457).",
            "type": "object",
            "properties": {
                "type": {
                    "type": "string",
                    "description": "The kind of problem, stable and made for programs. `about:blank` means that the "
                    "status says it all.\n\n" + _listed(kinds),
                    "enum": [*kinds, "about:blank"],
                },
                "title": {"type": "string", "description": "The kind of problem, for people."},
                "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
                "detail": {"type": "string", "description": "What happened, for people; may change."},
                "request_id": {"type": "string", "description": "Under which the log has more."},
            },
            "required": ["type", "title"],
        },
        "InvalidRequest": {
            "description": "Everything that is wrong with a request, of which nothing was saved or read.",
            "allOf": [
                _ref("Problem"),
                {
                    "type": "object",
                    "properties": {
                        "total_errors": {"type": "integer", "minimum": 1, "description": "How many errors there are."},
                        "errors": {
                            "type": "array",
                            "description": f"The first {MAX_REPORTED_ERRORS}, in the order of the document.",
                            "items": _ref("Error"),
                            "minItems": 1,
                            "maxItems": MAX_REPORTED_ERRORS,
                        },
                    },
                    "required": ["status", "detail", "total_errors", "errors"],
                },
            ],
        },
        "Error": {
            "description": "One thing that is wrong, and where: in the body (`pointer`) or in a `parameter`.",
            "type": "object",
            "properties": {
                "pointer": {
                    "type": "string",
                    "format": "json-pointer",
                    "description": "An RFC 6901 JSON pointer into the body; empty for the body as a whole.",
                },
                "parameter": {
                    "type": "string",
                    "description": "The name of a query parameter, of a part of the path, or of a header.",
                },
                "code": {
                    "type": "string",
                    "description": "Stable and made for programs.\n\n" + _listed(ERROR_CODES),
                    "enum": list(ERROR_CODES),
                },
                "detail": {"type": "string", "description": "For people; may change."},
            },
            "required": ["code", "detail"],
            "additionalProperties": False,
        },
        "Notice": {
            "description": "One thing that is allowed but looks like a mistake.",
            "type": "object",
            "properties": {
                "pointer": {
                    "type": "string",
                    "format": "json-pointer",
                    "description": "An RFC 6901 JSON pointer to the first point that it is about.",
                },
                "code": {"type": "string", "description": "Stable and made for programs. There may be others."},
                "detail": {"type": "string", "description": "For people; may change."},
            },
            "required": ["pointer", "code", "detail"],
            "additionalProperties": False,
        },
        "Refused": {
            "description": "A read with wrong parameters, or one whose answer would be too large.",
            "anyOf": [_ref("InvalidRequest"), _ref("Problem")],
        },
        "OutOfTime": {
            "description": "Time ran out; the counts say what is saved so far.",
            "allOf": [
                _ref("Problem"),
                {
                    "type": "object",
                    "properties": {name: _count(name) for name in counts},
                    "required": ["status", "detail", *counts],
                },
            ],
        },
    }


def _count(name: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "description": COUNTS[name]}


def _listed(descriptions: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {text}" for name, text in descriptions.items())


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# --- POST /api/streams/ingest -----------------------------------------------------------------------------------------


def _ingest(template: dict[str, Any]) -> dict[str, Any]:
    gateway = template["Resources"]["Api"]["Properties"]["GatewayResponses"]
    return {
        "operationId": "ingest",
        "tags": ["streams"],
        "summary": "Save data points",
        "description": "Validation comes first and covers the whole request: one invalid point means 400, and nothing "
        "is saved. Per hour of a record the value that was received last stays. The same request can be sent again "
        "without harm, which is also how to complete one that was answered with 503.",
        "parameters": [
            {
                "name": INGEST_PARAMETERS[0],
                "in": "query",
                "description": "Validate, look up and merge as ever, but write nothing: the answer is 200 with the "
                "counts that the request would get. Other query parameters are errors.",
                "schema": {"type": "boolean", "default": False},
            }
        ],
        "requestBody": {
            "description": f"JSON in UTF-8, up to {MAX_BODY_BYTES // 1024**2} MB (Lambda's limit, which counts the "
            "body as it is quoted in an event: about 5 MB as it is written). With `Content-Encoding: gzip` it may be "
            "compressed; unpacked, the same limit holds.",
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref("IngestRequest"),
                    "examples": {
                        "hour": {"summary": "Three values of an hour", "value": _body("ingest_created")},
                        "forms": {"summary": "Timestamps and values in other forms", "value": _body("ingest_mixed")},
                    },
                }
            },
        },
        "responses": _answers(gateway),
    }


def _answers(gateway: dict[str, Any]) -> dict[str, Any]:
    fault = gateway["DEFAULT_5XX"]
    return {
        "200": _counted("A dry run: what the request would do. Nothing was saved."),
        "201": _counted("Saved."),
        "400": _problem(
            "Something is wrong, and nothing was saved.",
            {
                "timestamps": ("Timestamps that are not on the hour", _answer("ingest_timestamps_not_hourly")),
                "fields": ("Misspelt and unknown fields", _answer("ingest_fields_unknown")),
                "types": ("Values of a wrong type", _answer("ingest_types_wrong")),
                "duplicates": ("The same record and hour twice", _answer("ingest_duplicate_points")),
                "many": ("Everything that is wrong, in one answer", _answer("ingest_many_errors")),
                "json": ("No JSON", _answer("ingest_json_invalid")),
                "parameter": ("A misspelt query parameter", _answer("ingest_parameters_wrong")),
            },
            schema="InvalidRequest",
        ),
        "403": _problem(
            "The API key is missing or wrong.", {"forbidden": ("No valid key", _rendered(gateway["INVALID_API_KEY"]))}
        ),
        "404": _problem(
            "The token names no stream, or one that was revoked. Nothing was saved.",
            {"stream": ("No stream", _answer("ingest_stream_not_found"))},
        ),
        "413": _problem(
            "The body is too large: split the request.",
            {"size": ("Over 6 MB", _rendered(gateway["REQUEST_TOO_LARGE"]))},
        ),
        "415": _problem(
            "The body has a Content-Encoding other than gzip, or a Content-Type that is not JSON. Nothing was saved.",
            {
                "type": ("Another Content-Type", CONTENT_TYPE_UNSUPPORTED),
                "encoding": ("Another Content-Encoding", ENCODING_UNSUPPORTED),
            },
        ),
        "429": _problem(
            "The API key's rate or quota is used up. Nothing was saved.",
            {
                "rate": ("Too many requests at once", _rendered(gateway["THROTTLED"])),
                "quota": ("The quota of the period is used up", _rendered(gateway["QUOTA_EXCEEDED"])),
            },
            retry_after=_retry_after(gateway["THROTTLED"]),
        ),
        "500": _problem(
            "Something unforeseen. Sending the request again is safe.", {"unforeseen": ("Unforeseen", INTERNAL_ERROR)}
        ),
        "502": _problem(
            "The function failed. Sending the request again is safe.",
            {"failed": ("No answer from the function", _rendered(fault, "Internal server error"))},
            retry_after=_retry_after(fault),
        ),
        "503": _problem(
            "The database was too busy. The counts say what is saved so far; the same request, sent again, completes "
            "it.",
            {"time": ("Partly saved", OUT_OF_TIME)},
            schema="OutOfTime",
            retry_after=RETRY_AFTER_SECONDS,
        ),
        "504": _problem(
            "The gateway's 29 seconds were over. Sending the request again is safe.",
            {"time": ("Too slow", _rendered(fault, "Endpoint request timed out"))},
            retry_after=_retry_after(fault),
        ),
    }


# Answers that no event leads to. The tests compare them with the handler's.
CONTENT_TYPE_UNSUPPORTED = {
    "type": "urn:unitstream:problem:content-type-unsupported",
    "title": "Content type not supported",
    "status": 415,
    "detail": "The body must be JSON, with the header Content-Type: application/json. Nothing was saved.",
}
ENCODING_UNSUPPORTED = {
    "type": "urn:unitstream:problem:encoding-unsupported",
    "title": "Encoding not supported",
    "status": 415,
    "detail": "The body must be plain JSON, or JSON in gzip with the header Content-Encoding: gzip. Nothing was saved.",
}
INTERNAL_ERROR = {
    "type": "urn:unitstream:problem:internal-error",
    "title": "Internal error",
    "status": 500,
    "detail": f"Something unforeseen happened. The log has more under the request ID {_REQUEST_ID}. "
    "The same request can safely be sent again.",
    "request_id": _REQUEST_ID,
}
DATABASE_BUSY = {
    "type": "urn:unitstream:problem:database-busy",
    "title": "The database is busy",
    "status": 503,
    "detail": "The database did not answer in time. The same request can be sent again.",
}
OUT_OF_TIME = {
    "type": "urn:unitstream:problem:out-of-time",
    "title": "Not everything was saved in time",
    "status": 503,
    "detail": "The database was too busy. The counts say what is saved so far. The same request can safely be sent "
    "again, which completes it.",
    "created": 1200,
    "updated": 0,
    "unchanged": 3,
    "superseded": 0,
}


def _counted(description: str) -> dict[str, Any]:
    """An answer that holds the counts."""
    examples = {
        "created": {"summary": "New points", "value": _answer("ingest_created")},
        "mixed": {"summary": "Every outcome", "value": _answer("ingest_mixed")},
        "notice": {"summary": "With a notice", "value": _answer("ingest_new_dimension_keys")},
    }
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref("Counts"), "examples": examples}},
    }


def _problem(
    description: str,
    examples: dict[str, tuple[str, dict[str, Any]]],
    schema: str = "Problem",
    retry_after: int | None = None,
) -> dict[str, Any]:
    """An answer that is a problem, with `examples` (summary and body) by their names."""
    shown = _shown(examples)
    answer: dict[str, Any] = {"description": description}
    if retry_after:
        answer["headers"] = {
            "Retry-After": {
                "description": "How many seconds to wait before sending the request again.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1, "examples": [retry_after]},
            }
        }
    return answer | {"content": {"application/problem+json": {"schema": _ref(schema), "examples": shown}}}


def _shown(examples: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    return {name: {"summary": summary, "value": value} for name, (summary, value) in examples.items()}


def _answer(name: str) -> Any:
    return json.loads((EVENTS / "answers" / f"{name}.json").read_text())["body"]


def _body(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.loads((EVENTS / f"{name}.json").read_text())["body"])
    return body


def _rendered(response: dict[str, Any], message: str = "") -> dict[str, Any]:
    """The body of a gateway response, its variables filled in."""
    text = response["ResponseTemplates"]["application/json"]
    text = text.replace("$context.error.messageString", json.dumps(message)).replace("$context.requestId", _REQUEST_ID)
    body: dict[str, Any] = json.loads(text)
    return body


def _retry_after(response: dict[str, Any]) -> int:
    return int(response["ResponseParameters"]["Headers"]["Retry-After"].strip("'"))


# --- reads ------------------------------------------------------------------------------------------------------------

_DATE = {"type": "string", "format": "date", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_AGG_FUNC = {"type": "string", "enum": list(get_args(AggFunc))}
_FUNCTIONS = "|".join(get_args(AggFunc))
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_VALUE = {"type": ["number", "null"]}
# In `group_by` and `filter` a backslash makes a character one of the text.
_ESCAPED = r"\\[\\:,\-]"

READ_FIELDS = {
    "metric_name": "The metric's name.",
    "metric_agg_func": "The function that aggregates the metric.",
    "dimension_keys": "The keys of the dimensions that its series have.",
    "dimension_key_sets": "The sets of keys that its series have, each series one of them. Totals count all series.",
    "first_day": "The day of its first point.",
    "last_day": "The day of its last point.",
    "record_id": "The record ID, 64 hexadecimal digits.",
    "timestamp": "The hour, in UTC.",
    "value": "The value.",
    "dimensions": "The dimensions.",
    "received_at": "When the value was received.",
    "date": "The first day of the period, or for hours the hour itself, in UTC. A week begins on Monday.",
    "points": "How many points went into the values of the current timeframe.",
    "current_timeframe_numerator": "The numerator; null without points.",
    "current_timeframe_denominator": "The denominator; null without points.",
    "current_timeframe_unit_metric": "Numerator divided by denominator; null where there is no such number.",
    "previous_timeframe_numerator": "The same of the period that this one is compared with.",
    "previous_timeframe_denominator": "The same of the period that this one is compared with.",
    "previous_timeframe_unit_metric": "The same of the period that this one is compared with.",
    "pop_diff": "Period over period: the current unit metric minus the previous one.",
    "pop_change": "That, divided by the previous unit metric: 0.1 is 10 % more.",
    "n_agg_func": "The function of the numerator.",
    "d_agg_func": "The function of the denominator.",
}
_MOMENT = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:00:00Z)?$"}
_KEYS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_COUNT = {"type": "integer", "minimum": 0}
_FIELD_TYPES: dict[str, dict[str, Any]] = {
    "metric_name": _NAME,
    "metric_agg_func": _AGG_FUNC,
    "dimension_keys": _KEYS,
    "dimension_key_sets": {"type": "array", "items": _KEYS, "uniqueItems": True},
    "first_day": _DATE,
    "last_day": _DATE,
    "record_id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "timestamp": {"type": "string", "format": "date-time"},
    "value": {"type": "number"},
    "dimensions": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": MAX_DIMENSIONS},
    "received_at": {"type": "string", "format": "date-time"},
    "date": _MOMENT,
    "points": _COUNT,
    "n_agg_func": _AGG_FUNC,
    "d_agg_func": _AGG_FUNC,
}


def _parameters() -> dict[str, Any]:
    """The parameters of reads, by name. Each schema is necessary, not sufficient."""
    key = rf"(?:[^\\,]|{_ESCAPED})+"
    described: dict[str, tuple[str, dict[str, Any]]] = {
        "metric_name": (READ_FIELDS["metric_name"], _NAME | {"examples": ["orders"]}),
        "metric_agg_func": (READ_FIELDS["metric_agg_func"], _AGG_FUNC),
        "numerator": (
            "The metric that is divided, as `name:Function`.",
            {"type": "string", "pattern": rf"^[\s\S]+:({_FUNCTIONS})$", "examples": ["costs:Sum"]},
        ),
        "denominator": (
            "The metric that it is divided by, as `name:Function`.",
            {"type": "string", "pattern": rf"^[\s\S]+:({_FUNCTIONS})$", "examples": ["orders:Sum"]},
        ),
        "start_date": ("The first day, in UTC.", _DATE | {"examples": ["2022-10-01"]}),
        "end_date": ("The last day, included.", _DATE | {"examples": ["2022-10-31"]}),
        "granularity": (
            "The length of the periods. Weeks are ISO weeks, and all periods are in UTC.",
            {"type": "string", "enum": list(get_args(Granularity)), "default": "day"},
        ),
        "group_by": (
            (
                f"Up to {MAX_GROUP_BY} keys of dimensions, separated by commas or in several parameters. Series "
                "without the key are a group of their own, whose value is null."
            ),
            {
                "type": "array",
                "items": {"type": "string", "pattern": f"^{key}(?:,{key}){{0,{MAX_GROUP_BY - 1}}}$"},
                "maxItems": MAX_GROUP_BY,
                "examples": [["region"]],
            },
        ),
        "filter": (
            (
                "`key:value[,value…]` keeps the series whose dimension has one of the values, and with `-` before it "
                "all others, also those without the key. All filters must hold. A backslash makes `:`, `,`, `\\` and a "
                "leading `-` part of the text."
            ),
            {
                "type": "array",
                "items": {"type": "string", "pattern": rf"^-?(?:[^\\:]|{_ESCAPED})+:(?:[^\\]|{_ESCAPED})*$"},
                "maxItems": MAX_FILTERS,
                "examples": [["region:eu,us", "-team:test"]],
            },
        ),
        "fill": (
            "With `null`, periods without data are part of the answer, their value null.",
            {"type": "string", "enum": ["null"]},
        ),
        "limit": ("The most that a page holds. It may hold less and still not be the last.", {"type": "integer"}),
        "cursor": (
            "Where the page begins: the `next_cursor` of the page before, with otherwise the same parameters.",
            {"type": "string", "minLength": 1},
        ),
    }
    optional = {"granularity", "group_by", "filter", "fill", "limit", "cursor"}
    found: dict[str, Any] = {
        name: {"name": name, "in": "query", "description": text, "schema": schema, "required": name not in optional}
        for name, (text, schema) in described.items()
    }
    return found | {
        "token": {
            "name": TOKEN_HEADER,
            "in": "header",
            "description": "The data stream token, which names the stream.",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
    }


def _read_schemas() -> dict[str, Any]:
    """The schemas of what is read; their members come from the code that answers."""
    cursor = {
        "type": ["string", "null"],
        "description": "What the parameter `cursor` of the next page is; null on the last page.",
    }
    metric = {name: _member(name) for name in ("metric_name", "metric_agg_func")}
    timeframe = {"start_date": _DATE, "end_date": _DATE}
    periods = {"granularity": {"type": "string", "enum": list(get_args(Granularity))}} | timeframe
    both = {"type": "object", "properties": metric, "required": list(metric), "additionalProperties": False}
    return {
        "Metric": _record("A metric of the stream.", {name: _member(name) for name in MetricSummary._fields}),
        "Series": _record("A series of a metric.", {name: _member(name) for name in ("record_id", "dimensions")}),
        "StoredPoint": _record("A point as it is stored.", {name: _member(name) for name in StoredPoint._fields}),
        "Period": _record(
            "A period, with its value; null without points, which only an answer with `fill=null` has.",
            {name: _member(name) for name in Cell._fields} | {"value": _VALUE},
        ),
        "UnitPeriod": _record(
            "A period of a unit metric. What cannot be computed is null.",
            {name: _member(name) for name in UnitCell._fields},
        ),
        "MetricsPage": _record("Metrics.", {"metrics": _array("Metric"), "next_cursor": cursor}),
        "SeriesPage": _record("Series of a metric.", metric | {"series": _array("Series"), "next_cursor": cursor}),
        "PointsPage": _record(
            "Points of a metric.", metric | timeframe | {"points": _array("StoredPoint"), "next_cursor": cursor}
        ),
        "View": _record("A metric by period and group.", metric | periods | {"series": _groups("Period")}),
        "UnitMetric": _record(
            "A unit metric by period and group, beside the timeframe of equal length just before.",
            {"numerator": both, "denominator": both}
            | periods
            | {"previous_start_date": _DATE, "previous_end_date": _DATE, "series": _groups("UnitPeriod")},
        ),
    }


def _member(name: str) -> dict[str, Any]:
    return {"description": READ_FIELDS[name]} | _FIELD_TYPES.get(name, _VALUE)


def _record(description: str, members: dict[str, Any]) -> dict[str, Any]:
    """An object that has exactly these members."""
    return {
        "description": description,
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _array(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(schema)}


def _groups(schema: str) -> dict[str, Any]:
    """Groups in the order of their values, each with its periods in the order of time."""
    dimensions = {
        "description": "The values of the dimensions in `group_by`; null for series without the key.",
        "type": "object",
        "additionalProperties": {"type": ["string", "null"]},
        "maxProperties": MAX_GROUP_BY,
    }
    group = {"dimensions": dimensions, "data": _array(schema) | {"minItems": 1}}
    return {"type": "array", "items": _record("A group.", group)}


def _reads(template: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations that read, by path and method."""
    gateway = template["Resources"]["Api"]["Properties"]["GatewayResponses"]
    page = {
        "X-Next-Cursor": {
            "description": "What the parameter `cursor` of the next page is; absent on the last page.",
            "schema": {"type": "string"},
        }
    }

    def read(
        operation: str, summary: str, description: str, parameters: Sequence[dict[str, Any]], answers: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "operationId": operation,
            "tags": ["reads"],
            "summary": summary,
            "description": description,
            "parameters": [{"$ref": "#/components/parameters/token"}, *parameters],
            "responses": answers | _read_problems(gateway),
        }

    in_path = [
        {"name": name, "in": "path", "description": READ_FIELDS[name], "required": True, "schema": schema}
        for name, schema in (("metric_name", _NAME), ("metric_agg_func", _AGG_FUNC))
    ]
    return {
        ("/api/metrics", "get"): read(
            "listMetrics",
            "The metrics of the stream",
            "By name and function, with their dimensions and days. A page.",
            _queried(METRICS_PARAMETERS),
            _found(
                "MetricsPage",
                {"page": ("A metric, and there are more", _answer("metrics_page"))},
                _answer("metrics_page_csv"),
                {"parameters": ("Wrong parameters", _answer("metrics_parameters_wrong"))},
                page,
            ),
        ),
        ("/api/metrics/{metric_name}/{metric_agg_func}/series", "get"): read(
            "listSeries",
            "The series of a metric",
            "By record ID, with their dimensions. A page. In the path a name is percent-encoded, also its slashes.",
            [*in_path, *_queried(SERIES_PARAMETERS)],
            _found(
                "SeriesPage",
                {
                    "all": ("All", _answer("metrics_series")),
                    "filtered": ("Filtered by two dimensions", _answer("metrics_series_filtered")),
                },
                _answer("metrics_series_any_name"),
                {"function": ("An unknown function", _answer("metrics_series_unknown_function"))},
                page,
            ),
        ),
        ("/api/views", "get"): read(
            "getView",
            "A metric by period and dimension",
            "All points that share name and function are aggregated by that function, by period and group: Sum adds, "
            "Average is the mean of the points, Maximum and Minimum are what they say. A sum is exact to the float.",
            _queried(VIEW_PARAMETERS),
            _found(
                "View",
                {
                    "daily": ("By day", _answer("views_daily")),
                    "grouped": ("By week and region, without some series", _answer("views_grouped")),
                    "filled": ("With days that have no points", _answer("views_filled")),
                },
                _answer("views_hourly_csv"),
                {
                    "parameters": ("Wrong parameters, all of them in one answer", _answer("views_parameters_wrong")),
                    "token": ("No token", _answer("views_token_missing")),
                    "large": ("More than an answer can hold", _answer("views_too_large")),
                },
            ),
        ),
        ("/api/unit-metrics", "get"): read(
            "getUnitMetric",
            "A metric divided by another, by period and dimension",
            "Numerator and denominator are aggregated as in a view. Each period is compared with the one a timeframe "
            "earlier: the range, shifted back by whole days, weeks, months, quarters or years until "
            "it ends before `start_date`. A zero or missing denominator makes null.",
            _queried(UNIT_METRIC_PARAMETERS),
            _found(
                "UnitMetric",
                {
                    "daily": ("By day", _answer("unit_metrics_daily")),
                    "grouped": ("By day and region", _answer("unit_metrics_grouped")),
                },
                _answer("unit_metrics_hourly_csv"),
                {"parameters": ("Wrong parameters", _answer("unit_metrics_parameters_wrong"))},
            ),
        ),
        ("/api/points", "get"): read(
            "listPoints",
            "The points of a metric",
            "As they are stored, in the order of time: by day, record ID and hour. A page.",
            _queried(POINTS_PARAMETERS, {"default": DEFAULT_POINTS_LIMIT, "maximum": MAX_POINTS_LIMIT}),
            _found(
                "PointsPage",
                {
                    "page": ("A page", _answer("points_page")),
                    "last": ("The last page", _answer("points_last_page")),
                },
                _answer("points_csv"),
                {"cursor": ("A cursor of other parameters", _answer("points_cursor_of_another_question"))},
                page,
            ),
        ),
    }


def _queried(names: Iterable[str], limit: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """The parameters of these names. `limit` differs from read to read."""
    parameters = _parameters()
    limits = {"minimum": 1} | (limit or {"default": DEFAULT_LIMIT, "maximum": MAX_LIMIT})
    own = parameters["limit"] | {"schema": parameters["limit"]["schema"] | limits}
    return [own if name == "limit" else {"$ref": f"#/components/parameters/{name}"} for name in names]


def _found(
    schema: str,
    examples: dict[str, tuple[str, Any]],
    table: str,
    wrong: dict[str, tuple[str, Any]],
    headers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The answers to a read that depend on which one it is."""
    not_kept = {"description": "Nothing may be kept.", "schema": {"type": "string", "const": "no-store"}}
    return {
        "200": {
            "description": "The answer: as a table if the header Accept names text/csv, else as JSON.",
            "headers": {"Cache-Control": not_kept} | (headers or {}),
            "content": {
                "application/json": {"schema": _ref(schema), "examples": _shown(examples)},
                "text/csv": {
                    "schema": {
                        "type": "string",
                        "description": "RFC 4180 in UTF-8, with a header. Hours are `2022-10-01 13:00:00`, null is an "
                        "empty cell, and text that a spreadsheet would take for a formula has an apostrophe before it.",
                    },
                    "examples": _shown({"table": ("A table", table)}),
                },
            },
        },
        "400": _problem(
            "Something is wrong with the parameters, or the answer would be too large.", wrong, schema="Refused"
        ),
    }


def _read_problems(gateway: dict[str, Any]) -> dict[str, Any]:
    """The answers that every read may get."""
    fault = gateway["DEFAULT_5XX"]
    return {
        "403": _problem(
            "The API key is missing or wrong.", {"forbidden": ("No valid key", _rendered(gateway["INVALID_API_KEY"]))}
        ),
        "404": _problem(
            "The token names no stream, or one that was revoked.",
            {"stream": ("No stream", _answer("views_stream_not_found"))},
        ),
        "413": _problem("The request is too large.", {"size": ("Over 6 MB", _rendered(gateway["REQUEST_TOO_LARGE"]))}),
        "429": _problem(
            "The API key's rate or quota is used up.",
            {
                "rate": ("Too many requests at once", _rendered(gateway["THROTTLED"])),
                "quota": ("The quota of the period is used up", _rendered(gateway["QUOTA_EXCEEDED"])),
            },
            retry_after=_retry_after(gateway["THROTTLED"]),
        ),
        "500": _problem("Something unforeseen.", {"unforeseen": ("Unforeseen", INTERNAL_ERROR)}),
        "502": _problem(
            "The function failed.",
            {"failed": ("No answer from the function", _rendered(fault, "Internal server error"))},
            retry_after=_retry_after(fault),
        ),
        "503": _problem(
            "The database was too busy.", {"busy": ("Busy", DATABASE_BUSY)}, retry_after=RETRY_AFTER_SECONDS
        ),
        "504": _problem(
            "The gateway's 29 seconds were over.",
            {"time": ("Too slow", _rendered(fault, "Endpoint request timed out"))},
            retry_after=_retry_after(fault),
        ),
    }


if __name__ == "__main__":
    OPENAPI.write_text(render(build()))
    print(f"{OPENAPI.name} is written")
