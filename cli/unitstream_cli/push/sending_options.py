"""The options of `unitstream push` that are about sending, in groups."""

from __future__ import annotations

from datetime import date
from typing import Annotated, NamedTuple

import typer

from unitstream_cli.api import GIVE_UP_AFTER_SECONDS
from unitstream_cli.reads.arguments import day

_SENDING, _CHECKS, _REPLACING = "Sending", "What looks like a mistake", "Replacing"


class SendingOptions(NamedTuple):
    """How to send."""

    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Ask the server what would change, and save nothing.", rich_help_panel=_SENDING),
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what an interrupted push of the same files with the same options has saved.",
            rich_help_panel=_SENDING,
        ),
    ] = False
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Requests at a time.", rich_help_panel=_SENDING)
    ] = 4
    give_up_after: Annotated[
        float,
        typer.Option(
            "--give-up-after",
            metavar="SECONDS",
            min=0,
            help="How long to try a request again while the service is busy or does not answer.",
            rich_help_panel=_SENDING,
        ),
    ] = GIVE_UP_AFTER_SECONDS


class CheckOptions(NamedTuple):
    """What is sent although it looks like a mistake."""

    new_dimensions: Annotated[
        bool,
        typer.Option(
            "--new-dimensions",
            help="Send points with a set of dimensions that no series of their metric has, although totals may count "
            "the same twice then.",
            rich_help_panel=_CHECKS,
        ),
    ] = False
    large_changes: Annotated[
        bool,
        typer.Option(
            "--large-changes",
            help="Do not ask when most points change a value by a factor of 100 or more.",
            rich_help_panel=_CHECKS,
        ),
    ] = False
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Ask nothing: neither of large changes, nor when --replace deletes most of what is there.",
            rich_help_panel=_CHECKS,
        ),
    ] = False


class ReplaceOptions(NamedTuple):
    """What the files replace."""

    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="The files are the whole truth about their metrics, from their first to their last day: then delete "
            "what was last received before this push.",
            rich_help_panel=_REPLACING,
        ),
    ] = False
    replace_from: Annotated[
        date | None,
        typer.Option(
            "--replace-from",
            parser=day,
            metavar="YYYY-MM-DD",
            help="First day to replace, where the files begin later.",
            rich_help_panel=_REPLACING,
        ),
    ] = None
    replace_to: Annotated[
        date | None,
        typer.Option(
            "--replace-to",
            parser=day,
            metavar="YYYY-MM-DD",
            help="Last day to replace, where the files end earlier.",
            rich_help_panel=_REPLACING,
        ),
    ] = None
    replace_filter: Annotated[
        list[str] | None,
        typer.Option(
            "--replace-filter",
            metavar="KEY:VALUE[,VALUE...]",
            help="Replace only what this filter keeps, as --filter of `unitstream delete` does; may be repeated. All "
            "rows must pass it.",
            rich_help_panel=_REPLACING,
        ),
    ] = None
