"""`unitstream unit-metrics save`, `list`, `show` and `delete`: unit metrics that the service keeps by name."""

from __future__ import annotations

import contextlib
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import quote

import typer

from unitstream.comparisons import Compare
from unitstream.identity import Metric
from unitstream.periods import Granularity
from unitstream.questions import MAX_LIMIT
from unitstream.views import UnitCell
from unitstream_cli.api import Api
from unitstream_cli.console import confirm, print_json, printable, say
from unitstream_cli.errors import BadInput, CommandFailed
from unitstream_cli.reads.arguments import (
    GIVE_UP_AFTER_SECONDS,
    FilterOption,
    Form,
    GiveUpOption,
    Halves,
    Output,
    Span,
    metric,
    number,
)
from unitstream_cli.reads.asking import Question, plain_refusals, print_answer
from unitstream_cli.reads.drawing import days_of, draw_unit_metric
from unitstream_cli.reads.limits import Limits
from unitstream_cli.reads.rows import ratios_of
from unitstream_cli.reads.tables import NOTHING, print_table, text_column
from unitstream_cli.settings import JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unitstream_cli.settings import Options

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.", show_default=False)]
_DEFINITION = {"name": str, "numerator": str, "denominator": str}
_SEE_LIST = "`unitstream unit-metrics list` has what there is."


class Definition(NamedTuple):
    """How a unit metric is cut, shown and watched."""

    granularity: Annotated[Granularity, typer.Option("--by", "--granularity", help="Length of a period.")] = "day"
    group_by: Annotated[
        list[str] | None,
        typer.Option("--group-by", metavar="KEY", help="Dimension to group by; may be repeated."),
    ] = None
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="Where days and weeks begin. Default: UTC."),
    ] = None
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="TEXT", help="What it is shown in, such as 'EUR per order'.")
    ] = None
    above: Annotated[
        float | None,
        typer.Option("--above", parser=number, metavar="VALUE", help="Above which the stack's alarm goes off."),
    ] = None
    rise: Annotated[
        float | None,
        typer.Option("--rise", parser=number, metavar="PERCENT", help="The same for a rise on the period before."),
    ] = None
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish it to CloudWatch, if the stack has a schedule for that.")
    ] = False

    def fields(self) -> dict[str, Any]:
        thresholds = {"above": self.above, "rise_percent": self.rise}
        given = {name: value for name, value in thresholds.items() if value is not None}
        optional = {
            "group_by": self.group_by,
            "timezone": self.timezone,
            "unit": self.unit,
            "thresholds": given,
            "publish": self.publish,
        }
        return {"granularity": self.granularity} | {name: value for name, value in optional.items() if value}


class Shown(NamedTuple):
    """What stands in place of what the definition says."""

    granularity: Annotated[
        Granularity | None, typer.Option("--by", "--granularity", help="Length of a period. Default: as saved.")
    ] = None
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Where days begin. Default: as saved.")
    ] = None
    compare: Annotated[Compare | None, typer.Option("--compare", help="What each period stands beside.")] = None
    fill: Annotated[bool, typer.Option("--fill", help="Show periods without data too.")] = False

    def parameters(self) -> dict[str, Any]:
        fill = {"fill": "null"} if self.fill else {}
        return fill | {name: value for name, value in self._asdict().items() if value and name != "fill"}


def save(
    ctx: typer.Context,
    name: NameArgument,
    numerator: Annotated[
        Metric, typer.Argument(parser=metric, metavar="NUMERATOR", help="Such as costs:Sum.", show_default=False)
    ],
    denominator: Annotated[
        Metric, typer.Argument(parser=metric, metavar="DENOMINATOR", help="Such as orders:Sum.", show_default=False)
    ],
    *,
    filters: FilterOption = None,
    halves: Halves,
    definition: Definition,
    json: JsonOption = False,
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS,
) -> None:
    """Save a unit metric under a name, in place of what has it.

    `unitstream unit-metrics show` then has its values, and the stack may publish it to CloudWatch.
    """
    fields = {"numerator": ":".join(numerator), "denominator": ":".join(denominator)} | definition.fields()
    fields |= {"filter": filters} if filters else {}
    fields |= halves.parameters()
    if halves.denominator_group_by is not None:
        fields["denominator_group_by"] = [halves.denominator_group_by] if halves.denominator_group_by else []
    answer = _ask(_api(ctx.obj, give_up_after), "PUT", _path(name), _DEFINITION, fields)
    if json:
        print_json(answer)
    say(f"Saved: {printable(answer['name'])}.")
    for notice in answer.get("notices", []):
        say(f"Notice: {printable(notice['detail'])}.")
    _check_name(answer, name)


def list_saved(ctx: typer.Context, *, output: Output) -> None:
    """List the saved unit metrics of the stream."""
    nothing = "No unit metric is saved. `unitstream unit-metrics save` saves one."
    question = Question("/api/saved-unit-metrics", {"limit": MAX_LIMIT}, "unit_metrics", nothing)
    print_answer(ctx.obj, question, Form(*output), _draw)


def show(
    ctx: typer.Context,
    name: NameArgument,
    *,
    span: Span,
    shown: Shown,
    limits: Limits,
    form: Form,
) -> None:
    """Show the values of a saved unit metric, beside earlier periods."""
    limits.check_form(form)
    fields = _ask(_api(ctx.obj, form.give_up_after), "GET", _path(name), _DEFINITION)
    _check_name(fields, name)
    numerator, denominator = (metric(fields[side]) for side in ("numerator", "denominator"))
    kind = ratios_of(numerator, denominator, fields.get("denominator_group_by"))
    timeframe = span.timeframe()
    parameters = {"start_date": timeframe.start, "end_date": timeframe.end} | shown.parameters() | form.parameters()
    nothing = f"{printable(name)} has no values {days_of(timeframe)}, nor has what it is compared with."
    question = Question(f"{_path(name)}/data", parameters, "series", nothing, kind, len(UnitCell._fields))
    print_answer(ctx.obj, question, form, partial(draw_unit_metric, kind=kind), limits.check)


def delete(
    ctx: typer.Context,
    name: NameArgument,
    *,
    yes: YesOption = False,
    json: JsonOption = False,
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS,
) -> None:
    """Delete a saved unit metric. Its points stay."""
    confirm(f"Delete the saved unit metric {printable(name)!r}? It is published no more.", yes=yes)
    answer = _ask(_api(ctx.obj, give_up_after), "DELETE", _path(name), {"deleted": int})
    if json:
        print_json(answer)
    if answer["deleted"]:
        say(f"Deleted: {printable(name)}.")
    else:
        raise BadInput(f"there is no saved unit metric {printable(name)!r}.", _SEE_LIST)


def _check_name(answer: dict[str, Any], name: str) -> None:
    """Raise `CommandFailed` if the answer is about another name: what decodes a path twice makes `50%` of `50%25`."""
    if answer["name"] != name:
        raise CommandFailed(
            f"the service was asked for {printable(answer['name'])!r}, and not for {printable(name)!r}: "
            "something before it reads percent signs twice.",
            "Choose a name without them. The local stack's emulator does so.",
        )


def _path(name: str) -> str:
    return f"/api/unit-metrics/{quote(name, safe='')}"


def _api(options: Options, give_up_after: float) -> Api:
    return Api(options.service(), stop=Event(), give_up_after=give_up_after, notice=say)


def _ask(
    api: Api, method: str, path: str, members: Mapping[str, type], fields: dict[str, Any] | None = None
) -> dict[str, Any]:
    with contextlib.closing(api), plain_refusals():
        return api.send(method, path, members, fields)


def _draw(document: dict[str, Any], _: Form) -> None:
    saved = document["unit_metrics"]
    print_table(
        [
            text_column("name", [printable(one["name"]) for one in saved]),
            text_column("is", [printable(f"{one['numerator']} per {one['denominator']}") for one in saved]),
            text_column("by", [printable(", ".join(one.get("group_by", [])) or NOTHING) for one in saved]),
            text_column("unit", [printable(one["unit"]) if "unit" in one else None for one in saved]),
            text_column("published", ["yes" if one.get("publish") else "no" for one in saved], folds=False),
        ]
    )
