"""Streams and tokens as a person sees them, and as scripts do."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from unitstream_cli.console import out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unitstream_cli.admin.registered import RegisteredStream, Token
    from unitstream_cli.admin.registry import Issued

_SHOWN_DIGITS = 8
TOKEN_COLUMNS = ("token", "rights", "state", "created (UTC)", "expires (UTC)", "SHA-256")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def token_row(token: Token) -> tuple[str, ...]:
    """Return the cells of `TOKEN_COLUMNS`."""
    return (
        token.name,
        ", ".join(token.listed_rights),
        token.state_at(time.time()),
        plain(token.created_at),
        "" if token.expires_at is None else plain(iso(token.expires_at)),
        f"{token.sha256[:_SHOWN_DIGITS]}…",
    )


def stream_row(stream: RegisteredStream) -> tuple[str, ...]:
    """Return a stream's name, ID, state, tokens and creation."""
    tokens = "\n".join(f"{token.name}: {token.state_at(time.time())}" for token in stream.tokens)
    return stream.name, stream.stream_id, stream.state, tokens, plain(stream.created_at)


def token_document(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "rights": token.listed_rights,
        "state": token.state_at(time.time()),
        "created_at": token.created_at,
        "expires_at": None if token.expires_at is None else iso(token.expires_at),
        "sha256_prefix": token.sha256[:_SHOWN_DIGITS],
    }


def stream_document(stream: RegisteredStream) -> dict[str, Any]:
    return {
        "name": stream.name,
        "stream_id": stream.stream_id,
        "state": stream.state,
        "created_at": stream.created_at,
        "max_series": stream.max_series,
        "tokens": [token_document(token) for token in stream.tokens],
    }


def issued_document(stream: str, issued: Issued) -> dict[str, Any]:
    """Return what scripts get of a new token of a stream, with itself."""
    told = token_document(issued.token)
    told = {name: told[name] for name in ("name", "rights", "expires_at")}
    return {"stream": stream, "stream_id": issued.stream_id} | told | {"token": issued.secret}


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def plain(text: str) -> str:
    """Return a time without what is the same for all of them: `2026-11-23 21:36:59`."""
    return text[:19].replace("T", " ")


def moment(seconds: int) -> str:
    """Return a time as a person on this machine reads it, and in UTC."""
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    there = "" if local.utcoffset() == timedelta() else f" ({plain(iso(seconds))} UTC)"
    return f"{local:%Y-%m-%d %H:%M:%S %Z}{there}"
