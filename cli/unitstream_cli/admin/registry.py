"""Streams and their tokens in the Streams table.

    item    token_sha256          holds
    token   SHA-256 of the token  stream_id, name, state, created_at, expires_at (only in a rotated token's grace)
    name    name#{name}           stream_id, name, state, created_at, tokens: the SHA-256s of the tokens above

The name item makes names unique, also those of revoked streams. Every change is one transaction that depends on that
item being as it was read, so changes to one stream happen one after the other.

The local stack uses this module too, from an environment that has boto3 and nothing of the command's.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unitstream.dynamodb import paced
from unitstream.streams import ACTIVE
from unitstream_cli.errors import BadInput, CommandFailed, Rejected, Unreachable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    Item = dict[str, Any]

REVOKED = "revoked"
IN_GRACE = "in grace"
EXPIRED = "expired"
NAME_PREFIX = "name#"
LONGEST_NAME = 255
# A change is one transaction, and touches every token that still works. DynamoDB's limit for one is 100 items.
MOST_TOKENS = 50
# How long a change that meets others is tried again.
PATIENCE_SECONDS = 10
# Why DynamoDB cancels a transaction that may work when it is made again: others were faster, or it is busy.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html
_PASSING = {"ConditionalCheckFailed", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}
# Control characters, halves of surrogate pairs, and line and paragraph separators.
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a stream, by its SHA-256. `expires_at` is in epoch seconds."""

    sha256: str
    state: str
    created_at: str
    expires_at: int | None

    @classmethod
    def from_item(cls, item: Item) -> Token:
        expires_at = int(item["expires_at"]["N"]) if "expires_at" in item else None
        return cls(item["token_sha256"]["S"], item["state"]["S"], item["created_at"]["S"], expires_at)

    def state_at(self, now: float) -> str:
        """Return `active`, `in grace`, `expired` or `revoked`."""
        if self.state != ACTIVE or self.expires_at is None:
            return self.state
        return IN_GRACE if now < self.expires_at else EXPIRED


@dataclass(frozen=True, slots=True)
class RegisteredStream:
    """A stream with its tokens, the newest last."""

    stream_id: str
    name: str
    state: str
    created_at: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: the new token, which is stored nowhere, and until when (epoch seconds) older ones work."""

    stream_id: str
    token: str
    older_until: int | None
    was_revoked: bool

    def __repr__(self) -> str:
        """Show no token."""
        return f"Rotation(stream_id={self.stream_id!r})"


class Registry:
    """The streams of a stack."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def create(self, name: str) -> tuple[str, str]:
        """Register a new stream. Returns its ID and its token, which is stored nowhere."""
        stream_id, token = secrets.token_hex(8), new_token()
        self.register(name, stream_id, token)
        return stream_id, token

    def register(self, name: str, stream_id: str, token: str) -> None:
        """Register a stream with an ID and a token that are given. Raises `BadInput` when the name cannot be had."""
        check_name(name)
        stream = {"stream_id": {"S": stream_id}, "name": {"S": name}, "state": {"S": ACTIVE}, "created_at": _now()}
        digest = sha256(token)
        named = self._key(NAME_PREFIX + name) | stream | {"tokens": _hashes([digest])}
        for _ in paced(time.monotonic() + PATIENCE_SECONDS):
            if taken := self._get(name):
                raise BadInput(
                    f"there is {'a revoked' if taken['state']['S'] == REVOKED else 'a'} stream {name!r} already.",
                    "Take another name, or give that stream a new token with `unitstream streams rotate`.",
                )
            if self._change([self._put(named), self._put(self._key(digest) | stream)]):
                return
        raise _too_busy(name)

    def streams(self) -> list[RegisteredStream]:
        """Return all streams in the order of their names."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table_name, ConsistentRead=True)
        items: dict[str, Item] = {item["token_sha256"]["S"]: item for page in pages for item in page["Items"]}
        named = [items[key] for key in sorted(items) if key.startswith(NAME_PREFIX)]
        return [_stream(item, items) for item in named]

    def find(self, name: str) -> RegisteredStream:
        """Return the stream with `name`. Raises `Rejected` when there is none."""
        return self._read(name)[1]

    def rotate(self, name: str, grace_seconds: int) -> Rotation:
        """Give the stream a new token; those that it has work `grace_seconds` longer, if not shorter anyhow.

        A revoked stream is active again, with the new token alone. Raises `Rejected` when there is no such stream, and
        `CommandFailed` when somebody else changed it meanwhile: who rotates twice ends the first new token.
        """
        seen = None
        for _ in paced(time.monotonic() + PATIENCE_SECONDS):
            item, stream = self._read(name)
            if item != (seen or item):
                raise CommandFailed(
                    f"somebody else changed the stream {name!r} at this moment.",
                    "Look at it with `unitstream streams show`, and run this again if it still needs a new token.",
                )
            seen = item
            token, now = new_token(), int(time.time())
            kept, changes = self._end(stream.tokens, now, now + grace_seconds)
            if len(kept) >= MOST_TOKENS:
                raise BadInput(
                    f"{len(kept)} tokens of the stream {name!r} work, which is the most that it can have.",
                    "Let some of them expire, or end all of them with --grace 0.",
                )
            shared = {"stream_id": {"S": stream.stream_id}, "name": {"S": name}, "state": {"S": ACTIVE}}
            digest = sha256(token)
            changes.append(self._put(self._key(digest) | shared | {"created_at": _now()}))
            changes.append(self._update_name(item, ACTIVE, [*kept, digest]))
            if self._change(changes):
                older_until = max(kept.values(), default=None)
                return Rotation(stream.stream_id, token, older_until, stream.state == REVOKED)
        raise _too_busy(name)

    def revoke(self, name: str) -> bool:
        """End every token of the stream at once. Returns whether any of them worked until now.

        Raises `Rejected` when there is no such stream.
        """
        for _ in paced(time.monotonic() + PATIENCE_SECONDS):
            item, stream = self._read(name)
            if stream.state == REVOKED:
                return False
            changes = [self._update(one.sha256, "SET #state = :new", {":new": {"S": REVOKED}}) for one in stream.tokens]
            changes.append(self._update_name(item, REVOKED, [one.sha256 for one in stream.tokens]))
            if self._change(changes):
                return True
        raise _too_busy(name)

    def _end(self, tokens: tuple[Token, ...], now: int, end: int) -> tuple[dict[str, int], list[Item]]:
        """Return which tokens work after `now`, with the second until which they do, and what that changes."""
        kept: dict[str, int] = {}
        changes = []
        for token in tokens:
            until = end if token.expires_at is None else min(token.expires_at, end)
            if token.state == REVOKED or until <= now:
                changes.append({"Delete": {"TableName": self._table_name, "Key": self._key(token.sha256)}})
                continue
            kept[token.sha256] = until
            if until != token.expires_at:
                changes.append(self._update(token.sha256, "SET expires_at = :until", {":until": {"N": str(until)}}))
        return kept, changes

    def _read(self, name: str) -> tuple[Item, RegisteredStream]:
        """Return the name item and the stream that it is of."""
        check_name(name)
        item = self._get(name)
        if item is None:
            raise Rejected(f"there is no stream {name!r}.", "See `unitstream streams list`.")
        keys = [self._key(one) for one in _tokens_of(item)]
        wanted: Any = {self._table_name: {"Keys": keys, "ConsistentRead": True}}
        found: dict[str, Item] = {}
        while wanted:
            answer = self._client.batch_get_item(RequestItems=wanted)
            found |= {one["token_sha256"]["S"]: one for one in answer["Responses"].get(self._table_name, [])}
            wanted = answer["UnprocessedKeys"]
        return item, _stream(item, found)

    def _get(self, name: str) -> Item | None:
        key = self._key(NAME_PREFIX + name)
        answer = self._client.get_item(TableName=self._table_name, Key=key, ConsistentRead=True)
        return answer.get("Item")

    def _change(self, changes: list[Any]) -> bool:
        """Make all of `changes` or none. Returns which: none when what they depend on changed, or the table is busy."""
        try:
            self._client.transact_write_items(TransactItems=changes)
        except self._client.exceptions.TransactionCanceledException as exc:
            reasons = {reason["Code"] for reason in exc.response["CancellationReasons"]} - {"None"}
            if not reasons <= _PASSING:
                raise
            return False
        return True

    @staticmethod
    def _key(value: str) -> Item:
        return {"token_sha256": {"S": value}}

    def _put(self, item: Item) -> Item:
        """Nobody has its key yet: neither the name nor the token."""
        condition = "attribute_not_exists(token_sha256)"
        return {"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": condition}}

    def _update(
        self, key: str, expression: str, values: Item, condition: str = "attribute_exists(token_sha256)"
    ) -> Item:
        names = {"#state": "state"} if "#state" in expression + condition else None
        update = {
            "TableName": self._table_name,
            "Key": self._key(key),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        return {"Update": update | ({"ExpressionAttributeNames": names} if names else {})}

    def _update_name(self, read: Item, state: str, tokens: list[str]) -> Item:
        """Nobody changed the stream since it was read: each rotation changes its tokens, and a revocation its state."""
        new = {":state": {"S": state}, ":tokens": _hashes(tokens)}
        old = {":old_state": read["state"], ":old_tokens": read["tokens"]}
        return self._update(
            read["token_sha256"]["S"],
            "SET #state = :state, tokens = :tokens",
            new | old,
            "#state = :old_state AND tokens = :old_tokens",
        )


def new_token() -> str:
    """Return a new token: 32 random bytes, as text."""
    return f"ds_{secrets.token_urlsafe(32)}"


def sha256(token: str) -> str:
    """Return the SHA-256 of a token, in hex, under which it is found."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_name(name: str) -> None:
    """Raise `BadInput` unless `name` can be a stream's."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise BadInput(f"a stream's name has 1 to {LONGEST_NAME} characters, and this one has {len(name)}.")
    if any(unicodedata.category(character) in _NO_TEXT for character in name):
        raise BadInput(f"a stream's name has no line breaks and no control characters: {name!a}.")
    if name != name.strip():
        raise BadInput(f"a stream's name has no space at its beginning or end: {name!r}.")


def _stream(item: Item, tokens: dict[str, Item]) -> RegisteredStream:
    """Return the stream that a name item is of, with those of `tokens` (by their SHA-256) that are its own."""
    return RegisteredStream(
        item["stream_id"]["S"],
        item["name"]["S"],
        item["state"]["S"],
        item["created_at"]["S"],
        tuple(Token.from_item(tokens[one]) for one in _tokens_of(item) if one in tokens),
    )


def _tokens_of(item: Item) -> list[str]:
    return [one["S"] for one in item["tokens"]["L"]]


def _hashes(tokens: list[str]) -> Item:
    return {"L": [{"S": one} for one in tokens]}


def _now() -> Item:
    return {"S": datetime.now(UTC).isoformat(timespec="seconds")}


def _too_busy(name: str) -> Unreachable:
    return Unreachable(f"others change the stream {name!r} all the time, and nothing was done.", "Try again later.")
