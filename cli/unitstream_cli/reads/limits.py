"""Limits for jobs: a unit metric that is beyond one ends the command with an exit code of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from unitstream_cli.console import counted, say
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.reads.drawing import label_of
from unitstream_cli.reads.tables import numbers, percents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream_cli.reads.arguments import Form


class Limits(NamedTuple):
    """How high a unit metric may be."""

    above: Annotated[
        float | None,
        typer.Option(
            "--fail-above",
            metavar="VALUE",
            help="Exit code 6, and a line for each group, if the last period of one is higher than this.",
        ),
    ] = None
    rise: Annotated[
        float | None,
        typer.Option(
            "--fail-rise",
            metavar="PERCENT",
            help="The same if the last period of a group rose by more than this, compared as --compare says.",
        ),
    ] = None

    def check_form(self, form: Form) -> None:
        """Refuse what has no meaning together."""
        if form.csv and (self.above is not None or self.rise is not None):
            raise typer.BadParameter("--fail-above and --fail-rise exclude --csv.")

    def check(self, document: dict[str, Any]) -> None:
        """Raise `CommandFailed` if a group is beyond a limit, after a line for each."""
        beyond = [line for group in document["series"] for line in self._beyond(group)]
        for line in beyond:
            say(line)
        if beyond:
            raise CommandFailed(f"{counted(len(beyond), 'limit')} exceeded.", exit_code=ExitCode.BEYOND_LIMIT)

    def _beyond(self, group: dict[str, Any]) -> Iterator[str]:
        cell = group["data"][-1]
        value, change = cell["current_timeframe_unit_metric"], cell["pop_change"]
        name = f"{label_of(group['dimensions']) or 'all'}, {cell['date']}"
        if self.above is not None and value is not None and value > self.above:
            yield f"{name}: {numbers([value])[0]} is above {self.above:g}."
        if self.rise is not None and change is not None and change * 100 > self.rise:
            yield f"{name}: {percents([change])[0]} is a rise of more than {self.rise:g}%."
