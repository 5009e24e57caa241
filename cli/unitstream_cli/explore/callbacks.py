"""What happens when somebody chooses, goes back or presses a button: thin, between the page and the pure modules."""

from __future__ import annotations

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
from unitstream_cli.explore.question import Asked, asked_of, check, errors_of, single_filters
from unitstream_cli.explore.stream import today
from unitstream_cli.explore.table import sentence, table_of

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from unitstream_cli.explore.stream import Answer, Dimensions, Stream
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
            "disabled": {name: Output(name, "disabled") for name in _DEFINED},
            "own_days": Output("own_days", "hidden"),
            "halves": Output("halves", "hidden"),
        },
        {
            "search": Input("url", "search"),
            "values": {name: Input(name, "value") for name in _CONTROLS},
            "before": State("asked", "data"),
        },
        running=_READING,
    )(lambda search, values, before: steer(stream, search, values, before))


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
            "buttons": Output("buttons", "hidden"),
        },
        {"search": Input("asked", "data"), "_": Input("again", "n_clicks")},
        running=_READING,
        prevent_initial_call=True,
    )(lambda search, _: look(stream, search))
    app.callback(
        Output("download", "data"),
        Output("failed", "children", allow_duplicate=True),
        Input("csv", "n_clicks"),
        Input("hand_over", "n_clicks"),
        State("asked", "data"),
        running=_READING,
        prevent_initial_call=True,
    )(lambda _csv, _page, search: download(stream, search))


def steer(stream: Stream, search: str | None, values: dict[str, Any], before: str | None) -> dict[str, Any]:
    """Make the address and the controls say the same: whichever has changed leads."""
    chosen = ctx.triggered_id in _CONTROLS
    try:
        known = _known(before)
        asked = _chosen(stream, values, known) if chosen else asked_of(search or "", today())
        if not asked.is_something:
            asked = _first(stream)
        check(asked, today())
        shown = as_defined(asked, stream.saved()) if asked.saved else asked
        offers = _offers(stream, shown)
    except InvalidRequest as failure:
        return _unsteered(problem(errors_of(failure)))
    except CommandFailed as failure:
        return _unsteered(problem(sentences(failure)))
    start, end = asked.timeframe(today())
    return {
        "search": asked.search() if chosen else no_update,
        "asked": asked.search(),
        "wrong": [],
        "values": choices_of(shown, start, end)._asdict(),
        "options": offers,
        "disabled": dict.fromkeys(_DEFINED, asked.saved is not None),
        "own_days": asked.range != "own",
        "halves": shown.per is None,
    }


def look(stream: Stream, search: str | None) -> dict[str, Any]:
    """Ask the API, and show what it answers."""
    empty = {"drawn": no_update, "noted": "", "sentence": "", "status": [], "failed": [], "table": []}
    empty |= {"shown": True, "buttons": True}
    if search is None:
        return empty
    if ctx.triggered_id == "again":
        stream.forget()
    asked = asked_of(search, today())
    try:
        if not asked.is_something:
            return empty | {"table": nothing_yet()}
        answer = stream.answer(asked)
    except CommandFailed as failure:
        return empty | {"failed": problem(sentences(failure))}
    table = table_of(answer.document, asked, answer.shared)
    if not table.rows:
        nothing = f"{sentence(table)}: there is no data in this range. Choose other days, or fewer filters."
        return empty | {"status": problem([nothing, *table.notices])}
    return {
        "drawn": figure_of(table, asked),
        "noted": handover.file_name(table, "png").removesuffix(".png"),
        "sentence": sentence(table),
        "status": _status(table, asked, answer),
        "failed": [],
        "table": table_view(table, asked),
        "shown": False,
        "buttons": False,
    }


def download(stream: Stream, search: str | None) -> tuple[Any, list[Component]]:
    """Return the file of the button that was pressed, or what keeps it from being made."""
    asked = asked_of(search or "", today())
    try:
        answer = stream.answer(asked)
        table = table_of(answer.document, asked, answer.shared)
        if ctx.triggered_id == "csv":
            return _file(stream.csv(asked).decode(), handover.file_name(table, "csv"), "text/csv"), []
    except CommandFailed as failure:
        return no_update, problem(sentences(failure))
    page = handover.page_of(table, figure_of(table, asked), asked, answer.read_at, _parts())
    return _file(page, handover.file_name(table, "html"), "text/html"), []


def _file(content: str, name: str, kind: str) -> dict[str, Any]:
    return {"content": content, "filename": name, "type": f"{kind};charset=utf-8", "base64": False}


def _parts() -> dict[str, str]:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  # it reads 5 MB, for this button alone

    assets = files(__package__) / "assets"
    names = {"script": "explore.js", "style": "explore.css"}
    return {name: (assets / file).read_text() for name, file in names.items()} | {"plotly": get_plotlyjs()}


def _known(search: str | None) -> Asked:
    return asked_of(search, today()) if search else Asked()


def _chosen(stream: Stream, values: dict[str, Any], before: Asked) -> Asked:
    choices = Choices(**values)
    metric = (choices.what or "").removeprefix("metric ") if (choices.what or "").startswith("metric ") else None
    dimensions = {one: stream.dimensions(one) for one in (metric, choices.per) if one}
    return asked_from(choices, before, dimensions)


def _first(stream: Stream) -> Asked:
    """Return what a page shows of which nothing was asked: a saved unit metric, or else a metric, if there is any."""
    if saved := stream.saved():
        return Asked(saved=saved[0]["name"])
    names = controls.metric_names(stream.metrics())
    return Asked(metric=names[0]) if names else Asked()


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


def _unsteered(wrong: list[Component]) -> dict[str, Any]:
    """Say what is wrong, and leave the controls as they are, so that it can be mended."""
    return {
        "search": no_update,
        "asked": None,
        "wrong": wrong,
        "values": dict.fromkeys(_CONTROLS, no_update),
        "options": dict.fromkeys(_OFFERED, no_update),
        "disabled": dict.fromkeys(_DEFINED, no_update),
        "own_days": no_update,
        "halves": no_update,
    }


def sentences(failure: CommandFailed) -> list[str]:
    """Return what the API says, in its words."""
    details = [error["detail"] for error in failure.errors] if isinstance(failure, Refused) else []
    return [failure.message[:1].upper() + failure.message[1:], *details, *([failure.hint] if failure.hint else [])]


def _status(table: Table, asked: Asked, answer: Answer) -> list[Component]:
    groups = groups_of(table, asked.top)
    told = []
    if groups.left_out and not groups.rest:
        told.append(f"{groups.left_out} more groups are not drawn: what they are together cannot be known.")
    told += [f"Note: {notice}." for notice in table.notices]
    return problem([f"Read at {answer.read_at:%H:%M:%S}.", *told])
