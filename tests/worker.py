"""A process that behaves like a Lambda sandbox: one request at a time, its state kept from one to the next.

It reads a JSON message a line, `Sandbox` in delivery.py writes them, and answers each with a line: the handler's
response, what it logged, and how many faults were injected.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse, HTTPHeaders

from unitstream import deleting, dynamodb, store

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# What DynamoDB may answer for a statement that it did not execute.
REFUSALS = (
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
)
DAYS_A_BATCH, DAYS_A_PAGE, CONNECTIONS = store.DAYS_A_BATCH, deleting.DAYS_A_PAGE, dynamodb.CONNECTIONS


class Faults:
    """Faults of single statements and keys, injected at botocore's events with a probability for each kind.

    Beside `REFUSALS`: `Executed` (an InternalServerError for a statement that was executed), `UnprocessedKeys`, and
    `Stale`, which is none: a read that is not consistent may miss an item.
    """

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.configure({}, 0)

    def configure(self, rates: dict[str, float], seed: int) -> None:
        self._rates = rates
        self._random = Random(seed)  # noqa: S311  # reproducible is what it must be

    def install(self, client: DynamoDBClient) -> None:
        register: Any = client.meta.events.register
        register("provide-client-params.dynamodb.BatchExecuteStatement", self._refuse)
        register("provide-client-params.dynamodb.BatchGetItem", self._leave_unprocessed)
        register("before-call.dynamodb", self._answer_what_is_empty)
        register("after-call.dynamodb.BatchExecuteStatement", self._report_refused)
        register("after-call.dynamodb.BatchGetItem", self._report_unprocessed)
        register("provide-client-params.dynamodb.Query", self._note_consistency)
        register("after-call.dynamodb.Query", self._miss_items)

    def _fires(self, kind: str) -> bool:
        fires = self._random.random() < self._rates.get(kind, 0)
        self.injected[kind] += fires
        return fires

    def _refuse(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:
        statements = params["Statements"]
        context["refused"] = [next(filter(self._fires, REFUSALS), None) for _ in statements]
        kept = [one for one, code in zip(statements, context["refused"], strict=True) if not code]
        context["empty"] = not kept
        return params | {"Statements": kept}

    def _report_refused(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if "Responses" in parsed:
            executed = iter(parsed["Responses"])
            parsed["Responses"] = [
                {"Error": {"Code": code}} if code else self._executed(next(executed)) for code in context["refused"]
            ]

    def _executed(self, response: dict[str, Any]) -> dict[str, Any]:
        unknown = "Error" not in response and self._fires("Executed")
        return {"Error": {"Code": "InternalServerError"}} if unknown else response

    def _leave_unprocessed(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:
        ((table, wanted),) = params["RequestItems"].items()
        left = [key for key in wanted["Keys"] if self._fires("UnprocessedKeys")]
        kept = [key for key in wanted["Keys"] if key not in left]
        context["unprocessed"] = {table: wanted | {"Keys": left}} if left else {}
        context["empty"] = not kept
        context["consistent"] = wanted.get("ConsistentRead", False)
        return params | {"RequestItems": {table: wanted | {"Keys": kept}}}

    def _report_unprocessed(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if "Responses" in parsed:
            parsed["UnprocessedKeys"] = parsed["UnprocessedKeys"] | context["unprocessed"]
            if not context["consistent"]:
                parsed["Responses"] = {
                    table: [item for item in items if not self._fires("Stale")]
                    for table, items in parsed["Responses"].items()
                }

    def _note_consistency(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["consistent"] = params.get("ConsistentRead", False)

    def _miss_items(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if "Items" in parsed and not context["consistent"]:
            parsed["Items"] = [item for item in parsed["Items"] if not self._fires("Stale")]

    def _answer_what_is_empty(self, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if not context.get("empty"):
            return None
        unprocessed = "unprocessed" in context
        answer: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {}} if unprocessed else {"Responses": []}
        return AWSResponse("", 200, HTTPHeaders(), None), answer


def lambda_context(timeout_seconds: float) -> Any:
    ends = time.monotonic() + timeout_seconds
    return SimpleNamespace(
        function_name="ingest",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:ingest",
        aws_request_id="11111111-2222-3333-4444-555555555555",
        get_remaining_time_in_millis=lambda: int((ends - time.monotonic()) * 1000),
    )


def main() -> None:
    answers, sys.stdout = sys.stdout, io.StringIO()
    from ingest import app  # noqa: PLC0415  # its logger keeps the stdout that it finds

    faults = Faults()
    for line in sys.stdin:
        message = json.loads(line)
        if message["read_timeout"] != dynamodb.READ_TIMEOUT:
            dynamodb.READ_TIMEOUT = message["read_timeout"]
            app.tables.cache_clear()
        if not app.tables.cache_info().currsize:
            faults.install(app.tables()[1].table.client)
        # A day a batch, one after the other: what otherwise takes a thousand series, many batches, happens with three.
        store.DAYS_A_BATCH = 1 if message["single_days"] else DAYS_A_BATCH
        deleting.DAYS_A_PAGE = 1 if message["single_days"] else DAYS_A_PAGE
        dynamodb.CONNECTIONS = 1 if message["single_days"] else CONNECTIONS
        faults.configure(message["rates"], message["seed"])
        response = app.lambda_handler(message["event"], lambda_context(message["timeout_seconds"]))
        answer = {"response": response, "log": sys.stdout.getvalue().splitlines(), "faults": faults.injected}
        print(json.dumps(answer), file=answers, flush=True)
        sys.stdout.seek(0)
        sys.stdout.truncate()
        faults.injected.clear()


if __name__ == "__main__":
    main()
