"""How numbers, bars, lines and tables are drawn in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unitstream.periods import Timeframe
from unitstream_cli.reads.drawing import label_of
from unitstream_cli.reads.tables import (
    Bar,
    Column,
    along,
    bar_column,
    fit,
    number_column,
    numbers,
    percents,
    sparkline,
    text_column,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = st.floats(-9.99e125, 9.99e125, allow_nan=False)


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1234567.0, 3.0], ["1,234,567", "3"]),
        ([12.5, 1234.5678], ["12.50", "1,234.57"]),
        ([12.5, 3.0], ["12.5", "3.0"]),
        ([0.5, 0.25], ["0.50", "0.25"]),
        ([2.1394856, 11.5], ["2.139", "11.500"]),
        ([0.0123456, 0.02], ["0.012346", "0.020000"]),
        ([1e20, 5.5], ["1e+20", "5.5"]),
        ([1e-130], ["1e-130"]),
        ([-3.0, None, 0.0], ["-3", "-", "0"]),
        ([], []),
    ],
)
def test_the_numbers_of_a_column_have_as_many_decimals_as_it_takes(
    values: list[float | None], written: list[str]
) -> None:
    assert numbers(values) == written


def test_a_number_that_rounding_would_swallow_keeps_two_digits() -> None:
    """0.00 would be a lie."""
    assert numbers([1234.5678, 0.00123456, -1e-9, 0.0]) == ["1,234.57", "0.0012", "-1e-09", "0.00"]


@given(st.lists(VALUES, min_size=1))
def test_no_number_is_far_from_what_is_written(values: list[float]) -> None:
    """Half a unit of the last place that all have, or of its own second digit."""
    for value, text in zip(values, numbers(values), strict=True):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.123, "+12.3%"), (-0.5, "-50.0%"), (0.0, "0.0%"), (12.5, "+1,250.0%"), (1e9, "+1.00e+11%"), (None, "-")],
)
def test_a_change_is_in_percent_with_its_sign(share: float | None, written: str) -> None:
    assert percents([share]) == [written]


# --- Bars and lines ---------------------------------------------------------------------------------------------------


def bars_of(values: Sequence[float | None], width: int = 10) -> list[str]:
    return [cell.text(width) if isinstance(cell, Bar) else cell.plain for cell in bar_column(values, rank=0).cells]


def test_bars_begin_at_zero() -> None:
    """Which lies at the left, at the right, or in between, and nothing is drawn for nothing."""
    assert bars_of([1.0, 4.0, None, 0.0, 0.01]) == ["██▌", "█" * 10, "", "", ""]
    assert bars_of([-1.0, -4.0]) == ["       ▐██", "█" * 10]
    assert bars_of([-1.0, 4.0, -2.0]) == [" ▐█", "   ██████", "███"]
    assert bars_of([0.00001, -0.152]) == ["", "█" * 9]
    assert bars_of([0.0, None]) == ["", ""]


@given(st.lists(VALUES, min_size=1), st.integers(10, 30))
@example([5e-324, -1e125], 10)
def test_the_longer_bar_is_that_of_the_larger_number(values: list[float], width: int) -> None:
    """Whichever side of zero they are on, and none is wider than its column."""
    bars = bars_of(values, width)
    assert all(len(bar) <= width for bar in bars)
    lengths = [len(bar.strip()) - ("▐" in bar) / 2 - ("▌" in bar) / 2 for bar in bars]
    if min(values) < 0:
        by_size = sorted(zip(map(abs, values), lengths, strict=True))
        assert [length for _, length in by_size] == sorted(lengths)


def test_a_line_goes_from_the_lowest_value_to_the_highest() -> None:
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert sparkline([-5.0, None, 5.0]) == "▁ █"
    assert sparkline([3.0, 3.0]) == "▄▄"
    assert sparkline([]) == ""


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)))
@example([0.0, 5e-324])
def test_bars_and_lines_are_drawn_of_any_values(values: list[float | None]) -> None:
    """Also of those whose difference is infinite, or half of it nothing."""
    assert all(len(bar) <= 10 for bar in bars_of(values))
    assert [character == " " for character in sparkline(values)] == [value is None for value in values]


def test_values_stand_where_their_periods_are() -> None:
    """Days, hours and months that lack data leave a gap."""
    week = Timeframe("2022-10-01", "2022-10-07")
    assert along(week, "day", [("2022-10-02", 1.0), ("2022-10-07", 2.0)], 60) == [None, 1, None, None, None, None, 2]
    hours = along(Timeframe("2022-10-01", "2022-10-02"), "hour", [("2022-10-02T01:00:00Z", 3.0)], 60)
    assert (len(hours), hours[25]) == (48, 3.0)
    # Whose first month began before the timeframe.
    quarter = Timeframe("2022-01-15", "2022-03-02")
    assert along(quarter, "month", [("2022-01-01", 1.0), ("2022-03-01", 3.0)], 60) == [1, None, 3]
    assert along(quarter, "week", [("2022-01-10", 1.0)], 60) == [1] + [None] * 7


def test_periods_that_share_a_place_have_their_mean() -> None:
    days = [(f"2022-10-{day:02}", float(day)) for day in range(1, 31) if day != 3]
    assert along(Timeframe("2022-10-01", "2022-10-30"), "day", days, 15)[:3] == [1.5, 4.0, 5.5]
    year = along(Timeframe("1970-01-01", "9999-12-31"), "hour", [("9999-12-31T23:00:00Z", 1.0)], 20)
    assert year == [None] * 19 + [1.0]


# --- Tables -----------------------------------------------------------------------------------------------------------

FITTED = [
    text_column("day", ["2022-10-01"], folds=False),
    text_column("region", ["a region with a long name"]),
    number_column("value", ["1,234.50"]),
    number_column("points", ["24"], rank=1),
    bar_column([1234.5], rank=2),
]


def widths_in(room: int | None, columns: Sequence[Column] = FITTED) -> dict[str, int]:
    return {column.title or "bar": width for column, width in fit(columns, room)}


def test_without_a_limit_columns_are_as_wide_as_they_like() -> None:
    assert widths_in(None) == {"day": 10, "region": 25, "value": 8, "points": 6, "bar": 30}
    assert widths_in(500) == widths_in(None)


def test_in_a_narrow_terminal_bars_go_first_and_numbers_never() -> None:
    """What is left shares the room; where that is not enough, the table is wider than the terminal."""
    assert widths_in(60) == {"day": 10, "region": 18, "value": 8, "points": 6, "bar": 10}
    assert widths_in(53) == {"day": 10, "region": 23, "value": 8, "points": 6}
    assert widths_in(40) == {"day": 10, "region": 18, "value": 8}
    assert widths_in(20) == {"day": 10, "region": 12, "value": 8}


def test_labels_of_lines_are_short_and_cannot_move_the_cursor() -> None:
    assert label_of({"region": "eu", "plan": None}) == "eu, -"
    assert label_of({"region": "\x1b[2J"}) == "\\x1b[2J"
    assert label_of({"region": "x" * 100}) == "x" * 23 + "…"
    assert label_of({}) == ""
