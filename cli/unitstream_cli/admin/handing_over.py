"""Handing over a new token: to stdout, alone or in a document, or to a file of the owner's. It is nowhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unitstream_cli.console import print_json, say
from unitstream_cli.errors import BadInput, CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


class TokenFile:
    """A file that only its owner may read, and which takes the place of `path` when the token is in it."""

    def __init__(self, path: Path, partial: Path) -> None:
        self.path = path
        self._partial = partial

    def write(self, token: str) -> None:
        with self._partial.open("w") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(file.fileno())
        replaced = self.path.exists() and self.path.stat().st_size > 0
        self._partial.replace(self.path)
        if replaced:
            say(f"What was in {self.path} is replaced.")


@contextlib.contextmanager
def token_file(path: Path | None) -> Iterator[TokenFile | None]:
    """The file for a token that is to be made in the block; none without `path`. Raises `BadInput`.

    It is made before the token, which would be lost if it could not be written.
    """
    if path is None:
        yield None
        return
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise BadInput(f"{path} is no file, and nothing was changed.")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".unitstream-")  # with the mode 0600
    except OSError as exc:
        raise BadInput(f"cannot write to {path} ({exc.strerror}), and nothing was changed.") from exc
    os.close(descriptor)
    try:
        yield TokenFile(path, Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def hand_over(whose: str, document: dict[str, Any], file: TokenFile | None = None, *, json: bool) -> None:
    """Print a new token, alone or in its `document`, or write it to `file`: it must not get lost without a word.

    `whose` is the command that makes another one.
    """
    place = str(file.path) if file else "stdout"
    try:
        if file:
            file.write(document["token"])
            said = {name: value for name, value in document.items() if name != "token"} | {"token_file": place}
            if json:
                print_json(said)
        elif json:
            print_json(document)
        else:
            typer.echo(document["token"])
        sys.stdout.flush()
    except OSError as exc:
        if not file:
            # What is left to write would fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandFailed(
            f"the new token could not be written to {place} ({exc.strerror}), and is lost.",
            f"Where it can be written to, `{whose}` gives another one.",
        ) from exc
