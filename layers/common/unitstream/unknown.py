"""What a question names and a stream does not have: notices, each with what may have been meant. Pure.

Such a question is answered all the same, as a metric may come later. But the answer to a misspelt one is empty, or full
where a filter was to leave something out, and nobody would see why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unitstream.parameters import quoted
from unitstream.problems import MAX_REPORTED_ERRORS, Finding, near_miss
from unitstream.questions import SeriesQuestion, UnitMetricQuestion, ViewQuestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.questions import DeleteQuestion, PointsQuestion

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


def named_keys(question: Question) -> list[tuple[str, str]]:
    """Return the keys that a question names, each with the parameter that names it."""
    grouped = question.group_by if isinstance(question, ViewQuestion | UnitMetricQuestion) else ()
    return [*(("group_by", key) for key in grouped), *(("filter", one.key) for one in question.filters)]


def metrics_of(question: Question) -> dict[str, Metric]:
    """Return the metrics that a question is about, by the parameters that name them."""
    if isinstance(question, UnitMetricQuestion):
        return {"numerator": question.numerator, "denominator": question.denominator}
    return {"metric_name": question.metric}


def notices(question: Question, known: Mapping[Metric, Known], metrics: Sequence[Metric]) -> tuple[Finding, ...]:
    """Return what to say of a question. `known` are those of its metrics that there are, `metrics` of the stream."""
    found = [
        _unknown_metric(metric, parameter, metrics)
        for parameter, metric in metrics_of(question).items()
        if metric not in known
    ]
    for metric, its in known.items():
        for parameter, key in named_keys(question):
            if key not in its.keys and not its.values.get(key) and (its.all_keys or key in its.values):
                found.append(_unknown_key(metric, parameter, key, its.keys))
        for one in question.filters:
            if values := its.values.get(one.key):
                found += [_unknown_value(metric, one.key, text, values) for text in one.values if text not in values]
    return tuple(found[:MAX_REPORTED_ERRORS])


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


def _unknown_value(metric: Metric, key: str, value: str, known: set[str]) -> Finding:
    close = near_miss(value, known)
    detail = f"no series of {_full_name(metric)} has {quoted(value)} in the dimension {quoted(key)}"
    return Finding(
        "unknown_dimension_value", detail + (f": did you mean {close}?" if close else ""), parameter="filter"
    )


def _full_name(metric: Metric) -> str:
    return quoted(":".join(metric))
