"""Notices about sets of dimension keys that are new to a metric which had series: its totals may count twice. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unitstream.problems import MAX_REPORTED_ERRORS, Finding, pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unitstream.entries import KeySet, MetricEntry
    from unitstream.identity import Metric

# Of those that are known, in a notice.
_LISTED_KEY_SETS = 3


def notices_of_new_keys(
    asked: Iterable[tuple[Metric, Mapping[KeySet, int], MetricEntry]], *, deleted: bool = False
) -> list[Finding]:
    """Return the notices of a request: each metric with its sets of keys, and where each comes first, and its entry.

    `deleted`: there were such series, and their points were deleted.
    """
    new = [
        (index, metric, key_set, entry.key_sets)
        for metric, indexes, entry in asked
        if entry.knows_all_key_sets
        for key_set, index in indexes.items()
        if key_set not in entry.key_sets
    ]
    return [_notice(*one, deleted=deleted) for one in sorted(new)[:MAX_REPORTED_ERRORS]]


def _notice(index: int, metric: Metric, key_set: KeySet, known: frozenset[KeySet], *, deleted: bool) -> Finding:
    others = ", or ".join(map(_named, sorted(known)[:_LISTED_KEY_SETS]))
    others += ", …" if len(known) > _LISTED_KEY_SETS else ""
    name, keys = metric.metric_name, _named(key_set)
    detail = (
        f"the points of {name} with {keys} were deleted, and it has {others}"
        if deleted
        else f"no series of {name} had {keys} so far, but {others}"
    )
    detail += ": if these points were sent before with other dimensions, totals count them twice"
    return Finding("new_dimension_keys", detail, pointer=pointer("data", index))


def _named(key_set: KeySet) -> str:
    if not key_set:
        return "no dimensions"
    return f"the dimension{'s' if len(key_set) > 1 else ''} {', '.join(key_set)}"
