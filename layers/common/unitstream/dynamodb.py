"""Calling DynamoDB: the client's settings, which errors pass, how to pace what is tried again, and side by side."""

from __future__ import annotations

import random
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004  # botocore's, on purpose
from botocore.loaders import Loader
from botocore.session import Session

from unitstream.problems import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
R = TypeVar("R")

# Calls to DynamoDB that a request has under way at once.
CONNECTIONS = 8
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 3.0
# How long a call may last that starts right before a deadline.
LONGEST_CALL = CONNECT_TIMEOUT + READ_TIMEOUT

# What a call may raise when it failed and may work the next time; `is_transient` tells which did.
CALL_ERRORS = (ClientError, ConnectionError, HTTPClientError)

_SHORTEST_PAUSE = 0.025
_LONGEST_PAUSE = 1.0
_THROTTLED = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}
# What is written and read here is DynamoDB's own JSON already. As documents, an open type that botocore has for other
# services, these shapes pass it as they are instead of member by member: up to half of the CPU of a large request.
_DOCUMENTS = (
    "AttributeValue",
    "BatchExecuteStatementOutput",
    "BatchGetItemOutput",
    "BatchStatementRequest",
    "KeysAndAttributes",
    "QueryOutput",
)


class _Loader(Loader):
    """Loads botocore's data of DynamoDB, without looking into the folders of all services for it.

    There are no rules for endpoints, so the client finds its endpoint once, by its region, and not anew for each call:
    a third of the CPU of making the client, and a tenth of that of a call.
    """

    def list_available_services(self, type_name: str) -> list[str]:
        return ["dynamodb"] if type_name == "service-2" else []


def create_client() -> DynamoDBClient:
    """Return a client that makes each call once: what fails is tried again by `paced`, which knows the deadline.

    It is botocore's, the same that boto3 returns, without the time that boto3 takes to import its transfers to S3.
    """
    session = Session()
    loader = _Loader()
    session.register_component("data_loader", loader)
    # The loader keeps what it loaded, so the client is made from the model that is changed here.
    shapes = loader.load_service_model("dynamodb", "service-2")["shapes"]
    for name in _DOCUMENTS:
        shapes[name]["document"] = True
    client = session.create_client(
        "dynamodb",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            tcp_keepalive=True,
            # Otherwise botocore puts it together anew for each call: a tenth of a call's CPU.
            user_agent="unitstream",
            # Our own calls, checked by the tests; the checks cost more than building the request.
            parameter_validation=False,
        ),
    )
    return cast("DynamoDBClient", client)


def is_transient(error: ClientError | ConnectionError | HTTPClientError) -> bool:
    """Whether the call may work when it is made again: a throttle, a fault of the service or of the network."""
    if not isinstance(error, ClientError):
        return True
    answer = error.response
    return answer["Error"]["Code"] in _THROTTLED or answer["ResponseMetadata"]["HTTPStatusCode"] >= 500


def paced(deadline: float) -> Iterator[int]:
    """Yield 0, 1, 2, … until `deadline` (monotonic clock), with a growing random pause before each but the first."""
    attempt = 0
    pause = 0.0
    while time.monotonic() + pause < deadline:
        time.sleep(pause)
        yield attempt
        pause = random.uniform(0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**attempt))  # noqa: S311  # no secret
        attempt += 1


def side_by_side(work: Callable[[T], R], parts: Sequence[T], *, at_once: int | None = None) -> list[R]:
    """Return what `work` returns for each part, `at_once` of them at a time, or as many as there are connections.

    When a part fails, those that were not begun are left out, and its error is raised: of several an `OutOfTime`, since
    a call that was throttled to the end says more than others that were only late.
    """
    if len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(at_once or CONNECTIONS) as pool:
        futures = [pool.submit(work, part) for part in parts]
        wait(futures, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    for error in sorted(errors, key=lambda error: not isinstance(error, OutOfTime)):
        raise error
    return [future.result() for future in futures]
