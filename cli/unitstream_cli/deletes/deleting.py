"""Deleting points: first how many they are, then request after request until all are deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.decimals import exactly
from unitstream.problems import InvalidRequest
from unitstream.questions import delete_question
from unitstream_cli.answers import PROBLEM, Refused
from unitstream_cli.console import written
from unitstream_cli.errors import BadInput, Interrupted
from unitstream_cli.reads.asking import refusals
from unitstream_cli.reads.drawing import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from unitstream.identity import Metric
    from unitstream.periods import Timeframe
    from unitstream_cli.api import Api

_TOO_LARGE = f"{PROBLEM}answer-too-large"
_SHOWN_SUMS = 5


class Selection(NamedTuple):
    """Which points of a metric: of which days and series, and when they were last received, in ISO 8601."""

    metric: Metric
    days: Timeframe
    filters: Sequence[str] = ()
    received_from: str | None = None
    received_before: str | None = None

    def parameters(self) -> dict[str, Any]:
        received = {"received_from": self.received_from, "received_before": self.received_before}
        return {
            **self.metric._asdict(),
            "start_date": self.days.start,
            "end_date": self.days.end,
            "filter": list(self.filters),
            **{name: moment for name, moment in received.items() if moment},
        }

    def halves(self) -> tuple[Selection, Selection]:
        """Return the two halves of several days."""
        start, end = map(date.fromisoformat, self.days)
        middle = start + (end - start) // 2
        return (
            self._replace(days=self.days._replace(end=str(middle))),
            self._replace(days=self.days._replace(start=str(middle + timedelta(1)))),
        )


class Preview(NamedTuple):
    """What would be deleted. `series` is None where it is not known, `first` and `last` where there is nothing."""

    points: int = 0
    series: int | None = 0
    first: str | None = None
    last: str | None = None
    total: Decimal = Decimal(0)
    notices: tuple[dict[str, Any], ...] = ()

    def __add__(self, other: Preview) -> Preview:  # type: ignore[override]  # of other days, not one after the other
        with exactly():
            total = self.total + other.total
        return Preview(
            self.points + other.points,
            _together(self.series, other.series),
            min(filter(None, (self.first, other.first)), default=None),
            max(filter(None, (self.last, other.last)), default=None),
            total,
            (*self.notices, *(notice for notice in other.notices if notice not in self.notices)),
        )


def added(previews: Iterable[Preview]) -> Preview:
    """Return all of them as one."""
    return reduce(add, previews, Preview())


def span(found: Mapping[Metric, Preview]) -> str:
    """Return from which hour to which there are points, and what they add up to where sums mean something."""
    both = added(found.values())
    first, last = (str(at)[:16].replace("T", " ") for at in (both.first, both.last))
    sums = [
        written(float(one.total)) + (f" of {name_of(metric)}" if len(found) > 1 else "")
        for metric, one in found.items()
        if one.points and metric.metric_agg_func == "Sum"
    ]
    more = f" and {len(sums) - _SHOWN_SUMS:,} more" if len(sums) > _SHOWN_SUMS else ""
    return f"from {first} to {last}" + (f", together {'; '.join(sums[:_SHOWN_SUMS])}{more}" if sums else "")


@dataclass
class Deletion:
    """What was deleted so far. `series` is None where several answers may have counted the same.

    `in_doubt`: answers were lost, so it may be more. `found` is what was there right before, where it was asked.
    """

    points: int = 0
    series: int | None = 0
    in_doubt: bool = False
    notices: list[dict[str, Any]] = field(default_factory=list)
    found: dict[Metric, Preview] = field(default_factory=dict)


def check(selection: Selection) -> None:
    """Refuse what the service would. Raises `BadInput`."""
    given = selection.parameters()
    try:
        delete_question({name: value if isinstance(value, list) else [value] for name, value in given.items()})
    except InvalidRequest as exc:
        raise BadInput("\n".join(refusals([error.to_json() for error in exc.errors]))) from exc


def preview(api: Api, selection: Selection) -> Preview:
    """Return what would be deleted. What is too much for one request is asked in halves.

    Raises `Refused`, `Rejected`, `Unreachable` or `Interrupted`.
    """
    if api.stop.is_set():
        raise Interrupted("interrupted.")
    try:
        answer = api.delete(selection.parameters() | {"dry_run": "true"}).document
    except Refused as exc:
        if exc.kind != _TOO_LARGE or selection.days.start == selection.days.end:
            raise
        one, other = selection.halves()
        return preview(api, one) + preview(api, other)
    return Preview(
        answer["deleted"],
        answer["series"],
        answer["first_timestamp"],
        answer["last_timestamp"],
        Decimal(repr(answer["sum"] or 0)),
        tuple(answer.get("notices", ())),
    )


def delete(api: Api, selection: Selection, deletion: Deletion, progress: Callable[[], None]) -> None:
    """Delete points, and add them to `deletion`, request after request until there are no more.

    `progress` is called after each. Raises as `preview` does: then the same again goes on.
    """
    before, answers = deletion.series, 0
    while True:
        if api.stop.is_set():
            raise Interrupted("interrupted.")
        answer = api.delete(selection.parameters())
        answers += 1
        deletion.points += answer.points
        deletion.series = None if answers > 1 or before is None or answer.in_doubt else before + answer.series
        deletion.in_doubt |= answer.in_doubt
        deletion.notices += answer.document.get("notices", [])
        progress()
        if answer.complete:
            return
        api.pause(answer.pause)


def _together(series: int | None, others: int | None) -> int | None:
    """Return how many series there are on two ranges of days: one may be on both."""
    return others if series == 0 else series if others == 0 else None
