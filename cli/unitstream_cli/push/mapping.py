"""What rows mean: which column is what, and the points that come of it, checked as the server checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticCustomError

from unitstream.faults import kind_of
from unitstream.identity import MAX_DIMENSIONS, record_id
from unitstream.problems import near_miss
from unitstream_cli.errors import BadInput
from unitstream_cli.push.moments import Clock
from unitstream_cli.push.names import ABSENT, listed, not_there, value_at
from unitstream_cli.push.numbers import Numerals
from unitstream_cli.push.rows import READ_BACK, Fault
from unitstream_cli.push.series import CheckedPoint, InvalidSeries, series_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unitstream_cli.push.rows import Row

_TIMESTAMP_HINTS = {
    "timestamp_not_hourly": "; --floor hour takes the hour that it lies in",
    "timestamp_invalid": "; --timestamp-format names another form",
}
_IN_BRACES = re.compile(r"\{([^{}]*)\}")


class Dimension(NamedTuple):
    """A dimension: the column it stands in, and its key."""

    column: str
    key: str


@dataclass(frozen=True)
class Columns:
    """Which column of a file is what. In JSON, `a.b` is the member `b` of `a`, unless a field has that name.

    `timestamp` may name several columns, in braces. `metric` is the name of the one metric there is; without it
    `metric_name` is the column that names it, unless the file is `wide`: then every column that is nothing else is a
    metric. Without `dimensions` every column that is nothing else is a dimension. Instead of values, rows are
    `counted`, or the `distinct` texts of a column. `envelope` is what a request says of all its points: a column
    of that name is no dimension, and may not say anything else.
    """

    timestamp: str = "timestamp"
    metric_name: str = "metric_name"
    value: str = "metric_value"
    metric: str | None = None
    wide: bool = False
    dimensions: tuple[Dimension, ...] = ()
    ignored: tuple[str, ...] = ()
    counted: bool = False
    distinct: str | None = None
    clock: Clock = Clock()  # noqa: RUF009  # immutable
    numerals: Numerals = Numerals()  # noqa: RUF009  # immutable
    read_back: bool = False
    header: bool = False
    envelope: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def _timestamps(self) -> list[str]:
        return _IN_BRACES.findall(self.timestamp) or [self.timestamp]

    @cached_property
    def required(self) -> list[str]:
        """The columns that every row must have a value in."""
        names = [*self._timestamps]
        if not self.wide and self.metric is None:
            names.append(self.metric_name)
        if not self.wide and not self.counted and self.distinct is None:
            names.append(self.value)
        return names

    @cached_property
    def named(self) -> list[str]:
        """The columns that a file must have."""
        names = [*self.required, *(one.column for one in self.dimensions), *filter(None, self.ignored)]
        if not self.wide and self.value != Columns.value:
            names.append(self.value)
        return list(dict.fromkeys([*names, self.distinct] if self.distinct is not None else names))

    @cached_property
    def _taken(self) -> set[str]:
        """The columns that have a meaning, or none at all."""
        names = {*self.named, *self.ignored, *self.envelope, *(READ_BACK if self.read_back else ())}
        return names if self.wide else names | {self.value}

    @cached_property
    def _paths(self) -> list[str]:
        return [name for name in self.named if "." in name]

    def _is_part(self, name: str, value: object) -> bool:
        """Whether a field is an object of which options name a field."""
        return isinstance(value, dict) and any(path.startswith(f"{name}.") for path in self._paths)

    def of_read_back(self, file: str, metric: str | None) -> Columns:
        """Return the columns of a file that unitstream wrote itself, which may say what metric it is of."""
        if self.metric is None and metric is None:
            raise BadInput(f"{file} does not say of which metric it is.", "Say it with --metric.")
        return replace(
            self,
            timestamp="timestamp",
            value="value",
            metric=self.metric if self.metric is not None else metric,
            wide=False,
            clock=Clock(floor=self.clock.floor),
            read_back=True,
        )

    def check_header(self, file: str, header: list[str]) -> None:
        """Raise `BadInput` unless a CSV file with these columns can be understood."""
        # Spreadsheets leave columns without a name or a value behind; what has a value in them is a row's fault.
        counted = [name for name in header if name not in self.ignored and (name or name in self._taken)]
        repeated = sorted({name for name in counted if counted.count(name) > 1})
        if repeated:
            raise BadInput(f"{file}: the header names {listed(repeated)} more than once.")
        if missing := [name for name in self.named if name not in header]:
            raise not_there(file, missing, header)
        if self._mixes_metrics and Columns.metric_name in header:
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

    def points(self, file: str, row: Row) -> tuple[list[CheckedPoint], list[Fault]]:
        """Return the points of `row`, and what is wrong with it: its points are valid only if nothing is.

        Raises `BadInput` if more columns would be dimensions than a point can have.
        """
        fields = row.fields
        if self._paths:
            fields = {name: found for name in self._paths if (found := value_at(fields, name)) is not ABSENT} | fields
        missing = [name for name in self.required if fields.get(name) in (None, "")]
        faults = [Fault(row.line, name, self._why_missing(name, fields)) for name in missing]
        faults += self._contradictions(row.line, fields)
        if fields.get("") is not None and self._reads_unnamed:
            faults.append(Fault(row.line, "", "has a value in a column without a name; --ignore '' leaves it out"))
        hour = 0
        if not missing or not set(self._timestamps).intersection(missing):
            try:
                hour = self.clock.hour(self._timestamp(fields))
            except PydanticCustomError as exc:
                faults.append(Fault(row.line, self.timestamp, exc.message() + _TIMESTAMP_HINTS.get(exc.type, "")))
        dimensions = self._dimensions(file, row, fields, faults)
        points = []
        for column, name in self._metrics(fields, faults, row.line):
            try:
                points.append(CheckedPoint(series_of(name, dimensions), hour, self._value(fields, column)))
            except PydanticCustomError as exc:
                faults.append(Fault(row.line, column, exc.message() + self.numerals.hint(fields[column])))
            except InvalidSeries as exc:
                faults += [Fault(row.line, self._column_of(key, column), reason) for key, reason in exc.faults]
        return points, faults

    def _why_missing(self, name: str, fields: dict[str, Any]) -> str:
        if name in fields:
            return "is empty"
        close = near_miss(name, [known for known in fields if known not in self._taken], cutoff=0.7)
        return f"is missing: did you mean {close}?" if close else "is missing"

    def _contradictions(self, line: int, fields: dict[str, Any]) -> Iterator[Fault]:
        if self._mixes_metrics and fields.get(Columns.metric_name) is not None:
            reason = f"names the metric, and so does --metric; --ignore {Columns.metric_name} leaves it out"
            yield Fault(line, Columns.metric_name, reason)
        for name, meant in self.envelope.items():
            if fields.get(name) not in (None, meant) and name not in self.ignored:
                yield Fault(line, name, contradiction(name, fields[name], meant))

    def _timestamp(self, fields: dict[str, Any]) -> Any:
        if self._timestamps == [self.timestamp]:
            return fields[self.timestamp]
        return _IN_BRACES.sub(lambda found: str(fields[found[1]]), self.timestamp)

    def _value(self, fields: dict[str, Any], column: str) -> float | bytes:
        if self.counted:
            return 1.0
        if self.distinct is not None:
            return str(fields[column]).encode(errors="surrogatepass")
        return self.numerals.number(fields[column])

    def _metrics(self, fields: dict[str, Any], faults: list[Fault], line: int) -> list[tuple[str, str]]:
        """The columns with values, and the metric that each is of."""
        if self.wide:
            return [
                (name, name) for name, value in fields.items() if name and value is not None and name not in self._taken
            ]
        column = self.value if self.distinct is None else self.distinct
        if fields.get(column) in (None, "") and not self.counted:
            return []
        if self.metric is not None:
            return [(column, self.metric)]
        name = fields.get(self.metric_name)
        if name and isinstance(name, str):
            return [(column, name)]
        if name not in (None, ""):
            faults.append(Fault(line, self.metric_name, f"must be a string, not {kind_of(name)}"))
        return []

    def _dimensions(
        self, file: str, row: Row, fields: dict[str, Any], faults: list[Fault]
    ) -> tuple[tuple[str, str], ...]:
        if self.dimensions:
            chosen = {key: fields.get(column, row.dimensions.get(column)) for column, key in self.dimensions}
            found = {key: value for key, value in chosen.items() if value is not None}
        else:
            found = {} if self.wide else self._other_fields(file, row.line, fields)
            for key in [key for key in row.dimensions if key not in self.ignored]:
                if key in found:
                    faults.append(Fault(row.line, key, "is a field as well as one of custom_dimensions"))
                found[key] = row.dimensions[key]
        for key in [key for key, value in found.items() if not isinstance(value, str)]:
            reason = f"must be a string, not {kind_of(found[key])}"
            if isinstance(found.pop(key), dict):
                reason += f"; --dimension KEY={key}.FIELD takes one of its fields"
            faults.append(Fault(row.line, self._column_of(key, ""), reason))
        dimensions = tuple(found.items())
        if not self.read_back:
            return dimensions
        function = self.envelope.get("metric_agg_func", "")
        return _as_saved(self.metric or "", function, dimensions, str(row.fields.get("record_id")))

    def _other_fields(self, file: str, line: int, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields that have a value and are nothing else."""
        others = {name: value for name, value in fields.items() if name and name not in self._taken}
        found = {name: value for name, value in others.items() if value is not None and not self._is_part(name, value)}
        if len(found) > MAX_DIMENSIONS:
            raise BadInput(
                f"{file}:{line}: {len(others)} columns would be dimensions, and a point has at most {MAX_DIMENSIONS}: "
                f"{listed(list(others))}.",
                "Choose them with --dimension COLUMN, which may be repeated.",
            )
        return found

    def _column_of(self, key: str, metric_column: str) -> str:
        """The column of the dimension `key`; of the metric's name, if that is what is wrong."""
        if key == "metric_name":
            return metric_column if self.wide else "" if self.metric is not None else self.metric_name
        return next((one.column for one in self.dimensions if one.key == key), key)


# Files have many rows of few series.
@lru_cache(maxsize=65_536)
def _as_saved(
    metric: str, function: str, dimensions: tuple[tuple[str, str], ...], record: str
) -> tuple[tuple[str, str], ...]:
    """Tell dimensions with an empty value from those that a point lacks: its record ID knows, and CSV does not."""
    filled = [one for one in dimensions if one[1]]
    empty = [one for one in dimensions if not one[1]][:MAX_DIMENSIONS]
    for count in range(len(empty) + 1):
        for chosen in combinations(empty, count):
            if record_id(metric, function, dict([*filled, *chosen])) == record:
                return (*filled, *chosen)
    return tuple(filled)


def contradiction(name: str, said: object, meant: str) -> str:
    """Return what is wrong when a file says otherwise than the command of what all points have in common."""
    if name == "metric_agg_func":
        return f"says {said!r}, and --agg-func says {meant}"
    return "is another one than the one to push to"
