"""The calls to DynamoDB that read and write items, and what may become of them."""

from __future__ import annotations

import os
import time
from enum import Enum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from unitstream.dynamodb import CALL_ERRORS, is_transient, paced, side_by_side
from unitstream.items import Key
from unitstream.problems import OutOfTime, TooMuch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import BatchStatementRequestTypeDef, KeysAndAttributesTypeDef

    from unitstream.items import Item, Range

T = TypeVar("T")

# DynamoDB's limits for one call.
KEYS_PER_READ = 100
STATEMENTS_PER_WRITE = 25


def new_revision() -> str:
    return os.urandom(8).hex()


class Outcome(Enum):
    """What became of a write."""

    WRITTEN = "written"
    # An insert found an item under its key.
    EXISTS = "exists"
    # Somebody else wrote the item since it was read, or is writing it.
    LOST_RACE = "lost race"
    # DynamoDB was too busy, or failed: the write may have happened or not.
    BUSY = "busy"
    # The deadline came first.
    NOT_SENT = "not sent"


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
_OUTCOMES = {
    "": Outcome.WRITTEN,
    "ConditionalCheckFailed": Outcome.LOST_RACE,
    "DuplicateItem": Outcome.EXISTS,
    "TransactionConflict": Outcome.LOST_RACE,
    "InternalServerError": Outcome.BUSY,
    "ProvisionedThroughputExceeded": Outcome.BUSY,
    "RequestLimitExceeded": Outcome.BUSY,
    "ThrottlingError": Outcome.BUSY,
}


class StatementRefused(Exception):
    """DynamoDB refused a statement for a reason that trying again does not mend; `code` is its error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Table:
    """The calls. Deadlines are of the monotonic clock; a call that is under way then may take a moment longer."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client = client
        self._name = name

    # --- one attempt, for who decides himself what to do about what is left ------------------------------------------

    def read(
        self, keys: Sequence[Key], attributes: Iterable[str], deadline: float, *, consistent: bool
    ) -> tuple[dict[Key, Item], set[Key]]:
        """Return the items that there are under `keys`, and the keys that could not be read this time.

        A read that is not consistent may be stale, at half the price.
        """
        items: dict[Key, Item] = {}
        unread: set[Key] = set()
        projection = ",".join(("pk", "sk", *attributes))
        for batch in batches(keys, KEYS_PER_READ):
            if time.monotonic() >= deadline:
                unread.update(batch)
                continue
            wanted: KeysAndAttributesTypeDef = {
                "Keys": [key.to_item() for key in batch],
                "ProjectionExpression": projection,
                "ConsistentRead": consistent,
            }
            answer = self._attempt(partial(self.client.batch_get_item, RequestItems={self._name: wanted}))
            if answer is None:
                unread.update(batch)
                continue
            items.update((Key.from_item(item), item) for item in answer["Responses"].get(self._name, []))
            for left in answer["UnprocessedKeys"].values():
                unread.update(Key.from_item(item) for item in left["Keys"])
        return items, unread

    def write(self, statements: Sequence[BatchStatementRequestTypeDef], deadline: float) -> list[Outcome]:
        """Execute `statements`, each by itself. Raises `StatementRefused` for an error that is there to stay."""
        outcomes: list[Outcome] = []
        for batch in batches(statements, STATEMENTS_PER_WRITE):
            if time.monotonic() >= deadline:
                outcomes += [Outcome.NOT_SENT] * len(batch)
                continue
            answer = self._attempt(partial(self.client.batch_execute_statement, Statements=batch))
            if answer is None:
                outcomes += [Outcome.BUSY] * len(batch)
                continue
            codes = [response.get("Error", {}).get("Code", "") for response in answer["Responses"]]
            if refused := set(codes) - _OUTCOMES.keys():
                raise StatementRefused(", ".join(sorted(refused)))
            outcomes += [_OUTCOMES[code] for code in codes]
        return outcomes

    def insert(self, key: Key, attributes: Item) -> BatchStatementRequestTypeDef:
        """Return the statement that writes a new item; it loses the race when there is one under `key`."""
        item = key.to_item() | attributes
        return {"Statement": _insert_text(self._name, tuple(item)), "Parameters": list(item.values())}

    def update(
        self, key: Key, attributes: Item, revision: str, *, removed: tuple[str, ...] = ()
    ) -> BatchStatementRequestTypeDef:
        """Return the statement that changes an item; it loses the race when its `rev` is not `revision` any more."""
        conditions = key.to_item() | {"rev": {"S": revision}}
        return {
            "Statement": _update_text(self._name, tuple(attributes), removed, tuple(conditions)),
            "Parameters": [*attributes.values(), *conditions.values()],
        }

    def add(self, key: Key, attribute: str, number: int) -> BatchStatementRequestTypeDef:
        """Return the statement that adds to a number of an item, whatever else is written to it meanwhile."""
        text = f'UPDATE "{self._name}" SET {attribute}={attribute}+? WHERE pk=? AND sk=?'  # noqa: S608  # our own names
        return {"Statement": text, "Parameters": [{"N": str(number)}, *key.to_item().values()]}

    # --- as many attempts as there is time for -----------------------------------------------------------------------

    def read_all(
        self, keys: Sequence[Key], attributes: Iterable[str], deadline: float, *, consistent: bool = False
    ) -> dict[Key, Item]:
        """Return the items that there are under `keys`. Raises `OutOfTime`, or `TooMuch` as `query` does."""
        items: dict[Key, Item] = {}

        def read_what_is_left() -> bool:
            nonlocal keys
            more, unread = self.read(keys, attributes, deadline, consistent=consistent)
            items.update(more)
            keys = [key for key in keys if key in unread]
            return not keys

        if keys:
            self._until(deadline, read_what_is_left)
        return items

    def read_side_by_side(
        self, keys: Sequence[Key], attributes: Iterable[str], deadline: float, *, consistent: bool
    ) -> dict[Key, Item]:
        """Return the items that there are under `keys`, by several calls at a time. Raises `OutOfTime`."""

        def read(batch: list[Key]) -> dict[Key, Item]:
            found: dict[Key, Item] = {}
            for _ in paced(deadline):
                items, unread = self.read(batch, attributes, deadline, consistent=consistent)
                found |= items
                batch = list(unread)
                if not batch:
                    return found
            raise OutOfTime

        parts = side_by_side(read, list(batches(keys, KEYS_PER_READ)))
        return {key: item for items in parts for key, item in items.items()}

    def put(self, key: Key, attributes: Item, deadline: float) -> None:
        """Write an item in place of what is under `key`. Raises `OutOfTime`, as `read_all` does."""
        item = key.to_item() | attributes
        self._until(deadline, partial(self._attempt, partial(self.client.put_item, TableName=self._name, Item=item)))

    def delete(self, key: Key, deadline: float) -> bool:
        """Delete what is under `key`, and return whether there was something. Raises `OutOfTime` as `put` does."""
        call = partial(self.client.delete_item, TableName=self._name, Key=key.to_item(), ReturnValues="ALL_OLD")
        return "Attributes" in self._until(deadline, partial(self._attempt, call))

    def query(
        self,
        wanted: Range,
        page_sizes: Iterator[int],
        deadline: float,
        *,
        attributes: Iterable[str] = (),
        consistent: bool = False,
    ) -> Iterator[list[Item]]:
        """Yield the items of a range, in order, a page at a time.

        Raises `OutOfTime` when DynamoDB throttles or fails until `deadline`, `TooMuch` when it is only late.
        """
        arguments: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":pk": {"S": wanted.pk},
                ":first": {"S": wanted.first},
                ":last": {"S": wanted.last},
            },
            "ConsistentRead": consistent,
        }
        if attributes:
            arguments["ProjectionExpression"] = ",".join(attributes)
        if wanted.holding:
            arguments["FilterExpression"] = wanted.holding.expression
            arguments["ExpressionAttributeValues"] |= wanted.holding.values
        for page_size in page_sizes:
            arguments["Limit"] = page_size
            answer = self._until(deadline, partial(self._attempt, partial(self.client.query, **arguments)))
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _attempt(self, call: Callable[[], T]) -> T | None:
        """Return what `call` returns, or None when it failed in a way that may pass."""
        try:
            return call()
        except CALL_ERRORS as exc:
            if not is_transient(exc):
                raise
            return None

    def _until(self, deadline: float, attempt: Callable[[], T | None]) -> T:
        """Return what `attempt` returns, made again while that is nothing."""
        throttled = False
        for _ in paced(deadline):
            if result := attempt():
                return result
            throttled = True
        if throttled:
            raise OutOfTime
        raise TooMuch("There is more to read than there is time for: choose a shorter range of days, or filter.")


@lru_cache(maxsize=1_024)
def _insert_text(table_name: str, attributes: tuple[str, ...]) -> str:
    values = ",".join(f"'{name}':?" for name in attributes)
    return f'INSERT INTO "{table_name}" VALUE {{{values}}}'


@lru_cache(maxsize=1_024)
def _update_text(
    table_name: str, attributes: tuple[str, ...], removed: tuple[str, ...], conditions: tuple[str, ...]
) -> str:
    changes = " ".join([*(f"SET {name}=?" for name in attributes), *(f"REMOVE {name}" for name in removed)])
    return f'UPDATE "{table_name}" {changes} WHERE {" AND ".join(f"{name}=?" for name in conditions)}'


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """itertools.batched comes with Python 3.12."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
