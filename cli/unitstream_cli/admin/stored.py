"""The calls to DynamoDB that read and change the Streams table for the registry, which decides what to change."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from unitstream_cli.admin.registered import STREAM_PREFIX, RegisteredStream, check_name, hashes_of, key_of
from unitstream_cli.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from unitstream_cli.admin.registered import Item

# Why DynamoDB cancels a transaction that may work when it is made again: others were faster, or it is busy.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html
_PASSING = {"ConditionalCheckFailed", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}


class StoredStreams:
    """The items of streams and tokens. What `put`, `delete` and `update` return is a part of a transaction."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def all(self) -> list[RegisteredStream]:
        """Return all streams in the order of their names."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table_name, ConsistentRead=True)
        items: dict[str, Item] = {item["token_sha256"]["S"]: item for page in pages for item in page["Items"]}
        named = [items[key] for key in sorted(items) if key.startswith(STREAM_PREFIX)]
        return [RegisteredStream.from_items(item, items) for item in named]

    def get(self, name: str) -> Item | None:
        """Return the item of the stream with `name`, if there is one."""
        key = key_of(STREAM_PREFIX + name)
        return self._client.get_item(TableName=self._table_name, Key=key, ConsistentRead=True).get("Item")

    def read(self, name: str) -> tuple[Item, RegisteredStream]:
        """Return a stream's item, and the stream that it is of. Raises `Rejected` when there is none."""
        check_name(name)
        item = self.get(name)
        if item is None:
            raise Rejected(f"there is no stream {name!r}.", "See `unitstream streams list`.")
        wanted: Any = {self._table_name: {"Keys": list(map(key_of, hashes_of(item))), "ConsistentRead": True}}
        found: dict[str, Item] = {}
        while wanted:
            answer = self._client.batch_get_item(RequestItems=wanted)
            found |= {one["token_sha256"]["S"]: one for one in answer["Responses"].get(self._table_name, [])}
            wanted = answer["UnprocessedKeys"]
        return item, RegisteredStream.from_items(item, found)

    def change(self, changes: Sequence[Any]) -> bool:
        """Make all of `changes` or none. Returns which: none when what they depend on changed, or the table is busy."""
        try:
            self._client.transact_write_items(TransactItems=changes)
        except self._client.exceptions.TransactionCanceledException as exc:
            reasons = {reason["Code"] for reason in exc.response["CancellationReasons"]} - {"None"}
            if not reasons <= _PASSING:
                raise
            return False
        return True

    def put(self, item: Item) -> Item:
        """Nobody has its key yet: neither the name nor the token."""
        condition = "attribute_not_exists(token_sha256)"
        return {"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": condition}}

    def put_stream(self, item: Item) -> Item:
        return self.put(item | _new_revision())

    def delete(self, key: str) -> Item:
        return {"Delete": {"TableName": self._table_name, "Key": key_of(key)}}

    def update(self, key: str, attributes: Mapping[str, Item | None], revision: Item | None = None) -> Item:
        """Set some attributes of an item, or remove them. It is there, and as it was read if it has a `revision`."""
        sets = [f"#{name} = :{name}" for name, value in attributes.items() if value is not None]
        removes = [f"#{name}" for name, value in attributes.items() if value is None]
        clauses = [f"SET {', '.join(sets)}"] * bool(sets) + [f"REMOVE {', '.join(removes)}"] * bool(removes)
        values = {f":{name}": value for name, value in attributes.items() if value is not None}
        update = {
            "TableName": self._table_name,
            "Key": key_of(key),
            "UpdateExpression": " ".join(clauses),
            "ConditionExpression": "rev = :old_rev" if revision else "attribute_exists(token_sha256)",
            "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
        }
        values |= {":old_rev": revision} if revision else {}
        return {"Update": update | ({"ExpressionAttributeValues": values} if values else {})}

    def update_stream(self, read: Item, attributes: Mapping[str, Item | None]) -> Item:
        """Nobody changed the stream since its item was read: each change gives it another `rev`."""
        return self.update(read["token_sha256"]["S"], {**attributes, **_new_revision()}, read["rev"])


def _new_revision() -> Item:
    return {"rev": {"S": secrets.token_hex(8)}}
