"""What the controls of the page hold, to and from a question, and what they offer. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.filters import parse_filter
from unitstream.metric_parameters import MAX_GROUP_BY
from unitstream_cli.explore.question import (
    TOPS,
    Asked,
    filter_text,
    filter_words,
    joined_filters,
    keys_text,
    single_filters,
)
from unitstream_cli.explore.table import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unitstream_cli.explore.stream import Dimensions

Options = list[dict[str, Any]]

_METRIC, _SAVED = "metric ", "saved "
ALIKE, NOT_GROUPED = "alike", "none"
RANGES = {
    "7d": "last 7 days",
    "30d": "last 30 days",
    "90d": "last 90 days",
    "this-month": "this month",
    "last-month": "last month",
    "this-year": "this year",
    "own": "own dates",
}
GRANULARITIES = ("hour", "day", "week", "month", "quarter", "year")
COMPARISONS = {
    "none": "nothing",
    "timeframe": "the timeframe before",
    "period": "the period before",
    "year": "a year earlier",
}
SHAPES = {"bars": "stacked bars", "lines": "lines"}


class Choices(NamedTuple):
    """The values of the controls, by their IDs in the page."""

    what: str | None
    per: str | None
    range: str
    start_date: str | None
    end_date: str | None
    granularity: str | None
    group_by: list[str] | None
    filter: list[str] | None
    numerator_filter: list[str] | None
    denominator_filter: list[str] | None
    denominator_group_by: str | None
    compare: str
    shape: str
    top: int


def choices_of(asked: Asked, start: str, end: str) -> Choices:
    """Return what the controls hold for a question about the days from `start` to `end`."""
    shared = asked.denominator_group_by
    what = f"{_SAVED}{asked.saved}" if asked.saved else f"{_METRIC}{asked.metric}" if asked.metric else None
    return Choices(
        what,
        asked.per,
        asked.range,
        _day(start),
        _day(end),
        asked.granularity or "day",
        list(asked.group_by),
        single_filters(asked.filter),
        single_filters(asked.numerator_filter),
        single_filters(asked.denominator_filter),
        ALIKE if shared is None else keys_text(shared) or NOT_GROUPED,
        asked.compare or "none",
        asked.shape,
        asked.top,
    )


def _day(text: str) -> str | None:
    """Return a day as a field for one takes it, None where there is none: the API takes more forms."""
    try:
        return str(date.fromisoformat(text[: len("2022-10-01")]))
    except ValueError:
        return None


def as_defined(asked: Asked, definition: Mapping[str, Any] | None) -> Asked:
    """Return a question with what the definition of its saved unit metric says, if there is one, to show it."""
    if definition is None:
        return asked
    shared = definition.get("denominator_group_by")
    names = ("group_by", "filter", "numerator_filter", "denominator_filter")
    lists: dict[str, Any] = {name: tuple(definition.get(name, ())) for name in names}
    return replace(
        asked,
        metric=definition["numerator"],
        per=definition["denominator"],
        granularity=asked.granularity or definition.get("granularity"),
        denominator_group_by=None if shared is None else tuple(shared),
        **lists,
    )


def metric_of(choices: Choices) -> str | None:
    """Return the metric that is chosen, None with a saved unit metric."""
    what = choices.what or ""
    return what.removeprefix(_METRIC) if what.startswith(_METRIC) else None


def adds_up(asked: Asked) -> bool:
    """Whether several values are together their sum."""
    return asked.per is None and (asked.metric or "").endswith(":Sum")


def asked_from(choices: Choices, sort: str | None, dimensions: Mapping[str, Dimensions], *, anew: bool) -> Asked:
    """Return the question that the controls ask. What is chosen of dimensions that a metric lacks is dropped.

    `dimensions` are those of the metrics that were chosen; `sort` is kept if there is such a column. `anew` says that
    something else is looked at: of a saved unit metric by the periods that its definition says.
    """
    what = choices.what or ""
    common = {
        "range": choices.range,
        "start_date": choices.start_date if choices.range == "own" else None,
        "end_date": choices.end_date if choices.range == "own" else None,
        "compare": None if choices.compare == "none" else choices.compare,
        "shape": choices.shape,
        "top": choices.top,
    }
    saved = what.removeprefix(_SAVED) if what.startswith(_SAVED) else None
    if saved is not None:
        granularity = None if anew else choices.granularity
        return Asked(saved=saved, granularity=granularity, sort=sort, **common)  # type: ignore[arg-type]  # the controls offer no other words
    metric, per = metric_of(choices), choices.per
    keys = set(chain.from_iterable(dimensions[one].values for one in (metric, per) if one and one in dimensions))
    group_by = tuple(key for key in choices.group_by or () if key in keys)[:MAX_GROUP_BY]
    sides = (choices.numerator_filter, choices.denominator_filter) if per else (None, None)
    columns = columns_of(group_by, is_view=per is None, compared=common["compare"] is not None)
    return Asked(
        metric,
        per,
        sort=sort if (sort or "").removeprefix("-") in {one.name for one in columns} else None,
        granularity=None if choices.granularity == "day" else choices.granularity,  # type: ignore[arg-type]  # the control offers no other words
        group_by=group_by,
        filter=_kept(choices.filter, keys),
        numerator_filter=_kept(sides[0], keys),
        denominator_filter=_kept(sides[1], keys),
        denominator_group_by=_shared(choices.denominator_group_by, group_by) if per else None,
        **common,  # type: ignore[arg-type]  # the controls offer no other words
    )


def _kept(singles: Iterable[str] | None, keys: set[str]) -> tuple[str, ...]:
    return joined_filters(one for one in singles or () if parse_filter(one).key in keys)


def _shared(choice: str | None, group_by: tuple[str, ...]) -> tuple[str, ...] | None:
    subsets = {keys_text(some): some for some in _subsets(group_by)}
    return () if choice == NOT_GROUPED else subsets.get(choice or "")


def _subsets(keys: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Return the parts of `keys` that are neither all nor none."""
    return chain.from_iterable(combinations(keys, size) for size in range(1, len(keys)))


# --- what is offered --------------------------------------------------------------------------------------------------


def metric_names(metrics: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{one['metric_name']}:{one['metric_agg_func']}" for one in metrics]


def offered_things(metrics: Sequence[str], saved: Sequence[str], asked: Asked) -> Options:
    """Return what can be looked at: saved unit metrics and metrics, and what the address asks if it is none of them."""
    names = with_chosen(saved, [asked.saved] if asked.saved else [])
    others = with_chosen(metrics, [asked.metric] if asked.metric else [])
    return [
        *({"value": f"{_SAVED}{name}", "label": f"{name} (saved unit metric)"} for name in names),
        *({"value": f"{_METRIC}{name}", "label": name} for name in others),
    ]


def offered(names: Iterable[str], chosen: Iterable[str] = ()) -> Options:
    return [{"value": name, "label": name} for name in with_chosen(list(names), chosen)]


def with_chosen(names: Sequence[str], chosen: Iterable[str]) -> list[str]:
    """Return the names with those that were chosen and are not among them: the page drops what it does not offer."""
    return [*names, *(one for one in chosen if one not in names)]


def offered_filters(dimensions: Iterable[Dimensions], chosen: Iterable[str]) -> Options:
    """Return a filter for each value that exists, and one against it."""
    values: dict[str, set[str]] = {}
    for one in dimensions:
        for key, several in one.values.items():
            values.setdefault(key, set()).update(several)
    texts = [
        filter_text(parse_filter(f"{sign}{keys_text([key])}:{keys_text([value])}"))
        for key in sorted(values)
        for sign in ("", "-")
        for value in sorted(values[key])
    ]
    return [{"value": text, "label": filter_words(text)} for text in with_chosen(texts, chosen)]


def offered_sharing(group_by: tuple[str, ...]) -> Options:
    """Return the ways to group the denominator."""
    subsets = [{"value": keys_text(some), "label": f"by {' and '.join(some)}"} for some in _subsets(group_by)]
    return [
        {"value": ALIKE, "label": "as the numerator"},
        *subsets,
        {"value": NOT_GROUPED, "label": "not at all"},
    ]


def in_words(words: Mapping[str, str]) -> Options:
    return [{"value": value, "label": label} for value, label in words.items()]


def offered_tops(chosen: int) -> Options:
    numbers = sorted({*TOPS, chosen})
    return [{"value": number, "label": f"the {number} largest"} for number in numbers]
