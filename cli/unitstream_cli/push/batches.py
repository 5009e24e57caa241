"""Batches: what one request sends, and how points are cut into them."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# A request stays cheap: well below the gateway's 10 MB and Lambda's 6 MB, and within what a new table writes in a
# second or two, also when several are under way: 4,000 units, of which a day takes one, and one more if its series is
# new.
MAX_QUOTED_BYTES = 2_000_000
MAX_POINTS = 10_000
MAX_DAYS = 2_500


class Batch(NamedTuple):
    """What one request sends: `points` points as JSON text without the array around them."""

    data: str
    points: int
    digest: str

    def listed(self) -> list[dict[str, Any]]:
        """Return the points."""
        found: list[dict[str, Any]] = json.loads(f"[{self.data}]")
        return found


def cut(texts: Iterable[tuple[str, int]]) -> Iterator[Batch]:
    """Yield batches of texts, each of which is the JSON of so many points of a day of a record, and stays whole."""
    parts: list[str] = []
    points = days = size = 0
    for text, count in texts:
        quoted = len(text) + text.count('"') + text.count("\\") + 1
        if parts and (points + count > MAX_POINTS or days == MAX_DAYS or size + quoted > MAX_QUOTED_BYTES):
            yield _batch(parts, points)
            parts, points, days, size = [], 0, 0, 0
        parts.append(text)
        points, days, size = points + count, days + 1, size + quoted
    if parts:
        yield _batch(parts, points)


def drawn_from(batches: Iterable[Batch], digests: Collection[str], size: int) -> Batch | None:
    """Return up to `size` points drawn at random from the batches with these digests, some of each. Or None."""
    random = Random()  # noqa: S311  # no secret
    each = max(1, size // len(digests))
    of_each = (random.sample(batch.listed(), min(each, batch.points)) for batch in batches if batch.digest in digests)
    points = [point for points in of_each for point in points]
    random.shuffle(points)
    return next(cut((json.dumps(point), 1) for point in points[:size]), None)


def _batch(parts: list[str], points: int) -> Batch:
    data = ",".join(parts)
    return Batch(data, points, hashlib.sha256(data.encode()).hexdigest())
