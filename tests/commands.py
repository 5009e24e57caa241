"""The parts of the command `unitstream`, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from unitstream_cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator


def _every_command(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _every_command(child, (*path, name))
    else:
        yield " ".join(path), command


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(_every_command(ROOT))


def options_of(command: Any) -> set[str]:
    """Return the long options of a command: those that are spelt out."""
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts) if option.startswith("--")}
