"""What `unitstream --help` says, for the command and each of its parts."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from commands import COMMANDS
from typer.testing import CliRunner

from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert f"unitstream {name}" in f"{command.help} {command.epilog}"
    assert CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    """And none takes a secret itself: arguments are seen by everybody on the machine."""
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.name not in {"token", "api_key", "data_stream_token"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "explore"])
def test_every_command_speaks_json(name: str) -> None:
    """But the one that shows a page, whose only line is its address."""
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("arguments", [[], ["streams"]])
def test_without_a_command_it_lists_them(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.USAGE
    assert "Commands" in result.output


def test_the_exit_codes_are_in_the_help() -> None:
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    assert all(f"{code:d} " in text.partition("Exit codes:")[2] for code in ExitCode)


def test_it_knows_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"unitstream {version('unitstream')}\n")


def test_a_misspelt_command_is_a_usage_error_that_names_the_near_one() -> None:
    result = CliRunner().invoke(app, ["streams", "rotat"])
    assert result.exit_code == ExitCode.USAGE
    assert "rotate" in result.stderr
