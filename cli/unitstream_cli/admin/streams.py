"""`unitstream streams`: data streams and their tokens."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from unitstream_cli.console import out, print_json, say
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.settings import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unitstream_cli.admin.registry import RegisteredStream, Registry, Token

# Warm functions remember a token for so long.
REMEMBERED_SECONDS = 60
LONGEST_GRACE_DAYS = 365
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SHOWN_DIGITS = 8

app = typer.Typer(
    help=(
        "Data streams and their tokens.\n\n"
        "These commands work on the Streams table of a stack, with your own AWS credentials. A token is shown once, "
        "when it is made: only its SHA-256 is stored."
    ),
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the stream.", show_default=False)]


def duration(text: str) -> int:
    """Return the seconds of a duration such as 90s, 30m, 24h, 7d or 0."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])|(0)", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no duration: write it like 90s, 30m, 24h, 7d or 0.")
    seconds = int(found[1] or 0) * _SECONDS[found[2] or ""]
    if seconds > LONGEST_GRACE_DAYS * _SECONDS["d"]:
        raise typer.BadParameter(f"{text} is longer than {LONGEST_GRACE_DAYS}d.")
    return seconds


@app.command(epilog="Example: unitstream streams create shop-orders > token")
def create(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, which no other stream has.", show_default=False)
    ],
    *,
    json: JsonOption = False,
) -> None:
    """Create a stream, and print its token.

    The token goes to stdout, alone, so that it can be piped into a secret store. It is shown this once: give it to the
    producer, and keep it nowhere else. If it is lost, rotate.
    """
    with _registry(ctx) as registry:
        stream_id, token = registry.create(name)
    say(f"Created the stream {name!r} ({stream_id}). Its token is shown this once:")
    hand_over(name, {"name": name, "stream_id": stream_id, "token": token}, json=json)


@app.command("list", epilog="Example: unitstream streams list --json")
def list_streams(ctx: typer.Context, *, json: JsonOption = False) -> None:
    """List the streams, with the states of their tokens."""
    with _registry(ctx) as registry:
        streams = registry.streams()
    if json:
        print_json({"streams": [_as_json(stream) for stream in streams]})
        return
    if not streams:
        say("There are no streams. Create one: unitstream streams create NAME")
        return
    rows = [
        (one.name, one.stream_id, one.state, "\n".join(map(_described, one.tokens)), _plain(one.created_at))
        for one in streams
    ]
    _print_table(("name", "stream ID", "state", "tokens (UTC)", "created (UTC)"), rows)


@app.command(epilog="Example: unitstream streams show shop-orders")
def show(ctx: typer.Context, name: NameArgument, *, json: JsonOption = False) -> None:
    """Show a stream and its tokens, each by the first digits of its SHA-256.

    To see whether a token that you hold is among them: printf %s "$DATA_STREAM_TOKEN" | sha256sum
    """
    with _registry(ctx) as registry:
        stream = registry.find(name)
    if json:
        print_json(_as_json(stream))
        return
    for label, value in (
        ("name", stream.name),
        ("stream ID", stream.stream_id),
        ("state", stream.state),
        ("created", f"{_plain(stream.created_at)} UTC"),
    ):
        out.print(Text(f"{label:10} {value}"), soft_wrap=True)
    rows = [(f"{one.sha256[:_SHOWN_DIGITS]}…", _described(one), _plain(one.created_at)) for one in stream.tokens]
    _print_table(("token's SHA-256", "state (UTC)", "created (UTC)"), rows)


@app.command(epilog="Example: unitstream streams rotate shop-orders --grace 7d > token")
def rotate(
    ctx: typer.Context,
    name: NameArgument,
    *,
    grace: Annotated[
        int,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="How long the tokens of now go on working: 90s, 30m, 24h, 7d; 0 ends them at once.",
        ),
    ] = "24h",  # type: ignore[assignment]  # typer parses defaults too, and shows them as they are written
    json: JsonOption = False,
) -> None:
    """Give a stream a new token, and print it.

    The old one goes on working for a while, so that the producer can change over without a gap. A token whose end is
    near already keeps that end. A revoked stream becomes active again, with the new token alone.
    """
    with _registry(ctx) as registry:
        rotation = registry.rotate(name, grace)
    if rotation.was_revoked:
        say(f"The stream {name!r} was revoked, and is active again.")
    if rotation.older_until is not None:
        say(f"Older tokens work until {_moment(rotation.older_until)}.")
    elif not rotation.was_revoked:
        say("Older tokens have ended.")
    if not rotation.was_revoked and grace < REMEMBERED_SECONDS:
        say(f"Functions that are warm may accept one for up to {REMEMBERED_SECONDS} s from now.")
    say(f"The new token of {name!r} ({rotation.stream_id}) is shown this once:")
    until = None if rotation.older_until is None else _iso(rotation.older_until)
    document = {"name": name, "stream_id": rotation.stream_id, "token": rotation.token}
    hand_over(name, document | {"older_tokens_expire_at": until}, json=json)


@app.command(epilog="Example: unitstream streams revoke shop-orders --yes")
def revoke(
    ctx: typer.Context,
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """End all tokens of a stream at once.

    What was sent stays. The name stays taken; to use the stream again, rotate. Revoking twice is no error.
    """
    if not yes and not sys.stdin.isatty():
        raise CommandFailed("revoking asks first, and there is no terminal.", "Give --yes.", exit_code=ExitCode.USAGE)
    with _registry(ctx) as registry:
        stream = registry.find(name)
        question = f"Revoke the stream {stream.name!r} ({stream.stream_id})? Its producers get 404 from then on."
        if not yes and not typer.confirm(question, err=True):
            raise CommandFailed("nothing was revoked.")
        if registry.revoke(name):
            say(f"Revoked {name!r}. Functions that are warm may accept its tokens for up to {REMEMBERED_SECONDS} s.")
        else:
            say(f"{name!r} was revoked already.")
    if json:
        print_json({"name": name, "stream_id": stream.stream_id, "state": "revoked"})


@contextlib.contextmanager
def _registry(ctx: typer.Context) -> Iterator[Registry]:
    """The registry of the stack, and in the block sentences for what AWS refuses."""
    found = ctx.obj.stack()
    from unitstream_cli.admin import aws, registry  # noqa: PLC0415  # boto3: twice the time of all the rest

    with aws.foreseen_errors(found):
        deployed = aws.find_stack(found)
        yield registry.Registry(deployed.client("dynamodb"), deployed.output("StreamsTableName"))


def hand_over(name: str, document: dict[str, Any], *, json: bool) -> None:
    """Print a new token, alone or in its `document`. It is nowhere else, so it must not get lost without a word."""
    try:
        if json:
            print_json(document)
        else:
            typer.echo(document["token"])
        sys.stdout.flush()
    except OSError as exc:
        # What is left to write would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandFailed(
            f"the new token of {name!r} could not be written to stdout ({exc.strerror}), and is lost.",
            "Where stdout can be written to, `unitstream streams rotate` gives the stream another one.",
        ) from exc


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def _described(token: Token) -> str:
    """Return a token's state, and its end if it has one that is to come."""
    state = token.state_at(time.time())
    return f"{state} until {_plain(_iso(token.expires_at))}" if token.expires_at and state == "in grace" else state


def _as_json(stream: RegisteredStream) -> dict[str, Any]:
    now = time.time()
    tokens = [
        {
            "sha256_prefix": token.sha256[:_SHOWN_DIGITS],
            "state": token.state_at(now),
            "created_at": token.created_at,
            "expires_at": None if token.expires_at is None else _iso(token.expires_at),
        }
        for token in stream.tokens
    ]
    return {
        "name": stream.name,
        "stream_id": stream.stream_id,
        "state": stream.state,
        "created_at": stream.created_at,
        "tokens": tokens,
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _plain(iso: str) -> str:
    """Return a time without what is the same for all of them: `2026-11-23 21:36:59`."""
    return iso[:19].replace("T", " ")


def _moment(seconds: int) -> str:
    """Return a time as a person on this machine reads it, and in UTC."""
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    there = "" if local.utcoffset() == timedelta() else f" ({_plain(_iso(seconds))} UTC)"
    return f"{local:%Y-%m-%d %H:%M:%S %Z}{there}"
