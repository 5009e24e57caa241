"""Talking to a person: stdout gets the result and nothing else, stderr everything that is said about it."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console

out = Console()
err = Console(stderr=True)


def say(message: str) -> None:
    """Print `message` to stderr as it is: names and file names may hold what rich takes for markup."""
    err.print(message, markup=False, emoji=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return `text` without what would move the cursor: files and names may hold it."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def print_json(document: Any) -> None:
    """Print the one JSON document that is the result."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
