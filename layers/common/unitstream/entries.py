"""A metric's entry in the catalogue, and its item. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from unitstream.identity import Series
    from unitstream.items import Item

    KeySet = tuple[str, ...]

# Sets of dimension keys that a metric's entry knows. Who has more uses keys for what are values.
MAX_KEY_SETS = 20


def key_set_of(series: Series) -> KeySet:
    return tuple(sorted(series.dimensions))


class MetricEntry(NamedTuple):
    """What the catalogue says of a metric: from the first day to the last with points, in which shards, of which keys.

    Deleted points are among them. `key_sets` are the sets of dimension keys that series have, each sorted; those met
    first, when there are many. `deleted_at` is when points were last deleted, in epoch milliseconds, 0 for never.
    `series_count` is how many series there are at least, apart from what is being saved.
    """

    first_day: str
    last_day: str
    shards: frozenset[str]
    key_sets: frozenset[KeySet]
    deleted_at: int = 0
    series_count: int = 0
    revision: str = ""

    @classmethod
    def from_item(cls, item: Item) -> MetricEntry:
        key_sets = (tuple(key["S"] for key in key_set["L"]) for key_set in item["key_sets"]["L"])
        first_day, last_day = item["first_day"]["S"], item["last_day"]["S"]
        deleted_at, series_count = int(item["deleted_at"]["N"]), int(item["series_count"]["N"])
        shards = frozenset(item["shards"]["S"])
        return cls(first_day, last_day, shards, frozenset(key_sets), deleted_at, series_count, item["rev"]["S"])

    def attributes(self) -> Item:
        """Return what is written when the entry is widened: all but the count, to which is only added."""
        key_sets = [{"L": [{"S": key} for key in key_set]} for key_set in sorted(self.key_sets)]
        return {
            "first_day": {"S": self.first_day},
            "last_day": {"S": self.last_day},
            "shards": {"S": "".join(sorted(self.shards))},
            "key_sets": {"L": key_sets},
            "deleted_at": {"N": str(self.deleted_at)},
            "rev": {"S": self.revision},
        }

    @property
    def knows_all_key_sets(self) -> bool:
        """Whether `key_sets` are all that there are."""
        return len(self.key_sets) < MAX_KEY_SETS

    def covers(self, other: MetricEntry) -> bool:
        return self.widened(other) == self

    def widened(self, other: MetricEntry) -> MetricEntry:
        """Return what says all that the two say, but for key sets beyond `MAX_KEY_SETS`."""
        more = sorted(other.key_sets - self.key_sets)[: max(0, MAX_KEY_SETS - len(self.key_sets))]
        return self._replace(
            first_day=min(self.first_day, other.first_day),
            last_day=max(self.last_day, other.last_day),
            shards=self.shards | other.shards,
            key_sets=self.key_sets.union(more),
            deleted_at=max(self.deleted_at, other.deleted_at),
        )


ENTRY_ATTRIBUTES = ("metric_name", "metric_agg_func", *MetricEntry._fields[:-1], "rev")
