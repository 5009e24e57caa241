"""What README.md and docs/api.md tell a newcomer to type, typed into a shell beside the local stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Stack

README = (REPOSITORY / "README.md").read_text()
API = (REPOSITORY / "docs" / "api.md").read_text()
READING = (REPOSITORY / "docs" / "recipes.md").read_text().partition("\n## A spreadsheet\n")[2]


def blocks(text: str, language: str = "") -> list[str]:
    """Return the blocks of code of a language; commands have none."""
    return [
        code for one, code in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if one == language
    ]


def between(text: str, first: str, after: str) -> str:
    """Return the sections from one heading to before another."""
    return text[text.index(f"\n## {first}\n") : text.index(f"\n## {after}\n")]


def spaceless(text: str) -> str:
    return "".join(text.split())


@pytest.fixture
def shell(
    stack: Stack, unitstream: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[[str], str]:
    """Run commands as in a clone, with a data stream of their own, and return what they print."""
    home = tmp_path / "clone"
    (home / ".local").mkdir(parents=True)
    (home / ".venv").symlink_to(Path(sys.executable).parent.parent)
    token = unitstream("streams", "create", home.parent.name).stdout.strip()
    settings = (stack.home / "stack.env").read_text().replace(stack.token, token)
    (home / ".local" / "stack.env").write_text(settings)

    def run(commands: str) -> str:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607  # whichever bash there is
            cwd=home,
            env=os.environ | {"COLUMNS": "120"},  # room for the table that the README shows
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_the_readme_can_be_typed_from_the_first_point_to_reading_back(shell: Callable[[str], str]) -> None:
    """In its order, with the answers that it shows."""
    told = between(README, "A first point", "The command")
    *commands, table, over_http = blocks(told)
    (program,) = blocks(told, "python")
    printed = shell("\n".join([*commands, over_http]))
    assert "201 Created" in printed
    counts, _, _ = re.findall(r"`201 ({.*?})`", told)[0].partition(', "received_at"')
    assert counts in printed
    assert spaceless(table) in spaceless(printed)
    assert "201" in shell(f"set -a; . .local/stack.env; python3 - <<'END'\n{program}END\n")


def test_the_api_can_be_typed(shell: Callable[[str], str]) -> None:
    """In its order, with the answers that it shows."""
    told = API.partition("\n## Generate a client\n")[0]
    printed = shell("\n".join(blocks(told)))
    (view,) = [one for one in blocks(told, "json") if "series" in one]
    assert "201 Created" in printed
    assert spaceless(view) in spaceless(printed)


def test_the_recipes_of_reading_can_be_typed(shell: Callable[[str], str]) -> None:
    """A spreadsheet gets its tables, and a panel its rows."""
    shell(
        "printf 'timestamp,region,costs,orders\\n2022-10-01 00:00:00,eu,20.5,4\\n2022-10-31 00:00:00,us,9,3\\n' |"
        " .venv/bin/unitstream push --agg-func Sum --wide --dimension region"
    )
    spreadsheet, panel = (one.replace("unitstream ", ".venv/bin/unitstream ") for one in blocks(READING))
    tables = shell(f"{spreadsheet}\ncat unit-costs.csv regions.csv orders.csv").splitlines()
    assert "2022-01-01,us,9.0,1" in tables
    assert "total of all,,29.5,2" in tables
    assert [line for line in tables if line.startswith("2022-10-01 00:00:00;eu;4,0;")]
    rows = shell(panel).splitlines()
    assert "2022-10-31,us,3.0,1" in rows
    assert [row for row in rows if row.startswith("2022-10-01,29.5,7.0,4.21")]
