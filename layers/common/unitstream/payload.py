"""The body of `POST /api/streams/ingest`: what is allowed in it, and what is wrong with it.

`parse` turns a body into an `Ingest`, which holds the points by series and day, as the Metrics table keeps them, or
raises `InvalidPayload` with everything that is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, get_args

from pydantic_core import PydanticCustomError, SchemaValidator, ValidationError, core_schema, from_json

from unitstream.identity import MAX_DIMENSION_VALUE, MAX_NAME, AggFunc, record_id
from unitstream.json_keys import repeated_keys
from unitstream.problems import MAX_REPORTED_ERRORS, FieldError, InvalidPayload, near_miss, pointer
from unitstream.timestamps import Hour, parse_hour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic_core import ErrorDetails

# Lambda takes events of 6 MB.
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_POINTS = MAX_BODY_BYTES // len('{"timestamp":0,"metric_name":"a","metric_value":0},')
MAX_DIMENSIONS = 10
# Of any object. More than there are, so that a few wrong ones are reported one by one.
MAX_FIELDS = 20
# What DynamoDB's numbers hold.
SMALLEST_MAGNITUDE = 1e-130
LARGEST_MAGNITUDE = 9.99e125

# Points are validated in slices, so that neither millions of errors nor all the validated points are in memory at once.
_SLICE = 1_000
_SHOWN_CHARACTERS = 64


def parse_value(value: object) -> float:
    """Return the finite float that `value`, a number or a string, converts to.

    Raises `PydanticCustomError` with the code `metric_value_invalid`, `metric_value_not_finite` or
    `metric_value_out_of_range` (magnitudes that DynamoDB cannot hold).
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("metric_value_invalid", "is neither a number nor a string that converts to one")
    try:
        number = float(value)
    except ValueError as exc:
        raise PydanticCustomError(
            "metric_value_invalid", "{shown} does not convert to a float", {"shown": _show(value)}
        ) from exc
    except OverflowError as exc:
        raise _out_of_range(value) from exc
    if not math.isfinite(number):
        raise PydanticCustomError("metric_value_not_finite", "is not a finite number, or too large for a float")
    magnitude = abs(number)
    if not SMALLEST_MAGNITUDE <= magnitude <= LARGEST_MAGNITUDE and (magnitude or _underflows(value)):
        raise _out_of_range(value)
    return number


def _underflows(value: object) -> bool:
    """Whether `value`, which converts to zero, is the text of a number that is not zero."""
    return isinstance(value, str) and any(digit in value.lower().partition("e")[0] for digit in "123456789")


def _out_of_range(value: object) -> PydanticCustomError:
    return PydanticCustomError(
        "metric_value_out_of_range",
        "{shown} is outside what can be saved: zero, and magnitudes from 1e-130 to 9.99e125",
        {"shown": _show(value)},
    )


class Point(TypedDict):
    """One data point, validated."""

    timestamp: Hour
    metric_name: str
    metric_value: float
    custom_dimensions: NotRequired[dict[str, str] | None]


class Envelope(TypedDict):
    """The request around its points, which are validated by themselves."""

    data_stream_token: str
    metric_agg_func: AggFunc
    data: list[Any]


# What pydantic would build of models is written down here, because building them costs a fifth of a cold start:
# docs/decisions/2026-11-23-validators-without-models.md
_name = core_schema.str_schema(strict=True, min_length=1, max_length=MAX_NAME)


def _at_most(members: int, error: PydanticCustomError) -> Callable[[Any], Any]:
    """Refuse an object with more members before each of them becomes an error of its own: there may be a million."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > members:
            raise error
        return value

    return check


def _object(fields: dict[str, core_schema.TypedDictField]) -> core_schema.CoreSchema:
    names = ", ".join(fields)
    too_many = PydanticCustomError(
        "too_many_fields", "has too many fields; those known here are {names}", {"names": names}
    )
    return core_schema.no_info_before_validator_function(
        _at_most(MAX_FIELDS, too_many), core_schema.typed_dict_schema(fields, extra_behavior="forbid")
    )


POINT_FIELDS = {
    "timestamp": core_schema.typed_dict_field(core_schema.no_info_plain_validator_function(parse_hour)),
    "metric_name": core_schema.typed_dict_field(_name),
    "metric_value": core_schema.typed_dict_field(core_schema.no_info_plain_validator_function(parse_value)),
    "custom_dimensions": core_schema.typed_dict_field(
        core_schema.nullable_schema(
            core_schema.no_info_before_validator_function(
                _at_most(MAX_DIMENSIONS, PydanticCustomError("too_many_dimensions", "holds more than 10 dimensions")),
                core_schema.dict_schema(_name, core_schema.str_schema(strict=True, max_length=MAX_DIMENSION_VALUE)),
            )
        ),
        required=False,
    ),
}
ENVELOPE_FIELDS = {
    "data_stream_token": core_schema.typed_dict_field(_name),
    "metric_agg_func": core_schema.typed_dict_field(core_schema.literal_schema(list(get_args(AggFunc)))),
    "data": core_schema.typed_dict_field(core_schema.list_schema(min_length=1, max_length=MAX_POINTS)),
}
points_validator = SchemaValidator(core_schema.list_schema(_object(POINT_FIELDS)))
_envelope = SchemaValidator(_object(ENVELOPE_FIELDS))


@dataclass(slots=True)
class Series:
    """The points of one record ID in a request."""

    record_id: str
    metric_name: str
    dimensions: dict[str, str]
    days: dict[str, dict[int, float]] = field(default_factory=dict)  # day -> hour -> value


@dataclass(frozen=True, slots=True)
class Ingest:
    """A valid request: `received` points in `series`."""

    data_stream_token: str
    metric_agg_func: AggFunc
    series: Sequence[Series]
    received: int


def parse(body: bytes) -> Ingest:
    """Return the request in `body`, JSON text in UTF-8.

    Raises `InvalidPayload` with every error there is, in the order of the document.
    """
    try:
        text = body.decode()
        # Not `model_validate_json`: docs/decisions/2026-11-23-points-are-validated-in-slices.md
        document = from_json(text)
    except UnicodeDecodeError as exc:
        raise invalid_body(f"is not valid UTF-8 at byte {exc.start:,}") from exc
    except ValueError as exc:
        raise invalid_body(f"is not valid JSON: {exc}") from exc

    errors: list[FieldError] = []
    total = 0
    envelope: Envelope | None = None
    try:
        envelope = _envelope.validate_python(document)
    except ValidationError as exc:
        total = exc.error_count()
        errors = field_errors(exc)
    data = envelope["data"] if envelope else _points_anyway(document)
    agg_func: AggFunc = envelope["metric_agg_func"] if envelope else "Sum"

    series: dict[object, Series] = {}
    repeated = False
    for start in range(0, len(data), _SLICE):
        try:
            points = points_validator.validate_python(data[start : start + _SLICE])
        except ValidationError as exc:
            total += exc.error_count()
            if len(errors) < MAX_REPORTED_ERRORS:
                errors += field_errors(exc, start)
            continue
        repeated |= _group(points, agg_func, series)

    if repeated or total:
        duplicates, found = _first(_duplicates(data))
        total += found
        errors += duplicates
    # Not in a flood: looking takes memory for each key.
    if not any(error.code.startswith("too_many_") for error in errors) and (
        total or not _keys_are_unique(text, document)
    ):
        repetitions, found = _first(repeated_keys(text))
        total += found
        errors += repetitions
    if errors or envelope is None:
        raise InvalidPayload(sorted(errors, key=_position), total)
    return Ingest(envelope["data_stream_token"], agg_func, list(series.values()), len(data))


def _keys_are_unique(text: str, document: dict[str, Any]) -> bool:
    """Whether no object in `text`, a valid request that was parsed to `document`, has a key twice.

    Parsing keeps the last of them and says nothing. Each string of a JSON text, key or value, has two quotation marks,
    and those of a key that was dropped are missing from `document`. A mark may be escaped, so with a backslash: False.
    """
    if "\\" in text:
        return False
    strings = len(document) + len(("data_stream_token", "metric_agg_func"))
    for point in document["data"]:
        strings += len(point) + 1 + isinstance(point["timestamp"], str) + isinstance(point["metric_value"], str)
        if dimensions := point.get("custom_dimensions"):
            strings += 2 * len(dimensions)
    return text.count('"') == 2 * strings


def _first(found: Iterator[FieldError]) -> tuple[list[FieldError], int]:
    """Return as many of the errors as are reported, and how many there are."""
    reported = list(islice(found, MAX_REPORTED_ERRORS))
    return reported, len(reported) + sum(1 for _ in found)


def invalid_body(reason: str) -> InvalidPayload:
    """Return the error of a body that cannot be read at all."""
    return InvalidPayload([FieldError("", "json_invalid", f"the body {reason}")], 1)


def _group(points: list[Point], agg_func: AggFunc, series: dict[object, Series]) -> bool:
    """Add `points` to `series`, by metric and dimensions. Returns whether two points have the same record and hour."""
    repeated = False
    for point in points:
        name, dimensions = point["metric_name"], point.get("custom_dimensions")
        key = (name, frozenset(dimensions.items())) if dimensions else name
        one = series.get(key)
        if one is None:
            dimensions = dimensions or {}
            one = series[key] = Series(record_id(name, agg_func, dimensions), name, dimensions)
        day, hour = point["timestamp"]
        hours = one.days.get(day)
        if hours is None:
            one.days[day] = {hour: point["metric_value"]}
        elif hour in hours:
            repeated = True
        else:
            hours[hour] = point["metric_value"]
    return repeated


def _points_anyway(document: object) -> list[Any]:
    """The points of a request whose envelope is wrong: their errors are reported in the same answer."""
    data = document.get("data") if isinstance(document, dict) else None
    return data if isinstance(data, list) and len(data) <= MAX_POINTS else []


def _duplicates(data: list[Any]) -> Iterator[FieldError]:
    """The valid points that have the record and hour of an earlier one."""
    first: dict[object, int] = {}
    for index, raw in enumerate(data):
        try:
            (point,) = points_validator.validate_python([raw])
        except ValidationError:
            continue
        dimensions = point.get("custom_dimensions") or {}
        key = (point["metric_name"], frozenset(dimensions.items()), point["timestamp"])
        earlier = first.setdefault(key, index)
        if earlier != index:
            yield FieldError(
                pointer("data", index),
                "duplicate_point",
                f"has the metric, the dimensions and the hour of {pointer('data', earlier)}: "
                "one of the two values would be lost, so send one",
            )


def _position(error: FieldError) -> tuple[int, int]:
    """Where an error stands: the envelope's first, then those of the points in their order."""
    steps = error.pointer.split("/")
    return (1, int(steps[2])) if len(steps) > 2 and steps[1] == "data" else (0, 0)


_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "literal_error": "metric_agg_func_unknown",
    "string_too_short": "empty",
    "string_too_long": "too_long",
    "string_unicode": "json_invalid",
}


def field_errors(exc: ValidationError, first_index: int = 0) -> list[FieldError]:
    """Translate as many of pydantic's errors as are reported. `first_index` is the index of the slice's first point."""
    reported = exc.errors(include_url=False)[:MAX_REPORTED_ERRORS]
    return [_field_error(error, first_index) for error in reported]


def _field_error(error: ErrorDetails, first_index: int) -> FieldError:  # noqa: C901, PLR0912  # a case per kind
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    path: list[str | int] = list(error["loc"])
    # pydantic says [2, "custom_dimensions", "region", "[key]"] of a key, where the key itself may be "[key]"
    is_dimension_key = len(path) == 4
    if path and isinstance(path[0], int):
        path = ["data", path[0] + first_index, *path[1:]]
    if is_dimension_key:
        del path[-1]
    field_name = "the body" if not path else "a point" if isinstance(path[-1], int) else path[-1]
    code = _CODES.get(kind, kind)
    match kind:
        case "missing":
            detail = f"{field_name} is required"
        case "extra_forbidden":
            detail = _unknown_field(field_name, in_point=path[0] == "data" and len(path) > 1)
        case "literal_error":
            detail = _unknown_agg_func(given)
        case "string_type":
            code, detail = "wrong_type", f"{_named(field_name)} must be a string, not {_kind(given)}"
        case "list_type":
            code, detail = "wrong_type", f"{_named(field_name)} must be an array, not {_kind(given)}"
        case "dict_type":
            code, detail = "wrong_type", f"{_named(field_name)} must be an object, not {_kind(given)}"
        case "string_too_short":
            what = "a dimension's key" if is_dimension_key else field_name
            detail = f"{what} must have at least 1 character"
        case "string_too_long":
            what = "a dimension's key" if is_dimension_key else _named(field_name)
            detail = f"{what} must have at most {context['max_length']:,} characters, and has {len(given):,}"
        case "too_short":
            code, detail = "empty", "data must hold at least one point"
        case "too_long":
            code, detail = "too_many_points", f"data must hold at most {MAX_POINTS:,} points: split the request"
        case "too_many_dimensions":
            detail = f"{field_name} must hold at most {MAX_DIMENSIONS} dimensions, and holds {len(given):,}"
        case _:
            detail = f"{_named(field_name)} {error['msg']}"
    if path and len(field_name) > MAX_NAME:
        del path[-1]  # an unknown key may be megabytes long
    return FieldError(pointer(*path), code, detail)


def _unknown_field(name: str, *, in_point: bool) -> str:
    known = list(POINT_FIELDS if in_point else ENVELOPE_FIELDS)
    close = near_miss(name, known)
    hint = f": did you mean {close}?" if close else f"; the fields here are {', '.join(known)}"
    return f"{_show(name)} is not a field{hint}"


def _unknown_agg_func(given: object) -> str:
    known = get_args(AggFunc)
    close = near_miss(given, known, cutoff=0.5) if isinstance(given, str) else ""
    hint = f": did you mean {close}?" if close else ""
    return f"metric_agg_func must be one of {', '.join(known)}{hint}"


def _named(field_name: str) -> str:
    """A field's name as a message shows it; a dimension's may be long."""
    return field_name if len(field_name) <= _SHOWN_CHARACTERS else _show(field_name)


def _show(value: object) -> str:
    text = repr(value[: _SHOWN_CHARACTERS + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
