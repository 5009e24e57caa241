"""What `unitstream streams` takes for a duration and for a name, and how it hands over a token."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

import unitstream.streams
import unitstream_cli.admin.streams
from unitstream_cli.admin.registry import check_name, new_token
from unitstream_cli.admin.streams import duration, hand_over
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
    assert unitstream_cli.admin.streams.REMEMBERED_SECONDS == unitstream.streams.REMEMBERED_SECONDS


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("json", [False, True])
def test_a_token_that_cannot_be_written_is_not_lost_without_a_word(
    monkeypatch: pytest.MonkeyPatch, *, json: bool
) -> None:
    """It is nowhere else: who asked for it has to rotate once more."""
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(CommandFailed, match="could not be written to stdout") as failed:
            hand_over("orders", {"name": "orders", "token": "ds_secret"}, json=json)
    assert failed.value.hint
    assert "rotate" in failed.value.hint
    assert "ds_secret" not in failed.value.message
