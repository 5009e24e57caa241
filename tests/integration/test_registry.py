"""Streams and tokens on DynamoDB Local: who may send when, also when several people change a stream at once."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import support

from unitstream.problems import StreamNotFound
from unitstream.streams import StreamsTable
from unitstream_cli.admin.registry import MOST_TOKENS, Registry, sha256
from unitstream_cli.errors import BadInput, CommandFailed, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

HOUR = 3600
PEOPLE = 8


class Streams:
    """A fresh table, seen by an operator and by functions."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.client = client
        self.table_name = table_name
        self.registry = Registry(client, table_name)

    def cold_function(self) -> StreamsTable:
        return StreamsTable(self.client, self.table_name)

    def accepts(self, token: str, function: StreamsTable | None = None) -> bool:
        try:
            (function or self.cold_function()).find(token, time.monotonic() + 10)
        except StreamNotFound:
            return False
        return True

    def items(self) -> set[str]:
        return {item["token_sha256"]["S"] for item in support.scan(self.client, self.table_name)}


@pytest.fixture
def streams(endpoint: str) -> Iterator[Streams]:
    client = support.local_client(endpoint)
    name = uuid.uuid4().hex
    support.create_table(client, "StreamsTable", name)
    yield Streams(client, name)
    client.delete_table(TableName=name)
    client.close()


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clocks of functions and registries on by so many seconds. The monotonic one stands, as in a sandbox."""
    passed = 0.0
    clock = SimpleNamespace(time=lambda: time.time() + passed, monotonic=time.monotonic)
    monkeypatch.setattr("unitstream.streams.time", clock)
    monkeypatch.setattr("unitstream_cli.admin.registry.time", clock)

    def pass_seconds(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    return pass_seconds


def at_once(people: list[Callable[[], Any]]) -> list[Any]:
    """Let all do their thing at the same moment. Returns what each got, or what it was told."""
    barrier = threading.Barrier(len(people))

    def act(thing: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return thing()
        except CommandFailed as failure:
            return failure

    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(act, people))


# --- creating ---------------------------------------------------------------------------------------------------------


def test_a_new_stream_takes_data_with_its_token(streams: Streams) -> None:
    """And the table does not hold the token."""
    stream_id, token = streams.registry.create("shop")
    found = streams.cold_function().find(token, time.monotonic() + 10)
    assert (found.stream_id, found.name, found.state) == (stream_id, "shop", "active")
    assert "#" not in stream_id
    assert token not in str(support.scan(streams.client, streams.table_name))
    assert not streams.accepts("name#shop")


@pytest.mark.parametrize("revoked", [False, True])
def test_a_name_is_taken_once(streams: Streams, *, revoked: bool) -> None:
    """A revoked stream keeps its name: its data is still there."""
    streams.registry.create("shop")
    if revoked:
        streams.registry.revoke("shop")
    before = streams.items()
    with pytest.raises(BadInput, match="there is a revoked stream" if revoked else "there is a stream") as failed:
        streams.registry.create("shop")
    assert "rotate" in str(failed.value.hint)
    assert streams.items() == before


def test_of_several_creates_at_once_one_wins(streams: Streams) -> None:
    """And the others leave nothing behind."""
    got = at_once([lambda: streams.registry.create("shop")] * PEOPLE)
    ((stream_id, token),) = [one for one in got if isinstance(one, tuple)]
    assert sum(isinstance(one, BadInput) for one in got) == PEOPLE - 1
    assert streams.registry.find("shop").stream_id == stream_id
    assert streams.items() == {"name#shop", sha256(token)}


def test_streams_are_listed_by_name_with_their_tokens(streams: Streams) -> None:
    assert streams.registry.streams() == []
    for name in ("b", "a", "ä", "name#"):
        streams.registry.create(name)
    streams.registry.rotate("a", HOUR)
    listed = streams.registry.streams()
    assert [(one.name, len(one.tokens)) for one in listed] == [("a", 2), ("b", 1), ("name#", 1), ("ä", 1)]
    assert listed == [streams.registry.find(one.name) for one in listed]


def test_a_stream_that_is_not_there_is_said_to_be_missing(streams: Streams) -> None:
    calls: list[Callable[[], object]] = [
        lambda: streams.registry.find("x"),
        lambda: streams.registry.rotate("x", 0),
        lambda: streams.registry.revoke("x"),
    ]
    for call in calls:
        with pytest.raises(Rejected, match="there is no stream 'x'"):
            call()
    assert not streams.items()


# --- rotating ---------------------------------------------------------------------------------------------------------


def test_in_its_grace_the_old_token_works_beside_the_new_one(
    streams: Streams, pass_time: Callable[[float], None]
) -> None:
    """To the second, also in a function that remembers it."""
    _, old = streams.registry.create("shop")
    new = streams.registry.rotate("shop", HOUR).token
    warm = streams.cold_function()
    assert streams.accepts(old, warm)
    assert streams.accepts(new, warm)
    pass_time(HOUR - 10)
    assert streams.accepts(old, warm)
    assert streams.accepts(old)
    pass_time(10)
    assert not streams.accepts(old, warm)
    assert not streams.accepts(old)
    assert streams.accepts(new)


def test_without_grace_the_old_token_ends_at_once(streams: Streams) -> None:
    """And is gone from the table."""
    _, old = streams.registry.create("shop")
    rotation = streams.registry.rotate("shop", 0)
    assert not streams.accepts(old)
    assert streams.accepts(rotation.token)
    assert rotation.older_until is None
    assert streams.items() == {"name#shop", sha256(rotation.token)}


def test_a_second_rotation_shortens_a_grace_and_never_lengthens_it(
    streams: Streams, pass_time: Callable[[float], None]
) -> None:
    _, first = streams.registry.create("shop")
    second = streams.registry.rotate("shop", HOUR).token
    streams.registry.rotate("shop", 24 * HOUR)
    pass_time(HOUR)
    assert not streams.accepts(first)
    assert streams.accepts(second)
    streams.registry.rotate("shop", 60)
    pass_time(60)
    assert not streams.accepts(second)


def test_expired_tokens_leave_the_table_with_the_next_rotation(
    streams: Streams, pass_time: Callable[[float], None]
) -> None:
    streams.registry.create("shop")
    second = streams.registry.rotate("shop", HOUR).token
    states = [token.state_at(time.time() + HOUR) for token in streams.registry.find("shop").tokens]
    assert states == ["expired", "active"]
    pass_time(HOUR)
    third = streams.registry.rotate("shop", HOUR).token
    assert streams.items() == {"name#shop", sha256(second), sha256(third)}


def test_a_stream_has_so_many_tokens_and_no_more(streams: Streams) -> None:
    """Every one that works is part of the next change, and a change has room for so many."""
    streams.registry.create("shop")
    for _ in range(MOST_TOKENS - 1):
        streams.registry.rotate("shop", HOUR)
    with pytest.raises(BadInput, match=f"{MOST_TOKENS} tokens"):
        streams.registry.rotate("shop", HOUR)
    assert len(streams.registry.find("shop").tokens) == MOST_TOKENS
    token = streams.registry.rotate("shop", 0).token
    assert streams.items() == {"name#shop", sha256(token)}


def test_of_several_rotations_at_once_the_others_are_told(streams: Streams) -> None:
    """Otherwise each would end the token that another one has just been given."""
    _, old = streams.registry.create("shop")
    got = at_once([lambda: streams.registry.rotate("shop", HOUR)] * PEOPLE)
    tokens = [one.token for one in got if not isinstance(one, CommandFailed)]
    told = [one for one in got if isinstance(one, CommandFailed)]
    assert tokens
    assert all("somebody else changed" in one.message for one in told)
    assert len(tokens) + len(told) == PEOPLE
    assert streams.items() == {"name#shop", sha256(old), *map(sha256, tokens)}
    found = streams.registry.find("shop").tokens
    assert {one.sha256 for one in found} == streams.items() - {"name#shop"}
    assert [one.expires_at is None for one in found] == [False] * len(tokens) + [True]
    assert all(streams.accepts(one) for one in tokens)


# --- revoking ---------------------------------------------------------------------------------------------------------


def test_revoking_ends_every_token_at_once(streams: Streams) -> None:
    """Also one in its grace. Twice is no error."""
    _, first = streams.registry.create("shop")
    second = streams.registry.rotate("shop", HOUR).token
    _, other = streams.registry.create("other")
    assert streams.registry.revoke("shop")
    assert not streams.registry.revoke("shop")
    assert not streams.accepts(first)
    assert not streams.accepts(second)
    assert streams.accepts(other)
    assert streams.registry.find("shop").state == "revoked"


def test_a_revoked_stream_is_active_again_with_a_new_token_alone(streams: Streams) -> None:
    """It keeps its ID, so the data that it has goes on."""
    stream_id, old = streams.registry.create("shop")
    streams.registry.revoke("shop")
    rotation = streams.registry.rotate("shop", HOUR)
    assert (rotation.stream_id, rotation.was_revoked, rotation.older_until) == (stream_id, True, None)
    assert streams.accepts(rotation.token)
    assert not streams.accepts(old)
    assert streams.registry.find("shop").state == "active"
    assert streams.items() == {"name#shop", sha256(rotation.token)}


def test_a_rotation_beside_a_revocation_leaves_nothing_between(streams: Streams) -> None:
    """Either it came before, and its token is revoked too, or after, and its token is the only one."""
    for number in range(5):
        name = f"shop-{number}"
        _, old = streams.registry.create(name)
        rotated, revoked = at_once(
            [partial(streams.registry.rotate, name, HOUR), partial(streams.registry.revoke, name)]
        )
        assert revoked is True
        state = streams.registry.find(name).state
        assert not streams.accepts(old)
        if not isinstance(rotated, CommandFailed | bool):
            assert streams.accepts(rotated.token) is (state == "active")
        else:
            assert state == "revoked"


def test_no_token_is_shown_where_it_is_not_asked_for(streams: Streams) -> None:
    """In a log or a traceback, say."""
    streams.registry.create("shop")
    rotation = streams.registry.rotate("shop", HOUR)
    assert rotation.token not in f"{rotation} {rotation!r} {streams.registry.find('shop')!r}"
