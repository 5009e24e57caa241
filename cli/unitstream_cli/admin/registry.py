"""Changing streams and their tokens in the Streams table, whose items unitstream/streams.py draws.

The stream's item makes names unique: of streams, also of revoked ones, and of the tokens of a stream. Every change is
one transaction on the condition that the stream's item is as it was read, so changes to one stream happen one after
the other.

The local stack uses this module too, from an environment that has boto3 and nothing of the command's.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unitstream.dynamodb import paced
from unitstream.rights import Right
from unitstream.streams import ACTIVE
from unitstream_cli.admin.registered import (
    OWNER,
    REVOKED,
    STREAM_PREFIX,
    RegisteredStream,
    Token,
    check_name,
    hashes,
    key_of,
    moment_of,
    new_token,
    sha256,
)
from unitstream_cli.admin.stored import StoredStreams
from unitstream_cli.errors import BadInput, CommandFailed, Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from unitstream_cli.admin.registered import Item

    # Given a stream and the time in epoch seconds: the token that it gets, and those of its tokens that this follows.
    Plan = Callable[[RegisteredStream, int], tuple[Token, Sequence[Token]]]

ALL_RIGHTS = frozenset(Right)
# A change is one transaction of the stream's item, a new token and all others. DynamoDB's limit for one is 100 items.
MOST_TOKENS = 98
# How long a change that meets others is tried again.
PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token: of which stream, itself, which is stored nowhere, and what is stored of it.

    Tokens that it follows work until `older_until`, in epoch seconds; it is None when none of them works any more.
    """

    stream_id: str
    secret: str
    token: Token
    older_until: int | None = None
    was_revoked: bool = False

    def __repr__(self) -> str:
        """Show no token."""
        return f"Issued(stream_id={self.stream_id!r}, token={self.token!r})"


class Registry:
    """The streams of a stack."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._stored = StoredStreams(client, table_name)

    # --- streams ------------------------------------------------------------------------------------------------------

    def create(self, name: str) -> Issued:
        """Register a new stream, with a token that has all rights."""
        return self.register(name, secrets.token_hex(8), new_token())

    def register(self, name: str, stream_id: str, secret: str) -> Issued:
        """Register a stream with an ID and a token that are given. Raises `BadInput` when the name cannot be had."""
        check_name(name)
        token = _token(secret, OWNER, ALL_RIGHTS, time.time())
        stream = RegisteredStream(stream_id, name, ACTIVE, token.created_at)
        own = {"state": {"S": ACTIVE}, "created_at": {"S": token.created_at}, "tokens": hashes([token])}
        item = key_of(STREAM_PREFIX + name) | stream.shared_attributes() | own
        for _ in _attempts(name):
            if taken := self._stored.get(name):
                raise BadInput(
                    f"there is {'a revoked' if taken['state']['S'] == REVOKED else 'a'} stream {name!r} already.",
                    "Take another name, or give that stream a new token with `unitstream streams rotate`.",
                )
            if self._stored.change([self._stored.put_stream(item), self._stored.put(stream.token_item(token))]):
                break
        return Issued(stream_id, secret, token)

    def streams(self) -> list[RegisteredStream]:
        """Return all streams in the order of their names."""
        return self._stored.all()

    def find(self, name: str) -> RegisteredStream:
        """Return the stream with `name`. Raises `Rejected` when there is none."""
        return self._stored.read(name)[1]

    def rotate(self, name: str, grace_seconds: int) -> Issued:
        """Give the stream a new token with all rights; those that it has work `grace_seconds` longer, if not shorter.

        A revoked stream is active again, with the new token alone. Raises `Rejected` when there is no such stream, and
        `CommandFailed` when somebody else changed it meanwhile: who rotates twice ends the first new token.
        """
        secret = new_token()
        return self._issue(
            name,
            secret,
            lambda stream, now: (_token(secret, OWNER, ALL_RIGHTS, now), stream.tokens),
            grace_seconds,
        )

    def revoke(self, name: str) -> bool:
        """End every token of the stream at once. Returns whether any of them worked until now.

        Raises `Rejected` when there is no such stream.
        """
        for _ in _attempts(name):
            item, stream = self._stored.read(name)
            if stream.state == REVOKED:
                return False
            changes = self._revocations(stream.tokens)
            if self._stored.change([*changes, self._stored.update_stream(item, {"state": {"S": REVOKED}})]):
                break
        return True

    def limit(self, name: str, max_series: int | None) -> None:
        """Let a metric of the stream have up to `max_series` series, or with None as many as the stack allows.

        Every token's item says so, because functions read no other. Raises `Rejected` when there is no such stream.
        """
        attributes = {"max_series": None if max_series is None else {"N": str(max_series)}}
        for _ in _attempts(name):
            item, stream = self._stored.read(name)
            changes = [self._stored.update(token.sha256, attributes) for token in stream.tokens]
            if self._stored.change([*changes, self._stored.update_stream(item, attributes)]):
                break

    # --- tokens of a stream -------------------------------------------------------------------------------------------

    def create_token(
        self, stream_name: str, name: str, rights: Iterable[str], lifetime: int | None = None, secret: str = ""
    ) -> Issued:
        """Give the stream one more token, which ends after `lifetime` seconds; `secret` is the token, if it is given.

        Raises `BadInput` when one with that name works, and `Rejected` when there is no such stream, or a revoked one.
        """
        check_name(name, whose="token")
        secret = secret or new_token()
        having = frozenset(rights)

        def plan(stream: RegisteredStream, now: int) -> tuple[Token, Sequence[Token]]:
            if stream.state == REVOKED:
                raise Rejected(
                    f"the stream {stream_name!r} is revoked.", "`unitstream streams rotate` makes it active again."
                )
            if any(token.works_at(now) for token in stream.named(name)):
                raise BadInput(
                    f"the stream {stream_name!r} has a token {name!r} already.",
                    "Take another name, or give that one a successor with `unitstream tokens rotate`.",
                )
            return _token(secret, name, having, now, lifetime), ()

        return self._issue(stream_name, secret, plan)

    def rotate_token(self, stream_name: str, name: str, grace_seconds: int) -> Issued:
        """Give a token a successor with its rights and its lifetime; it works `grace_seconds` longer, if not shorter.

        Raises `Rejected` when no token of that name works, and `CommandFailed` as `rotate` does.
        """
        secret = new_token()

        def plan(stream: RegisteredStream, now: int) -> tuple[Token, Sequence[Token]]:
            working = [token for token in stream.named(name) if token.works_at(now)]
            if not working:
                raise _no_token(stream_name, name)
            newest = working[-1]
            return _token(secret, name, newest.rights, now, newest.lifetime), working

        return self._issue(stream_name, secret, plan, grace_seconds)

    def revoke_token(self, stream_name: str, name: str) -> bool:
        """End a token at once, with those that it followed. Returns whether it worked until now.

        Raises `Rejected` when there is none of that name.
        """
        for _ in _attempts(stream_name):
            item, stream = self._stored.read(stream_name)
            if not stream.named(name):
                raise _no_token(stream_name, name)
            working = [token for token in stream.named(name) if token.works_at(time.time())]
            if not working:
                return False
            if self._stored.change([*self._revocations(working), self._stored.update_stream(item, {})]):
                break
        return True

    # ------------------------------------------------------------------------------------------------------------------

    def _issue(self, name: str, secret: str, plan: Plan, grace_seconds: int = 0) -> Issued:
        """Give the stream a new token, and end those that it follows after the grace. What has ended is removed."""
        seen: Sequence[Token] | None = None
        for _ in _attempts(name):
            item, stream = self._stored.read(name)
            now = int(time.time())
            token, followed = plan(stream, now)
            if seen is not None and seen != followed:
                raise CommandFailed(
                    f"somebody else changed the stream {name!r} at this moment.",
                    "Look at it with `unitstream streams show`, and run this again if it still needs a new token.",
                )
            seen = followed
            kept = {one: one.ended_at(now + grace_seconds) if one in followed else one for one in stream.tokens}
            kept = {old: one for old, one in kept.items() if one.works_at(now)}
            if len(kept) >= MOST_TOKENS:
                raise BadInput(
                    f"{len(kept)} tokens of the stream {name!r} work, which is the most that it can have.",
                    "Let some of them expire, or end some of them.",
                )
            changes = [
                *(self._stored.delete(old.sha256) for old in stream.tokens if old not in kept),
                *(self._end(one) for old, one in kept.items() if one != old),
                self._stored.put(stream.token_item(token)),
                self._stored.update_stream(item, {"state": {"S": ACTIVE}, "tokens": hashes([*kept.values(), token])}),
            ]
            if self._stored.change(changes):
                break
        ends = [one.expires_at for old, one in kept.items() if old in followed and one.expires_at is not None]
        return Issued(stream.stream_id, secret, token, max(ends, default=None), stream.state == REVOKED)

    def _end(self, token: Token) -> Item:
        return self._stored.update(
            token.sha256, {"expires_at": {"N": str(token.expires_at)}, "replaced": {"BOOL": True}}
        )

    def _revocations(self, tokens: Iterable[Token]) -> list[Item]:
        return [self._stored.update(token.sha256, {"state": {"S": REVOKED}}) for token in tokens]


def _token(secret: str, name: str, rights: frozenset[str], now: float, lifetime: int | None = None) -> Token:
    """Return what is to be stored of a new token."""
    end = None if lifetime is None else int(now) + lifetime
    return Token(sha256(secret), name, rights, moment_of(now), lifetime, end)


def _attempts(name: str) -> Iterator[int]:
    """Yield attempts at a change of a stream. Raises `Unreachable` when that was tried for long enough."""
    yield from paced(time.monotonic() + PATIENCE_SECONDS)
    raise Unreachable(f"others change the stream {name!r} all the time, and nothing was done.", "Try again later.")


def _no_token(stream_name: str, name: str) -> Rejected:
    return Rejected(f"the stream {stream_name!r} has no token {name!r} that works.", "See `unitstream tokens list`.")
