"""What happens when somebody chooses, goes back or presses a button: thin, between the page and the pure modules."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dash import ClientsideFunction, Input, Output, State, ctx, no_update

from unitstream.problems import InvalidRequest
from unitstream_cli.answers import Refused
from unitstream_cli.errors import CommandFailed
from unitstream_cli.explore import controls, handover
from unitstream_cli.explore.controls import Choices, as_defined, asked_from, choices_of
from unitstream_cli.explore.figure import figure_of, groups_of
from unitstream_cli.explore.layout import nothing_yet, problem, table_view
from unitstream_cli.explore.question import Asked, asked_of, errors_of, faults_of, single_filters, sort_of
from unitstream_cli.explore.stream import today
from unitstream_cli.explore.table import not_over, notes, nothing_in, sentence, strays, table_of, when

if TYPE_CHECKING:
    from datetime import datetime

    from dash.development.base_component import Component

    from unitstream_cli.explore.stream import Dimensions, Stream
    from unitstream_cli.explore.table import Table

_CONTROLS = Choices._fields
_OFFERED = (
    "what",
    "per",
    "group_by",
    "filter",
    "numerator_filter",
    "denominator_filter",
    "denominator_group_by",
    "top",
)
# Of a saved unit metric these are in its definition.
_DEFINED = ("per", "group_by", "filter", "numerator_filter", "denominator_filter", "denominator_group_by")
_READING = [(Output("progress", "hidden"), False, True)]


def connect(app: Any, stream: Stream) -> None:
    """Give a Dash app, which has types for a part of itself, its callbacks."""
    _connect_question(app, stream)
    _connect_answer(app, stream)
    dress = ClientsideFunction("explore", "dress")
    app.clientside_callback(dress, Output("picture", "figure"), Input("drawn", "data"), prevent_initial_call=True)
    png = ClientsideFunction("explore", "png")
    # Nothing is written: what a callback has to name is the button itself.
    app.clientside_callback(
        png, Output("png", "title"), Input("png", "n_clicks"), State("noted", "data"), prevent_initial_call=True
    )


def _connect_question(app: Any, stream: Stream) -> None:
    app.callback(
        {
            "search": Output("url", "search"),
            "asked": Output("asked", "data"),
            "wrong": Output("wrong", "children"),
            "values": {name: Output(name, "value") for name in _CONTROLS},
            "options": {name: Output(name, "options") for name in _OFFERED},
            "disabled": {name: Output(name, "disabled") for name in (*_DEFINED, "shape")},
            "own_days": Output("own_days", "hidden"),
            "halves": Output("halves", "hidden"),
        },
        {
            "search": Input("url", "search"),
            "_": Input("again", "n_clicks"),
            "values": {name: Input(name, "value") for name in _CONTROLS},
        },
        running=_READING,
    )(lambda search, _, values: steer(stream, search, values))


def _connect_answer(app: Any, stream: Stream) -> None:
    app.callback(
        {
            "drawn": Output("drawn", "data"),
            "noted": Output("noted", "data"),
            "sentence": Output("sentence", "children"),
            "status": Output("status", "children"),
            "failed": Output("failed", "children"),
            "table": Output("table", "children"),
            "shown": Output("shown", "hidden"),
            "files": Output("files", "hidden"),
        },
        {"search": Input("asked", "data")},
        running=_READING,
        prevent_initial_call=True,
    )(lambda search: look(stream, search))
    app.callback(
        Output("download", "data"),
        Output("failed", "children", allow_duplicate=True),
        Input("csv", "n_clicks"),
        Input("hand_over", "n_clicks"),
        State("asked", "data"),
        running=_READING,
        prevent_initial_call=True,
    )(lambda _csv, _page, search: download(stream, search))


def steer(stream: Stream, search: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """Make the address and the controls say the same: whichever has changed leads."""
    chosen = ctx.triggered_id in _CONTROLS
    if ctx.triggered_id == "again":
        stream.forget()
    address: Any = no_update
    wrong: list[str] = []
    try:
        asked = _chosen(stream, values, search or "") if chosen else asked_of(search or "")
        if chosen:
            address = asked.search()
        if not asked.is_something:
            asked = _first(stream, asked)
        wrong = faults_of(asked, today())
        shown = as_defined(asked, stream.definition(asked))
        offers = _offers(stream, shown)
    except InvalidRequest as failure:
        return _unsteered(address, errors_of(failure))
    except CommandFailed as failure:
        return _unsteered(address, wrong or sentences(failure))
    start, end = asked.timeframe(today())
    return {
        "search": address,
        "asked": None if wrong else asked.search(),
        "wrong": problem(wrong),
        "values": choices_of(shown, start, end)._asdict(),
        "options": offers,
        "disabled": dict.fromkeys(_DEFINED, asked.saved is not None) | {"shape": not controls.adds_up(shown)},
        "own_days": asked.range != "own",
        "halves": shown.per is None,
    }


def look(stream: Stream, search: str | None) -> dict[str, Any]:
    """Ask the API, and show what it answers."""
    empty: dict[str, Any] = {"drawn": no_update, "noted": None, "sentence": "", "status": [], "failed": [], "table": []}
    empty |= {"shown": True, "files": True}
    if search is None:
        return empty
    asked = asked_of(search)
    if not asked.is_something:
        return empty | {"table": nothing_yet()}
    try:
        table, read_at = _answered(stream, asked)
    except CommandFailed as failure:
        return empty | {"failed": problem(sentences(failure))}
    if not table.rows:
        return empty | {"status": problem([*notes(table), *nothing_in(table), when(table, read_at)])}
    return {
        "drawn": figure_of(table, asked),
        "noted": {"name": handover.file_name(table, "png"), "heading": handover.heading(table, read_at)},
        "sentence": sentence(table),
        "status": _status(table, asked, read_at),
        "failed": [],
        "table": table_view(table, asked),
        "shown": False,
        "files": False,
    }


def _answered(stream: Stream, asked: Asked) -> tuple[Table, datetime]:
    """Return the table of what the API answers, and when it did."""
    definition = stream.definition(asked)
    above = (definition or {}).get("thresholds", {}).get("above")
    answer = stream.answer(asked)
    table = table_of(answer.document, as_defined(asked, definition), above)
    return table._replace(notices=[*not_over(table, answer.read_at), *table.notices]), answer.read_at


def download(stream: Stream, search: str | None) -> tuple[Any, list[Component]]:
    """Return the file of the button that was pressed, or what keeps it from being made."""
    asked = asked_of(search or "")
    try:
        table, read_at = _answered(stream, asked)
        if ctx.triggered_id == "csv":
            return _file(stream.csv(asked).decode(), handover.file_name(table, "csv"), "text/csv"), []
    except CommandFailed as failure:
        return no_update, problem(sentences(failure))
    page = handover.page_of(table, figure_of(table, asked), asked, read_at, _parts())
    return _file(page, handover.file_name(table, "html"), "text/html"), []


def _file(content: str, name: str, kind: str) -> dict[str, Any]:
    return {"content": content, "filename": name, "type": f"{kind};charset=utf-8", "base64": False}


def _parts() -> dict[str, str]:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  # it reads 5 MB, for this button alone

    assets = files(__package__) / "assets"
    names = {"script": "explore.js", "style": "explore.css"}
    return {name: (assets / file).read_text() for name, file in names.items()} | {"plotly": get_plotlyjs()}


def _chosen(stream: Stream, values: dict[str, Any], search: str) -> Asked:
    choices = Choices(**values)
    dimensions = {one: stream.dimensions(one) for one in (controls.metric_of(choices), choices.per) if one}
    return asked_from(choices, sort_of(search), dimensions, anew=ctx.triggered_id == "what")


def _first(stream: Stream, asked: Asked) -> Asked:
    """Return a question that names nothing with a saved unit metric, or else a metric, if there is any."""
    if saved := stream.saved():
        return replace(asked, saved=saved[0]["name"])
    names = controls.metric_names(stream.metrics())
    return replace(asked, metric=names[0] if names else None)


def _offers(stream: Stream, asked: Asked) -> dict[str, controls.Options]:
    names = controls.metric_names(stream.metrics())
    of_halves = [_dimensions(stream, one) for one in (asked.metric, asked.per)]
    both = [one for one in of_halves if one]
    keys = sorted({key for one in both for key in one.values})
    filters = {
        "filter": (both, asked.filter),
        "numerator_filter": (both[:1], asked.numerator_filter),
        "denominator_filter": (both[1:], asked.denominator_filter),
    }
    single = {name: single_filters(chosen) for name, (_, chosen) in filters.items()}
    return {
        "what": controls.offered_things(names, [one["name"] for one in stream.saved()], asked),
        "per": controls.offered(names, [asked.per] if asked.per else []),
        "group_by": controls.offered(keys, asked.group_by),
        "denominator_group_by": controls.offered_sharing(asked.group_by),
        "top": controls.offered_tops(asked.top),
        **{name: controls.offered_filters(found, single[name]) for name, (found, _) in filters.items()},
    }


def _dimensions(stream: Stream, metric: str | None) -> Dimensions | None:
    return stream.dimensions(metric) if metric else None


def _unsteered(address: Any, wrong: list[str]) -> dict[str, Any]:
    """Say what is wrong, and leave the controls as they are, so that it can be mended."""
    return {
        "search": address,
        "asked": None,
        "wrong": problem(wrong),
        "values": dict.fromkeys(_CONTROLS, no_update),
        "options": dict.fromkeys(_OFFERED, no_update),
        "disabled": dict.fromkeys((*_DEFINED, "shape"), no_update),
        "own_days": no_update,
        "halves": no_update,
    }


def sentences(failure: CommandFailed) -> list[str]:
    """Return what the API says, in its words."""
    details = [error["detail"] for error in failure.errors] if isinstance(failure, Refused) else []
    return [failure.message[:1].upper() + failure.message[1:], *details, *([failure.hint] if failure.hint else [])]


def _status(table: Table, asked: Asked, read_at: datetime) -> list[Component]:
    groups = groups_of(table, asked.top)
    told = []
    if groups.left_out and not groups.rest:
        told.append(f"{groups.left_out} more groups are not drawn: what they are together cannot be known.")
    told += [*strays(table, asked), *notes(table)]
    return problem([when(table, read_at), *told])
