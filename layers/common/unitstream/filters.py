r"""Filters, and the lists of keys and values in query parameters. Pure.

A filter is `key:value,value`, or with `-` before it `-key:value,value`; `group_by` is `key,key`. In both, a colon, a
comma, a minus or a backslash that belongs to a key or value comes after a backslash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# A character as it is, or one that means something else without the backslash before it.
_CHARACTER = re.compile(r"\\[:,\\-]|[^\\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the series whose dimension `key` has one of `values`, or with `excludes` all others."""

    key: str
    values: tuple[str, ...]
    excludes: bool

    def keeps(self, dimensions: Mapping[str, str]) -> bool:
        """Whether a series with `dimensions` is kept. One without the key has none of the values."""
        return (dimensions.get(self.key) in self.values) != self.excludes


def passes(filters: Iterable[Filter], dimensions: Mapping[str, str]) -> bool:
    """Whether all `filters` keep a series with `dimensions`."""
    return all(each.keeps(dimensions) for each in filters)


def parse_filter(text: str) -> Filter:
    """Return the filter that `text` is. Raises `ValueError` with the end of a sentence for what is none."""
    excludes = text.startswith("-")
    characters = _characters(text[1:] if excludes else text)
    if ":" not in characters:
        raise ValueError("must be a key, a colon and values, as in region:eu,us or -region:eu")
    colon = characters.index(":")
    (key,) = _split(characters[:colon], ":")
    return Filter(key, tuple(_split(characters[colon + 1 :], ",")), excludes)


def split_keys(text: str) -> list[str]:
    """Return the keys that `text` lists. Raises `ValueError` as `parse_filter` does."""
    return _split(_characters(text), ",")


def _characters(text: str) -> list[str]:
    """Return the characters of `text`, each with the backslash before it, if there is one."""
    characters = _CHARACTER.findall(text)
    if sum(map(len, characters)) < len(text):
        raise ValueError(r"has a backslash before something else than \ : , or -")
    return characters


def _split(characters: Sequence[str], separator: str) -> list[str]:
    """Return the texts between the separators that have no backslash, without the backslashes of the others."""
    texts: list[list[str]] = [[]]
    for character in characters:
        if character == separator:
            texts.append([])
        else:
            texts[-1].append(character[-1])
    return ["".join(text) for text in texts]
