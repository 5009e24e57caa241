"""Stored points, listed in the order of time: by day, record ID and hour."""

from __future__ import annotations

import heapq
import json
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from unitstream.dynamodb import side_by_side
from unitstream.filters import passes
from unitstream.instants import instant_text
from unitstream.items import RECEIVED, VALUE, dimensions_of, series_key
from unitstream.pages import Candidate, PointPlace
from unitstream.periods import hour_of
from unitstream.table import KEYS_PER_READ

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unitstream.items import Item
    from unitstream.periods import Timeframe
    from unitstream.questions import PointsQuestion
    from unitstream.shards import Selection, Shard

# What a point takes in an answer, beside its dimensions.
_POINT_BYTES = 250
_LARGEST_PAGE = 400


class StoredPoint(NamedTuple):
    """A stored point. `timestamp` is its hour, `2022-10-01T13:00:00Z`, and `received_at` has milliseconds."""

    timestamp: str
    value: float
    dimensions: dict[str, str]
    record_id: str
    received_at: str


def point_candidates(
    shards: Sequence[Shard],
    timeframe: Timeframe,
    question: PointsQuestion,
    after: PointPlace | None,
    values: Mapping[str, set[str]],
) -> Iterator[Candidate[StoredPoint]]:
    """Yield the points of a metric in `timeframe` and after a place, in order; `shards` are all that it has.

    Where there are filters, all series are looked at, and the values that they have are added to `values`, by key.

    A day that has none of them, since the filters leave its series out or all of it was deleted, is a candidate without
    a point: it has been looked at.
    """
    selections: list[Selection[dict[str, str]] | None] = [None] * len(shards)
    if question.filters:
        selections = side_by_side(lambda shard: shard.select(partial(_kept, question), values), shards)
    first = f"{after.day}#{after.record_id}" if after else f"{timeframe.start}#"
    days = heapq.merge(
        *(
            chain.from_iterable(
                shard.days(
                    first,
                    timeframe.end,
                    _page_sizes(question.limit, len(shards)),
                    attributes=(*VALUE, *RECEIVED),
                    selection=selection,
                )
            )
            for shard, selection in zip(shards, selections, strict=True)
        ),
        key=lambda item: item["sk"]["S"],
    )
    known = {
        record_id: dimensions
        for selection in selections
        if selection
        for record_id, dimensions in selection.series.items()
    }
    while chunk := list(islice(days, min(KEYS_PER_READ, question.limit))):
        if not question.filters:
            known |= _dimensions(shards[0], chunk, known)
        for item in chunk:
            yield from _points_of(item, known, after)


def _kept(question: PointsQuestion, dimensions: dict[str, str]) -> dict[str, str] | None:
    return dimensions if passes(question.filters, dimensions) else None


def _page_sizes(limit: int, shards: int) -> Iterator[int]:
    """At first as many days as a page of points takes when they are full, then more and more."""
    size = limit // (24 * shards) + 1
    while True:
        yield min(size, _LARGEST_PAGE)
        size *= 2


def _dimensions(shard: Shard, days: Sequence[Item], known: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return the dimensions of the series of `days` that are not known yet."""
    record_ids = {day["sk"]["S"].partition("#")[2] for day in days} - known.keys()
    keys = {series_key(shard.stream_id, shard.metric, record_id): record_id for record_id in record_ids}
    items = shard.table.read_all(list(keys), ("dimensions",), shard.deadline)
    if new := [key for key in keys if key not in items]:
        # So new that a read which may be stale misses them. They were there before their days.
        items |= shard.table.read_all(new, ("dimensions",), shard.deadline, consistent=True)
    return {keys[key]: dimensions_of(item) for key, item in items.items()}


def _points_of(
    item: Item, dimensions: Mapping[str, dict[str, str]], after: PointPlace | None
) -> Iterator[Candidate[StoredPoint]]:
    day, _, record_id = item["sk"]["S"].partition("#")
    if record_id not in dimensions or item.keys().isdisjoint(VALUE):
        place = PointPlace(day, record_id, 23)
        if not after or place > after:
            yield Candidate(place, None, 0)
        return
    size = _POINT_BYTES + bytes_of(dimensions[record_id])
    for hour in range(24):
        place = PointPlace(day, record_id, hour)
        value = item.get(VALUE[hour])
        if value is None or (after and place <= after):
            continue
        received_at = instant_text(int(item[RECEIVED[hour]]["N"]))
        point = StoredPoint(hour_of(day, hour), float(value["N"]), dimensions[record_id], record_id, received_at)
        yield Candidate(place, point, size)


def bytes_of(dimensions: object) -> int:
    """Return how much of an answer `dimensions` take, at most: in JSON that is quoted in JSON."""
    return len(json.dumps(json.dumps(dimensions)))
