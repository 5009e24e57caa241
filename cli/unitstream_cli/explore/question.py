"""The address is the question: every choice of the page, to and from the query string. Pure.

What the API takes too has the API's name and form, and is read by the same code, so that what is wrong with an address
is said in the same words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from unitstream.comparisons import Compare
from unitstream.filters import Filter, parse_filter
from unitstream.metric_parameters import read_filters, read_group_by, read_part_of
from unitstream.parameters import Parameters
from unitstream.periods import Granularity, Timeframe, last_day, period_of, previous_timeframe
from unitstream.problems import InvalidRequest
from unitstream.view_questions import unit_metric_question, view_question

if TYPE_CHECKING:
    from collections.abc import Iterable


Range = Literal["7d", "30d", "90d", "this-month", "last-month", "this-year", "own"]
Shape = Literal["bars", "lines"]
MAX_TOP = 50
TOPS = (5, 10, 20, MAX_TOP)

_NUMBER = re.compile("[1-9][0-9]{0,5}")
_LARGEST = 999_999
_RANGES: tuple[Range, ...] = get_args(Range)
_SHAPES: tuple[Shape, ...] = get_args(Shape)
_GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_COMPARISONS: tuple[Compare, ...] = get_args(Compare)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page shows. The names of the fields are those in the address.

    `metric` and `per` are `name:Function`; with `per` it is a unit metric. `saved` is the name of one, which has
    metrics, groups and filters of its own. Filters are written as the API takes them. `granularity` is None for days,
    or what a saved one says; `sort` is a column of the table, with `-` before it from the largest on.
    """

    metric: str | None = None
    per: str | None = None
    saved: str | None = None
    range: Range = "30d"
    start_date: str | None = None
    end_date: str | None = None
    granularity: Granularity | None = None
    group_by: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()
    numerator_filter: tuple[str, ...] = ()
    denominator_filter: tuple[str, ...] = ()
    denominator_group_by: tuple[str, ...] | None = None
    compare: Compare | None = None
    shape: Shape = "bars"
    top: int = 10
    sort: str | None = None
    page: int = 1

    @property
    def is_something(self) -> bool:
        return bool(self.metric or self.saved)

    def timeframe(self, today: date) -> Timeframe:
        """Return the days of the range: `today` is that in UTC. An own day that is not given is empty."""
        match self.range:
            case "7d" | "30d" | "90d":
                return Timeframe(str(today - timedelta(int(self.range[:-1]) - 1)), str(today))
            case "this-month":
                return Timeframe(period_of(str(today), "month"), str(today))
            case "last-month":
                first = period_of(str(today), "month")
                return previous_timeframe(Timeframe(first, last_day(first, "month")), "month")[0]
            case "this-year":
                return Timeframe(period_of(str(today), "year"), str(today))
            case "own":
                return Timeframe(self.start_date or "", self.end_date or "")

    def path(self) -> str:
        """Return the path in the API that answers."""
        if self.saved:
            return f"/api/unit-metrics/{quote(self.saved, safe='')}/data"
        return "/api/unit-metrics" if self.per else "/api/views"

    def parameters(self, today: date) -> dict[str, Any]:
        """Return the parameters that the API is asked with: all that were given, also those that it will refuse."""
        start, end = self.timeframe(today)
        asked: dict[str, Any] = {"start_date": start, "end_date": end}
        asked |= {"granularity": self.granularity, "compare": self.compare}
        asked |= {"group_by": [keys_text(self.group_by)] if self.group_by else None}
        filters = {"numerator_filter": self.numerator_filter, "denominator_filter": self.denominator_filter}
        asked |= {name: list(texts) for name, texts in {"filter": self.filter, **filters}.items()}
        asked = {name: value for name, value in asked.items() if value} | {"totals": "true"}
        if self.denominator_group_by is not None:
            asked["denominator_group_by"] = keys_text(self.denominator_group_by)
        if self.saved:
            return asked
        if self.per:
            return asked | {"numerator": self.metric, "denominator": self.per}
        name, _, function = (self.metric or "").rpartition(":")
        return asked | {"metric_name": name, "metric_agg_func": function}

    def search(self) -> str:
        """Return the query string of the address: what differs from an empty question."""
        given: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            if field.name in {"group_by", "denominator_group_by"}:
                given.append((field.name, keys_text(value)))
            else:
                given += [(field.name, str(one)) for one in (value if isinstance(value, tuple) else [value])]
        return f"?{urlencode(given, safe=':,')}" if given else ""


_KNOWN = tuple(field.name for field in fields(Asked))


def asked_of(search: str) -> Asked:
    """Return what the query string of an address asks. Raises `InvalidRequest` if that cannot be told."""
    query = parse_qs(search.removeprefix("?"), keep_blank_values=True)
    parameters = Parameters(query, _KNOWN)
    group_by = read_group_by(parameters)
    shared = read_part_of(parameters, "denominator_group_by", group_by)

    def text(name: str) -> str | None:
        return parameters.text(name, required=False) or None

    asked = Asked(
        text("metric"),
        text("per"),
        text("saved"),
        parameters.choice("range", _RANGES) or ("own" if query.keys() & {"start_date", "end_date"} else "30d"),
        text("start_date"),
        text("end_date"),
        parameters.choice("granularity", _GRANULARITIES),
        group_by,
        _filters(parameters, "filter"),
        _filters(parameters, "numerator_filter"),
        _filters(parameters, "denominator_filter"),
        denominator_group_by=shared if "denominator_group_by" in query else None,
        compare=parameters.choice("compare", _COMPARISONS),
        shape=parameters.choice("shape", _SHAPES) or "bars",
        top=_number(parameters, "top", 10, MAX_TOP),
        sort=text("sort"),
        page=_number(parameters, "page", 1, _LARGEST),
    )
    if asked.range != "own" and (asked.start_date or asked.end_date):
        parameters.wrong("range", "range_and_days", "range says other days than start_date and end_date: leave one out")
    if asked.saved and (asked.metric or asked.per):
        parameters.wrong("saved", "saved_and_metric", "saved has metrics of its own: leave out metric and per")
    if asked.per and not asked.metric:
        parameters.wrong("metric", "metric_missing", "metric is required beside per")
    return parameters.checked(asked)


def sort_of(search: str) -> str | None:
    """Return by what an address sorts the table, whatever else it says."""
    return dict(parse_qsl(search.removeprefix("?"))).get("sort")


def faults_of(asked: Asked, today: date) -> list[str]:
    """Return why the API would refuse a question, in its sentences; of a saved one it alone knows."""
    if not asked.metric:
        return []
    given = asked.parameters(today)
    query = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    try:
        if asked.per is None:
            view_question(query)
        else:
            unit_metric_question(query)
    except InvalidRequest as exc:
        return errors_of(exc)
    return []


def _number(parameters: Parameters, name: str, default: int, largest: int) -> int:
    text = parameters.text(name, required=False)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or int(text) > largest:
        parameters.wrong(name, f"{name}_invalid", f"{name} must be a whole number from 1 to {largest:,}")
        return default
    return int(text)


def _filters(parameters: Parameters, name: str) -> tuple[str, ...]:
    """Read filters. Two that keep values of the same key would become one, which keeps more, on the page."""
    found = read_filters(parameters, name)
    kinds = [(one.key, one.excludes) for one in found]
    for key, _ in dict.fromkeys(kind for kind in kinds if kinds.count(kind) > 1):
        parameters.wrong(name, "repeated", f"{name} names the key {key} twice: list its values with commas")
    return tuple(map(filter_text, found))


# --- texts that the API takes -----------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Return a key or a value as it stands in a filter or a list of keys."""
    return re.sub(r"([\\:,-])", r"\\\1", text)


def keys_text(keys: Iterable[str]) -> str:
    return ",".join(map(escaped, keys))


def filter_text(one: Filter) -> str:
    return f"{'-' if one.excludes else ''}{escaped(one.key)}:{','.join(map(escaped, one.values))}"


def filter_words(text: str) -> str:
    one = parse_filter(text)
    return f"{one.key} {'is not' if one.excludes else 'is'} {' or '.join(value or 'empty' for value in one.values)}"


def conditions_of(asked: Asked) -> str:
    """Return what a question keeps, and how it groups its denominator, as the end of a sentence."""
    filters = {", where": asked.filter, "; numerator where": asked.numerator_filter}
    filters |= {"; denominator where": asked.denominator_filter}
    told = [f"{name} {' and '.join(map(filter_words, texts))}" for name, texts in filters.items() if texts]
    if (shared := asked.denominator_group_by) is not None:
        told.append(f"; denominator by {' and '.join(shared)}" if shared else "; denominator not grouped")
    return "".join(told)


def single_filters(texts: Iterable[str]) -> list[str]:
    """Return filters of one value each, as the page offers them."""
    several = map(parse_filter, texts)
    return [filter_text(Filter(one.key, (value,), one.excludes)) for one in several for value in one.values]


def joined_filters(singles: Iterable[str]) -> tuple[str, ...]:
    """Return filters of all the values that were chosen of each key."""
    chosen: dict[tuple[str, bool], dict[str, None]] = {}
    for one in map(parse_filter, singles):
        chosen.setdefault((one.key, one.excludes), {}).update(dict.fromkeys(one.values))
    return tuple(filter_text(Filter(key, tuple(values), excludes)) for (key, excludes), values in chosen.items())


def errors_of(failure: InvalidRequest) -> list[str]:
    """Return what is wrong with an address, in sentences."""
    return [one.detail for one in failure.errors]
