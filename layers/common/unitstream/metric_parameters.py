"""The parameters that several questions have: a metric, days, filters and keys to group by. Pure.

Each function reads them, and takes note of what is wrong with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from unitstream.filters import parse_filter, split_keys
from unitstream.identity import MAX_DIMENSION_VALUE, AggFunc, Metric
from unitstream.parameters import quoted
from unitstream.periods import FIRST_DAY, Timeframe

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from unitstream.filters import Filter
    from unitstream.parameters import Parameters

MAX_GROUP_BY = 3
MAX_FILTERS = 20

_AGG_FUNCS: tuple[AggFunc, ...] = get_args(AggFunc)


def read_metric(parameters: Parameters) -> Metric:
    name = parameters.text("metric_name")
    if name is not None:
        parameters.check_name(name, "metric_name", "metric_name")
    text = parameters.text("metric_agg_func")
    return Metric(name or "", _agg_func(parameters, text, "metric_agg_func", "metric_agg_func"))


def read_side(parameters: Parameters, parameter: str) -> Metric:
    """Read a side of a unit metric, `name:Function`. The name may have colons of its own."""
    text = parameters.text(parameter)
    if text is None:
        return Metric("", "Sum")
    name, colon, function = text.rpartition(":")
    if not colon:
        detail = f"{parameter} must be a metric's name, a colon and its function"
        parameters.wrong(parameter, "metric_invalid", detail)
        return Metric("", "Sum")
    parameters.check_name(name, parameter, f"the name in {parameter}")
    return Metric(name, _agg_func(parameters, function, parameter, f"the function in {parameter}"))


def _agg_func(parameters: Parameters, text: str | None, parameter: str, subject: str) -> AggFunc:
    if text is None:
        return "Sum"
    return parameters.word(text, _AGG_FUNCS, parameter, "metric_agg_func_unknown", subject) or "Sum"


def read_timeframe(parameters: Parameters, zone: ZoneInfo | None = None) -> Timeframe:
    """Read the first and the last day. Of a timestamp it is the day in UTC, or in `zone`, on which that lies."""
    start, end = parameters.day("start_date", zone), parameters.day("end_date", zone)
    if start and end and end < start:
        parameters.wrong("end_date", "range_reversed", f"end_date, {end}, lies before start_date, {start}")
    return Timeframe(start or FIRST_DAY, end or FIRST_DAY)


def read_group_by(parameters: Parameters, parameter: str = "group_by") -> tuple[str, ...]:
    keys: list[str] = []
    for text in parameters.values(parameter):
        try:
            keys += split_keys(text)
        except ValueError as exc:
            parameters.wrong(parameter, "escape_invalid", f"{parameter} {exc}")
    for key in keys:
        parameters.check_name(key, parameter, f"a key in {parameter}")
    if len(set(keys)) < len(keys):
        parameters.wrong(parameter, "repeated", f"{parameter} names a key twice")
    if len(keys) > MAX_GROUP_BY:
        parameters.wrong(parameter, "too_many_keys", f"{parameter} must name at most {MAX_GROUP_BY} keys")
    return tuple(keys)


def read_part_of(parameters: Parameters, parameter: str, group_by: tuple[str, ...]) -> tuple[str, ...]:
    """Read those of the keys in `group_by` that a parameter names: all of them without it, none where it is empty."""
    texts = parameters.values(parameter)
    if not texts:
        return group_by
    keys = read_group_by(parameters, parameter) if any(texts) else ()
    for key in dict.fromkeys(key for key in keys if key and key not in group_by):
        parameters.wrong(parameter, "not_grouped_by", f"{parameter} names {quoted(key)}, which group_by does not")
    return keys


def read_filters(parameters: Parameters, parameter: str = "filter") -> tuple[Filter, ...]:
    texts = parameters.values(parameter)
    if len(texts) > MAX_FILTERS:
        parameters.wrong(parameter, "too_many_filters", f"{parameter} must occur at most {MAX_FILTERS} times")
        return ()
    filters = []
    for text in texts:
        try:
            filters.append(parse_filter(text))
        except ValueError as exc:
            parameters.wrong(parameter, "filter_invalid", f"{parameter} {quoted(text)} {exc}")
    for filter_ in filters:
        parameters.check_name(filter_.key, parameter, f"a key in {parameter}")
        if any(len(value) > MAX_DIMENSION_VALUE for value in filter_.values):
            detail = f"a value in {parameter} must have at most {MAX_DIMENSION_VALUE:,} characters"
            parameters.wrong(parameter, "too_long", detail)
    return tuple(filters)
