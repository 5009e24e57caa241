"""Keys that an object of a JSON text has twice: parsers keep the last value and say nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unitstream.identity import MAX_NAME
from unitstream.problems import Finding, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator


def keys_are_unique(text: str, document: dict[str, Any]) -> bool:
    """Whether it is certain that no object in `text`, a valid request that was parsed to `document`, has a key twice.

    Each string of a JSON text, key or value, has two quotation marks, and those of a key that was dropped are missing
    from `document`. A mark may be escaped, so with a backslash nothing is certain.
    """
    if "\\" in text:
        return False
    strings = len(document) + len(("data_stream_token", "metric_agg_func"))
    for point in document["data"]:
        strings += len(point) + 1 + isinstance(point["timestamp"], str) + isinstance(point["metric_value"], str)
        if dimensions := point.get("custom_dimensions"):
            strings += 2 * len(dimensions)
    return text.count('"') == 2 * strings


class _Repeating(dict[str, Any]):
    """An object with keys that occur more than once."""

    __slots__ = ("repeated",)

    repeated: tuple[str, ...]


def repeated_keys(text: str) -> Iterator[Finding]:
    """Yield an error for each key that an object of the request in `text`, valid JSON, has twice, in order."""
    any_repeats = False

    def notice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeats
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        any_repeats = True
        noticed = _Repeating(members)
        seen: set[str] = set()
        repeated: dict[str, None] = {}  # in order
        for key, _ in pairs:
            if key in seen:
                repeated[key] = None
            seen.add(key)
        noticed.repeated = tuple(repeated)
        return noticed

    document = json.loads(text, object_pairs_hook=notice)
    if any_repeats:
        for value, path in _objects(document):
            if isinstance(value, _Repeating):
                yield from _repeated(value, path)


def _objects(document: Any) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    """Yield what are objects in a valid request, each with its place. An object anywhere else is an error already."""
    yield document, ()
    data = document.get("data") if isinstance(document, dict) else None
    for index, point in enumerate(data if isinstance(data, list) else []):
        yield point, ("data", index)
        if isinstance(point, dict):
            yield point.get("custom_dimensions"), ("data", index, "custom_dimensions")


def _repeated(value: _Repeating, path: tuple[str | int, ...]) -> Iterator[Finding]:
    for key in value.repeated:
        place = path if len(key) > MAX_NAME else (*path, key)
        detail = f"{key[:MAX_NAME]!r} occurs more than once in its object: one of the values would be lost"
        yield Finding("duplicate_key", detail, pointer(*place))
