"""What DynamoDB charges: capacity units, from item sizes and from the calls as they went over the wire.

DynamoDB Local's own figures don't follow the rules, so these do:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KB = 1024
MULTIPLES_OF_A_READ = 4 * KB


class Stored(NamedTuple):
    """What the accounting has to know of an item in a table."""

    size: int
    content: int  # a hash, to see that it changed


class Page(NamedTuple):
    """A page of a query: the sort keys after the one and up to the other, as many as the limit."""

    pk: str
    after: str
    last: str
    limit: int
    consistent: bool


Key = tuple[str, str]
Snapshot = dict[Key, Stored]


def size_of(value: Mapping[str, Any]) -> int:
    """Return the size of an attribute's value: the types that this project stores."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            digits = content.lstrip("-").partition("E")[0].replace(".", "").strip("0")
            return 1 + (len(digits) + 1) // 2
        case "M":
            return 3 + sum(1 + len(name.encode()) + size_of(one) for name, one in content.items())
        case "L":
            return 3 + sum(1 + size_of(one) for one in content)
    raise ValueError(kind)


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size of an item: of the names and the values of its attributes."""
    return sum(len(name.encode()) + size_of(value) for name, value in item.items())


def write_units(before: int | None, after: int | None) -> int:
    """Return what a write costs: a unit for each 1 KB begun of the larger of the item's sizes before and after it.

    None stands for an item that isn't there, which counts as the least that there is to pay.
    """
    return max(1, -(-max(before or 0, after or 0) // KB))


def read_units(size: int | None, *, consistent: bool) -> float:
    """Return what reading an item costs: half a unit for each 4 KB begun, a whole one if the read is consistent.

    The size is that of the whole item, whatever is projected; a batch rounds each of its items; reading what isn't
    there (None) costs the minimum.
    """
    return max(1, -(-(size or 0) // MULTIPLES_OF_A_READ)) * (1.0 if consistent else 0.5)


@dataclass
class Calls:
    """The calls of a run."""

    by_operation: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    reads: list[tuple[Key, bool]] = field(default_factory=list)  # what was read, and whether consistently
    pages: list[Page] = field(default_factory=list)

    @classmethod
    def from_wire(cls, lines: Iterable[bytes]) -> Calls:
        """Return the calls in `lines`, each an `X-Amz-Target`, a tab and a body."""
        calls = cls()
        for line in lines:
            target, _, body = line.partition(b"\t")
            calls._add(target.decode().rpartition(".")[2], json.loads(body))
        return calls

    def _add(self, operation: str, sent: dict[str, Any]) -> None:
        self.by_operation[operation] += 1
        match operation:
            case "BatchGetItem":
                for table in sent["RequestItems"].values():
                    consistent = table.get("ConsistentRead", False)
                    self.reads += [((key["pk"]["S"], key["sk"]["S"]), consistent) for key in table["Keys"]]
            case "GetItem":
                (one,) = sent["Key"].values()
                self.reads.append(((one["S"], ""), sent.get("ConsistentRead", False)))
            case "Query":
                pk, first, last = (
                    sent["ExpressionAttributeValues"][f":{name}"]["S"] for name in ("pk", "first", "last")
                )
                # Right before the first key there is none that ends with the same letters.
                after = sent["ExclusiveStartKey"]["sk"]["S"] if "ExclusiveStartKey" in sent else first[:-1]
                self.pages.append(Page(pk, after, last, sent["Limit"], sent.get("ConsistentRead", False)))
            case "BatchExecuteStatement":
                statements = [statement["Statement"].split(None, 1)[0] for statement in sent["Statements"]]
                if not {"INSERT", "UPDATE"}.issuperset(statements):
                    raise ValueError(statements)
                self.writes += len(statements)
            case "BatchWriteItem":
                self.writes += sum(map(len, sent["RequestItems"].values()))
            case "UpdateItem" | "PutItem":
                self.writes += 1
            case _:
                raise ValueError(operation)

    def units(self, before: Snapshot, after: Snapshot) -> tuple[float, float]:
        """Return the write and the read units of the calls that turned `before` into `after`.

        Each item that is another now was written once. Any write beyond those changed nothing (it lost a race or was
        sent a second time), and is charged too: a unit, as these items are smaller than 1 KB. Raises `ValueError` if
        there were fewer writes than changes: then the calls are not all there.
        """
        changed = [key for key, stored in after.items() if before.get(key) != stored]
        if self.writes < len(changed):
            raise ValueError(f"{self.writes} writes cannot change {len(changed)} items")
        nothing = Stored(0, 0)
        written = sum(write_units(before.get(key, nothing).size, after[key].size) for key in changed)
        read = sum(read_units(before.get(key, nothing).size, consistent=consistent) for key, consistent in self.reads)
        return float(written + self.writes - len(changed)), read + sum(_page_units(self.pages, before))


def _page_units(pages: Iterable[Page], stored: Snapshot) -> Iterator[float]:
    """Yield what each page costs: as one item of the size of all that are looked at, whether they are sent or not."""
    by_pk: dict[str, list[tuple[str, int]]] = {}
    for (pk, sk), item in sorted(stored.items()):
        by_pk.setdefault(pk, []).append((sk, item.size))
    for page in pages:
        sizes = [size for sk, size in by_pk.get(page.pk, []) if page.after < sk <= page.last][: page.limit]
        yield read_units(sum(sizes), consistent=page.consistent)
