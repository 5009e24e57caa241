"""What `unitstream streams` takes for a duration and for a name, and how it hands over a token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

import unitstream.streams
from unitstream_cli.admin import arguments
from unitstream_cli.admin.arguments import duration, lifetime
from unitstream_cli.admin.handing_over import hand_over, token_file
from unitstream_cli.admin.registered import check_name, new_token
from unitstream_cli.errors import BadInput, CommandFailed

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604_800), ("0", 0), ("365d", 31_536_000)]
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1 h", "1w", "366d", "999999999d", "²h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A bare number too: hours and seconds would look alike."""
    with pytest.raises(typer.BadParameter):
        duration(text)


def test_a_token_that_never_works_is_refused() -> None:
    """A grace may be nothing, but not a lifetime."""
    assert lifetime("90d") == 90 * 86_400
    for text in ("0", "0d"):
        with pytest.raises(typer.BadParameter, match="never works"):
            lifetime(text)


@pytest.mark.parametrize("name", ["a", "Orders of the shop", "größer", "订单", "a#b", "name#a", "x" * 255, "🙂"])
def test_a_name_is_any_text(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\x00", "\x7f", "\u2028", "\udcff", " a", "a "])
def test_what_cannot_be_seen_is_no_name(name: str) -> None:
    """Or not told from another one."""
    with pytest.raises(BadInput, match="a stream's name has"):
        check_name(name)


def test_a_token_is_32_random_bytes_as_text() -> None:
    first, second = new_token(), new_token()
    assert first != second
    assert first.startswith("ds_")
    assert len(first) == len("ds_") + 43


def test_it_says_rightly_how_long_a_function_remembers_a_token() -> None:
    """The number stands twice, because importing the function's takes long."""
    assert arguments.REMEMBERED_SECONDS == unitstream.streams.REMEMBERED_SECONDS


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("json", [False, True])
def test_a_token_that_cannot_be_written_is_not_lost_without_a_word(
    monkeypatch: pytest.MonkeyPatch, *, json: bool
) -> None:
    """It is nowhere else: who asked for it has to rotate once more."""
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(CommandFailed, match="could not be written to stdout") as failed:
            hand_over("unitstream streams rotate", {"name": "orders", "token": "ds_secret"}, json=json)
    assert failed.value.hint
    assert "rotate" in failed.value.hint
    assert "ds_secret" not in failed.value.message


@pytest.mark.parametrize("before", [None, "", "ds_older"])
def test_a_file_with_a_token_is_its_owners_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str | None
) -> None:
    """Also where one was that others could read; and what is replaced is said."""
    path = tmp_path / "token"
    if before is not None:
        path.write_text(before)
        path.chmod(0o644)
    with token_file(path) as file:
        hand_over("rotate", {"name": "orders", "token": "ds_secret"}, file, json=False)
    assert path.read_text() == "ds_secret\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]
    said = capsys.readouterr()
    assert said.out == ""
    assert ("is replaced" in said.err) is bool(before)


def test_a_document_names_the_file_and_not_the_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with token_file(tmp_path / "token") as file:
        hand_over("rotate", {"name": "orders", "token": "ds_secret"}, file, json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "orders", "token_file": str(tmp_path / "token")}


def test_no_token_is_made_that_could_not_be_written(tmp_path: Path) -> None:
    """The file is tried first. What was there stays, also when making the token fails."""
    wrong = [tmp_path, tmp_path / "no" / "folder", Path("/dev/null")]
    for path in wrong:
        with pytest.raises(BadInput, match="nothing was changed"), token_file(path):
            pytest.fail("the token would be made here")
    (tmp_path / "token").write_text("ds_older")
    with pytest.raises(CommandFailed), token_file(tmp_path / "token"):
        raise CommandFailed("it failed")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["ds_older"]
