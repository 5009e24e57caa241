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
from unitstream.streams import REMEMBERED_SECONDS, StreamsTable
from unitstream_cli.admin.registered import sha256
from unitstream_cli.admin.registry import MOST_TOKENS, Registry
from unitstream_cli.errors import BadInput, CommandFailed, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

HOUR = 3600
PEOPLE = 8


class Streams:
    """A fresh table, seen by an operator and by functions."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.client = client
        self.table_name = table_name
        self.registry = Registry(client, table_name)

    def create(self, name: str) -> tuple[str, str]:
        """Create a stream, and return its ID and its token."""
        issued = self.registry.create(name)
        return issued.stream_id, issued.secret

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


def at_once(people: Sequence[Callable[[], Any]]) -> list[Any]:
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
    stream_id, token = streams.create("shop")
    found = streams.cold_function().find(token, time.monotonic() + 10)
    assert (found.stream_id, found.token_name, found.state) == (stream_id, "owner", "active")
    assert found.rights == {"write", "read", "delete"}
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
    got = at_once([lambda: streams.create("shop")] * PEOPLE)
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
    _, old = streams.create("shop")
    new = streams.registry.rotate("shop", HOUR).secret
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
    _, old = streams.create("shop")
    rotation = streams.registry.rotate("shop", 0)
    assert not streams.accepts(old)
    assert streams.accepts(rotation.secret)
    assert rotation.older_until is None
    assert streams.items() == {"name#shop", sha256(rotation.secret)}


def test_a_second_rotation_shortens_a_grace_and_never_lengthens_it(
    streams: Streams, pass_time: Callable[[float], None]
) -> None:
    _, first = streams.create("shop")
    second = streams.registry.rotate("shop", HOUR).secret
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
    second = streams.registry.rotate("shop", HOUR).secret
    states = [token.state_at(time.time() + HOUR) for token in streams.registry.find("shop").tokens]
    assert states == ["expired", "active"]
    pass_time(HOUR)
    third = streams.registry.rotate("shop", HOUR).secret
    assert streams.items() == {"name#shop", sha256(second), sha256(third)}


def test_a_stream_has_so_many_tokens_and_no_more(streams: Streams) -> None:
    """Every one that works is part of a rotation, and a transaction has room for so many."""
    streams.registry.create("shop")
    for number in range(MOST_TOKENS - 1):
        streams.registry.create_token("shop", f"cron-{number}", ["write"])
    with pytest.raises(BadInput, match=f"{MOST_TOKENS} tokens"):
        streams.registry.rotate("shop", HOUR)
    assert len(streams.registry.find("shop").tokens) == MOST_TOKENS
    streams.registry.limit("shop", 10)
    token = streams.registry.rotate("shop", 0).secret
    assert streams.items() == {"name#shop", sha256(token)}


def test_of_several_rotations_at_once_the_others_are_told(streams: Streams) -> None:
    """Otherwise each would end the token that another one has just been given."""
    _, old = streams.create("shop")
    got = at_once([lambda: streams.registry.rotate("shop", HOUR)] * PEOPLE)
    tokens = [one.secret for one in got if not isinstance(one, CommandFailed)]
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
    _, first = streams.create("shop")
    second = streams.registry.rotate("shop", HOUR).secret
    _, other = streams.create("other")
    assert streams.registry.revoke("shop")
    assert not streams.registry.revoke("shop")
    assert not streams.accepts(first)
    assert not streams.accepts(second)
    assert streams.accepts(other)
    assert streams.registry.find("shop").state == "revoked"


def test_a_revoked_stream_is_active_again_with_a_new_token_alone(streams: Streams) -> None:
    """It keeps its ID, so the data that it has goes on."""
    stream_id, old = streams.create("shop")
    streams.registry.revoke("shop")
    rotation = streams.registry.rotate("shop", HOUR)
    assert (rotation.stream_id, rotation.was_revoked, rotation.older_until) == (stream_id, True, None)
    assert streams.accepts(rotation.secret)
    assert not streams.accepts(old)
    assert streams.registry.find("shop").state == "active"
    assert streams.items() == {"name#shop", sha256(rotation.secret)}


def test_a_rotation_beside_a_revocation_leaves_nothing_between(streams: Streams) -> None:
    """Either it came before, and its token is revoked too, or after, and its token is the only one."""
    for number in range(5):
        name = f"shop-{number}"
        _, old = streams.create(name)
        rotated, revoked = at_once(
            [partial(streams.registry.rotate, name, HOUR), partial(streams.registry.revoke, name)]
        )
        assert revoked is True
        state = streams.registry.find(name).state
        assert not streams.accepts(old)
        if not isinstance(rotated, CommandFailed | bool):
            assert streams.accepts(rotated.secret) is (state == "active")
        else:
            assert state == "revoked"


@pytest.mark.parametrize("clock", ["wall", "monotonic"])
def test_a_function_remembers_a_token_until_either_clock_says_so(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """In a sandbox that is frozen the monotonic clock may stand still, and a wall clock may be set back."""
    passed = {"wall": 0.0, "monotonic": 0.0}
    clocks = SimpleNamespace(
        time=lambda: time.time() + passed["wall"], monotonic=lambda: time.monotonic() + passed["monotonic"]
    )
    monkeypatch.setattr("unitstream.streams.time", clocks)
    _, token = streams.create("shop")
    warm = streams.cold_function()
    assert streams.accepts(token, warm)
    streams.registry.revoke("shop")
    assert streams.accepts(token, warm)
    passed[clock] = REMEMBERED_SECONDS - 10
    assert streams.accepts(token, warm)
    passed[clock] = REMEMBERED_SECONDS
    assert not streams.accepts(token, warm)


# --- tokens of a stream -----------------------------------------------------------------------------------------------


def test_a_token_has_the_rights_that_it_is_given(streams: Streams) -> None:
    """And its own name; the stream is the same for all of its tokens."""
    stream_id, _ = streams.create("shop")
    for rights in (["write"], ["read"], ["delete"], ["delete", "write"]):
        secret = streams.registry.create_token("shop", " and ".join(rights), rights).secret
        found = streams.cold_function().find(secret, time.monotonic() + 10)
        assert (found.stream_id, found.token_name) == (stream_id, " and ".join(rights))
        assert found.rights == {*rights}


def test_a_token_ends_when_its_time_is_over(streams: Streams, pass_time: Callable[[float], None]) -> None:
    """To the second, also in a function that remembers it. Then its name is free again."""
    streams.create("shop")
    secret = streams.registry.create_token("shop", "cron", ["write"], HOUR).secret
    warm = streams.cold_function()
    assert streams.accepts(secret, warm)
    pass_time(HOUR - 1)
    assert streams.accepts(secret)
    pass_time(1)
    assert not streams.accepts(secret, warm)
    assert not streams.accepts(secret)
    assert streams.accepts(streams.registry.create_token("shop", "cron", ["read"]).secret)
    assert [token.name for token in streams.registry.find("shop").tokens] == ["owner", "cron"]


def test_of_several_tokens_with_one_name_at_once_one_is_made(streams: Streams) -> None:
    """The others are told, and leave nothing behind."""
    _, owner = streams.create("shop")
    got = at_once([lambda: streams.registry.create_token("shop", "cron", ["write"]).secret] * PEOPLE)
    (secret,) = [one for one in got if isinstance(one, str)]
    assert [str(one) for one in got if one != secret] == ["the stream 'shop' has a token 'cron' already."] * (
        PEOPLE - 1
    )
    assert streams.items() == {"name#shop", sha256(owner), sha256(secret)}


def test_several_tokens_at_once_are_all_made(streams: Streams) -> None:
    """Who meets others is not told to try again: nobody stands in another one's way."""
    streams.create("shop")
    people = [partial(streams.registry.create_token, "shop", f"cron-{number}", ["write"]) for number in range(PEOPLE)]
    secrets = [one.secret for one in at_once(people)]
    assert all(streams.accepts(secret) for secret in secrets)
    assert {token.name for token in streams.registry.find("shop").tokens} == {
        "owner",
        *(f"cron-{number}" for number in range(PEOPLE)),
    }


def test_rotating_a_token_leaves_all_others_alone(streams: Streams, pass_time: Callable[[float], None]) -> None:
    """The new one has the rights, and the lifetime, of the one that it follows."""
    _, owner = streams.create("shop")
    reader = streams.registry.create_token("shop", "reader", ["read"]).secret
    old = streams.registry.create_token("shop", "cron", ["write"], 10 * HOUR).secret
    pass_time(5 * HOUR)
    new = streams.registry.rotate_token("shop", "cron", HOUR)
    assert new.token.rights == {"write"}
    assert new.token.expires_at == pytest.approx(time.time() + 15 * HOUR, abs=5)
    assert [one.state_at(time.time()) for one in streams.registry.find("shop").named("cron")] == ["in grace", "active"]
    assert all(map(streams.accepts, (owner, reader, old, new.secret)))
    pass_time(HOUR)
    assert not streams.accepts(old)
    assert all(map(streams.accepts, (owner, reader, new.secret)))


def test_of_several_rotations_of_a_token_at_once_the_others_are_told(streams: Streams) -> None:
    """And rotations of other tokens are none of their business."""
    streams.create("shop")
    for name in ("cron", "reader"):
        streams.registry.create_token("shop", name, ["read"])
    same = [partial(streams.registry.rotate_token, "shop", "cron", HOUR)] * (PEOPLE - 1)
    *got, other = at_once([*same, partial(streams.registry.rotate_token, "shop", "reader", HOUR)])
    assert streams.accepts(other.secret)
    told = [one for one in got if isinstance(one, CommandFailed)]
    assert all("somebody else changed" in one.message for one in told)
    assert len(streams.registry.find("shop").named("cron")) == PEOPLE - len(told)


def test_revoking_a_token_leaves_all_others_alone(streams: Streams) -> None:
    """Also those that it followed end. Twice is no error, and the name is free again."""
    _, owner = streams.create("shop")
    first = streams.registry.create_token("shop", "cron", ["write"]).secret
    second = streams.registry.rotate_token("shop", "cron", HOUR).secret
    assert streams.registry.revoke_token("shop", "cron")
    assert not streams.registry.revoke_token("shop", "cron")
    assert [one.state_at(time.time()) for one in streams.registry.find("shop").named("cron")] == ["revoked"] * 2
    assert [streams.accepts(one) for one in (owner, first, second)] == [True, False, False]
    third = streams.registry.create_token("shop", "cron", ["read"]).secret
    assert [streams.accepts(one) for one in (owner, first, second, third)] == [True, False, False, True]


def test_a_token_that_is_not_there_is_said_to_be_missing(streams: Streams) -> None:
    """Also one that works no more: what follows it would bring back what was ended on purpose."""
    streams.create("shop")
    streams.registry.create_token("shop", "cron", ["write"])
    streams.registry.revoke_token("shop", "cron")
    for call in (
        lambda: streams.registry.rotate_token("shop", "cron", 0),
        lambda: streams.registry.rotate_token("shop", "none", 0),
        lambda: streams.registry.revoke_token("shop", "none"),
    ):
        with pytest.raises(Rejected, match=r"has no token '(cron|none)'"):
            call()
    with pytest.raises(Rejected, match="there is no stream 'none'"):
        streams.registry.create_token("none", "cron", ["write"])


def test_a_revoked_stream_gets_no_token_but_by_a_rotation(streams: Streams) -> None:
    """Which ends all that it had."""
    streams.create("shop")
    streams.registry.create_token("shop", "cron", ["write"])
    streams.registry.revoke("shop")
    with pytest.raises(Rejected, match="is revoked"):
        streams.registry.create_token("shop", "other", ["write"])
    streams.registry.rotate("shop", 0)
    assert [token.name for token in streams.registry.find("shop").tokens] == ["owner"]


def test_a_limit_of_a_stream_is_one_of_all_its_tokens(streams: Streams) -> None:
    """Also of those that are made later, and until it is taken back."""
    _, owner = streams.create("shop")
    cron = streams.registry.create_token("shop", "cron", ["write"]).secret

    def limits(*tokens: str) -> set[int | None]:
        return {streams.cold_function().find(token, time.monotonic() + 10).max_series for token in tokens}

    assert limits(owner, cron) == {None}
    streams.registry.limit("shop", 5_000)
    later = streams.registry.rotate_token("shop", "cron", HOUR).secret
    assert limits(owner, cron, later) == {5_000}
    assert streams.registry.find("shop").max_series == 5_000
    streams.registry.limit("shop", None)
    assert limits(owner, cron, later) == {None}
    assert streams.registry.find("shop").max_series is None


def test_no_token_is_shown_where_it_is_not_asked_for(streams: Streams) -> None:
    """In a log or a traceback, say."""
    streams.registry.create("shop")
    rotation = streams.registry.rotate("shop", HOUR)
    assert rotation.secret not in f"{rotation} {rotation!r} {streams.registry.find('shop')!r}"
