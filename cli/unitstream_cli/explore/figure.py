"""A table as a picture: what plotly draws, as plain JSON. Pure.

Plotly takes some HTML in texts, so every text of a stream is escaped here.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from math import floor, log10
from typing import TYPE_CHECKING, Any, NamedTuple

from unitstream.periods import Timeframe
from unitstream.zones import Calendar, zone_of
from unitstream_cli.explore.table import digits, group_name
from unitstream_cli.reads.rows import Row, aggregated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unitstream_cli.explore.question import Asked
    from unitstream_cli.explore.table import Table

# Okabe and Ito's colours, which the colour-blind can tell apart; the page's theme has those of text and lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
REST_COLOUR = "#8C8C8C"
THRESHOLD_COLOUR = "#D55E00"
FAINT = 0.5
_DASHES = ("solid", "dash", "dot", "dashdot")
_PATTERNS = ("", "/", ".", "x")
# With more lines than this, a list of all values at a place hides the picture.
_MOST_IN_ONE_HOVER = 12
_MOST_PERIODS = 20_000
_FEW_PERIODS = 10
# A legend with longer ones has no place for anything else.
_LONGEST_NAME = 60
# More bars than these take a browser a second; steps, which look like them, are one path a group.
_MOST_BARS = 4_000


class Drawn(NamedTuple):
    """A group that is drawn, by period."""

    name: str
    now: dict[str, float | None]
    before: dict[str, float | None]


class Groups(NamedTuple):
    """The groups to draw, largest first; `rest` is all others as one, if there are any and that can be known."""

    top: list[Drawn]
    rest: Drawn | None
    left_out: int


def groups_of(table: Table, top: int) -> Groups:
    """Return the `top` groups with the largest totals, and the others as one."""
    by_group: dict[tuple[str | None, ...], list[Row]] = {}
    for row in table.rows:
        by_group.setdefault(tuple(row.dimensions.values()), []).append(row)
    sizes = {tuple(row.dimensions.values()): row.fields[table.value] for row in table.totals}
    ranked = sorted(by_group, key=lambda group: (sizes.get(group) is None, -abs(sizes.get(group) or 0.0)))
    drawn = [
        _drawn(table, group_name(by_group[group][0].dimensions) or table.title, by_group[group])
        for group in ranked[:top]
    ]
    others = ranked[top:]
    if not others:
        return Groups(drawn, None, 0)
    by_date: dict[str, list[Row]] = {}
    for group in others:
        for row in by_group[group]:
            by_date.setdefault(row.fields["date"], []).append(row)
    together = [Row({}, table.kind.together(rows) | {"date": day}) for day, rows in by_date.items()]
    rest = _drawn(table, f"the other {len(others):,}", together)
    known = any(value is not None for value in rest.now.values())
    return Groups(drawn, rest if known else None, len(others))


def _drawn(table: Table, name: str, rows: Sequence[Row]) -> Drawn:
    now = {row.fields["date"]: row.fields[table.value] for row in rows}
    before = {row.fields["date"]: row.fields[table.before] for row in rows} if table.before else {}
    return Drawn(name, now, before)


def periods_of(table: Table) -> list[str]:
    """Return all periods of the range, so that those without data are gaps; of very many, those that have data."""
    document = table.document
    zone = zone_of(document.get("timezone", "UTC"))
    calendar = Calendar(Timeframe(document["start_date"], document["end_date"]), document["granularity"], zone)
    if calendar.count() > _MOST_PERIODS:
        return sorted({row.fields["date"] for row in table.rows}, key=datetime.fromisoformat)
    return list(map(calendar.shown, calendar.periods()))


def figure_of(table: Table, asked: Asked) -> dict[str, Any]:
    """Return the picture of a table: stacked bars or lines for sums, lines for everything else."""
    groups = groups_of(table, asked.top)
    every = periods_of(table)
    drawn = [*groups.top, *([groups.rest] if groups.rest else [])]
    stacked = _stacked(drawn, every) if table.adds_up and asked.shape == "bars" else None
    number = _format([value for one in drawn for value in one.now.values() if value is not None])
    traces = []
    for place, one in enumerate(drawn):
        look = _look(place, is_rest=one is groups.rest)
        if table.before and not stacked:
            traces.append(_faint(one, every, look["colour"], number))
        traces.append(_trace(one, every, look, number, stacked=stacked))
    if table.before and stacked:
        traces.append(_faint(_all_before(drawn, every), every, None, number))
    return {"data": traces, "layout": _layout(table, every, stacked=stacked is not None, lines=len(drawn))}


def _stacked(drawn: Sequence[Drawn], every: list[str]) -> str:
    """Return as what values are stacked. Below zero, steps would cross."""
    many = len(drawn) * len(every) > _MOST_BARS
    falls = any(value is not None and value < 0 for one in drawn for value in one.now.values())
    return "steps" if many and not falls else "bars"


def _look(place: int, *, is_rest: bool) -> dict[str, str]:
    if is_rest:
        return {"colour": REST_COLOUR, "dash": "solid", "pattern": ""}
    again, colour = divmod(place, len(COLOURS))
    return {
        "colour": COLOURS[colour],
        "dash": _DASHES[again % len(_DASHES)],
        "pattern": _PATTERNS[again % len(_PATTERNS)],
    }


def _trace(one: Drawn, every: list[str], look: dict[str, str], number: str, *, stacked: str | None) -> dict[str, Any]:
    """Return a group's bars, its steps in a stack, or its line."""
    shared: dict[str, Any] = {
        "name": plain(_short(one.name)),
        "x": every,
        "y": [one.now.get(period) for period in every],
        "hovertemplate": f"%{{y:{number}}}",
    }
    if stacked == "steps":
        line = {"color": look["colour"], "width": 0.5, "shape": "hvh"}
        filled = {"fillcolor": look["colour"]} | (
            {"fillpattern": {"shape": look["pattern"]}} if look["pattern"] else {}
        )
        return shared | {"type": "scatter", "mode": "lines", "stackgroup": "all", "line": line} | filled
    if stacked:
        pattern = {"pattern": {"shape": look["pattern"]}} if look["pattern"] else {}
        return shared | {"type": "bar", "marker": {"color": look["colour"], "line": {"width": 0}} | pattern}
    mode = "lines" if len(every) > 40 else "lines+markers"
    line = {"color": look["colour"], "width": 2, "dash": look["dash"]}
    return shared | {"type": "scatter", "mode": mode, "line": line, "connectgaps": False}


def _faint(one: Drawn, every: list[str], colour: str | None, number: str) -> dict[str, Any]:
    """Return the line of what a group is compared with; without a colour it is that of text, which the page knows."""
    return {
        "name": plain(f"{_short(one.name)}, before"),
        "x": every,
        "y": [one.before.get(period) for period in every],
        "type": "scatter",
        "mode": "lines",
        "opacity": FAINT,
        "line": {"width": 2, "dash": "dot"} | ({"color": colour} if colour else {}),
        "hovertemplate": f"%{{y:{number}}}",
        "showlegend": False,
        "connectgaps": False,
    }


def _all_before(drawn: Sequence[Drawn], every: list[str]) -> Drawn:
    sums: dict[str, float | None] = {}
    for period in every:
        present = [value for one in drawn if (value := one.before.get(period)) is not None]
        sums[period] = aggregated("Sum", [(value, None) for value in present])
    return Drawn("all", {}, sums)


def _layout(table: Table, every: Sequence[str], *, stacked: bool, lines: int) -> dict[str, Any]:
    return {
        "barmode": "relative" if stacked else "group",
        "bargap": 0.15,
        "hovermode": "x unified" if lines <= _MOST_IN_ONE_HOVER else "closest",
        "hoverlabel": {"namelength": -1},
        "showlegend": lines > 1 or bool(table.keys),
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "traceorder": "normal"},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 48},
        "xaxis": _axis(table, every) | {"automargin": True},
        "yaxis": {"rangemode": "tozero", "title": {"text": plain(table.unit or "")}, "automargin": True},
    } | _threshold(table)


def _axis(table: Table, every: Sequence[str]) -> dict[str, Any]:
    granularity = table.document["granularity"]
    if granularity == "hour" and "timezone" in table.document:
        # By the clock of a zone one hour may come twice, which plotly would draw at one place.
        named = every[:: -(-len(every) // _FEW_PERIODS)]
        # Without the offset, a tick at such an hour would not say which of the two it is.
        texts = [f"{one[5:10]} {one[11:16]}{one[19:]}" for one in named]
        return {"type": "category", "tickmode": "array", "tickvals": named, "ticktext": texts}
    axis = {"type": "date", "tickformat": _TICKS[granularity], "hoverformat": _HOVERS[granularity]}
    # Of a few periods plotly would name some twice.
    return axis | ({"tickmode": "array", "tickvals": every} if len(every) <= _FEW_PERIODS else {})


def _threshold(table: Table) -> dict[str, Any]:
    """Return the line above which a saved unit metric is too high."""
    if table.above is None:
        return {}
    place = {"xref": "paper", "yref": "y", "y0": table.above, "y1": table.above, "x0": 0, "x1": 1}
    line = {"color": THRESHOLD_COLOUR, "width": 1, "dash": "longdash"}
    label = {"text": f"too high above {digits(table.above)}", "textposition": "end", "yanchor": "bottom"}
    return {"shapes": [{"type": "line", **place, "line": line, "label": label}]}


_TICKS = {"hour": "%m-%d %H:%M", "month": "%Y-%m", "quarter": "%Y-%m", "year": "%Y"} | dict.fromkeys(
    ("day", "week"), "%Y-%m-%d"
)
_HOVERS = _TICKS | {"hour": "%Y-%m-%d %H:%M"}


def _format(values: Sequence[float]) -> str:
    """Return d3's format for numbers of this size: with as many decimals as five digits of the largest need."""
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e15:
        return ".5~e"
    decimals = max(2, min(12, 4 - floor(log10(largest)))) if largest else 2
    return f",.{decimals}~f"


def plain(text: str) -> str:
    """Return a text so that plotly shows it as it is: neither HTML nor TeX."""
    return escape(text, quote=False).replace("$", "&#36;")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
