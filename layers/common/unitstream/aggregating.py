"""Reading the shards of a metric into aggregates: those of a view, or of one or both halves of a unit metric.

Each day is read once, however many aggregates it goes into: those of now and before, and of two halves that are of the
same metric.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from unitstream.aggregates import Aggregates, group_of
from unitstream.decimals import exactly
from unitstream.items import VALUE
from unitstream.periods import Timeframe, overlap
from unitstream.views import Half
from unitstream.zones import Calendar, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from threading import Lock

    from unitstream.aggregates import Group
    from unitstream.items import Item
    from unitstream.questions import Side
    from unitstream.shards import Selection, Shard
    from unitstream.view_questions import UnitMetricQuestion, ViewQuestion

    # The group of a series in each half, None in those that leave it out.
    Groups = tuple[Group | None, ...]

# 1 MB of full days, where DynamoDB ends a page. In Python's objects that is 12 MB, so few are read at once, which is
# enough to keep a core busy.
_DAYS_A_PAGE = 2_000
PAGES_AT_ONCE = 4
_HOURS = {name: name[1:] for name in VALUE}


class ReadHalf(NamedTuple):
    """What is read of a metric, and the aggregates that its points go into."""

    side: Side
    table: Half

    @property
    def aggregates(self) -> list[Aggregates]:
        return [one for one in self.table if one]

    def group_of(self, dimensions: dict[str, str]) -> Group | None:
        """Return the group of a series with `dimensions`, None if it is left out."""
        return group_of(dimensions, self.side.group_by) if self.side.keeps(dimensions) else None


class Part(NamedTuple):
    """What there is to do in a shard: which days go into which halves.

    Its series are read if there are `values`, by the keys that the question names.
    """

    shard: Shard
    spans: list[Timeframe]
    halves: list[ReadHalf]
    values: Mapping[str, set[str]]


def halves_of(question: ViewQuestion | UnitMetricQuestion, most: int) -> list[ReadHalf]:
    """Return the halves of a question, without points yet. Each has at most so many periods."""
    zone = zone_of(question.timezone)
    comparison = question.comparison
    calendar = Calendar(question.timeframe, question.granularity, zone)
    previous = comparison.previous if comparison else None
    earlier = Calendar(previous, question.granularity, zone) if previous else None
    halves = []
    for side in question.sides:
        now, before = (
            Aggregates(side.metric.metric_agg_func, one, fill=question.fill, most=most) if one else None
            for one in (calendar, earlier)
        )
        if now:
            halves.append(ReadHalf(side, Half(now, before)))
    return halves


def spans_of(halves: Iterable[ReadHalf], days: Timeframe) -> list[Timeframe]:
    """Return which of `days` the halves need, each once: where spans overlap or touch, they are joined."""
    needed = {one.calendar.days for half in halves for one in half.aggregates}
    spans: list[Timeframe] = []
    for span in sorted(filter(None, (overlap(each, days) for each in needed))):
        if spans and date.fromisoformat(span.start) - date.fromisoformat(spans[-1].end) <= timedelta(1):
            spans[-1] = Timeframe(spans[-1].start, max(spans[-1].end, span.end))
        else:
            spans.append(span)
    return spans


def aggregate_shard(part: Part, lock: Lock, *, fill: bool) -> None:
    """Add the points of a shard to the aggregates of its halves."""
    selection: Selection[Groups] | None = None
    if part.values:
        selection = part.shard.select(partial(_groups, part.halves), part.values)
    if fill:
        with lock:
            _know_groups(part.halves, selection)
    for span in part.spans:
        pages = part.shard.days(f"{span.start}#", span.end, repeat(_DAYS_A_PAGE), attributes=VALUE, selection=selection)
        for items in pages:
            with lock, exactly():
                _add_days(items, selection, part.halves)


def _groups(halves: Sequence[ReadHalf], dimensions: dict[str, str]) -> Groups | None:
    # A metric may have very many series: a generator's steps would cost as much as what is done here.
    groups = tuple([half.group_of(dimensions) for half in halves])
    return groups if groups.count(None) < len(groups) else None


def _know_groups(halves: Sequence[ReadHalf], selection: Selection[Groups] | None) -> None:
    known = set(selection.series.values()) if selection else {((),) * len(halves)}
    for place, half in enumerate(halves):
        for one in half.aggregates:
            one.know({group for groups in known if (group := groups[place]) is not None})


def _add_days(items: Iterable[Item], selection: Selection[Groups] | None, halves: Sequence[ReadHalf]) -> None:
    """Add days of a shard to the aggregates of the timeframes that they belong to. Uses up the items."""
    everything: Groups = ((),) * len(halves)
    targets = [(place, one, one.calendar.days) for place, half in enumerate(halves) for one in half.aggregates]
    # First together what belongs together: adding the days of each series by themselves takes a tenth more CPU.
    together: defaultdict[tuple[str, Groups], list[Item]] = defaultdict(list)
    for item in items:
        day, _, record_id = item.pop("sk")["S"].partition("#")
        item.pop("pk", None)
        groups = selection.series.get(record_id) if selection else everything
        if groups is not None and item:
            together[day, groups].append(item)
    for (day, groups), days in together.items():
        numbers = [value["N"] for item in days for value in item.values()]
        for place, one, (start, end) in targets:
            group = groups[place]
            if group is not None and start <= day <= end:
                one.add(group, day, (_HOURS[name] for item in days for name in item), numbers)
