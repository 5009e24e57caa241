"""Limits for jobs: a unit metric that is beyond one ends the command with an exit code of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from unitstream.periods import Timeframe
from unitstream.zones import Calendar, zone_of
from unitstream_cli.console import counted, say
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.reads.arguments import number
from unitstream_cli.reads.drawing import label_of
from unitstream_cli.reads.tables import numbers, percents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unitstream_cli.reads.arguments import Form

_VALUE, _RISE = "current_timeframe_unit_metric", "pop_change"
_NAMED_GROUPS = 10


class Limits(NamedTuple):
    """How high a unit metric may be."""

    above: Annotated[
        float | None,
        typer.Option(
            "--fail-above",
            parser=number,
            metavar="VALUE",
            help="Exit code 6, and a line for each group, if one is higher than this in the last period of the range; "
            "exit code 7 if there is nothing to judge.",
        ),
    ] = None
    rise: Annotated[
        float | None,
        typer.Option(
            "--fail-rise",
            parser=number,
            metavar="PERCENT",
            help="The same if a group rose by more than this in that period, compared as --compare says.",
        ),
    ] = None

    def check_form(self, form: Form) -> None:
        """Refuse what has no meaning together."""
        if form.csv and (self.above is not None or self.rise is not None):
            raise typer.BadParameter("--fail-above and --fail-rise exclude --csv.")

    def check(self, document: dict[str, Any]) -> None:
        """Raise `CommandFailed` if a group is beyond a limit in the last period of the range, after a line for each.

        And if a limit finds no value in it at all: a job that judges nothing must not look like a success.
        """
        last = _last_period(document)
        groups = [
            (label_of(group["dimensions"]) or "all", cell if (cell := group["data"][-1])["date"] == last else {})
            for group in document["series"]
        ]
        beyond = [line for name, cell in groups for line in self._beyond(f"{name}, {last}", cell)]
        for line in beyond:
            say(line)
        judged = True
        for option, limit, field in (("--fail-above", self.above, _VALUE), ("--fail-rise", self.rise, _RISE)):
            if limit is not None:
                judged &= _judged(f"{option} has no value to judge in {last}", field, groups)
        if beyond:
            raise CommandFailed(f"{counted(len(beyond), 'limit')} exceeded.", exit_code=ExitCode.BEYOND_LIMIT)
        if not judged:
            raise CommandFailed(
                f"there is no value to judge in {last}, the last period of the range.",
                "Is its data there? --to says which day is the last; by default it is today.",
                exit_code=ExitCode.NOTHING_TO_JUDGE,
            )

    def _beyond(self, name: str, cell: dict[str, Any]) -> Iterator[str]:
        value, change = cell.get(_VALUE), cell.get(_RISE)
        if self.above is not None and value is not None and value > self.above:
            yield f"{name}: {numbers([value])[0]} is above {self.above:g}."
        if self.rise is not None and change is not None and change * 100 > self.rise:
            yield f"{name}: {percents([change])[0]} is a rise of more than {self.rise:g}%."


def _last_period(document: dict[str, Any]) -> str:
    """Return what the answer calls the last period of its range, whether it has a row of it or not."""
    day = Timeframe(document["end_date"], document["end_date"])
    calendar = Calendar(day, document["granularity"], zone_of(document.get("timezone", "UTC")))
    *_, last = calendar.periods()
    return calendar.shown(last)


def _judged(sentence: str, field: str, groups: Sequence[tuple[str, dict[str, Any]]]) -> bool:
    """Return whether a group has the field; say which have not."""
    without = [name for name, cell in groups if cell.get(field) is None]
    if without:
        more = len(without) - _NAMED_GROUPS
        say(f"{sentence}: {'; '.join(without[:_NAMED_GROUPS])}{f' and {more:,} more' if more > 0 else ''}.")
    return len(without) < len(groups)
