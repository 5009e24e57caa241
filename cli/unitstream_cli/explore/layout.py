"""The page: its controls, the picture and the table, as Dash's components."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from unitstream_cli.explore import controls
from unitstream_cli.explore.table import ROWS_A_PAGE, Column, absent, count_pages, digits, page_of, shown, sorted_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dash.development.base_component import Component

    from unitstream_cli.explore.question import Asked
    from unitstream_cli.explore.table import Table
    from unitstream_cli.reads.rows import Row

_GRAPH: Any = {"displayModeBar": False, "responsive": True}
_FIRST_FILE = """\
timestamp,region,orders,costs
2022-11-01 09:00:00,eu,128,301.50
2022-11-01 10:00:00,eu,140,296.75"""


def page() -> Component:
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="asked"),
            dcc.Store(id="drawn"),
            dcc.Store(id="noted"),
            dcc.Download(id="download"),
            html.Header(html.H1("unitstream")),
            html.Main(
                [
                    _controls(),
                    html.Progress(id="progress", hidden=True, **_named("Reading")),
                    html.Div(id="elapsed"),
                    html.Div(id="wrong", role="alert"),
                    html.Div(id="failed", role="alert"),
                    html.Div(id="status", role="status"),
                    html.Div(
                        html.Figure(
                            [
                                html.Figcaption(id="sentence"),
                                dcc.Graph(id="picture", config=_GRAPH, figure={"data": [], "layout": {}}),
                            ]
                        ),
                        id="shown",
                        hidden=True,
                    ),
                    _buttons(),
                    html.Div(id="table"),
                ]
            ),
        ]
    )


def _controls() -> Component:
    return html.Section(
        [
            _one("what", "Metric or unit metric"),
            _one("per", "Divided by", clearable=True, placeholder="nothing"),
            _one("range", "Days", controls.in_words(controls.RANGES)),
            html.Div([_day("start_date", "From"), _day("end_date", "To")], id="own_days", hidden=True),
            _one("granularity", "By", controls.offered(controls.GRANULARITIES)),
            _several("group_by", "Group by"),
            _several("filter", "Filter"),
            html.Div(
                [
                    _several("numerator_filter", "Filter of the numerator"),
                    _several("denominator_filter", "Filter of the denominator"),
                    _one("denominator_group_by", "Group the denominator"),
                ],
                id="halves",
                hidden=True,
            ),
            _one("compare", "Compare with", controls.in_words(controls.COMPARISONS)),
            _one("shape", "Draw sums as", controls.in_words(controls.SHAPES)),
            _one("top", "Draw", controls.offered_tops(10)),
        ],
        id="question",
        **_named("Question"),
    )


def _one(name: str, title: str, options: controls.Options | None = None, **more: Any) -> Component:
    chosen = dcc.Dropdown(id=name, options=options or [], maxHeight=320, **({"clearable": False} | more))
    return html.Div([html.Label(title, htmlFor=name, id=f"{name}-label"), chosen], className="control")


def _several(name: str, title: str) -> Component:
    chosen = dcc.Dropdown(id=name, options=[], multi=True, placeholder="nothing", maxHeight=320)
    return html.Div([html.Label(title, htmlFor=name, id=f"{name}-label"), chosen], className="control")


def _day(name: str, title: str) -> Component:
    day: Any = "date"  # Dash passes it on, and its types do not know it
    entry = dcc.Input(id=name, type=day, debounce=True, required=True)
    return html.Div([html.Label(title, htmlFor=name, id=f"{name}-label"), entry], className="control")


def _buttons() -> Component:
    files = {"csv": "CSV", "png": "PNG", "hand_over": "A page to hand over"}
    of_files = [html.Button(title, id=name, type="button") for name, title in files.items()]
    again = html.Button("Read again", id="again", type="button")
    return html.Div([html.Div(of_files, id="files", hidden=True), again], id="buttons")


def _named(label: str) -> dict[str, Any]:
    return {"aria-label": label}


def _attributes(*given: tuple[str, str]) -> dict[str, Any]:
    return dict(given)


def nothing_yet() -> list[Component]:
    """What an empty stream shows: how to push the first file."""
    return [
        html.H2("There is nothing in this stream yet"),
        html.P("Save this as shop.csv, and push it:"),
        html.Pre(_FIRST_FILE),
        html.Pre("unitstream push shop.csv --agg-func Sum --wide --dimension region"),
        html.P("Then reload this page."),
    ]


def problem(sentences: Sequence[str]) -> list[Component]:
    return [html.P(sentence) for sentence in sentences]


# --- the table --------------------------------------------------------------------------------------------------------


def table_view(table: Table, asked: Asked) -> list[Component]:
    """Return a page of the table, with totals below it. Its headings and pages are links: the address says which."""
    rows = sorted_rows(table, asked.sort)
    heads = [_head(column, asked) for column in table.columns]
    body = [html.Tr([_cell(column, row) for column in table.columns]) for row in page_of(rows, asked.page)]
    totals = [_total(table, row, "total") for row in table.totals] if table.keys else []
    totals += [_total(table, table.total, "total of all" if table.keys else "total")] if table.total else []
    page = html.Table([html.Caption(_rows_shown(rows, asked)), html.Thead(html.Tr(heads)), html.Tbody(body)])
    below = html.Table([html.Caption("Totals"), html.Thead(html.Tr(_plain_heads(table))), html.Tbody(totals)])
    region: dict[str, Any] = {"role": "region", "tabIndex": "0", "className": "scrolls"}
    return [
        html.Div(page, id="rows", **region, **_named("Table")),
        _pages(rows, asked),
        html.Div(below, id="totals", **region, **_named("Totals")),
    ]


def _head(column: Column, asked: Asked) -> Component:
    largest_first = f"-{column.name}"
    following = column.name if asked.sort == largest_first else largest_first
    direction = {column.name: "ascending", largest_first: "descending"}.get(asked.sort or "", "none")
    link = dcc.Link(column.title, href=replace(asked, sort=following, page=1).search())
    return html.Th(
        link, scope="col", className="number" if column.is_number else "", **_attributes(("aria-sort", direction))
    )


def _plain_heads(table: Table) -> list[Component]:
    return [
        html.Th(column.title, scope="col", className="number" if column.is_number else "") for column in table.columns
    ]


def _total(table: Table, row: Row, name: str) -> Component:
    first, *others = table.columns
    return html.Tr([html.Th(name, scope="row", className=first.name), *(_cell(column, row) for column in others)])


def _cell(column: Column, row: Row) -> Component:
    value = column.cell(row)
    if word := absent(column, row):
        return html.Td(word, className="absent")
    if not column.is_number:
        return html.Td("" if value is None else value)
    if value is None:
        return html.Td("", className="number")
    text = shown(column, value)
    return html.Td(text, className="number", **_attributes(("data-number", digits(value)), ("data-shown", text)))


def _rows_shown(rows: Sequence[Row], asked: Asked) -> str:
    page = min(asked.page, count_pages(rows))
    first = (page - 1) * ROWS_A_PAGE
    return f"Rows {first + 1} to {min(first + ROWS_A_PAGE, len(rows))} of {len(rows)}"


def _pages(rows: Sequence[Row], asked: Asked) -> Component:
    last = count_pages(rows)
    page = min(asked.page, last)
    links = [
        dcc.Link(title, href=replace(asked, page=other).search())
        for title, other in (("Previous rows", page - 1), ("Next rows", page + 1))
        if 1 <= other <= last
    ]
    return html.Nav(links, id="pages", hidden=not links, **_named("Pages of the table"))
