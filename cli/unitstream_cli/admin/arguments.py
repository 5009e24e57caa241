"""What the commands of streams and of tokens share: arguments, options, and the registry of the stack."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream_cli.admin.registry import Registry

# Warm functions remember a token for so long.
REMEMBERED_SECONDS = 60
LONGEST_DAYS = 365
DEFAULT_GRACE = "24h"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> int:
    """Return the seconds of a duration such as 90s, 30m, 24h, 7d or 0."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])|(0)", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no duration: write it like 90s, 30m, 24h, 7d or 0.")
    seconds = int(found[1] or 0) * _SECONDS[found[2] or ""]
    if seconds > LONGEST_DAYS * _SECONDS["d"]:
        raise typer.BadParameter(f"{text} is longer than {LONGEST_DAYS}d.")
    return seconds


def lifetime(text: str) -> int:
    """Return the seconds of a duration that is none of 0: what ends at once is of no use."""
    seconds = duration(text)
    if not seconds:
        raise typer.BadParameter(f"a token that lasts for {text} never works.")
    return seconds


StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="Name of the stream.", show_default=False)]
TokenArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.", show_default=False)]
GraceOption = Annotated[
    int,
    typer.Option(
        "--grace",
        parser=duration,
        metavar="DURATION",
        help="How long what it replaces goes on working: 90s, 30m, 24h, 7d; 0 ends it at once.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the token to this file, which only you may read, not to stdout. What the file held is replaced.",
        show_default=False,
    ),
]


@contextlib.contextmanager
def open_registry(ctx: typer.Context) -> Iterator[Registry]:
    """The registry of the stack, and in the block sentences for what AWS refuses."""
    found = ctx.obj.stack()
    from unitstream_cli.admin import aws, registry  # noqa: PLC0415  # boto3: twice the time of all the rest

    with aws.foreseen_errors(found):
        deployed = aws.find_stack(found)
        yield registry.Registry(deployed.client("dynamodb"), deployed.output("StreamsTableName"))
