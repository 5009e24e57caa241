"""Questions to the data: the query parameters of each, and what is wrong with them. Pure.

Each `…_question` function turns parameters, a list of values by name, into a question, or raises `InvalidParameters`
with everything that is wrong.

A page's cursor is the place where the next page begins, in base64url: the digest of the question, which it belongs to,
and the last thing that was looked at.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from unitstream.identity import MAX_DIMENSION_VALUE, MAX_NAME, AggFunc
from unitstream.periods import Granularity, Timeframe
from unitstream.problems import InvalidParameters, ParameterError, near_miss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Parameters = Mapping[str, Sequence[str]]

T = TypeVar("T")

MAX_GROUP_BY = 3
MAX_FILTERS = 20
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
DEFAULT_POINTS_LIMIT = 1_000
MAX_POINTS_LIMIT = 10_000

# The names that each question knows.
METRICS_PARAMETERS = ("limit", "cursor")
SERIES_PARAMETERS = ("filter", "limit", "cursor")
_METRIC = ("metric_name", "metric_agg_func")
_RANGE = ("start_date", "end_date")
_TABLE = ("granularity", "group_by", "filter", "fill")
VIEW_PARAMETERS = (*_METRIC, *_RANGE, *_TABLE)
UNIT_METRIC_PARAMETERS = ("numerator", "denominator", *_RANGE, *_TABLE)
POINTS_PARAMETERS = (*_METRIC, *_RANGE, "filter", "limit", "cursor")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY = "1970-01-01"
_RECORD_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_CURSOR = 4_096
_SHOWN_CHARACTERS = 64


class Metric(NamedTuple):
    """A metric: its name, and the function that aggregates it. The same name with another function is another."""

    metric_name: str
    metric_agg_func: AggFunc


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the series whose dimension `key` has one of `values`, or with `excludes` all others."""

    key: str
    values: tuple[str, ...]
    excludes: bool

    def keeps(self, dimensions: Mapping[str, str]) -> bool:
        """Whether a series with `dimensions` is kept. One without the key has none of the values."""
        return (dimensions.get(self.key) in self.values) != self.excludes


class PointPlace(NamedTuple):
    """How far points were read: up to an hour of a day of a record; without a day, up to the end of the record."""

    record_id: str
    day: str | None = None
    hour: int = 0


@dataclass(frozen=True, slots=True)
class MetricsQuestion:
    """Lists the metrics of a stream. `cursor` is the sort key of the metric before the page."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """Lists the series of a metric. `cursor` is the record ID before the page."""

    metric: Metric
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PointsQuestion:
    """Lists the points that a metric has in `timeframe`."""

    metric: Metric
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_POINTS_LIMIT
    cursor: PointPlace | None = None


@dataclass(frozen=True, slots=True)
class ViewQuestion:
    """Asks for the values of a metric, by period and by the dimensions in `group_by`.

    With `fill`, periods without data are part of the answer too.
    """

    metric: Metric
    timeframe: Timeframe
    granularity: Granularity
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False


@dataclass(frozen=True, slots=True)
class UnitMetricQuestion:
    """Asks for `numerator` divided by `denominator`, by period and by the dimensions in `group_by`."""

    numerator: Metric
    denominator: Metric
    timeframe: Timeframe
    granularity: Granularity
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False


PagedQuestion = MetricsQuestion | SeriesQuestion | PointsQuestion
Paged = TypeVar("Paged", bound=PagedQuestion)


def metrics_question(parameters: Parameters) -> MetricsQuestion:
    """Return the question of `GET /api/metrics`. Raises `InvalidParameters`."""
    reader = _Reader(parameters, METRICS_PARAMETERS)
    limit = reader.limit(DEFAULT_LIMIT, MAX_LIMIT)
    return reader.paged(MetricsQuestion(limit), _metric_place)


def series_question(metric_name: str, metric_agg_func: str, parameters: Parameters) -> SeriesQuestion:
    """Return the question of `GET /api/metrics/{metric_name}/{metric_agg_func}/series`. Raises `InvalidParameters`."""
    in_path = {"metric_name": [metric_name], "metric_agg_func": [metric_agg_func]}
    reader = _Reader(parameters, SERIES_PARAMETERS, in_path)
    metric, filters, limit = reader.metric(), reader.filters(), reader.limit(DEFAULT_LIMIT, MAX_LIMIT)
    return reader.paged(SeriesQuestion(metric, filters, limit), _series_place)


def points_question(parameters: Parameters) -> PointsQuestion:
    """Return the question of `GET /api/points`. Raises `InvalidParameters`."""
    reader = _Reader(parameters, POINTS_PARAMETERS)
    metric, timeframe, filters = reader.metric(), reader.timeframe(), reader.filters()
    limit = reader.limit(DEFAULT_POINTS_LIMIT, MAX_POINTS_LIMIT)
    return reader.paged(PointsQuestion(metric, timeframe, filters, limit), _point_place)


def view_question(parameters: Parameters) -> ViewQuestion:
    """Return the question of `GET /api/views`. Raises `InvalidParameters`."""
    reader = _Reader(parameters, VIEW_PARAMETERS)
    metric, timeframe, granularity = reader.metric(), reader.timeframe(), reader.granularity()
    return reader.checked(
        ViewQuestion(metric, timeframe, granularity, reader.group_by(), reader.filters(), reader.fill())
    )


def unit_metric_question(parameters: Parameters) -> UnitMetricQuestion:
    """Return the question of `GET /api/unit-metrics`. Raises `InvalidParameters`."""
    reader = _Reader(parameters, UNIT_METRIC_PARAMETERS)
    numerator, denominator = reader.metric_in_one("numerator"), reader.metric_in_one("denominator")
    timeframe, granularity = reader.timeframe(), reader.granularity()
    return reader.checked(
        UnitMetricQuestion(
            numerator, denominator, timeframe, granularity, reader.group_by(), reader.filters(), reader.fill()
        )
    )


def next_cursor(question: PagedQuestion, place: str | PointPlace) -> str:
    """Return the cursor of the page that follows `place` in the answer to `question`."""
    steps = [place] if isinstance(place, str) else [*place][: 1 if place.day is None else None]
    text = json.dumps([_digest(question), *steps], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _digest(question: PagedQuestion) -> str:
    """Tell questions apart, whatever the page: a cursor of another question would skip what nobody has seen."""
    asked = [getattr(question, one.name) for one in fields(question) if one.name not in {"limit", "cursor"}]
    return hashlib.sha256(repr((type(question).__name__, asked)).encode()).hexdigest()[:16]


class _Reader:
    """Reads parameters and collects what is wrong with them.

    What is wrong is read as something that is right, so that the reading goes on; `checked` never lets it out.
    """

    def __init__(self, parameters: Parameters, known: Sequence[str], in_path: Parameters | None = None) -> None:
        self._parameters = {**parameters, **(in_path or {})}
        self._errors: list[ParameterError] = []
        for name in parameters:
            if name not in known:
                close = near_miss(name, known)
                hint = f": did you mean {close}?" if close else f"; those known here are {', '.join(known)}"
                self._wrong(_shortened(name), "unknown_parameter", f"{_show(name)} is not a parameter{hint}")
        for name, values in self._parameters.items():
            if not all(map(_is_text, values)):
                self._wrong(_shortened(name), "not_unicode", f"{_show(name)} holds half of a surrogate pair")

    def checked(self, question: T) -> T:
        """Return `question`, or raise `InvalidParameters`."""
        if self._errors:
            raise InvalidParameters(self._errors)
        return question

    def paged(self, question: Paged, place: Callable[[Paged, list[Any]], Any]) -> Paged:
        """Return the checked `question` with its cursor, which `place` makes of the steps in it."""
        text = self._one("cursor", required=False)
        if text is None:
            return self.checked(question)
        cursor = None
        try:
            digest, *steps = _decoded(text)
            if self._errors:
                pass  # then the question is not the one that was asked
            elif digest == _digest(question):
                cursor = place(question, steps)
            else:
                self._wrong("cursor", "cursor_of_another_question", "cursor belongs to a page of another question")
        except (ValueError, TypeError, RecursionError):
            self._wrong("cursor", "cursor_invalid", "cursor is not one that an answer came with")
        return replace(self.checked(question), cursor=cursor)

    def metric(self) -> Metric:
        return Metric(self._name("metric_name"), self._agg_func("metric_agg_func", self._one("metric_agg_func")))

    def metric_in_one(self, parameter: str) -> Metric:
        """Read `name:Function`. The name may have colons of its own."""
        text = self._one(parameter)
        name, colon, function = (text or "").rpartition(":")
        if text is not None and not colon:
            self._wrong(parameter, "metric_invalid", f"{parameter} must be a metric's name, a colon and its function")
            return Metric("", "Sum")
        if text is not None:
            self._check_name(parameter, name)
        return Metric(name, self._agg_func(parameter, function if colon else None))

    def timeframe(self) -> Timeframe:
        start, end = self._day("start_date"), self._day("end_date")
        if start and end and end < start:
            self._wrong("end_date", "range_reversed", f"end_date, {end}, lies before start_date, {start}")
        return Timeframe(start or _FIRST_DAY, end or _FIRST_DAY)

    def granularity(self) -> Granularity:
        return self._one_of("granularity", get_args(Granularity)) or "day"

    def fill(self) -> bool:
        return self._one_of("fill", ("null",), required=False) is not None

    def limit(self, default: int, largest: int) -> int:
        text = self._one("limit", required=False)
        if text is None:
            return default
        if not re.fullmatch(r"0*[0-9]{1,9}", text) or not 1 <= int(text) <= largest:
            self._wrong("limit", "limit_invalid", f"limit must be a whole number from 1 to {largest:,}")
            return default
        return int(text)

    def group_by(self) -> tuple[str, ...]:
        keys: list[str] = []
        for text in self._parameters.get("group_by", ()):
            try:
                keys += _unescaped(text, ",")
            except ValueError as exc:
                self._wrong("group_by", "escape_invalid", f"group_by {exc}")
        for key in keys:
            self._check_name("group_by", key, "a key in group_by")
        if len(set(keys)) < len(keys):
            self._wrong("group_by", "repeated", "group_by names a key twice")
        if len(keys) > MAX_GROUP_BY:
            self._wrong("group_by", "too_many_keys", f"group_by must name at most {MAX_GROUP_BY} keys")
        return tuple(keys)

    def filters(self) -> tuple[Filter, ...]:
        texts = self._parameters.get("filter", ())
        if len(texts) > MAX_FILTERS:
            self._wrong("filter", "too_many_filters", f"filter must occur at most {MAX_FILTERS} times")
            return ()
        return tuple(one for one in map(self._filter, texts) if one)

    def _filter(self, text: str) -> Filter | None:
        excludes = text.startswith("-")
        try:
            key, *rest = _unescaped(text[1:] if excludes else text, ":", at_most=1)
            (key,) = _unescaped(key, "")
            values = [value for part in rest for value in _unescaped(part, ",")]
        except ValueError as exc:
            self._wrong("filter", "filter_invalid", f"filter {_show(text)} {exc}")
            return None
        if not values:
            detail = f"filter {_show(text)} must be a key, a colon and values, as in region:eu,us or -region:eu"
            self._wrong("filter", "filter_invalid", detail)
            return None
        self._check_name("filter", key, "a key in filter")
        if any(len(value) > MAX_DIMENSION_VALUE for value in values):
            self._wrong("filter", "too_long", f"a value in filter must have at most {MAX_DIMENSION_VALUE:,} characters")
        return Filter(key, tuple(values), excludes)

    def _one(self, name: str, *, required: bool = True, hint: str = "") -> str | None:
        values = self._parameters.get(name, ())
        if len(values) > 1:
            self._wrong(name, "repeated", f"{name} must occur once, and occurs {len(values):,} times")
            return None
        if not values:
            if required:
                self._wrong(name, "missing", f"{name} is required{hint}")
            return None
        return values[0]

    def _one_of(self, name: str, known: Sequence[Any], *, required: bool = True) -> Any:
        text = self._one(name, required=required, hint=f": one of {', '.join(known)}")
        if text is None or text in known:
            return text
        close = near_miss(text, known, cutoff=0.5)
        hint = f": did you mean {close}?" if close else ""
        names = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
        self._wrong(name, f"{name}_unknown", f"{name} must be {names}{hint}")
        return None

    def _name(self, parameter: str) -> str:
        text = self._one(parameter)
        if text is not None:
            self._check_name(parameter, text)
        return text or ""

    def _check_name(self, parameter: str, name: str, called: str = "") -> None:
        called = called or ("the name in " if parameter != "metric_name" else "") + parameter
        if not name:
            self._wrong(parameter, "empty", f"{called} must have at least 1 character")
        elif len(name) > MAX_NAME:
            detail = f"{called} must have at most {MAX_NAME} characters, and has {len(name):,}"
            self._wrong(parameter, "too_long", detail)

    def _agg_func(self, parameter: str, text: str | None) -> AggFunc:
        known = get_args(AggFunc)
        if text is not None and text not in known:
            close = near_miss(text, known, cutoff=0.5)
            hint = f": did you mean {close}?" if close else ""
            called = "the function in " if parameter != "metric_agg_func" else ""
            detail = f"{called}{parameter} must be one of {', '.join(known)}{hint}"
            self._wrong(parameter, "metric_agg_func_unknown", detail)
        return next((function for function in known if function == text), "Sum")

    def _day(self, name: str) -> str | None:
        text = self._one(name)
        if text is None:
            return None
        if not _is_day(text):
            self._wrong(name, "date_invalid", f"{name} must be a day that exists, as YYYY-MM-DD, and is {_show(text)}")
            return None
        if text < _FIRST_DAY:
            self._wrong(name, "date_out_of_range", f"{name} must lie in the years 1970 to 9999")
            return None
        return text

    def _wrong(self, parameter: str, code: str, detail: str) -> None:
        self._errors.append(ParameterError(parameter, code, detail))


def _decoded(cursor: str) -> list[Any]:
    """Return what a cursor consists of. Raises `ValueError`, `TypeError` or `RecursionError` for what is none."""
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError
    steps = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    return list(steps)


def _metric_place(_: MetricsQuestion, steps: list[Any]) -> str:
    (sort_key,) = steps
    # What a sort key can be: anything else DynamoDB would refuse.
    if not isinstance(sort_key, str) or not _is_text(sort_key) or not 1 <= len(sort_key.encode()) <= 1_024:
        raise ValueError
    return sort_key


def _series_place(_: SeriesQuestion, steps: list[Any]) -> str:
    (record_id,) = steps
    if not _RECORD_ID.fullmatch(record_id):
        raise ValueError
    return str(record_id)


def _point_place(question: PointsQuestion, steps: list[Any]) -> PointPlace:
    record_id, *moment = steps
    if not _RECORD_ID.fullmatch(record_id):
        raise ValueError
    if not moment:
        return PointPlace(record_id)
    day, hour = moment
    start, end = question.timeframe
    if not _is_day(day) or not start <= day <= end or type(hour) is not int or not 0 <= hour <= 23:
        raise ValueError
    return PointPlace(record_id, day, hour)


def _unescaped(text: str, separator: str, at_most: int = -1) -> list[str]:
    r"""Split `text` at each `separator`, but not at one behind a backslash, and take the backslashes away.

    With `at_most`, split only so often, and leave the backslashes. Raises `ValueError` for a backslash that has nothing
    to escape; `\:`, `\,`, `\-` and `\\` are all there is.
    """
    parts: list[str] = []
    part = ""
    characters = iter(enumerate(text))
    for index, character in characters:
        if character == separator and at_most != 0:
            parts.append(part)
            part = ""
            at_most -= 1
            continue
        if character != "\\":
            part += character
            continue
        _, escaped = next(characters, (0, ""))
        if not escaped or escaped not in ":,-\\":
            raise ValueError(r"has a backslash before something else than \ : , or -")
        part += text[index : index + 2] if separator == ":" else escaped
    return [*parts, part]


def _is_day(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_text(text: str) -> bool:
    """Whether `text` can be sent anywhere: JSON lets half of a surrogate pair through."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shortened(text: str) -> str:
    return "".join("\ufffd" if not _is_text(character) else character for character in text[:_SHOWN_CHARACTERS])


def _show(text: str) -> str:
    shown = repr(text[:_SHOWN_CHARACTERS])
    return shown if len(text) <= _SHOWN_CHARACTERS else f"{shown}…"
