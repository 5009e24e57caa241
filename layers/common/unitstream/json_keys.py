"""Keys that an object of a JSON text has twice: parsers keep the last value and say nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from unitstream.problems import FieldError, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_NAME = 255


class _Repeating(dict[str, Any]):
    """An object with keys that occur more than once."""

    repeated: set[str]


def repeated_keys(text: str) -> Iterator[FieldError]:
    """Yield an error for each key that an object in `text`, valid JSON, has more than once, in order."""
    any_repeats = False

    def notice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeats
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        any_repeats = True
        noticed = _Repeating(members)
        noticed.repeated = {key for key, count in Counter(key for key, _ in pairs).items() if count > 1}
        return noticed

    document = json.loads(text, object_pairs_hook=notice)
    if any_repeats:
        yield from _walk(document, [])


def _walk(value: Any, path: list[str | int]) -> Iterator[FieldError]:
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        if isinstance(value, _Repeating) and key in value.repeated:
            place = path if len(key) > _LONGEST_NAME else [*path, key]
            detail = f"{key[:_LONGEST_NAME]!r} occurs more than once in its object: one of the values would be lost"
            yield FieldError(pointer(*place), "duplicate_key", detail)
        yield from _walk(member, [*path, key])
