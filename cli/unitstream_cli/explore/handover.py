"""The page to hand over: one HTML file with picture, table and question, that opens without a network. Pure.

It gets texts and numbers, never a setting, so no secret can be in it; and every text is escaped.
"""

from __future__ import annotations

import json
import re
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any

from unitstream_cli.explore.figure import plain
from unitstream_cli.explore.table import absent, digits, notes, sentence, shown, sorted_rows, when

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from unitstream_cli.explore.question import Asked
    from unitstream_cli.explore.table import Column, Table
    from unitstream_cli.reads.rows import Row

# Nothing may be loaded, from anywhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_LONGEST_NAME = 80
_LINE = 150
_NUMBER = ' class="number"'


def page_of(table: Table, figure: dict[str, Any], asked: Asked, read_at: datetime, parts: dict[str, str]) -> str:
    """Return the page. `parts` has plotly's library and the explorer's own script and style."""
    title = escape(sentence(table))
    question = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_listed(value))}</dd>"
        for name, value in {"path": asked.path(), **asked.parameters(read_at.date())}.items()
    )
    notices = "".join(f"<p>{escape(note)}</p>" for note in notes(table))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{parts["style"]}</style>
</head>
<body>
<main>
<h1>{escape(table.title)}</h1>
<figure><figcaption id="sentence">{title}</figcaption><div id="picture"></div></figure>
<p>{escape(when(table, read_at))}</p>{notices}
<details><summary>The question</summary><dl>{question}</dl></details>
<div class="scrolls" role="region" tabindex="0" aria-label="Table">{_table(table, asked)}</div>
</main>
<script>{parts["plotly"]}</script>
<script type="application/json" id="drawn">{_json(figure)}</script>
<script>{parts["script"]}</script>
</body>
</html>
"""


def heading(table: Table, read_at: datetime) -> list[str]:
    """Return what stands above a picture that is taken away, in lines, so that plotly shows them as they are."""
    texts = [sentence(table), when(table, read_at), *notes(table)]
    return [plain(line) for text in texts for line in textwrap.wrap(text, _LINE)]


def file_name(table: Table, ending: str) -> str:
    """Return a name that every system takes, which says what is in the file."""
    document = table.document
    name = re.sub(r"[^0-9A-Za-z]+", "-", table.title).strip("-")[:_LONGEST_NAME]
    return f"{name or 'unitstream'}-{document['start_date']}-{document['end_date']}.{ending}"


def _table(table: Table, asked: Asked) -> str:
    heads = "".join(
        f'<th scope="col"{_NUMBER if column.is_number else ""}>{escape(column.title)}</th>' for column in table.columns
    )
    rows = "".join(_row(table.columns, row) for row in sorted_rows(table, asked.sort))
    totals = "".join(_row(table.columns, row) for row in _totals(table))
    return (
        f"<table><caption>{len(table.rows)} rows</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody><tfoot>{totals}</tfoot></table>"
    )


def _totals(table: Table) -> Iterable[Row]:
    if table.keys:
        yield from table.totals
    if table.total:
        of_all = "total of all" if table.keys else "total"
        yield table.total._replace(fields=table.total.fields | {"date": of_all})


def _row(columns: list[Column], row: Row) -> str:
    return f"<tr>{''.join(_cell(column, row) for column in columns)}</tr>"


def _cell(column: Column, row: Row) -> str:
    value = column.cell(row)
    if word := absent(column, row):
        return f'<td class="absent">{word}</td>'
    if value is None:
        return "<td></td>"
    if not column.is_number:
        return f"<td>{escape(str(value))}</td>"
    text = shown(column, value)
    return f'<td{_NUMBER} data-number="{digits(value)}" data-shown="{text}">{text}</td>'


def _listed(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _json(document: Any) -> str:
    """Return JSON that no text in it can end."""
    return (
        json.dumps(document, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )
