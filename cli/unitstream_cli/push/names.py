"""The names of columns: in JSON `a.b` is the member `b` of `a`, unless a field has that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unitstream.problems import near_miss
from unitstream_cli.console import printable
from unitstream_cli.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unitstream_cli.push.rows import Row

ABSENT = object()
_SHOWN_NAMES = 100


def value_at(value: Any, path: str) -> Any:
    """Return what stands at `path`: its parts are joined by dots, and may have dots themselves."""
    if not isinstance(value, dict):
        return ABSENT
    if path in value:
        return value[path]
    for dot in (at for at, character in enumerate(path) if character == "."):
        if path[:dot] in value and (found := value_at(value[path[:dot]], path[dot + 1 :])) is not ABSENT:
            return found
    return ABSENT


def has_column(row: Row, name: str) -> bool:
    """Whether a row of JSON has a field or a dimension of that name, also without a value."""
    return name in row.dimensions or value_at(row.fields, name) is not ABSENT


def columns_of(fields: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Yield the names by which options can name the fields, also of objects in objects."""
    for name, value in fields.items():
        yield within + name
        if isinstance(value, dict):
            yield from columns_of(value, f"{within}{name}.")


def not_there(where: str, missing: Sequence[str], header: Iterable[str]) -> BadInput:
    """Return the error for columns that options name and that are not there."""
    header = list(header)
    similar = {name: near_miss(name, filter(None, header), cutoff=0.7) for name in missing}
    hint = "".join(f" Did you mean {printable(found)} for {name}?" for name, found in similar.items() if found)
    what = f"there is no column {missing[0]}" if len(missing) == 1 else f"there are no columns {listed(missing)}"
    return BadInput(
        f"{where}: {what}; the columns are {listed(header)}.{hint}",
        "Options such as --timestamp COLUMN, --dimension and --ignore say which column is what.",
    )


def listed(names: Sequence[str]) -> str:
    shown = [printable(name) or "(no name)" for name in names[:_SHOWN_NAMES]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else "")
