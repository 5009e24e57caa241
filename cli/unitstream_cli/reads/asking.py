"""Asking the service: all pages of its answer in one, and sentences for what it refuses or notices."""

from __future__ import annotations

import contextlib
import csv as csv_module
import io
import json as json_text
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from unitstream.aggregates import TOTAL, TOTAL_OF_ALL
from unitstream_cli.answers import Refused
from unitstream_cli.api import Api
from unitstream_cli.console import counted, err, print_json, printable, say
from unitstream_cli.errors import BadInput
from unitstream_cli.reads.rows import Kind, Row, arranged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unitstream_cli.reads.arguments import Form
    from unitstream_cli.settings import Options

# The options and arguments that the API's parameters come from.
_OPTIONS = {
    "metric_name": "METRIC",
    "metric_agg_func": "METRIC",
    "numerator": "NUMERATOR",
    "denominator": "DENOMINATOR",
    "start_date": "--from",
    "end_date": "--to",
    "granularity": "--by",
    "group_by": "--group-by",
    "filter": "--filter",
    "fill": "--fill",
    "timezone": "--timezone",
    "compare": "--compare",
    "numerator_filter": "--numerator-filter",
    "denominator_filter": "--denominator-filter",
    "denominator_group_by": "--denominator-group-by",
    "received_from": "--received-from",
    "received_before": "--received-before",
}


_TEXTS = {"record_id", "received_at", "n_agg_func", "d_agg_func", "complete", "previous_date"}


class Question(NamedTuple):
    """What the API is asked. `rows` is the list in its answer of which a page has a part.

    `nothing` is what to say when there is nothing, `kind` what several rows are together, and `fields` how many columns
    a table has beside dimensions.
    """

    path: str
    parameters: dict[str, Any]
    rows: str
    nothing: str
    kind: Kind | None = None
    fields: int = 0

    def document(self, api: Api) -> dict[str, Any]:
        """Return the answer, all pages of it in one."""
        document = api.document(self.path, self.parameters, {self.rows: list})
        while cursor := document.get("next_cursor"):
            page = api.document(self.path, self.parameters | {"cursor": cursor}, {self.rows: list})
            document[self.rows] += page[self.rows]
            document["next_cursor"] = page.get("next_cursor")
        return document

    def table(self, api: Api) -> tuple[bytes, list[dict[str, str]]]:
        """Return the answer as CSV, all pages of it in one, and its notices."""
        answer = api.get(self.path, self.parameters, "text/csv")
        notices = json_text.loads(answer.headers.get("X-Notices", "[]"))
        pages = [answer.data]
        while cursor := answer.headers.get("X-Next-Cursor"):
            answer = api.get(self.path, self.parameters | {"cursor": cursor}, "text/csv")
            pages.append(answer.data)
        return one_table(pages), notices


def print_answer(
    options: Options,
    question: Question,
    form: Form,
    draw: Callable[[dict[str, Any], Form], None],
    check: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Ask the service, and print what it answers: as a table, unless told otherwise. Then `check` a document."""
    form.check()
    api = Api(options.service(), stop=Event(), give_up_after=form.give_up_after, notice=say)
    with contextlib.closing(api), err.status("Reading"), plain_refusals():
        answer = question.table(api) if form.csv else question.document(api)
    if isinstance(answer, tuple):
        table, notices = answer
        header, *lines = csv_module.reader(io.StringIO(table.decode(), newline=""))
        typer.echo(table if form.is_plain else restyled(header, lines, question, form), nl=False)
        found = any(line[0] != TOTAL_OF_ALL for line in lines)
    else:
        notices = answer.get("notices", [])
        found = bool(answer[question.rows])
        if form.json:
            print_json(answer)
        elif found:
            draw(answer, form)
    if not found:
        say(question.nothing)
    for notice in notices:
        say(f"Notice: {named(notice)}")
    if check and isinstance(answer, dict):
        check(answer)


def restyled(header: list[str], lines: Sequence[list[str]], question: Question, form: Form) -> str:
    """Return a table with the rows, separators and decimals that are wanted."""
    end = len(header) - question.fields + 1
    rows = [
        Row(
            dict(zip(header[1:end], line[1:end], strict=True)),
            {header[0]: line[0]}
            | {name: _read(name, cell) for name, cell in zip(header[end:], line[end:], strict=True)},
        )
        for line in lines
    ]
    periods = [row for row in rows if not row.fields[header[0]].startswith(TOTAL)]
    totals = [row for row in rows if row.fields[header[0]].startswith(TOTAL)]
    wanted = rows
    if question.kind:
        wanted = arranged(periods, question.kind, form, totals).all
    text = io.StringIO()
    delimiter = form.delimiter or (";" if form.decimal == "," else ",")
    writer = csv_module.writer(text, delimiter="\t" if delimiter == "tab" else delimiter)
    writer.writerow(header)
    for dimensions, fields in wanted:
        first, *others = fields.values()
        cells = (str(value).replace(".", form.decimal) if isinstance(value, float) else value for value in others)
        writer.writerow([first, *dimensions.values(), *cells])
    return text.getvalue()


def _read(name: str, cell: str) -> object:
    """Return what a cell says, in a column that is no dimension."""
    return cell if name in _TEXTS else int(cell) if name == "points" else float(cell) if cell else None


def one_table(pages: Sequence[bytes]) -> bytes:
    """Make one CSV of its pages, which may differ: a page has columns for those dimensions that occur in it."""
    texts = [io.StringIO(page.decode(), newline="") for page in pages]
    headers = [next(csv_module.reader(text)) for text in texts]
    if all(header == headers[0] for header in headers):
        # What is left of a page: its header may hold line breaks, as keys of dimensions may.
        return b"".join([pages[0], *(text.read().encode() for text in texts[1:])])
    readers = [csv_module.DictReader(text, header) for text, header in zip(texts, headers, strict=True)]
    # The dimensions, in order, stand between the first column and what all pages end with.
    end: list[str] = []
    for names in zip(*map(reversed, headers), strict=False):
        if len(set(names)) > 1:
            break
        end.insert(0, names[0])
    first = headers[0][0]
    dimensions = {name for header in headers for name in header} - {first, *end}
    text = io.StringIO()
    writer = csv_module.DictWriter(text, [first, *sorted(dimensions), *end], restval="")
    writer.writeheader()
    for reader in readers:
        writer.writerows(reader)
    return text.getvalue().encode()


@contextlib.contextmanager
def plain_refusals() -> Iterator[None]:
    """Say what the service refuses by the names that the command line has."""
    try:
        yield
    except Refused as exc:
        raise BadInput("\n".join(refusals(exc.errors)) or exc.message, exc.hint) from exc


def refusals(errors: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong, line by line, by the names that the command line has."""
    wrong = [named(error) for error in errors]
    return wrong if len(wrong) < 2 else [f"{counted(len(wrong), 'thing')} are wrong:", *wrong]


def named(finding: dict[str, Any]) -> str:
    """Return what an error or a notice says, by the name that the command line has for its parameter."""
    sentence = printable(finding["detail"])
    parameter = finding.get("parameter") or finding["pointer"].removeprefix("/")
    return f"{_OPTIONS.get(parameter, parameter)}: {sentence}{'' if sentence.endswith('?') else '.'}"
