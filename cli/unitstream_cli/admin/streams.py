"""`unitstream streams`: data streams, and all of their tokens at once."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from unitstream_cli.admin.arguments import (
    DEFAULT_GRACE,
    REMEMBERED_SECONDS,
    GraceOption,
    OutOption,
    StreamArgument,
    open_registry,
)
from unitstream_cli.admin.handing_over import hand_over, token_file
from unitstream_cli.admin.showing import (
    TOKEN_COLUMNS,
    iso,
    moment,
    plain,
    print_table,
    stream_document,
    stream_row,
    token_row,
)
from unitstream_cli.console import confirm, out, print_json, say
from unitstream_cli.settings import JsonOption, YesOption

app = typer.Typer(
    help=(
        "Data streams.\n\n"
        "These commands work on the Streams table of a stack, with your own AWS credentials. A token is shown once, "
        "when it is made: only its SHA-256 is stored. Tokens with fewer rights: unitstream tokens."
    ),
    no_args_is_help=True,
)


@app.command(epilog="Example: unitstream streams create shop-orders --out owner.token")
def create(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="STREAM", help="Its name, which no other stream has.", show_default=False)
    ],
    *,
    file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Create a stream, and print its first token, which is called owner and has all rights.

    The token goes to stdout, alone, or to a file of your own. It is shown this once: give producers and readers tokens
    with fewer rights, and keep this one in a secret store. If it is lost, rotate.
    """
    with token_file(file) as target:
        with open_registry(ctx) as registry:
            issued = registry.create(name)
        say(f"Created the stream {name!r} ({issued.stream_id}). Its token, with all rights, is shown this once.")
        document = {"name": name, "stream_id": issued.stream_id, "token": issued.secret}
        hand_over("unitstream streams rotate", document, target, json=json)


@app.command("list", epilog="Example: unitstream streams list --json")
def list_streams(ctx: typer.Context, *, json: JsonOption = False) -> None:
    """List the streams, with the states of their tokens."""
    with open_registry(ctx) as registry:
        streams = registry.streams()
    if json:
        print_json({"streams": [stream_document(stream) for stream in streams]})
        return
    if not streams:
        say("There are no streams. Create one: unitstream streams create STREAM")
        return
    print_table(("name", "stream ID", "state", "tokens", "created (UTC)"), map(stream_row, streams))


@app.command(epilog="Example: unitstream streams show shop-orders")
def show(ctx: typer.Context, name: StreamArgument, *, json: JsonOption = False) -> None:
    """Show a stream and its tokens, each with the first digits of its SHA-256.

    To see whether a token that you hold is among them: printf %s "$DATA_STREAM_TOKEN" | sha256sum
    """
    with open_registry(ctx) as registry:
        stream = registry.find(name)
    if json:
        print_json(stream_document(stream))
        return
    for label, value in (
        ("name", stream.name),
        ("stream ID", stream.stream_id),
        ("state", stream.state),
        ("created", f"{plain(stream.created_at)} UTC"),
        ("limit", "the stack's" if stream.max_series is None else f"{stream.max_series:,} series per metric"),
    ):
        out.print(Text(f"{label:10} {value}"), soft_wrap=True)
    print_table(TOKEN_COLUMNS, map(token_row, stream.tokens))


@app.command(epilog="Example: unitstream streams rotate shop-orders --grace 7d --out owner.token")
def rotate(
    ctx: typer.Context,
    name: StreamArgument,
    *,
    grace: GraceOption = DEFAULT_GRACE,  # type: ignore[assignment]  # typer parses defaults too, and shows them as they are
    file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Replace all tokens of a stream by a new one with all rights, and print it.

    The others go on working for a while, so that producers and readers can change over without a gap. A token whose end
    is near already keeps that end. A revoked stream becomes active again, with the new token alone. To replace one of
    them only: unitstream tokens rotate.
    """
    with token_file(file) as target:
        with open_registry(ctx) as registry:
            issued = registry.rotate(name, grace)
        if issued.was_revoked:
            say(f"The stream {name!r} was revoked, and is active again.")
        elif issued.older_until is None:
            say("Older tokens have ended.")
        if issued.older_until is not None:
            say(f"Older tokens work until {moment(issued.older_until)}.")
        if not issued.was_revoked and grace < REMEMBERED_SECONDS:
            say(f"Functions that are warm may accept one for up to {REMEMBERED_SECONDS} s from now.")
        say(f"The new token of {name!r} ({issued.stream_id}), with all rights, is shown this once.")
        until = None if issued.older_until is None else iso(issued.older_until)
        document = {"name": name, "stream_id": issued.stream_id, "token": issued.secret}
        hand_over("unitstream streams rotate", document | {"older_tokens_expire_at": until}, target, json=json)


@app.command(epilog="Example: unitstream streams revoke shop-orders --yes")
def revoke(ctx: typer.Context, name: StreamArgument, *, yes: YesOption = False, json: JsonOption = False) -> None:
    """End all tokens of a stream at once.

    What was sent stays. The name stays taken; to use the stream again, rotate. Revoking twice is no error.
    """
    with open_registry(ctx) as registry:
        stream = registry.find(name)
        question = f"Revoke the stream {stream.name!r} ({stream.stream_id})? Its producers and readers get 404 then."
        confirm(question, yes=yes)
        if registry.revoke(name):
            say(f"Revoked {name!r}. Functions that are warm may accept its tokens for up to {REMEMBERED_SECONDS} s.")
        else:
            say(f"{name!r} was revoked already.")
    if json:
        print_json({"name": name, "stream_id": stream.stream_id, "state": "revoked"})


@app.command(epilog="Example: unitstream streams limit shop-orders --series 5000")
def limit(
    ctx: typer.Context,
    name: StreamArgument,
    *,
    series: Annotated[
        int | None,
        typer.Option(
            "--series",
            min=1,
            metavar="N",
            help="How many series each of its metrics may have. Default: as many as the stack allows.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Let the metrics of one stream have more or fewer series than the stack allows, or again as many.

    Series that are there already stay, also beyond the limit: only new ones are refused.
    """
    with open_registry(ctx) as registry:
        registry.limit(name, series)
    allowed = "as many series as the stack allows" if series is None else f"{series:,} series"
    say(f"A metric of {name!r} may have {allowed}. Functions that are warm learn it within {REMEMBERED_SECONDS} s.")
    if json:
        print_json({"name": name, "max_series": series})
