"""What a question names and a stream does not have: notices, each with what may have been meant. Pure.

Such a question is answered all the same, as a metric may come later. But the answer to a misspelt one is empty, or full
where a filter was to leave something out, and nobody would see why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unitstream.parameters import quoted
from unitstream.problems import MAX_REPORTED_ERRORS, Finding, near_miss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.questions import DeleteQuestion, PointsQuestion, SeriesQuestion, Side
    from unitstream.view_questions import UnitMetricQuestion, ViewQuestion

    Question = SeriesQuestion | PointsQuestion | DeleteQuestion | ViewQuestion | UnitMetricQuestion

_LISTED_KEYS = 10


class Known(NamedTuple):
    """The dimensions of a metric.

    `keys` are what its series have, or only some of that unless they are `all_keys`. `values` has the values of those
    keys for which all series were looked at.
    """

    keys: frozenset[str]
    all_keys: bool
    values: dict[str, set[str]]


def named_keys(side: Side) -> list[tuple[str, str]]:
    """Return the keys that are named for a metric, each with the parameter that names it."""
    return [
        *((side.group_by_parameter, key) for key in side.group_by),
        *((parameter, one.key) for parameter, one in side.filters),
    ]


def notices(question: Question, known: Mapping[Metric, Known], metrics: Sequence[Metric]) -> tuple[Finding, ...]:
    """Return what to say of a question. `known` are those of its metrics that there are, `metrics` of the stream."""
    sides = question.sides
    found = [_unknown_metric(side.metric, side.parameter, metrics) for side in sides if side.metric not in known]
    for side in sides:
        its = known.get(side.metric)
        if its is None:
            continue
        for parameter, key in named_keys(side):
            if key not in its.keys and not its.values.get(key) and (its.all_keys or key in its.values):
                found.append(_unknown_key(side.metric, parameter, key, its.keys))
        for parameter, one in side.filters:
            if values := its.values.get(one.key):
                found += [
                    _unknown_value(side.metric, parameter, one.key, text, values)
                    for text in one.values
                    if text not in values
                ]
    # Both sides of a unit metric may be of the same metric.
    return tuple(dict.fromkeys(found))[:MAX_REPORTED_ERRORS]


def _unknown_metric(metric: Metric, parameter: str, known: Sequence[Metric]) -> Finding:
    names = {one.metric_name for one in known}
    name = metric.metric_name if metric.metric_name in names else near_miss(metric.metric_name, names)
    functions = [one.metric_agg_func for one in known if one.metric_name == name]
    function = metric.metric_agg_func if metric.metric_agg_func in functions else "".join(functions[:1])
    hint = f": did you mean {name}:{function}?" if functions else ""
    detail = f"the stream has no metric {_full_name(metric)}{hint}"
    return Finding("unknown_metric", detail, parameter=parameter)


def _unknown_key(metric: Metric, parameter: str, key: str, known: frozenset[str]) -> Finding:
    close = near_miss(key, known)
    some = ", ".join(sorted(known)[:_LISTED_KEYS]) + (", …" if len(known) > _LISTED_KEYS else "")
    hint = f"did you mean {close}?" if close else f"they have {some or 'none'}"
    detail = f"no series of {_full_name(metric)} has the dimension {quoted(key)}: {hint}"
    return Finding("unknown_dimension_key", detail, parameter=parameter)


def _unknown_value(metric: Metric, parameter: str, key: str, value: str, known: set[str]) -> Finding:
    close = near_miss(value, known)
    detail = f"no series of {_full_name(metric)} has {quoted(value)} in the dimension {quoted(key)}"
    return Finding(
        "unknown_dimension_value", detail + (f": did you mean {close}?" if close else ""), parameter=parameter
    )


def _full_name(metric: Metric) -> str:
    return quoted(":".join(metric))
