"""`unitstream tokens`: the tokens of a data stream, each with a name and rights."""

from __future__ import annotations

from typing import Annotated

import typer

from unitstream.rights import Right
from unitstream_cli.admin.arguments import (
    DEFAULT_GRACE,
    REMEMBERED_SECONDS,
    GraceOption,
    OutOption,
    StreamArgument,
    TokenArgument,
    lifetime,
    open_registry,
)
from unitstream_cli.admin.handing_over import hand_over, token_file
from unitstream_cli.admin.showing import (
    TOKEN_COLUMNS,
    issued_document,
    moment,
    print_table,
    token_document,
    token_row,
)
from unitstream_cli.console import confirm, print_json, say
from unitstream_cli.settings import JsonOption, YesOption

app = typer.Typer(
    help=(
        "Tokens of a data stream, each with a name and rights: to write, to read, to delete.\n\n"
        "These commands work on the Streams table of a stack, with your own AWS credentials. A token is shown once, "
        "when it is made: only its SHA-256 is stored."
    ),
    no_args_is_help=True,
)


@app.command(epilog="Example: unitstream tokens create shop-orders --name billing-cron --right write --out cron.token")
def create(
    ctx: typer.Context,
    stream: StreamArgument,
    *,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Its name, which no other token of the stream has: logs tell by it who wrote.",
            show_default=False,
        ),
    ],
    rights: Annotated[
        list[Right],
        typer.Option("--right", help="What it may do; for several rights, repeat it.", show_default=False),
    ],
    expires: Annotated[
        int | None,
        typer.Option(
            "--expires",
            parser=lifetime,
            metavar="DURATION",
            help="How long it works, such as 12h or 90d. Default: until it is revoked.",
            show_default=False,
        ),
    ] = None,
    file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Give a stream one more token, and print it.

    It goes to stdout, alone, or to a file of your own, and is shown this once. If it is lost, rotate it.
    """
    with token_file(file) as target:
        with open_registry(ctx) as registry:
            issued = registry.create_token(stream, name, rights, expires)
        listed = ", ".join(issued.token.listed_rights)
        until = "" if issued.token.expires_at is None else f" until {moment(issued.token.expires_at)}"
        say(f"The token {name!r} of {stream!r} may {listed}{until}. It is shown this once.")
        hand_over("unitstream tokens rotate", issued_document(stream, issued), target, json=json)


@app.command("list", epilog="Example: unitstream tokens list shop-orders")
def list_tokens(ctx: typer.Context, stream: StreamArgument, *, json: JsonOption = False) -> None:
    """List the tokens of a stream, each with the first digits of its SHA-256.

    To see which of them you hold: printf %s "$DATA_STREAM_TOKEN" | sha256sum
    """
    with open_registry(ctx) as registry:
        found = registry.find(stream)
    if json:
        print_json({"stream": found.name, "tokens": [token_document(token) for token in found.tokens]})
        return
    print_table(TOKEN_COLUMNS, map(token_row, found.tokens))


@app.command(epilog="Example: unitstream tokens rotate shop-orders billing-cron --grace 7d --out cron.token")
def rotate(
    ctx: typer.Context,
    stream: StreamArgument,
    name: TokenArgument,
    *,
    grace: GraceOption = DEFAULT_GRACE,  # type: ignore[assignment]  # typer parses defaults too, and shows them as they are
    file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Replace one token by a new one with the same name and rights, and print it.

    The old one goes on working for a while, so that who holds it can change over without a gap. A token that was made
    to expire is followed by one that lasts as long as it did. All other tokens stay as they are.
    """
    with token_file(file) as target:
        with open_registry(ctx) as registry:
            issued = registry.rotate_token(stream, name, grace)
        if issued.older_until is None:
            say("The old token has ended.")
        else:
            say(f"The old token works until {moment(issued.older_until)}.")
        if grace < REMEMBERED_SECONDS:
            say(f"Functions that are warm may accept it for up to {REMEMBERED_SECONDS} s from now.")
        say(f"The new token {name!r} of {stream!r} is shown this once.")
        hand_over("unitstream tokens rotate", issued_document(stream, issued), target, json=json)


@app.command(epilog="Example: unitstream tokens revoke shop-orders billing-cron --yes")
def revoke(
    ctx: typer.Context, stream: StreamArgument, name: TokenArgument, *, yes: YesOption = False, json: JsonOption = False
) -> None:
    """End one token at once. Revoking twice is no error, and afterwards its name may be used again."""
    with open_registry(ctx) as registry:
        question = f"Revoke the token {name!r} of the stream {stream!r}? Who holds it gets 404 from then on."
        confirm(question, yes=yes)
        if registry.revoke_token(stream, name):
            say(f"Revoked {name!r}. Functions that are warm may accept it for up to {REMEMBERED_SECONDS} s.")
        else:
            say(f"{name!r} does not work any more.")
    if json:
        print_json({"stream": stream, "name": name, "state": "revoked"})
