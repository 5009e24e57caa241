"""Bodies in gzip's format: unpacked within bounds, or refused with a clear error."""

from __future__ import annotations

import contextlib
import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitstream.compression import unpacked
from unitstream.problems import MAX_BODY_BYTES, BodyTooLarge, InvalidRequest

BODY = json.dumps(
    {"data_stream_token": "t", "metric_agg_func": "Sum", "data": [{"n": n} for n in range(2_000)]}
).encode()
PACKED = gzip.compress(BODY, mtime=0)


def error_of(body: bytes) -> tuple[str | None, str, str]:
    with pytest.raises(InvalidRequest) as refused:
        unpacked(body)
    (error,) = refused.value.errors
    return error.pointer, error.code, error.detail


@given(st.lists(st.tuples(st.binary(), st.integers(0, 9)), min_size=1, max_size=4))
def test_what_was_packed_comes_out(contents: list[tuple[bytes, int]]) -> None:
    """At any level, and also in several members, which the format allows."""
    body = b"".join(gzip.compress(content, level) for content, level in contents)
    assert unpacked(body) == b"".join(content for content, _ in contents)


@pytest.mark.parametrize("body", [b"", b"{}", BODY, b"\x1f", b"no JSON", b"\x78\x9c\x03\x00", b"\x8b\x1f"])
def test_what_is_no_gzip_is_left_alone(body: bytes) -> None:
    """The gateway has unpacked it already, whatever the header says; another format is no JSON, as `parse` says."""
    assert unpacked(body) is body


def test_a_body_is_unpacked_once() -> None:
    """What is packed twice is not guessed at."""
    assert unpacked(gzip.compress(PACKED, mtime=0)) == PACKED


def test_a_name_and_a_comment_in_the_header_are_no_content() -> None:
    """A file that was compressed by a tool is the same body."""
    flags = 0b11110  # a checksum of the header, extra data, the name and a comment
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + b"\x03\x00abc" + b"points.json\0" + b"of today\0"
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    assert unpacked(header + PACKED[10:]) == BODY


def test_the_limit_is_that_of_a_body() -> None:
    """As many bytes as a body may have come out, and one more is too many, also in a member of its own."""
    largest = bytes(MAX_BODY_BYTES)
    assert unpacked(gzip.compress(largest, mtime=0)) == largest
    for body in (gzip.compress(largest + b"0"), gzip.compress(largest, mtime=0) + gzip.compress(b"0")):
        with pytest.raises(BodyTooLarge):
            unpacked(body)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(gzip.compress(bytes(4 * MAX_BODY_BYTES)), id="one member"),
        pytest.param(gzip.compress(bytes(MAX_BODY_BYTES // 2)) * 8, id="many members"),
        pytest.param(gzip.compress(bytes(4 * MAX_BODY_BYTES))[:-9], id="cut off"),
    ],
)
def test_a_bomb_does_not_go_off(bomb: bytes) -> None:
    """Of hundreds of megabytes no more are unpacked than a body may have, and the answer is that it is too large."""
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            unpacked(bomb)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest < 2.5 * MAX_BODY_BYTES


def test_a_flood_of_empty_members_is_empty() -> None:
    """What follows a member is not copied for each of them, which would take a quarter of an hour here."""
    member = gzip.compress(b"")
    assert unpacked(member * (MAX_BODY_BYTES // len(member))) == b""


@given(st.integers(2, len(PACKED) - 1))
def test_a_torn_body_is_refused(length: int) -> None:
    """Wherever it ends, even if all of the content is there."""
    assert error_of(PACKED[:length]) == ("", "gzip_invalid", "the body is gzip that was cut off")


@pytest.mark.parametrize("more", [b"\0", b"{}", b"\x1f", b"\x1f\x8b", PACKED[:100], bytes(5_000)])
def test_what_follows_is_refused(more: bytes) -> None:
    """It is no part of the content, and nothing is left out without a word."""
    assert error_of(PACKED + more)[:2] == ("", "gzip_invalid")


@given(st.integers(10, len(PACKED) - 1), st.integers(1, 255))
def test_a_changed_byte_changes_no_content(place: int, change: int) -> None:
    """The format or its checksum notices, unless the bits are of no use."""
    body = bytearray(PACKED)
    body[place] ^= change
    with contextlib.suppress(InvalidRequest):
        assert unpacked(bytes(body)) == BODY


@given(st.binary())
def test_what_only_begins_like_gzip_is_refused(rest: bytes) -> None:
    """It is not taken for JSON, of which no text begins so."""
    assert error_of(b"\x1f\x8b" + rest)[1] == "gzip_invalid"
