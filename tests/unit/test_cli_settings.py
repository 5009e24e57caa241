"""Where the command finds the service and the stack."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from unitstream_cli import settings
from unitstream_cli.errors import BadInput, CommandFailed, ExitCode
from unitstream_cli.main import shared_first
from unitstream_cli.settings import Options

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = {
    "API_URL": "http://127.0.0.1:4566/restapis/a1/v1/_user_request_",
    "API_KEY": "local-key",
    "DATA_STREAM_TOKEN": "ds_local",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "STACK_NAME": "unitstream-local",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and an environment that says nothing."""
    for name in (*LOCAL, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_stack_env(folder: Path, **changes: str) -> None:
    path = folder / settings.STACK_ENV
    path.parent.mkdir()
    path.write_text("".join(f"{name}={value}\n" for name, value in (LOCAL | changes).items()))


def secret_file(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.write_text(text)
    return path


def test_beside_make_run_nothing_need_be_said(folder: Path) -> None:
    write_stack_env(folder)
    assert tuple(Options().service()) == (LOCAL["API_URL"], "local-key", "ds_local")
    assert Options().stack()[:3] == ("unitstream-local", "http://127.0.0.1:4566", True)


def test_options_come_before_the_environment_and_that_before_stack_env(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack_env(folder)
    monkeypatch.setenv("API_KEY", "environment-key")
    monkeypatch.setenv("DATA_STREAM_TOKEN", "ds_environment")
    monkeypatch.setenv("STACK_NAME", "environment")
    assert Options(api_key_file=secret_file(folder, "file-key\n")).service()[1:] == ("file-key", "ds_environment")
    assert Options().stack().name == "environment"
    assert Options(stack_name="option").stack().name == "option"


def test_what_belongs_to_the_local_stack_is_not_used_with_another_service(folder: Path) -> None:
    """Its key and its token would only be refused there, and nobody would see why."""
    write_stack_env(folder)
    with pytest.raises(CommandFailed) as failed:
        Options("https://metrics.example.com").service()
    assert failed.value.exit_code is ExitCode.USAGE
    assert failed.value.message == "the API key and the data stream token are missing."


def test_another_stack_is_not_looked_for_at_the_local_endpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stack_env(folder)
    assert Options(stack_name="unitstream").stack()[:3] == ("unitstream", None, False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9999")
    assert Options(stack_name="unitstream-local").stack()[:3] == (
        "unitstream-local",
        "http://127.0.0.1:9999",
        False,
    )


def test_an_endpoint_elsewhere_is_never_taken_for_the_local_one(folder: Path) -> None:
    """Whatever stack.env says: the local stack's credentials are for the loopback interface."""
    write_stack_env(folder, AWS_ENDPOINT_URL="https://aws.example.com")
    assert not Options().stack().is_local


@pytest.mark.parametrize(
    "text", ["https://metrics.example.com/v1/", "https://metrics.example.com/v1/api/streams/ingest"]
)
def test_an_address_may_be_pasted_as_it_is_known(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "key")
    monkeypatch.setenv("DATA_STREAM_TOKEN", "ds_token")
    assert Options(text).service().url == "https://metrics.example.com/v1"


@pytest.mark.parametrize(
    "text", ["metrics.example.com", "ftp://metrics.example.com", "https://", "http://127.0.0.1:99999", "http://[::1"]
)
def test_what_is_no_address_is_a_usage_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "key")
    monkeypatch.setenv("DATA_STREAM_TOKEN", "ds_token")
    with pytest.raises(CommandFailed) as failed:
        Options(text).service()
    assert failed.value.exit_code is ExitCode.USAGE


def test_what_is_missing_is_named_with_every_way_to_give_it() -> None:
    with pytest.raises(CommandFailed) as failed:
        Options().service()
    assert failed.value.exit_code is ExitCode.USAGE
    ways = ("--url", "API_URL", "--api-key-file", "API_KEY", "--token-file", "DATA_STREAM_TOKEN", ".local/stack.env")
    assert all(way in str(failed.value.hint) for way in ways)
    with pytest.raises(CommandFailed) as failed:
        Options().stack()
    assert failed.value.exit_code is ExitCode.USAGE
    assert all(way in str(failed.value.hint) for way in ("--stack", "STACK_NAME", ".local/stack.env"))


def test_a_secret_is_read_from_stdin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them: both cannot be."""
    write_stack_env(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO("ds_piped\n"))
    assert Options(token_file=settings.STDIN).service().token == "ds_piped"
    with pytest.raises(CommandFailed, match="only one"):
        Options(api_key_file=settings.STDIN, token_file=settings.STDIN).service()


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo\n", "k\x00ey", "schlüssel"])
def test_a_file_that_holds_no_secret_is_refused_without_being_quoted(folder: Path, text: str) -> None:
    write_stack_env(folder)
    with pytest.raises(BadInput) as failed:
        Options(api_key_file=secret_file(folder, text)).service()
    assert "must hold one line with the secret" in failed.value.message
    assert not text.strip() or text.strip() not in failed.value.message


def test_an_environment_that_holds_no_secret_is_refused_without_being_quoted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack_env(folder)
    monkeypatch.setenv(settings.DATA_STREAM_TOKEN, "ds_€")
    with pytest.raises(BadInput, match="DATA_STREAM_TOKEN must hold one line") as failed:
        Options().service()
    assert "€" not in failed.value.message


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    write_stack_env(folder)
    with pytest.raises(BadInput, match="missing-file: No such file"):
        Options(api_key_file=folder / "missing-file").service()
    (folder / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="no text file"):
        Options(api_key_file=folder / "binary").service()


def test_secrets_are_not_shown(folder: Path) -> None:
    """In a log or a traceback, say."""
    write_stack_env(folder)
    shown = f"{Options().service()} {Options().service()!r}"
    assert LOCAL["API_URL"] in shown
    assert "local-key" not in shown
    assert "ds_local" not in shown


@pytest.mark.parametrize(
    ("option", "environment", "region", "place"),
    [
        ("eu-west-1", {"AWS_REGION": "x", "AWS_DEFAULT_REGION": "y"}, "eu-west-1", "eu-west-1 (--region)"),
        (None, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "y"}, "eu-west-2", "eu-west-2 (AWS_REGION)"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3", "eu-west-3 (AWS_DEFAULT_REGION)"),
        (None, {"AWS_REGION": ""}, None, "in none of --region, AWS_REGION, AWS_DEFAULT_REGION"),
    ],
)
def test_the_region_is_looked_for_in_places_that_an_error_can_name(
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    environment: dict[str, str],
    region: str | None,
    place: str,
) -> None:
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    found = Options(stack_name="unitstream", region=option, profile="prod").stack()
    assert (found.region, found.profile) == (region, "prod")
    assert found.looked_at == f"region {place}, profile prod (--profile)"


@pytest.mark.parametrize(
    ("arguments", "ordered"),
    [
        ("views a:Sum --url https://x --csv", "--url https://x views a:Sum --csv"),
        ("streams list --stack=s --region r", "--stack=s --region r streams list"),
        ("--url x views", "--url x views"),
        ("push -- --url x", "push -- --url x"),
        ("views --url", "views --url"),
    ],
)
def test_the_options_of_all_commands_may_stand_anywhere(arguments: str, ordered: str) -> None:
    """But for what comes after --, which is a name."""
    assert shared_first(arguments.split()) == ordered.split()
