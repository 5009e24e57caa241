r"""Text that a spreadsheet would take for a formula, and the apostrophe that guards against it. Pure.

A spreadsheet whose list separator is not the one of the file cuts cells in two, also those in quotation marks: of
`x;=1+1` it makes a formula. So each part of a text that such a spreadsheet may make a cell of is looked at by itself:
the parts between commas, semicolons, bars, tabs and line ends. What begins like a formula, whatever blanks or quotation
marks come before it, gets a `'`, and so does what had one already: `=1` is written `'=1`, `'=1` is written `''=1`, and
`x;=1` is written `x;'=1`. Numbers such as `-5` are no formulas.
"""

from __future__ import annotations

import re

_SEPARATORS = r",;|\t\r\n"
# Blanks, control characters, and what has no width.
_SKIPPED = rf"(?:(?![{_SEPARATORS}])[\s\0-\x20\x7f-\xa0\xad\u200b-\u200f\u2060\ufeff\"])"
_NUMBER = r"[+-](?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?%?)?"
# Signs in full width too, as some spreadsheets take them.
_SIGNS = "[=+@\uff1d\uff0b\uff0d\uff20-]"
_FORMULA = rf"'*+{_SKIPPED}*+(?!{_NUMBER} *(?:[{_SEPARATORS}]|\Z)){_SIGNS}"
_BEGINNING = rf"(?:\A|(?<=[{_SEPARATORS}]))"
_find = re.compile(rf"{_BEGINNING}(?={_FORMULA})")
_find_guard = re.compile(rf"{_BEGINNING}'(?={_FORMULA})")


def guarded(text: str) -> str:
    """Return `text` as a spreadsheet takes it for text."""
    return _find.sub("'", text)


def unguarded(text: str) -> str:
    """Return the text that `guarded` made `text` of, or `text` itself if it made it of none."""
    without = _find_guard.sub("", text)
    return without if guarded(without) == text else text
