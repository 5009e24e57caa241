"""Questions for views and unit metrics, and the query parameters that ask them. Pure.

As in `questions`, each `…_question` function raises `InvalidRequest` with everything that is wrong with the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, get_args

from unitstream.comparisons import Compare, Comparison
from unitstream.metric_parameters import (
    read_filters,
    read_group_by,
    read_metric,
    read_part_of,
    read_side,
    read_timeframe,
)
from unitstream.parameters import Parameters, quoted
from unitstream.periods import Granularity, Timeframe
from unitstream.problems import Finding, near_miss
from unitstream.questions import Side, named
from unitstream.zones import Calendar, offset_not_hourly, zone_names, zone_of

if TYPE_CHECKING:
    from unitstream.filters import Filter
    from unitstream.identity import Metric
    from unitstream.parameters import Query

Question = TypeVar("Question", bound="ViewQuestion | UnitMetricQuestion")

_TABLE = ("start_date", "end_date", "granularity", "timezone", "group_by", "filter", "fill", "compare", "totals")
VIEW_PARAMETERS = ("metric_name", "metric_agg_func", *_TABLE)
_SIDES = ("numerator_filter", "denominator_filter", "denominator_group_by")
UNIT_METRIC_PARAMETERS = ("numerator", "denominator", *_TABLE, *_SIDES)

_GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_COMPARISONS: tuple[Compare, ...] = get_args(Compare)


@dataclass(frozen=True, slots=True)
class ViewQuestion:
    """Asks for the values of a metric, by period and by the dimensions in `group_by`.

    Periods above hours begin by the clock of `timezone`. With `fill`, periods without data are part of the answer too;
    with `compare`, each stands beside an earlier one; with `totals`, there is a value over all periods.
    """

    metric: Metric
    timeframe: Timeframe
    granularity: Granularity = "day"
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False
    compare: Compare | None = None
    timezone: str = "UTC"
    totals: bool = False

    @property
    def sides(self) -> list[Side]:
        return [Side("metric_name", self.metric, named("filter", self.filters), self.group_by)]

    @property
    def comparison(self) -> Comparison | None:
        return _comparison(self, self.compare) if self.compare else None


@dataclass(frozen=True, slots=True)
class UnitMetricQuestion:
    """Asks for `numerator` divided by `denominator`, by period and by the dimensions in `group_by`.

    `filters` hold for both. A group is divided by the denominator of the values that it has of `denominator_group_by`,
    which is a part of `group_by`, or where it is None all of it. `unit` is what a saved one is shown in. The rest is as
    in a `ViewQuestion`.
    """

    numerator: Metric
    denominator: Metric
    timeframe: Timeframe
    granularity: Granularity = "day"
    group_by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    fill: bool = False
    compare: Compare = "timeframe"
    timezone: str = "UTC"
    totals: bool = False
    numerator_filters: tuple[Filter, ...] = ()
    denominator_filters: tuple[Filter, ...] = ()
    denominator_group_by: tuple[str, ...] | None = None
    unit: str | None = None

    @property
    def sides(self) -> list[Side]:
        """The numerator and the denominator."""
        of_both = named("filter", self.filters)
        of_numerator = named("numerator_filter", self.numerator_filters)
        of_denominator = named("denominator_filter", self.denominator_filters)
        numerator = Side("numerator", self.numerator, of_both + of_numerator, self.group_by)
        if self.denominator_group_by is None:
            keys, parameter = self.group_by, "group_by"
        else:
            keys, parameter = self.denominator_group_by, "denominator_group_by"
        return [numerator, Side("denominator", self.denominator, of_both + of_denominator, keys, parameter)]

    @property
    def comparison(self) -> Comparison:
        return _comparison(self, self.compare)


def view_question(query: Query) -> ViewQuestion:
    """Return the question of `GET /api/views`."""
    parameters = Parameters(query, VIEW_PARAMETERS)
    timezone = _timezone(parameters)
    question = ViewQuestion(
        read_metric(parameters),
        read_timeframe(parameters, zone_of(timezone)),
        parameters.choice("granularity", _GRANULARITIES) or "day",
        read_group_by(parameters),
        read_filters(parameters),
        fill=parameters.choice("fill", ("null",)) is not None,
        compare=parameters.choice("compare", _COMPARISONS),
        timezone=timezone,
        totals=parameters.choice("totals", ("true", "false")) == "true",
    )
    return _with_hourly_offsets(parameters, parameters.checked(question))


def unit_metric_question(query: Query) -> UnitMetricQuestion:
    """Return the question of `GET /api/unit-metrics`."""
    parameters = Parameters(query, UNIT_METRIC_PARAMETERS)
    timezone = _timezone(parameters)
    group_by = read_group_by(parameters)
    denominator_group_by = read_part_of(parameters, "denominator_group_by", group_by)
    question = UnitMetricQuestion(
        read_side(parameters, "numerator"),
        read_side(parameters, "denominator"),
        read_timeframe(parameters, zone_of(timezone)),
        parameters.choice("granularity", _GRANULARITIES) or "day",
        group_by,
        read_filters(parameters),
        fill=parameters.choice("fill", ("null",)) is not None,
        compare=parameters.choice("compare", _COMPARISONS) or "timeframe",
        timezone=timezone,
        totals=parameters.choice("totals", ("true", "false")) == "true",
        numerator_filters=read_filters(parameters, "numerator_filter"),
        denominator_filters=read_filters(parameters, "denominator_filter"),
        denominator_group_by=denominator_group_by if query.get("denominator_group_by") else None,
    )
    return _with_hourly_offsets(parameters, parameters.checked(question))


def cautions(question: ViewQuestion | UnitMetricQuestion) -> tuple[Finding, ...]:
    """Return notices about what an answer can only say roughly, whatever there is to read."""
    comparison = question.comparison
    found = [
        Finding(
            "unequal_days",
            f"the {question.granularity} of {period} has {days} day{'s' if days > 1 else ''} of the range, and is "
            f"compared with {earlier_days} of an earlier one",
            parameter="start_date" if period <= question.timeframe.start else "end_date",
        )
        for period, days, earlier_days in (comparison.unequal() if comparison else ())
    ]
    if comparison and question.totals and (alone := comparison.first_alone()):
        calendar = Calendar(question.timeframe, question.granularity, zone_of(question.timezone))
        found.append(
            Finding(
                "unequal_totals",
                f"the {question.granularity} of {calendar.shown(alone)} is in the totals, and has no earlier one that "
                "it is compared with: they are compared with those of fewer periods",
                parameter="totals",
            )
        )
    if offset := offset_not_hourly(zone_of(question.timezone), _all_days(question)):
        found.append(
            Finding(
                "hours_across_periods",
                f"{question.timezone} is {offset} from UTC: an hour in which a {question.granularity} begins counts "
                "for the one before",
                parameter="timezone",
            )
        )
    return tuple(found)


def _comparison(question: ViewQuestion | UnitMetricQuestion, compare: Compare) -> Comparison:
    return Comparison(compare, question.timeframe, question.granularity, zone_of(question.timezone))


def _all_days(question: ViewQuestion | UnitMetricQuestion) -> Timeframe:
    comparison = question.comparison
    previous = comparison.previous if comparison else None
    return Timeframe(min(question.timeframe.start, (previous or question.timeframe).start), question.timeframe.end)


def _timezone(parameters: Parameters) -> str:
    text = parameters.text("timezone", required=False)
    if text is None:
        return "UTC"
    try:
        zone_of(text)
    except ValueError:
        close = near_miss(text, zone_names())
        hint = f": did you mean {close}?" if close else f", and is {quoted(text)}"
        detail = f"timezone must be a time zone of the IANA, such as America/New_York{hint}"
        parameters.wrong("timezone", "timezone_unknown", detail)
        return "UTC"
    return text


def _with_hourly_offsets(parameters: Parameters, question: Question) -> Question:
    """Refuse days and hours of a zone whose days begin within an hour, of which one value is stored."""
    if question.granularity in {"hour", "day"} and (
        offset := offset_not_hourly(zone_of(question.timezone), _all_days(question))
    ):
        parameters.wrong(
            "timezone",
            "timezone_not_hourly",
            f"{question.timezone} is {offset} from UTC: its days begin within an hour, of which there is one value. "
            "Ask for weeks or longer, or in UTC.",
        )
    return parameters.checked(question)
