"""`unitstream streams` on the deployed local stack: what a producer may send with which token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import support
from support import point, request_body

from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Stack

    Command = Callable[..., subprocess.CompletedProcess[str]]

POINTS = [point("2022-10-01", 1)]


def status_of(stack: Stack, token: str) -> int:
    """Return what a producer gets who has `token`."""
    return stack.post(request_body(POINTS, token))[0]


def create(unitstream: Command, name: str) -> str:
    return unitstream("streams", "create", name).stdout.strip()


def test_a_created_stream_takes_data_with_the_token_that_stdout_has_alone(stack: Stack, unitstream: Command) -> None:
    """So that it can be piped into a secret store."""
    created = unitstream("streams", "create", "Größe #1")
    assert created.returncode == 0, created.stderr
    assert created.stdout.startswith("ds_")
    assert len(created.stdout.split()) == 1
    assert "shown this once" in created.stderr
    assert created.stdout.strip() not in created.stderr
    assert status_of(stack, created.stdout.strip()) == 201


def test_a_taken_name_says_what_to_do(unitstream: Command) -> None:
    create(unitstream, "taken")
    again = unitstream("streams", "create", "taken")
    assert (again.returncode, again.stdout) == (ExitCode.BAD_INPUT, "")
    assert "there is a stream 'taken' already" in again.stderr
    assert "rotate" in again.stderr


def test_a_rotated_stream_takes_data_with_both_tokens(stack: Stack, unitstream: Command) -> None:
    old = create(unitstream, "rotated")
    rotated = unitstream("streams", "rotate", "rotated", "--grace", "1h")
    assert rotated.returncode == 0, rotated.stderr
    assert "Older tokens work until" in rotated.stderr
    new = rotated.stdout.strip()
    assert new != old
    assert [status_of(stack, token) for token in (old, new)] == [201, 201]
    # Functions have not seen the third.
    unused = unitstream("streams", "rotate", "rotated").stdout.strip()
    last = unitstream("streams", "rotate", "rotated", "--grace", "0")
    assert "Older tokens have ended" in last.stderr
    assert [status_of(stack, token) for token in (unused, last.stdout.strip())] == [404, 201]


def test_a_revoked_stream_takes_nothing_until_it_is_rotated(stack: Stack, unitstream: Command) -> None:
    token = create(unitstream, "revoked")
    assert unitstream("streams", "revoke", "revoked", "--yes").returncode == 0
    assert status_of(stack, token) == 404
    again = unitstream("streams", "revoke", "revoked", "--yes")
    assert again.returncode == 0
    assert "was revoked already" in again.stderr
    rotated = unitstream("streams", "rotate", "revoked")
    assert "is active again" in rotated.stderr
    assert [status_of(stack, one) for one in (token, rotated.stdout.strip())] == [404, 201]


def test_revoking_asks_who_sits_at_a_terminal(unitstream: Command, tmp_path: Path) -> None:
    """Naming the stream; without a terminal it wants --yes."""
    create(unitstream, "asked")
    without = unitstream("streams", "revoke", "asked")
    assert without.returncode == ExitCode.USAGE
    assert "--yes" in without.stderr
    for answer, state in (("n\n", "active"), ("y\n", "revoked")):
        asked = at_a_terminal(["streams", "revoke", "asked"], answer, tmp_path)
        assert (asked.returncode == 0) is (state == "revoked"), asked.stderr
        assert "Revoke the stream 'asked'" in asked.stderr
        assert json.loads(unitstream("streams", "show", "asked", "--json").stdout)["state"] == state


def at_a_terminal(arguments: list[str], answer: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, with a terminal at which `answer` is typed."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer.encode())
    asked = subprocess.run(
        [Path(sys.executable).parent / "unitstream", *arguments],
        cwd=folder,
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(keyboard)
    os.close(terminal)
    return asked


def test_list_and_show_tell_of_streams_and_never_of_tokens(unitstream: Command) -> None:
    tokens = [create(unitstream, "shown"), unitstream("streams", "rotate", "shown").stdout.strip()]
    listed = unitstream("streams", "list", COLUMNS="200")
    shown = unitstream("streams", "show", "shown", COLUMNS="200")
    for seen in (listed, shown):
        assert seen.returncode == 0, seen.stderr
        assert "shown" in seen.stdout
        assert "in grace" in seen.stdout
        for token in tokens:
            assert token not in seen.stdout + seen.stderr


def test_scripts_get_one_document_on_stdout(unitstream: Command) -> None:
    """Whatever they ask for."""
    created = json.loads(unitstream("streams", "create", "json", "--json").stdout)
    assert created.keys() == {"name", "stream_id", "token"}
    rotated = json.loads(unitstream("streams", "rotate", "json", "--json").stdout)
    assert rotated.keys() == {"name", "stream_id", "token", "older_tokens_expire_at"}
    shown = json.loads(unitstream("streams", "show", "json", "--json").stdout)
    assert [token["state"] for token in shown["tokens"]] == ["in grace", "active"]
    assert shown["tokens"][0]["expires_at"] == rotated["older_tokens_expire_at"]
    assert shown in json.loads(unitstream("streams", "list", "--json").stdout)["streams"]
    revoked = json.loads(unitstream("streams", "revoke", "json", "--yes", "--json").stdout)
    assert revoked == {"name": "json", "stream_id": created["stream_id"], "state": "revoked"}


def test_the_demo_stream_is_one_like_others(unitstream: Command) -> None:
    shown = json.loads(unitstream("streams", "show", "demo", "--json").stdout)
    assert (shown["stream_id"], shown["state"]) == ("demo", "active")
    assert {token["name"]: token["rights"] for token in shown["tokens"]} == {
        "owner": ["write", "read", "delete"],
        "writer": ["write"],
        "reader": ["read"],
    }


def test_a_token_of_a_stream_from_its_making_to_its_end(stack: Stack, unitstream: Command, tmp_path: Path) -> None:
    """It comes alone on stdout or in a file, is listed without itself, follows another one, and ends."""
    create(unitstream, "with tokens")
    made = unitstream("tokens", "create", "with tokens", "--name", "cron", "--right", "write", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.split()) == 1
    old = made.stdout.strip()
    rotated = unitstream("tokens", "rotate", "with tokens", "cron", "--grace", "1h", "--out", "cron.token")
    assert (rotated.returncode, rotated.stdout) == (0, ""), rotated.stderr
    new = (tmp_path / "cron.token").read_text().strip()
    assert [status_of(stack, token) for token in (old, new)] == [201, 201]
    listed = unitstream("tokens", "list", "with tokens", COLUMNS="200")
    document = json.loads(unitstream("tokens", "list", "with tokens", "--json").stdout)
    assert [(one["name"], one["rights"], one["state"]) for one in document["tokens"]] == [
        ("owner", ["write", "read", "delete"], "active"),
        ("cron", ["write"], "in grace"),
        ("cron", ["write"], "active"),
    ]
    assert [one["sha256_prefix"] in listed.stdout for one in document["tokens"]] == [True] * 3
    for token in (old, new):
        assert token not in listed.stdout + listed.stderr + str(document)
    revoked = unitstream("tokens", "revoke", "with tokens", "cron", "--yes", "--json")
    assert json.loads(revoked.stdout) == {"stream": "with tokens", "name": "cron", "state": "revoked"}
    assert "does not work any more" in unitstream("tokens", "revoke", "with tokens", "cron", "--yes").stderr


def test_scripts_get_a_token_with_what_it_may_do(unitstream: Command) -> None:
    """The same document when it is made and when it is followed by another one."""
    create(unitstream, "scripted")
    arguments = ("--name", "both", "--right", "read", "--right", "write", "--json")
    made = json.loads(unitstream("tokens", "create", "scripted", *arguments).stdout)
    rotated = json.loads(unitstream("tokens", "rotate", "scripted", "both", "--json").stdout)
    for document in (made, rotated):
        assert document.keys() == {"stream", "stream_id", "name", "rights", "expires_at", "token"}
        assert (document["stream"], document["name"], document["rights"]) == ("scripted", "both", ["write", "read"])
    assert made["token"] != rotated["token"]


def test_a_taken_or_a_missing_name_of_a_token_says_what_to_do(unitstream: Command) -> None:
    create(unitstream, "named")
    taken = unitstream("tokens", "create", "named", "--name", "owner", "--right", "read")
    assert (taken.returncode, taken.stdout) == (ExitCode.BAD_INPUT, "")
    assert "has a token 'owner' already" in taken.stderr
    assert "unitstream tokens rotate" in taken.stderr
    for command in ("rotate", "revoke"):
        missing = unitstream("tokens", command, "named", "none", *(["--yes"] if command == "revoke" else []))
        assert (missing.returncode, missing.stdout) == (ExitCode.REJECTED, "")
        assert "unitstream tokens list" in missing.stderr
    assert unitstream("tokens", "create", "named", "--name", "without").returncode == ExitCode.USAGE


def test_a_stream_has_a_limit_of_its_own(unitstream: Command) -> None:
    """Until it is taken back."""
    create(unitstream, "limited")
    for arguments, limit in ((("--series", "5000"), 5_000), ((), None)):
        done = unitstream("streams", "limit", "limited", *arguments, "--json")
        assert json.loads(done.stdout) == {"name": "limited", "max_series": limit}
        assert json.loads(unitstream("streams", "show", "limited", "--json").stdout)["max_series"] == limit


def test_a_stream_that_is_not_there_has_its_exit_code(unitstream: Command) -> None:
    for arguments in (("show", "none"), ("rotate", "none"), ("revoke", "none", "--yes")):
        refused = unitstream("streams", *arguments)
        assert (refused.returncode, refused.stdout) == (ExitCode.REJECTED, "")
        assert "there is no stream 'none'" in refused.stderr


def test_a_stack_that_is_not_there_has_its_exit_code(stack: Stack, unitstream: Command) -> None:
    """Or one that is none of ours, or nothing that answers at all."""
    missing = unitstream("streams", "list", "--stack", "missing", AWS_ENDPOINT_URL=stack.endpoint)
    assert missing.returncode == ExitCode.UNREACHABLE
    assert "there is no stack missing" in missing.stderr
    nobody = f"http://127.0.0.1:{support.free_port()}"
    silent = unitstream("streams", "list", "--stack", "missing", AWS_ENDPOINT_URL=nobody)
    assert silent.returncode == ExitCode.UNREACHABLE
    assert "AWS does not answer" in silent.stderr
    assert "Traceback" not in missing.stderr + silent.stderr


def test_who_may_not_create_streams_is_told_so(stack: Stack, unitstream: Command, tmp_path: Path) -> None:
    """With the rights of the function, say, which may only read the table."""
    role = f"arn:aws:iam::000000000000:role/{stack.outputs()['IngestRoleName']}"
    assumed = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    (tmp_path / ".local").unlink()
    refused = unitstream(
        *("streams", "create", "refused", "--stack", stack.name),
        AWS_ENDPOINT_URL=stack.endpoint,
        AWS_ACCESS_KEY_ID=assumed["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=assumed["SecretAccessKey"],
        AWS_SESSION_TOKEN=assumed["SessionToken"],
    )
    assert (refused.returncode, refused.stdout) == (ExitCode.REJECTED, "")
    assert "do not allow" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_file_of_the_local_stack_is_an_environment_for_elsewhere(
    stack: Stack, unitstream: Command, tmp_path: Path
) -> None:
    """All that the command needs is in it, whatever region is set on this machine."""
    (tmp_path / ".local").unlink()
    settings = dict(line.split("=", 1) for line in (stack.home / "stack.env").read_text().splitlines())
    for command in (("streams", "list"), ("metrics",)):
        found = unitstream(*command, **settings, AWS_DEFAULT_REGION="eu-west-1")
        assert found.returncode == 0, found.stderr
