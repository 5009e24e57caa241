"""What rows mean: which column is what, and the points that come of it, checked as the server checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticCustomError, ValidationError

from unitstream.faults import findings_of, kind_of
from unitstream.payload import POINTS
from unitstream.problems import near_miss
from unitstream.timestamps import floor_hour, parse_hour
from unitstream.values import parse_value
from unitstream_cli.console import printable
from unitstream_cli.errors import BadInput
from unitstream_cli.push.rows import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unitstream.problems import Finding
    from unitstream.timestamps import Hour
    from unitstream_cli.push.rows import Row

# Epoch seconds and milliseconds as text, in more forms than the API takes. Not those that could as well be yyyyMMdd or
# yyyyMMddHHmm: read as an epoch these are other dates, some of which are on the hour.
_EPOCH_TEXT = re.compile(r"(?:[0-9]{9}|[1-9][0-9]{9}|[0-9]{13})(?:\.0*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
# 1,234 is among them: read with a decimal comma it would silently be a thousandth, if it is not meant so.
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+(?:\.[0-9]*)?|(?:[.'\u2019\s][0-9]{3})+(?P<comma>,[0-9]*)?)")
_HOURS_A_DAY = 24
_TIMESTAMP_HINTS = {
    "timestamp_not_hourly": "; --floor hour takes the hour that it lies in",
    "timestamp_invalid": "; --timestamp-format names another form",
}


class Floor(StrEnum):
    HOUR = "hour"
    DAY = "day"


class Decimal(StrEnum):
    POINT = "."
    COMMA = ","


class Dimension(NamedTuple):
    """A dimension: the column it stands in, and its key."""

    column: str
    key: str


class Series(NamedTuple):
    """What tells points of the same hour apart. `dimensions` are sorted by key."""

    metric_name: str
    dimensions: tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """A checked point; `hour` counts the hours since 1970."""

    series: Series
    hour: int
    value: float


@dataclass(frozen=True)
class Columns:
    """Which column of a file is what.

    `metric` is the name of the one metric there is; without it `metric_name` is the column that names it, unless the
    file is `wide`: then every column that is nothing else is a metric. Without `dimensions` every column that is
    nothing else is a dimension. `timestamp_format` is strptime's.
    """

    timestamp: str = "timestamp"
    metric_name: str = "metric_name"
    value: str = "metric_value"
    metric: str | None = None
    wide: bool = False
    dimensions: tuple[Dimension, ...] = ()
    ignored: tuple[str, ...] = ()
    floor: Floor | None = None
    timestamp_format: str | None = None
    decimal: Decimal = Decimal.POINT

    @cached_property
    def required(self) -> list[str]:
        """The columns that every row must have."""
        if self.wide:
            return [self.timestamp]
        return (
            [self.timestamp, self.value] if self.metric is not None else [self.timestamp, self.metric_name, self.value]
        )

    @cached_property
    def _taken(self) -> set[str]:
        """The columns that have a meaning, or none at all."""
        return {*self.required, *self.ignored, *(one.column for one in self.dimensions)}

    def check_header(self, file: str, header: list[str]) -> None:
        """Raise `BadInput` unless a CSV file with these columns can be understood."""
        # Spreadsheets leave columns without a name or a value behind; what has a value in them is a row's fault.
        counted = [name for name in header if name not in self.ignored and (name or name in self._taken)]
        repeated = sorted({name for name in counted if counted.count(name) > 1})
        if repeated:
            raise BadInput(f"{file}: the header names {_list(repeated)} more than once.")
        missing = [name for name in [*self.required, *(one.column for one in self.dimensions)] if name not in header]
        if missing:
            raise BadInput(
                f"{file}: {_missing(missing, header)}", "Options such as --timestamp COLUMN say which column is what."
            )
        unknown = [name for name in self.ignored if name and name not in header]
        if unknown:
            raise BadInput(f"{file}: {_missing(unknown, header)}", "--ignore names a column that is not there.")
        if self.metric is not None and Columns.metric_name in header:
            self._check_metric_column(file)

    def _check_metric_column(self, file: str) -> None:
        if self._mixes_metrics:
            name = Columns.metric_name
            raise BadInput(
                f"{file}: --metric is given, and there is a column {name} as well.",
                f"Leave out --metric, or leave out the column with --ignore {name}.",
            )

    @cached_property
    def _mixes_metrics(self) -> bool:
        """Whether rows that name their metrics would be pushed as one metric, with the names as a dimension."""
        name = Columns.metric_name
        return (
            self.metric is not None
            and name not in self.ignored
            and (not self.dimensions or name in {one.column for one in self.dimensions})
        )

    @cached_property
    def _reads_unnamed(self) -> bool:
        """Whether a column without a name would be a metric or a dimension."""
        return "" not in self._taken and (self.wide or not self.dimensions)

    def points(self, row: Row) -> tuple[list[Point], list[Fault]]:
        """Return the points of `row`, and what is wrong with it: its points are valid only if nothing is."""
        fields = row.fields
        missing = [name for name in self.required if name not in fields]
        faults = [Fault(row.line, name, _missing_field(name, fields)) for name in missing]
        if "" in fields and self._reads_unnamed:
            fields = {name: value for name, value in fields.items() if name}
            row = row._replace(fields=fields)
            faults.append(Fault(row.line, "", "has a value in a column without a name; --ignore '' leaves it out"))
        if self._mixes_metrics and Columns.metric_name in fields:
            reason = f"names the metric, and so does --metric; --ignore {Columns.metric_name} leaves it out"
            faults.append(Fault(row.line, Columns.metric_name, reason))
        hour = 0
        if self.timestamp in fields:
            try:
                hour = self._hour(fields[self.timestamp])
            except PydanticCustomError as exc:
                faults.append(Fault(row.line, self.timestamp, exc.message() + _TIMESTAMP_HINTS.get(exc.type, "")))
        dimensions = self._dimensions(row, faults)
        points = []
        for column, name in self._metrics(fields, faults, row.line):
            try:
                value = self._number(fields[column])
                points.append(Point(_series(name, dimensions), hour, value))
            except PydanticCustomError as exc:
                faults.append(Fault(row.line, column, exc.message() + self._value_hint(fields[column])))
            except _InvalidSeries as exc:
                faults += [Fault(row.line, self._column_of(key, column), reason) for key, reason in exc.faults]
        return points, faults

    def _hour(self, timestamp: Any) -> int:
        if isinstance(timestamp, str):
            if self.timestamp_format is not None:
                timestamp = _reformatted(timestamp, self.timestamp_format)
            elif _EPOCH_TEXT.fullmatch(timestamp := timestamp.strip()):
                timestamp = float(timestamp)
        if self.floor is None:
            return _hours_since_1970(parse_hour(timestamp))
        hour = _hours_since_1970(floor_hour(timestamp))
        return hour - hour % _HOURS_A_DAY if self.floor is Floor.DAY else hour

    def _number(self, value: Any) -> float:
        if self.decimal is Decimal.COMMA and isinstance(value, str):
            if "." in value:
                raise PydanticCustomError("metric_value_invalid", "has a point beside the decimal comma")
            value = value.replace(",", ".")
        return parse_value(value)

    def _value_hint(self, value: Any) -> str:
        if not isinstance(value, str):
            return ""
        if thousands := _THOUSANDS.fullmatch(value.strip()):
            add = " and add --decimal ," if thousands["comma"] and self.decimal is Decimal.POINT else ""
            return f"; remove the thousands separators{add}"
        comma = self.decimal is Decimal.POINT and _DECIMAL_COMMA.fullmatch(value.strip())
        return "; if that is a decimal comma, add --decimal ," if comma else ""

    def _metrics(self, fields: dict[str, Any], faults: list[Fault], line: int) -> list[tuple[str, str]]:
        """The columns with values, and the metric that each is of."""
        if self.wide:
            return [(name, name) for name in fields if name not in self._taken]
        if self.value not in fields:
            return []
        if self.metric is not None:
            return [(self.value, self.metric)]
        name = fields.get(self.metric_name)
        if isinstance(name, str):
            return [(self.value, name)]
        if name is not None:
            faults.append(Fault(line, self.metric_name, f"must be a string, not {kind_of(name)}"))
        return []

    def _dimensions(self, row: Row, faults: list[Fault]) -> tuple[tuple[str, str], ...]:
        fields = row.fields
        if self.dimensions or self.wide:
            chosen = [(key, column) for column, key in self.dimensions if column in fields]
        else:
            chosen = [(name, name) for name in fields if name not in self._taken]
        found = {key: fields[column] for key, column in chosen}
        for key, value in row.dimensions.items():
            if key in found:
                faults.append(Fault(row.line, key, "is a field as well as one of custom_dimensions"))
            found[key] = value
        for key in [key for key, value in found.items() if not isinstance(value, str)]:
            reason = f"must be a string, not {kind_of(found.pop(key))}"
            faults.append(Fault(row.line, self._column_of(key, ""), reason))
        return tuple(found.items())

    def _column_of(self, key: str, metric_column: str) -> str:
        """The column of the dimension `key`; of the metric's name, if that is what is wrong."""
        if key == "metric_name":
            return metric_column if self.wide else "" if self.metric is not None else self.metric_name
        return next((one.column for one in self.dimensions if one.key == key), key)


class _InvalidSeries(Exception):
    """The name of a metric, or its dimensions, are not allowed: [(field or key, reason), …]."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__()
        self.faults = faults


# Files have many rows of few series.
@lru_cache(maxsize=65_536)
def _series(metric_name: str, dimensions: tuple[tuple[str, str], ...]) -> Series:
    point = {"timestamp": 0, "metric_name": metric_name, "metric_value": 0, "custom_dimensions": dict(dimensions)}
    try:
        POINTS.validate_python([point])
    except ValidationError as exc:
        raise _InvalidSeries([_named(error) for error in findings_of(exc)]) from exc
    return Series(metric_name, tuple(sorted(dimensions)))


def _named(error: Finding) -> tuple[str, str]:
    """The field or the dimension's key that `error` is about, and the reason."""
    name = (error.pointer or "").split("/")[-1].replace("~1", "/").replace("~0", "~")
    reason = error.detail.removeprefix(f"{name} ")
    if error.code == "too_many_dimensions":
        return "", f"{reason}: name those to keep with --dimension"
    return "" if name == "custom_dimensions" else name, reason


@lru_cache(maxsize=16_384)
def _hours_since_1970(hour: Hour) -> int:
    return (date.fromisoformat(hour.day).toordinal() - date(1970, 1, 1).toordinal()) * _HOURS_A_DAY + hour.hour


@lru_cache(maxsize=16_384)
def _reformatted(text: str, form: str) -> str:
    try:
        moment = datetime.strptime(text.strip(), form)  # noqa: DTZ007  # the form says whether there is an offset
    except ValueError as exc:
        raise PydanticCustomError(
            "timestamp_invalid", "{reason}", {"reason": f"'{text[:40]}' does not have the form {form}"}
        ) from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _missing(missing: Sequence[str], header: Sequence[str]) -> str:
    similar = {name: near_miss(name, [known for known in header if known], cutoff=0.7) for name in missing}
    hint = "".join(f" Did you mean {printable(found)} for {name}?" for name, found in similar.items() if found)
    what = f"there is no column {missing[0]}" if len(missing) == 1 else f"there are no columns {_list(missing)}"
    return f"{what}; the columns are {_list(header)}.{hint}"


def _missing_field(name: str, fields: dict[str, Any]) -> str:
    close = near_miss(name, fields, cutoff=0.7)
    return f"is missing: did you mean {close}?" if close else "is empty or missing"


def _list(names: Sequence[str]) -> str:
    shown = [printable(name) or "(no name)" for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
