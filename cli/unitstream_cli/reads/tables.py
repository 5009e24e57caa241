"""Tables, bars and lines for a terminal: numbers are never cut, and columns that do not fit are left out as a whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from math import floor, fsum, log10
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unitstream.periods import Timeframe, count_periods
from unitstream_cli.console import out, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import ConsoleOptions, RenderResult

    from unitstream.periods import Granularity

NOTHING = "-"
UP, DOWN = "yellow", "cyan"  # which of them is good is the metric's business

_GAP = 2
_NARROWEST_TEXT, _NARROWEST_BAR, _WIDEST_BAR, _WIDEST_LINE = 12, 10, 30, 60
_LEVELS = "▁▂▃▄▅▆▇█"
# From here on numbers are written with an exponent.
_LARGE = 1e15
_DIGITS = 5
_MOST_DECIMALS = 8


@dataclass(frozen=True)
class Column:
    """A column of a table, from `least` to `most` cells wide.

    Where the table is too wide, the columns with the highest `rank` are left out first, those with 0 never.
    """

    title: str
    cells: Sequence[Text | Bar]
    least: int
    most: int
    right: bool = False
    rank: int = 0


def text_column(title: str, texts: Sequence[str | None], *, folds: bool = True, rank: int = 0) -> Column:
    """Return a column of texts; those that `folds` may take several lines."""
    cells = [Text(text) if text is not None else Text(NOTHING, "dim") for text in texts]
    longest = max(map(cell_len, [title, *(cell.plain for cell in cells)]))
    return Column(title, cells, min(longest, _NARROWEST_TEXT) if folds else longest, longest, rank=rank)


def number_column(title: str, texts: Sequence[str], styles: Sequence[str] = (), *, rank: int = 0) -> Column:
    """Return a column of written numbers."""
    cells = [Text(text, style) for text, style in zip(texts, styles or [""] * len(texts), strict=True)]
    width = max(map(cell_len, [*title.split(), *texts]))
    return Column(title, cells, width, width, right=True, rank=rank)


@dataclass(frozen=True)
class Bar:
    """A bar from zero to the right or to the left, where zero is `low` of `low + high` from the left.

    `value`, `low` and `high` are shares of the largest magnitude, the latter two those of the lowest and the highest.
    """

    value: float
    low: float
    high: float

    def text(self, width: int) -> str:
        """Draw it, in halves of cells if there are bars to the left too, as no character is an eighth at the right."""
        sides = self.low + self.high
        zero = round(width * self.low / sides)
        if self.low and self.high:
            zero = min(max(zero, 1), width - 1)
        room = min(cells / share for cells, share in ((zero, self.low), (width - zero, self.high)) if share)
        length = abs(self.value) * room
        if self.value > 0:
            parts, steps = ("", "▌"), 2
            if not self.low:
                parts, steps = ("", *"▏▎▍▌▋▊▉"), 8
            whole, part = divmod(int(length * steps), steps)
            return (" " * zero + "█" * whole + parts[part]).rstrip()
        whole, half = divmod(int(length * 2), 2)
        return ("▐" * half + "█" * whole).rjust(zero) if whole or half else ""

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text(options.max_width))


def bar_column(values: Sequence[float | None], *, rank: int) -> Column:
    """Return a bar for each value, all of one scale; nothing for nothing."""
    present = [value for value in values if value is not None]
    low, high = min([0.0, *present]), max([0.0, *present])
    most = max(-low, high) or 1.0
    bars = [Bar(value / most, -low / most, high / most) if value else Text() for value in values]
    return Column("", bars, _NARROWEST_BAR, _WIDEST_BAR, rank=rank)


def numbers(values: Sequence[float | None]) -> list[str]:
    """Write the values of a column, so that they can be compared: rounded, and all with the same number of decimals.

    Those are as many as five digits of the largest need, two at least, and no more than any value has. A value of which
    that would leave next to nothing, or that is huge, is written in a way of its own.
    """
    largest = max((abs(value) for value in values if value is not None and abs(value) < _LARGE), default=0.0)
    magnitude = floor(log10(largest)) if largest else 0
    needed = max(2, min(_DIGITS - 1 - magnitude, _MOST_DECIMALS))
    decimals = min(needed, max((_decimals_of(value) for value in values if value is not None), default=0))
    return [_number(value, decimals) for value in values]


def signed(written: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """Give differences that are written already their sign."""
    both = zip(written, values, strict=True)
    return [f"+{text}" if value is not None and value > 0 else text for text, value in both]


def percents(shares: Sequence[float | None]) -> list[str]:
    """Write changes in percent: 0.1 is +10.0%."""
    return [_percent(share) for share in shares]


def directions(values: Sequence[float | None]) -> list[str]:
    """Return the styles of differences."""
    return ["dim" if value is None else UP if value > 0 else DOWN if value < 0 else "" for value in values]


def sparkline(values: Sequence[float | None]) -> str:
    """Return a line of blocks, from the lowest value to the highest; a blank where there is none."""
    present = [value for value in values if value is not None]
    low, high = min(present, default=0.0), max(present, default=0.0)
    top = len(_LEVELS) - 1
    middle = top // 2
    levels = [
        None if value is None else middle if low == high else round(_share(value, low, high) * top) for value in values
    ]
    return "".join(" " if level is None else _LEVELS[level] for level in levels)


def along(
    timeframe: Timeframe, granularity: Granularity, values: Iterable[tuple[str, float | None]], most: int
) -> list[float | None]:
    """Return the values of dated periods in their places along a timeframe.

    There is a place for each period, but at most `most`: then several periods share one, which has their mean.
    """
    periods = count_periods(timeframe, granularity)
    places = min(periods, most)
    by_place: list[list[float]] = [[] for _ in range(places)]
    for period, value in values:
        index = count_periods(Timeframe(timeframe.start, period[:10]), granularity) - 1
        if granularity == "hour":
            index += int(period[11:13]) - 23  # of the day's hours, all are counted
        if value is not None:
            by_place[index * places // periods].append(value)
    # Divided before they are added up: the sum may be infinite.
    return [fsum(value / len(shared) for value in shared) if shared else None for shared in by_place]


def fit(columns: Sequence[Column], room: int | None) -> list[tuple[Column, int]]:
    """Return the columns that fit into `room`, each with its width; with no limit to the room, all of them."""
    kept = list(columns)
    if room is None:
        return [(column, column.most) for column in kept]
    while _width([column.least for column in kept]) > room and (rank := max(column.rank for column in kept)):
        kept = [column for column in kept if column.rank < rank]
    spare = room - _width([column.least for column in kept])
    widths = []
    for column in kept:
        more = max(0, min(column.most - column.least, spare))
        widths.append(column.least + more)
        spare -= more
    return list(zip(kept, widths, strict=True))


def room() -> int | None:
    """Return how wide a table may be: without a terminal, and unless COLUMNS says it, as wide as it likes."""
    return out.width if out.is_terminal or "COLUMNS" in os.environ else None


def room_for_line(label: int) -> int:
    """Return how long a line may be beside so many cells of other things; 0 where blocks cannot be written."""
    if out.options.ascii_only:
        return 0
    available = room()
    return _WIDEST_LINE if available is None else max(0, min(_WIDEST_LINE, available - label))


def print_table(columns: Sequence[Column]) -> None:
    """Print a table, and say which columns there was no room for."""
    printable = [column for column in columns if not (out.options.ascii_only and not column.title)]
    fitting = fit(printable, room())
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column, width in fitting:
        justify = "right" if column.right else "left"
        table.add_column(column.title, width=width, justify=justify, overflow="fold")  # type: ignore[arg-type]  # mypy widens it
    for row in zip(*(column.cells for column, _ in fitting), strict=True):
        table.add_row(*row)
    # rich cuts what is wider than the console.
    Console(width=max(out.width, _width([width for _, width in fitting]))).print(table)
    kept = [column for column, _ in fitting]
    if missing := [column.title for column in printable if column.title and column not in kept]:
        say(f"There is no room for: {', '.join(missing)}. --csv has everything.")


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _share(value: float, low: float, high: float) -> float:
    """Return where `value` lies between `low` (0) and `high` (1). Halved, because the difference may be infinite."""
    span = high / 2 - low / 2  # of the smallest floats, nothing
    return (value / 2 - low / 2) / span if span > 0 else 0.0


def _decimals_of(value: float) -> int:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return NOTHING
    if abs(value) >= _LARGE:
        return f"{value:.{_DIGITS}g}"
    if abs(value) < 10.0 ** (1 - decimals) and round(value, decimals) != value:
        return f"{value:.2g}"
    return f"{value:,.{decimals}f}"


def _percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    if share == 0:
        return "0.0%"
    return f"{share:+,.1%}" if abs(share) < 1e4 else f"{Decimal(share) * 100:+.3g}%"
