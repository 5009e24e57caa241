"""Talking to a person: stdout gets the result and nothing else, stderr everything that is said about it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from unitstream_cli.errors import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

out = Console()
err = Console(stderr=True)


def say(message: str) -> None:
    """Print `message` to stderr as it is: names and file names may hold what rich takes for markup."""
    err.print(message, markup=False, emoji=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return `text` without what would move the cursor: files and names may hold it."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def points_of_series(points: int, series: int | None) -> str:
    return counted(points, "point") + ("" if series is None else f" of {series:,} series")


def written(value: float) -> str:
    """Return a number with all its digits."""
    return f"{value:,}".removesuffix(".0")


def print_json(document: Any) -> None:
    """Print the one JSON document that is the result."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


class Documented(Protocol):
    """What has something to say as JSON, however far it got."""

    def document(self) -> dict[str, Any]: ...


@contextlib.contextmanager
def as_document(told: Documented) -> Iterator[None]:
    """Print it as JSON, however the command ends."""
    try:
        yield
    except CommandFailed as failure:
        print_json({"complete": False, "error": failure.message} | told.document())
        raise
    print_json({"complete": True, "error": None} | told.document())


def progress_bar() -> Progress:
    """Return a bar on stderr, for tasks that have a `speed` and a `notice`; without a terminal there is none."""
    return Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[speed]} {task.fields[notice]}", markup=False, table_column=Column(no_wrap=True)),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def can_ask() -> bool:
    """Whether there is somebody to answer a question."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is gone, unless the answer is `yes` already."""
    if yes:
        return
    if not can_ask():
        raise CommandFailed("this asks first, and there is no terminal.", "Give --yes.", exit_code=ExitCode.USAGE)
    if not typer.confirm(question, err=True):
        raise CommandFailed("nothing was changed.")
