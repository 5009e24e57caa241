"""What is wrong with a request, in the API's codes and words: a sentence for each kind of error that pydantic knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from unitstream.identity import MAX_NAME, AggFunc
from unitstream.problems import MAX_REPORTED_ERRORS, Finding, near_miss, pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails, ValidationError

# The names in `payload.Envelope` and `payload.Point`, for the hints.
FIELDS_OF_A_REQUEST = ("data_stream_token", "metric_agg_func", "data")
FIELDS_OF_A_POINT = ("timestamp", "metric_name", "metric_value", "custom_dimensions")

# By the type of pydantic's error: our code, and the sentence, with the words of `_finding` and of pydantic's context.
# Any other type is a code of ours, with a message that goes on from the field.
SENTENCES = {
    "missing": ("missing", "{field} is required"),
    "extra_forbidden": ("unknown_field", "{name} is not a field{hint}"),
    "literal_error": ("metric_agg_func_unknown", "{field} must be one of {functions}{hint}"),
    "string_type": ("wrong_type", "{field} must be a string, not {kind}"),
    "list_type": ("wrong_type", "{field} must be an array, not {kind}"),
    "dict_type": ("wrong_type", "{field} must be an object, not {kind}"),
    "string_too_short": ("empty", "{field} must have at least 1 character"),
    "string_too_long": ("too_long", "{field} must have at most {max_length:,} characters, and has {size:,}"),
    "string_unicode": ("json_invalid", "{field} {message}"),
    "too_short": ("empty", "{field} must hold at least one point"),
    "too_long": ("too_many_points", "{field} must hold at most {max_length:,} points: split the request"),
    "too_many_fields": ("too_many_fields", "{field} has too many fields; those known here are {fields}"),
    "too_many_dimensions": (
        "too_many_dimensions",
        "{field} must hold at most {most} dimensions, and holds {size:,}",
    ),
}
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
_LONGEST_EXCERPT = 64


def findings_of(exc: ValidationError, first_index: int = 0) -> list[Finding]:
    """Translate as many of pydantic's errors as are reported. `first_index` is the index of the slice's first point."""
    reported = exc.errors(include_url=False)[:MAX_REPORTED_ERRORS]
    return [_finding(error, first_index) for error in reported]


def _finding(error: ErrorDetails, first_index: int) -> Finding:
    error_type, given = error["type"], error["input"]
    path: list[str | int] = list(error["loc"])
    # pydantic says [2, "custom_dimensions", "region", "[key]"] of a key, where the key itself may be "[key]"
    is_dimension_key = len(path) == 4
    if is_dimension_key:
        del path[-1]
    if path and isinstance(path[0], int):
        path[:1] = ["data", path[0] + first_index]
    name = "the body" if not path else "a point" if isinstance(path[-1], int) else path[-1]
    field = name if len(name) <= _LONGEST_EXCERPT else excerpt(name)
    fields = FIELDS_OF_A_POINT if path[:1] == ["data"] and len(path) > 1 else FIELDS_OF_A_REQUEST
    code, sentence = SENTENCES.get(error_type, (error_type, "{field} {message}"))
    words = {
        **error.get("ctx", {}),
        "field": "a dimension's key" if is_dimension_key else field,
        "name": excerpt(name),
        "kind": kind_of(given),
        "size": len(given) if isinstance(given, str | list | dict) else 0,
        "fields": ", ".join(fields),
        "functions": ", ".join(get_args(AggFunc)),
        "hint": _hint(error_type, name, given, fields),
        "message": error["msg"],
    }
    if len(name) > MAX_NAME:
        del path[-1]  # an unknown key may be megabytes long
    return Finding(code, sentence.format_map(words), pointer(*path))


def _hint(error_type: str, name: str, given: object, fields: Sequence[str]) -> str:
    """What was most likely meant by a name that is not known."""
    if error_type == "extra_forbidden":
        close = near_miss(name, fields)
        return f": did you mean {close}?" if close else f"; the fields here are {', '.join(fields)}"
    if error_type == "literal_error" and isinstance(given, str):
        close = near_miss(given, get_args(AggFunc), cutoff=0.5)
        return f": did you mean {close}?" if close else ""
    return ""


def excerpt(value: object) -> str:
    """Return the beginning of `value`, as a message shows it."""
    text = repr(value[: _LONGEST_EXCERPT + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_EXCERPT else f"{text[:_LONGEST_EXCERPT]}…"


def kind_of(value: object) -> str:
    """Return what JSON calls a value like this one."""
    return _KINDS.get(type(value), "a number")
