"""Notices about what a question names and the data does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unitstream.filters import Filter
from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream.questions import PointsQuestion
from unitstream.unknown import Known, notices
from unitstream.view_questions import UnitMetricQuestion, ViewQuestion

if TYPE_CHECKING:
    from unitstream.unknown import Question

ORDERS, COSTS = Metric("orders", "Sum"), Metric("costs", "Average")
DAY = Timeframe("2022-10-01", "2022-10-01")
REGIONS = Known(frozenset({"region", "plan"}), all_keys=True, values={"region": {"eu", "us"}})


def said(question: Question, known: Known | None = REGIONS) -> list[tuple[str | None, str, str]]:
    its = {} if known is None else {ORDERS: known}
    return [(one.parameter, one.code, one.detail) for one in notices(question, its, [ORDERS, COSTS])]


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        (Metric("order", "Sum"), ": did you mean orders:Sum?"),
        (Metric("orders", "Average"), ": did you mean orders:Sum?"),
        (Metric("COSTS", "Average"), ": did you mean costs:Average?"),
        (Metric("nope", "Sum"), ""),
        (Metric("x" * 255, "Sum"), ""),
    ],
)
def test_an_unknown_metric_is_noticed_with_the_one_that_was_meant(metric: Metric, hint: str) -> None:
    """One of the same name with another function, or one whose name is similar: not of the same function alone."""
    ((parameter, code, detail),) = said(PointsQuestion(metric, DAY), None)
    assert (parameter, code) == ("metric_name", "unknown_metric")
    assert detail.startswith("the stream has no metric '")
    assert detail.partition("'")[2].rpartition("'")[2].removeprefix("…") == hint


def test_each_side_of_a_unit_metric_is_named() -> None:
    question = UnitMetricQuestion(Metric("cost", "Average"), ORDERS, DAY)
    assert said(question) == [
        ("numerator", "unknown_metric", "the stream has no metric 'cost:Average': did you mean costs:Average?")
    ]


def test_unknown_keys_and_values_are_noticed_with_those_that_were_meant() -> None:
    """Also in a filter that leaves something out, which would keep everything."""
    filters = (Filter("regoin", ("eu",), excludes=True), Filter("region", ("eu", "uss", "mars"), excludes=False))
    found = said(ViewQuestion(ORDERS, DAY, "day", ("Region", "team"), filters))
    assert [(parameter, code.removeprefix("unknown_dimension_")) for parameter, code, _ in found] == [
        ("group_by", "key"),
        ("group_by", "key"),
        ("filter", "key"),
        ("filter", "value"),
        ("filter", "value"),
    ]
    assert [detail.removeprefix("no series of 'orders:Sum' has ") for _, _, detail in found] == [
        "the dimension 'Region': did you mean region?",
        "the dimension 'team': they have plan, region",
        "the dimension 'regoin': did you mean region?",
        "'uss' in the dimension 'region': did you mean us?",
        "'mars' in the dimension 'region'",
    ]


def test_what_was_not_looked_at_is_not_said_to_be_missing() -> None:
    """Of very many sets of keys only some are remembered, and values are known only where series were read."""
    question = ViewQuestion(ORDERS, DAY, "day", ("team",), (Filter("region", ("mars",), excludes=False),))
    some = Known(frozenset({"region"}), all_keys=False, values={})
    assert said(question, some) == []
    assert said(question, some._replace(values={"team": {"red"}, "region": {"mars"}})) == []
    ((_, code, _),) = said(question, some._replace(values={"team": set(), "region": {"mars"}}))
    assert code == "unknown_dimension_key"


def test_a_question_that_names_what_there_is_gets_no_notice() -> None:
    filters = (Filter("region", ("eu", "us"), excludes=False),)
    assert said(ViewQuestion(ORDERS, DAY, "day", ("region", "plan"), filters)) == []
