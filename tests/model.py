"""What requests to save and to delete must come to, in any order, repeated and at once: a model of ten lines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from support import delete_event, point, proxy_event, request_body

from unitstream.days import DELETED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # When it was received, and the value, or `DELETED`.
    Version = tuple[int, float]

NOW = 1_700_000_000_000
# What the answers count: the points of a request to save, and those that a deletion marks.
OUTCOMES = ("created", "updated", "unchanged", "superseded", "deleted")
RECORDS: tuple[tuple[str, dict[str, str]], ...] = (("orders", {}), ("orders", {"region": "eu"}), ("gigabytes", {}))


class Place(NamedTuple):
    """An hour of a record, which is given by its place in `RECORDS`."""

    record: int
    day: str
    hour: int


@dataclass(frozen=True)
class Request:
    """A request to save that the gateway received so many milliseconds after `NOW`."""

    received: int
    values: Mapping[Place, float]

    @property
    def received_at(self) -> int:
        return NOW + self.received

    def event(self, token: str) -> dict[str, Any]:
        points = [
            point(f"{day} {hour:02}:00:00", value, *RECORDS[record])
            for (record, day, hour), value in self.values.items()
        ]
        return proxy_event(request_body(points, token), self.received_at)


@dataclass(frozen=True)
class Deletion:
    """A request to delete points of the metric of a record, or of that record alone, in some days.

    Only those that were last received from one instant on, before another, both in milliseconds after `NOW`.
    """

    received: int
    record: int
    first_day: str
    last_day: str
    filtered: bool = False
    received_from: int | None = None
    received_before: int | None = None

    @property
    def received_at(self) -> int:
        return NOW + self.received

    def event(self, token: str) -> dict[str, Any]:
        name, dimensions = RECORDS[self.record]
        parameters = {
            "metric_name": name,
            "metric_agg_func": "Sum",
            "start_date": self.first_day,
            "end_date": self.last_day,
            "filter": "region:eu" if dimensions else "-region:eu",
        } | {
            parameter: str(NOW + instant)
            for parameter in ("received_from", "received_before")
            if (instant := getattr(self, parameter)) is not None
        }
        if not self.filtered:
            del parameters["filter"]
        return delete_event(token, self.received_at, **{name: [value] for name, value in parameters.items()})

    @property
    def is_question(self) -> bool:
        """Whether the service takes it: its span does not end before it begins."""
        first, before = self.received_from, self.received_before
        return first is None or before is None or first < before

    def covers(self, place: Place) -> bool:
        named = self.record == place.record if self.filtered else RECORDS[self.record][0] == RECORDS[place.record][0]
        return named and self.first_day <= place.day <= self.last_day

    def marks(self, version: Version) -> bool:
        """Whether it deletes this version, if it finds it."""
        received = version[0] - NOW
        first = self.received_from if self.received_from is not None else received
        end = min(self.received, self.received_before if self.received_before is not None else self.received)
        return version[1] != DELETED and first <= received < end


Delivered = Request | Deletion


def deletions(days: Sequence[str]) -> st.SearchStrategy[Deletion]:
    """Return deletions of all kinds, in some of the `days`, which are in order."""
    instants = st.none() | st.integers(0, 4)
    records = st.integers(0, len(RECORDS) - 1)
    spans = st.sampled_from([(first, last) for first in days for last in days if first <= last])
    return st.builds(
        lambda received, record, span, *rest: Deletion(received, record, *span, *rest),
        *(st.integers(0, 4), records, spans, st.booleans(), instants, instants),
    ).filter(lambda deletion: deletion.is_question)


def versions_of(delivered: Sequence[Delivered]) -> dict[Place, set[Version]]:
    """Return what was sent for each point."""
    versions: defaultdict[Place, set[Version]] = defaultdict(set)
    for request in delivered:
        for place, value in request.values.items() if isinstance(request, Request) else ():
            versions[place].add((request.received_at, value))
    return versions


def model(delivered: Sequence[Delivered]) -> dict[Place, set[Version]]:
    """Return what the table may hold of each point, when all was delivered, and at last each deletion once more.

    It is the largest (received_at, value), unless a deletion found the point that was received later: then the mark of
    one of these. A deletion that finds the largest version is sure to mark it, others may have found one before it.
    """
    table: dict[Place, set[Version]] = {}
    for place, versions in versions_of(delivered).items():
        largest = max(versions)
        deletions = [one for one in delivered if isinstance(one, Deletion) and one.covers(place)]
        finding = [one for one in deletions if any(map(one.marks, versions))]
        marks = {mark for one in finding if (mark := (one.received_at, DELETED)) > largest}
        table[place] = marks if any(one.marks(largest) for one in deletions) else marks | {largest}
    return table


def is_some_serial_order(lanes: Sequence[Sequence[Delivered]], counts: Sequence[Sequence[tuple[int, ...]]]) -> bool:
    """Whether the `counts` of all answers come about when the deliveries, day by day, happen one after the other.

    A day of a record is written as a whole, a request is not, so every day may have an order of its own. Deliveries of
    the same lane keep theirs.
    """
    answers = tuple(number for lane in counts for answer in lane for number in answer)
    every = [request for lane in lanes for request in lane]
    numbers = iter(range(len(every)))
    numbered = [[(len(OUTCOMES) * next(numbers), request) for request in lane] for lane in lanes]
    sums = {(0,) * len(answers)}
    for record, day in {place[:2] for place in versions_of(every)}:
        queues = [
            [(offset, work) for offset, request in lane if (work := _of_day(request, record, day))] for lane in numbered
        ]
        vectors = _possible_counts([queue for queue in queues if queue], len(answers))
        added = (tuple(map(int.__add__, one, other)) for one in sums for other in vectors)
        sums = {vector for vector in added if all(map(int.__le__, vector, answers))}
    return answers in sums


def _of_day(request: Delivered, record: int, day: str) -> Delivered | None:
    """Return what of a request is about a day of a record, or None for nothing."""
    if isinstance(request, Deletion):
        return request if request.covers(Place(record, day, 0)) else None
    values = {place: value for place, value in request.values.items() if place[:2] == (record, day)}
    return Request(request.received, values) if values else None


def _possible_counts(queues: Sequence[Sequence[tuple[int, Delivered]]], total: int) -> set[tuple[int, ...]]:
    """The counts of all answers, from one day, in every order in which the queues can be emptied."""
    reached = {((0,) * len(queues), frozenset[tuple[Place, "Version"]](), (0,) * total)}
    for _ in range(sum(map(len, queues))):
        following = set()
        for positions, stored, counts in reached:
            for number, queue in enumerate(queues):
                if positions[number] == len(queue):
                    continue
                offset, request = queue[positions[number]]
                table, vector = dict(stored), list(counts)
                for outcome, count in applied(request, table).items():
                    vector[offset + OUTCOMES.index(outcome)] += count
                advanced = (*positions[:number], positions[number] + 1, *positions[number + 1 :])
                following.add((advanced, frozenset(table.items()), tuple(vector)))
        reached = following
    return {counts for _, _, counts in reached}


def applied(request: Delivered, table: dict[Place, Version]) -> Mapping[str, int]:
    """Apply a request to a table, and return what its answer counts."""
    counts: defaultdict[str, int] = defaultdict(int)
    if isinstance(request, Deletion):
        for place, version in table.items():
            if request.covers(place) and request.marks(version):
                table[place] = (request.received_at, DELETED)
                counts["deleted"] += 1
        return counts
    for place, value in request.values.items():
        before = table.get(place, (0, DELETED))
        table[place] = after = max((request.received_at, value), before)
        if before[1] == value:
            counts["unchanged"] += 1
        elif after == before:
            counts["superseded"] += 1
        else:
            counts["created" if before[1] == DELETED else "updated"] += 1
    return counts
