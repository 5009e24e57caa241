"""How the command ends when something is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
)
from typer.testing import CliRunner

from unitstream_cli.admin.aws import foreseen_errors
from unitstream_cli.errors import BadInput, CommandFailed, ExitCode, Interrupted, Rejected, Unreachable
from unitstream_cli.main import app
from unitstream_cli.settings import StackSettings

STACK = StackSettings("s", None, is_local=False, region="r", profile=None, looked_at="region r (AWS_REGION)")


def end_with(failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Run a command that ends with `failure`. Returns exit code, stdout and stderr."""

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("unitstream_cli.settings.Options.stack", fail)
    result = CliRunner().invoke(app, ["streams", "list"])
    return result.exit_code, result.stdout, result.stderr


def refusal(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Scan")  # type: ignore[arg-type]  # AWS leaves out the rest too


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (CommandFailed("what is wrong", "what to do"), 1),
        (CommandFailed("what is wrong", "what to do", exit_code=ExitCode.USAGE), 2),
        (BadInput("what is wrong", "what to do"), 3),
        (Rejected("what is wrong", "what to do"), 4),
        (Unreachable("what is wrong", "what to do"), 5),
        (Interrupted("what is wrong", "what to do"), 130),
    ],
)
def test_a_failure_is_a_sentence_a_hint_and_an_exit_code(
    failure: CommandFailed, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr: stdout is for results."""
    assert end_with(failure, monkeypatch) == (exit_code, "", "Error: what is wrong\nwhat to do\n")


def test_a_message_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and paths may look like markup, and are not wrapped."""
    message = "[bold]x[/bold] :smile: " + "long " * 50
    assert end_with(BadInput(message), monkeypatch) == (3, "", f"Error: {message}\n")


@pytest.mark.parametrize(
    "failure", [NoRegionError(), NoCredentialsError(), ProfileNotFound(profile="p"), ReadTimeoutError(endpoint_url="x")]
)
def test_what_was_looked_at_is_said(failure: Exception) -> None:
    """Who set a region reads which one was taken, and from where."""
    with pytest.raises(CommandFailed) as failed, foreseen_errors(STACK):
        raise failure
    assert "What was looked at: region r (AWS_REGION)." in f"{failed.value.message} {failed.value.hint}"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), typer.Abort()])
def test_ctrl_c_ends_with_130(failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at a question."""
    assert end_with(failure, monkeypatch) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (NoCredentialsError(), ExitCode.REJECTED),
        (ProfileNotFound(profile="p"), ExitCode.REJECTED),
        (NoRegionError(), ExitCode.USAGE),
        (InvalidRegionError(region_name="no region"), ExitCode.USAGE),
        (EndpointConnectionError(endpoint_url="https://x"), ExitCode.UNREACHABLE),
        (ReadTimeoutError(endpoint_url="https://x"), ExitCode.UNREACHABLE),
        (refusal("ExpiredTokenException"), ExitCode.REJECTED),
        (refusal("UnrecognizedClientException"), ExitCode.REJECTED),
        (refusal("AccessDeniedException"), ExitCode.REJECTED),
        (refusal("ThrottlingException"), ExitCode.UNREACHABLE),
        (refusal("InternalServerError", 500), ExitCode.UNREACHABLE),
        (refusal("ResourceNotFoundException"), ExitCode.UNREACHABLE),
    ],
)
def test_what_aws_refuses_is_a_sentence_and_a_hint(failure: Exception, exit_code: ExitCode) -> None:
    with pytest.raises(CommandFailed) as failed, foreseen_errors(STACK):
        raise failure
    assert failed.value.exit_code is exit_code
    assert failed.value.hint


def test_what_nobody_foresaw_passes() -> None:
    """It is a bug, so its traceback must be seen."""
    unforeseen = refusal("ValidationException")
    with pytest.raises(ClientError) as raised, foreseen_errors(STACK):
        raise unforeseen
    assert raised.value is unforeseen


def test_the_command_starts_without_boto3_and_pydantic() -> None:
    """Which take longer to import than all the rest."""
    code = "import sys, unitstream_cli.main; sys.exit(bool({'boto3', 'botocore', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
