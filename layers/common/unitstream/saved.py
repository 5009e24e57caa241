"""Where saved unit metrics are kept: in the Metrics table, each under its stream and its name.

Those that are to be published stand in one more partition, of all streams, so that nobody has to scan for them. It is
written before a definition that publishes, and after one that does not: so none that publishes is missing there.
"""

from __future__ import annotations

import hashlib
import json
from itertools import repeat
from typing import TYPE_CHECKING

from unitstream.definitions import Definition
from unitstream.items import LAST_METRIC, Key, Range
from unitstream.pages import Candidate, Page, paginate, place_of
from unitstream.problems import Finding, InvalidRequest, UnitMetricNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream.items import Item
    from unitstream.questions import SavedQuestion
    from unitstream.table import Table

# Of a stream. CloudWatch charges for each group of each, and whoever may save may publish.
MAX_PUBLISHED = 20
_SUFFIX = "#unit-metrics"
# No stream has such an ID: theirs are hexadecimal.
_PUBLISHED = f"published{_SUFFIX}"


class SavedUnitMetrics:
    """Keeps definitions. Every method raises `OutOfTime` when DynamoDB throttles or fails until `deadline`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, stream_id: str, definition: Definition, deadline: float) -> None:
        """Save a definition in place of what has its name.

        Raises `InvalidRequest` when the stream has `MAX_PUBLISHED` others that are published.
        """
        key, published = _key(stream_id, definition.name), _published_key(stream_id, definition.name)
        item = {"unit_metric": {"S": json.dumps(definition.fields)}}
        if definition.publishes:
            self._check_room(stream_id, published, deadline)
            self._table.put(published, {"stream_id": {"S": stream_id}, "name": {"S": definition.name}}, deadline)
            self._table.put(key, item, deadline)
        else:
            self._table.put(key, item, deadline)
            self._table.delete(published, deadline)

    def _check_room(self, stream_id: str, published: Key, deadline: float) -> None:
        """Requests at the same moment may go beyond it by as many."""
        of_stream = Range(_PUBLISHED, f"{stream_id}#", f"{stream_id}#g")  # after all hexadecimal digits
        pages = self._table.query(of_stream, repeat(MAX_PUBLISHED + 1), deadline, consistent=True)
        others = [item for page in pages for item in page if item["sk"]["S"] != published.sk]
        if len(others) >= MAX_PUBLISHED:
            detail = f"the stream publishes {MAX_PUBLISHED} others, which is all that it may: each group costs a metric"
            raise InvalidRequest([Finding("too_many_published", detail, pointer="/publish")])

    def delete(self, stream_id: str, name: str, deadline: float) -> bool:
        """Delete what has that name. Returns whether there was something."""
        found = self._table.delete(_key(stream_id, name), deadline)
        self._table.delete(_published_key(stream_id, name), deadline)
        return found

    def get(self, stream_id: str, name: str, deadline: float) -> Definition:
        """Return the definition of that name, as it is now. Raises `UnitMetricNotFound`."""
        key = _key(stream_id, name)
        items = self._table.read_all([key], ("unit_metric",), deadline, consistent=True)
        if key not in items:
            raise UnitMetricNotFound
        return _definition(name, items[key])

    def list(self, stream_id: str, question: SavedQuestion, deadline: float) -> Page[Definition]:
        """Return a page of the definitions of a stream, by name."""
        after = place_of(stream_id, question)
        names = Range(f"{stream_id}{_SUFFIX}", after or "\0", LAST_METRIC)
        pages = self._table.query(names, repeat(question.limit + 2), deadline)
        items = (item for page in pages for item in page if item["sk"]["S"] != after)
        return paginate(stream_id, question, map(_candidate, items))

    def published(self, deadline: float) -> Iterator[tuple[str, str]]:
        """Yield the stream and the name of each that may be published: whether it is, its definition says."""
        for page in self._table.query(Range(_PUBLISHED, "\0", LAST_METRIC), repeat(1_000), deadline):
            for item in page:
                yield item["stream_id"]["S"], item["name"]["S"]


def _key(stream_id: str, name: str) -> Key:
    return Key(f"{stream_id}{_SUFFIX}", name)


def _published_key(stream_id: str, name: str) -> Key:
    # A name may take all the bytes that a sort key may have.
    return Key(_PUBLISHED, f"{stream_id}#{hashlib.sha256(name.encode()).hexdigest()}")


def _definition(name: str, item: Item) -> Definition:
    return Definition(name, json.loads(item["unit_metric"]["S"]))


def _candidate(item: Item) -> Candidate[Definition]:
    name = item["sk"]["S"]
    return Candidate(name, _definition(name, item), 2 * len(item["unit_metric"]["S"]) + 2 * len(name))
