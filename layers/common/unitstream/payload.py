"""The body of `POST /api/streams/ingest`: what a request may hold, and `parse`.

`parse` turns a body into an `Ingest`, which holds the points by series and day, as the Metrics table keeps them, or
raises `InvalidRequest` with everything that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic needs this one below Python 3.12

from unitstream import json_numbers
from unitstream.faults import findings_of
from unitstream.identity import MAX_DIMENSION_VALUE, MAX_DIMENSIONS, MAX_NAME, AggFunc, Metric, Series, record_id
from unitstream.json_keys import keys_are_unique, repeated_keys
from unitstream.problems import (
    MAX_BODY_BYTES,
    MAX_REPORTED_ERRORS,
    Finding,
    InvalidRequest,
    invalid_body,
    pointer,
)
from unitstream.timestamps import Hour, parse_hour
from unitstream.values import parse_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

MAX_POINTS = MAX_BODY_BYTES // len('{"timestamp":0,"metric_name":"a","metric_value":0},')
# Of any object. More than there are, so that a few wrong ones are reported one by one.
MAX_FIELDS = 20

# Points are validated in slices, so that neither millions of errors nor all the validated points are in memory at once.
_SLICE = 1_000


def _at_most(members: int, code: str) -> BeforeValidator:
    """Refuse an object with more members before each of them becomes an error of its own: there may be a million."""
    error = PydanticCustomError(code, "has more than {most} members", {"most": members})

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > members:
            raise error
        return value

    return BeforeValidator(check)


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
DimensionValue = Annotated[str, Field(max_length=MAX_DIMENSION_VALUE)]
_EXACTLY = ConfigDict(extra="forbid", strict=True)


@with_config(_EXACTLY)
class Point(TypedDict):
    """A value for an hour, which replaces the one of a stored point with the same record ID and hour."""

    timestamp: Annotated[
        Hour,
        PlainValidator(parse_hour),
        Field(
            description="An hour of the years 1970 to 9999. What is not on the hour in UTC is refused.",
            examples=["2022-10-01 00:00:00", "2022-10-01T02:00:00+02:00", "2022-10-01", "20221001000000", 1664582400],
        ),
    ]
    metric_name: Annotated[
        Name,
        Field(description="Points with the same name, aggregation function and dimensions have the same record ID."),
    ]
    metric_value: Annotated[
        float,
        PlainValidator(parse_value),
        Field(
            description="A number, or a string that converts to one; zero, or of a magnitude from 1e-130 to 9.99e125.",
            examples=[12, -0.5, "448.5", "1e3"],
        ),
    ]
    custom_dimensions: NotRequired[
        Annotated[
            Annotated[
                dict[Name, DimensionValue],
                Field(max_length=MAX_DIMENSIONS),
                _at_most(MAX_DIMENSIONS, "too_many_dimensions"),
            ]
            | None,
            Field(
                description="By what the data can be segmented later. Absent, `{}` and `null` are the same; the order "
                "of the keys does not matter, their exact text does."
            ),
        ]
    ]


@with_config(_EXACTLY)
class Envelope(TypedDict):
    """Points of one aggregation function, for one stream."""

    data_stream_token: Annotated[Name, Field(description="Names the stream.")]
    metric_agg_func: Annotated[AggFunc, Field(description="The aggregation function, for the whole request.")]
    data: Annotated[
        list[Any],  # of points, which are validated by themselves
        Field(
            min_length=1,
            max_length=MAX_POINTS,
            description="The points. The same record ID and hour twice in one request is an error.",
        ),
    ]


POINTS = TypeAdapter(list[Annotated[Point, _at_most(MAX_FIELDS, "too_many_fields")]])
ENVELOPE: TypeAdapter[Envelope] = TypeAdapter(Annotated[Envelope, _at_most(MAX_FIELDS, "too_many_fields")])


@dataclass(slots=True)
class SeriesPoints:
    """The points of one series in a request; the first of them stands at `index` in `data`."""

    series: Series
    index: int
    days: dict[str, dict[int, float]]  # day -> hour -> value


@dataclass(frozen=True, slots=True)
class Ingest:
    """A valid request: `received` points in `series`."""

    data_stream_token: str
    metric_agg_func: AggFunc
    series: Sequence[SeriesPoints]
    received: int


@dataclass(slots=True)
class _Errors:
    """What is wrong with a request: how many errors there are, and at least those that are reported."""

    total: int = 0
    kept: list[Finding] = field(default_factory=list)

    def add(self, findings: Iterator[Finding]) -> None:
        """Add errors that are found one by one, however many these are."""
        reported = list(islice(findings, MAX_REPORTED_ERRORS))
        self.kept += reported
        self.total += len(reported) + sum(1 for _ in findings)

    def add_invalid(self, exc: ValidationError, first_index: int = 0) -> None:
        """Add pydantic's errors. `first_index` is the index of the slice's first point."""
        self.total += exc.error_count()
        if len(self.kept) < MAX_REPORTED_ERRORS:
            self.kept += findings_of(exc, first_index)

    @property
    def any_flood(self) -> bool:
        return any(error.code.startswith("too_many_") for error in self.kept)


def parse(body: bytes) -> Ingest:
    """Return the request in `body`, JSON text in UTF-8.

    Raises `InvalidRequest` with every error there is, in the order of the document.
    """
    text, document = _read(body)
    errors = _Errors()
    envelope: Envelope | None = None
    try:
        envelope = ENVELOPE.validate_python(document)
    except ValidationError as exc:
        errors.add_invalid(exc)
    data = envelope["data"] if envelope else _points_anyway(document)
    agg_func: AggFunc = envelope["metric_agg_func"] if envelope else "Sum"
    series, repeated = _by_series(data, agg_func, errors)
    if repeated or errors.total:
        errors.add(_duplicates(data))
    # Not in a flood: looking takes memory for each key.
    if not errors.any_flood and (errors.total or not keys_are_unique(text, document)):
        errors.add(repeated_keys(text))
    if errors.total or envelope is None:
        raise InvalidRequest(sorted(errors.kept, key=_position), errors.total)
    return Ingest(envelope["data_stream_token"], agg_func, series, len(data))


def indexes_of(body: bytes, agg_func: AggFunc, points: Collection[tuple[str, Hour]]) -> dict[tuple[str, Hour], int]:
    """Return where `points`, given by record ID and hour, stand in the `data` of a valid request.

    It looks through the body once more: few requests ask, and so it costs the others nothing.
    """
    _, document = _read(body)
    data, hours = document["data"], {hour for _, hour in points}
    found: dict[tuple[str, Hour], int] = {}
    for start in range(0, len(data), _SLICE):
        for index, point in enumerate(POINTS.validate_python(data[start : start + _SLICE]), start):
            if point["timestamp"] in hours:
                dimensions = point.get("custom_dimensions") or {}
                found[record_id(point["metric_name"], agg_func, dimensions), point["timestamp"]] = index
    return found


def _read(body: bytes) -> tuple[str, Any]:
    """The body's text, and the document in it."""
    try:
        text = body.decode().removeprefix("\N{BYTE ORDER MARK}")
        # Not `validate_json`: docs/decisions/2026-11-23-points-are-validated-in-slices.md
        return text, json_numbers.load(text)
    except UnicodeDecodeError as exc:
        raise invalid_body(f"is not valid UTF-8 at byte {exc.start:,}") from exc
    except ValueError as exc:
        raise invalid_body(f"is not valid JSON: {exc}") from exc


def _by_series(data: list[Any], agg_func: AggFunc, errors: _Errors) -> tuple[list[SeriesPoints], bool]:
    """Return the valid points by series, and whether two of them are of the same series and hour."""
    series: dict[object, SeriesPoints] = {}
    repeated = False
    for start in range(0, len(data), _SLICE):
        try:
            points = POINTS.validate_python(data[start : start + _SLICE])
        except ValidationError as exc:
            errors.add_invalid(exc, start)
        else:
            repeated |= _group(points, start, agg_func, series)
    return list(series.values()), repeated


def _group(points: Iterable[Point], start: int, agg_func: AggFunc, series: dict[object, SeriesPoints]) -> bool:
    """Add `points`, of which the first stands at `start`, to `series`. Returns whether one is there twice."""
    repeated = False
    metric: Metric | None = None
    for index, point in enumerate(points, start):
        name, dimensions = point["metric_name"], point.get("custom_dimensions")
        day, hour = point["timestamp"]
        key = (name, frozenset(dimensions.items())) if dimensions else name
        known = series.get(key)
        if known is None:
            dimensions = dimensions or {}
            if metric is None or metric.metric_name != name:
                metric = Metric(name, agg_func)
            identity = Series(record_id(name, agg_func, dimensions), metric, dimensions)
            series[key] = SeriesPoints(identity, index, {day: {hour: point["metric_value"]}})
        elif hour in (hours := known.days.setdefault(day, {})):
            repeated = True
        else:
            hours[hour] = point["metric_value"]
    return repeated


def _points_anyway(document: object) -> list[Any]:
    """The points of a request whose envelope is wrong: their errors are reported in the same answer."""
    data = document.get("data") if isinstance(document, dict) else None
    return data if isinstance(data, list) and len(data) <= MAX_POINTS else []


def _duplicates(data: list[Any]) -> Iterator[Finding]:
    """The valid points that have the record and hour of an earlier one."""
    first: dict[object, int] = {}
    for index, raw in enumerate(data):
        try:
            (point,) = POINTS.validate_python([raw])
        except ValidationError:
            continue
        dimensions = point.get("custom_dimensions") or {}
        key = (point["metric_name"], frozenset(dimensions.items()), point["timestamp"])
        earlier = first.setdefault(key, index)
        if earlier != index:
            yield Finding(
                "duplicate_point",
                f"has the metric, the dimensions and the hour of {pointer('data', earlier)}: "
                "one of the two values would be lost, so send one",
                pointer("data", index),
            )


def _position(error: Finding) -> tuple[int, int]:
    """Where an error stands: the envelope's first, then those of the points in their order."""
    steps = (error.pointer or "").split("/")
    return (1, int(steps[2])) if len(steps) > 2 and steps[1] == "data" else (0, 0)
