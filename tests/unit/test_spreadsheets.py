"""Text in CSV files that spreadsheets open: never a formula, and never another text when it is read again."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unitstream.spreadsheets import guarded, unguarded

# Of characters that mean something here, so that they meet.
TEXTS = st.text(st.sampled_from("'\"=+-@\uff1d\uff1b;,|\t\r\n \u00a0\ufeff1.e%ax")) | st.text()
SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
NO_FORMULA = re.compile(r"[+-]([0-9.]+(e[+-]?[0-9]+)?%?)? *([,;|\t\r\n\"]|$)")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("'=1+1", "''=1+1"),
        ("'''@x", "''''@x"),
        ("-2+3", "'-2+3"),
        ("\uff1d1", "'\uff1d1"),
        (" \u00a0\ufeff=1", "' \u00a0\ufeff=1"),
        ('"=1', "'\"=1"),
        ("x;=1", "x;'=1"),
        ("x\t=1\r\n@y", "x\t'=1\r\n'@y"),
        ("\t=1", "\t'=1"),
        ("a, -b|+c", "a,' -b|'+c"),
    ],
)
def test_what_would_be_a_formula_gets_an_apostrophe(text: str, written: str) -> None:
    """Wherever a spreadsheet may begin a cell, and one more where there was one."""
    assert guarded(text) == written
    assert unguarded(written) == text


@pytest.mark.parametrize(
    "text", ["", "eu", "a=b", "O'Neill", "'quoted'", "'", "-5", "+1.5e-3", "-7%", "-", "x;-5;y", "a - b", "2022-10-01"]
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert guarded(text) == unguarded(text) == text


@given(TEXTS)
@example("\"'=1")
@example("=1;'=1")
def test_what_was_written_is_read_again(text: str) -> None:
    assert unguarded(guarded(text)) == text
    # What was never written so is nobody's guard.
    assert unguarded(text) == text or guarded(unguarded(text)) == text


@given(TEXTS, st.sampled_from(",;\t|"), st.sampled_from(",;\t|"))
def test_no_cell_is_a_formula_whatever_separates_lists(text: str, written: str, read: str) -> None:
    """Of a file that is opened with another separator than it was written with."""
    file = io.StringIO()
    csv.writer(file, delimiter=written).writerow(["2022-10-01", guarded(text), "5"])
    for row in csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=read):
        begins = [cell.lstrip().lstrip('"') for cell in row]
        assert all(not one.startswith(SIGNS) or NO_FORMULA.match(one) for one in begins)
