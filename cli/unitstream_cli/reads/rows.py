"""The rows of an answer: by value, the largest of them, and what several rows are together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.aggregates import TOTAL_OF_ALL
from unitstream.views import change, unit_cell

if TYPE_CHECKING:
    from unitstream.identity import AggFunc, Metric
    from unitstream_cli.reads.arguments import Form

_SIDES = (
    "current_timeframe_numerator",
    "current_timeframe_denominator",
    "previous_timeframe_numerator",
    "previous_timeframe_denominator",
)


class Row(NamedTuple):
    """A row: its dimensions, and its fields, of which the first says when."""

    dimensions: dict[str, str | None]
    fields: dict[str, Any]


class Rows(NamedTuple):
    """Rows in their order, and after them those that stand for several."""

    each: list[Row]
    together: list[Row]

    @property
    def all(self) -> list[Row]:
        return [*self.each, *self.together]


class Kind(NamedTuple):
    """A kind of rows: the field that counts, and the fields that several have together."""

    value: str
    together: Callable[[Sequence[Row]], dict[str, Any]]


def values_of(metric: Metric) -> Kind:
    """Return the kind of the rows of points or of a view."""

    def together(rows: Sequence[Row]) -> dict[str, Any]:
        several = [(row.fields["value"], row.fields.get("points", 1)) for row in rows]
        counted = {"points": sum(points for _, points in several)} if "points" in rows[0].fields else {}
        value = aggregated(metric.metric_agg_func, several)
        if "previous_timeframe_value" not in rows[0].fields:
            return {"value": value} | counted
        # How many points were in the earlier ones is not known, so a mean of means would be a guess.
        before = aggregated(metric.metric_agg_func, [(row.fields["previous_timeframe_value"], None) for row in rows])
        diff, share = change(value, before)
        compared = {"previous_timeframe_value": before, "pop_diff": diff, "pop_change": share}
        return {"value": value} | counted | compared

    return Kind("value", together)


def ratios_of(numerator: Metric, denominator: Metric, shared: Sequence[str] | None = None) -> Kind:
    """Return the kind of the rows of a unit metric: several have the quotient of what their sides are together.

    Rows of a date whose dimensions in `shared` are the same have one denominator, which counts once; where it is None,
    each has its own.
    """
    functions = (numerator.metric_agg_func, denominator.metric_agg_func)

    def together(rows: Sequence[Row]) -> dict[str, Any]:
        # How many points went into each side is not known, so a mean of means would be a guess.
        once = list({_denominator_of(row, shared): row for row in rows}.values())
        n, d, n_before, d_before = (
            aggregated(function, [(row.fields[side], None) for row in several])
            for side, function, several in zip(_SIDES, functions * 2, (rows, once) * 2, strict=True)
        )
        points = sum(row.fields["points"] for row in rows)
        cell = unit_cell(numerator, denominator, "", (n, d, n_before, d_before), points)._asdict()
        for of_periods in ("date", "complete", "previous_date"):
            del cell[of_periods]
        return cell

    return Kind("current_timeframe_unit_metric", together)


def _denominator_of(row: Row, shared: Sequence[str] | None) -> tuple[object, ...]:
    keys = row.dimensions if shared is None else shared
    return row.fields["date"], *(row.dimensions[key] for key in keys)


def aggregated(function: AggFunc, several: Sequence[tuple[float | None, int | None]]) -> float | None:
    """Return what values are together, each with the number of points in it; None where that cannot be known."""
    present = [(value, points) for value, points in several if value is not None]
    if not present:
        return None
    if function in {"Maximum", "Minimum"}:
        return (max if function == "Maximum" else min)(value for value, _ in present)
    exact = [(Fraction(repr(value)), points) for value, points in present]
    if function == "Sum":
        return float(sum(value for value, _ in exact))
    if any(points is None for _, points in exact):
        return None
    return float(sum(value * points for value, points in exact if points) / sum(points or 0 for _, points in exact))


def arranged(rows: Sequence[Row], kind: Kind, form: Form, totals: Sequence[Row] = ()) -> Rows:
    """Return the rows as they are wanted, and last those of the whole range.

    They are `totals`, if the service tells them: of each group, and of all. That of a single group says the same.
    """
    each = list(rows)
    together: list[Row] = []
    if form.sort == "value" or form.top is not None:
        each.sort(key=lambda row: (row.fields[kind.value] is None, -(row.fields[kind.value] or 0.0)))
    if form.top is not None and (rest := each[form.top :]):
        each = each[: form.top]
        together.append(_row_of(rest, f"{len(rest):,} other{'s' if len(rest) > 1 else ''}", kind))
    if form.total and rows:
        *of_groups, of_all = totals or [_row_of(rows, TOTAL_OF_ALL, kind)]
        together += [*(of_groups if len(of_groups) > 1 else []), of_all]
    return Rows(each, together)


def _row_of(rows: Sequence[Row], name: str, kind: Kind) -> Row:
    first, *others = rows[0].fields
    fields = {first: name} | dict.fromkeys(others) | kind.together(rows)
    return Row(dict.fromkeys(rows[0].dimensions), fields)
