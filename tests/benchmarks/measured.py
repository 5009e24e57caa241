"""What is measured, in a process of its own, so that the benchmark's data cost no memory and no garbage collection.

`bench.py` starts it with the path of a job (JSON); the figures go to the path that the job names. Nothing here may
import `support`, which brings pandas along.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO
from unittest import mock

from urllib3.connectionpool import HTTPConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A point as the baselines get it: partition key, sort key, value.
Row = tuple[str, str, float]

# Long enough to measure work and not the deadline.
TIMEOUT_SECONDS = 600
# What a 503 leaves to do; more than this is no benchmark.
ATTEMPTS = 5
NEWER = "attribute_not_exists(#t) OR #t < :t OR (#t = :t AND #v <= :v)"
BLOCK = 10


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    figures = {"handler": handler, "update_item": update_item, "batch_writer": batch_writer, "one_point": one_point}[
        job["way"]
    ](job)
    Path(job["figures"]).write_text(json.dumps(figures | {"peak_mb": peak_mb()}))


# --- the ways of saving -----------------------------------------------------------------------------------------------


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """The whole handler, with the request as API Gateway hands it over."""
    invoke = warm_handler(job)
    event = json.loads(Path(job["event"]).read_text())
    with profiled(job.get("profile")), measured(job) as figures:
        answers = [invoke(event)]
        while answers[-1]["statusCode"] == 503 and len(answers) < ATTEMPTS:
            answers.append(invoke(event))
    figures["statuses"] = [answer["statusCode"] for answer in answers]
    figures["counts"] = json.loads(answers[-1]["body"])
    return figures


def update_item(job: dict[str, Any]) -> dict[str, Any]:
    """One conditional UpdateItem a point, to save or to mark it as deleted, with a client as boto3 makes it."""
    import boto3  # noqa: PLC0415  # not in the handler's process before the handler imports it

    client = boto3.client("dynamodb")
    table, received_at = job["table"], str(job["received_at"])

    def save(pk: str, sk: str, value: float) -> None:
        client.update_item(
            TableName=table,
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            UpdateExpression="SET #v = :v, #t = :t",
            ConditionExpression=NEWER,
            ExpressionAttributeNames={"#v": "v", "#t": "t"},
            ExpressionAttributeValues={":v": {"N": repr(value)}, ":t": {"N": received_at}},
        )

    def delete(pk: str, sk: str, _: float) -> None:
        client.update_item(
            TableName=table,
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            UpdateExpression="SET #t = :t REMOVE #v",
            ConditionExpression="#t < :t",
            ExpressionAttributeNames={"#v": "v", "#t": "t"},
            ExpressionAttributeValues={":t": {"N": received_at}},
        )

    save("warm-up", "-", 1.0)
    rows = read_rows(job)
    change = delete if job.get("deletes") else save
    with measured(job) as figures:
        for pk, sk, value in rows:
            change(pk, sk, value)
    return figures


def batch_writer(job: dict[str, Any]) -> dict[str, Any]:
    """boto3's batch writer, which knows no conditions: what is stored is lost, whatever it is."""
    import boto3  # noqa: PLC0415  # not in the handler's process before the handler imports it

    table, received_at = boto3.resource("dynamodb").Table(job["table"]), job["received_at"]
    table.put_item(Item={"pk": "warm-up", "sk": "-"})
    rows = read_rows(job)
    with measured(job) as figures, table.batch_writer() as batch:
        for pk, sk, value in rows:
            if job.get("deletes"):
                batch.delete_item(Key={"pk": pk, "sk": sk})
                continue
            batch.put_item(Item={"pk": pk, "sk": sk, "v": Decimal(repr(value)), "t": received_at})
    return figures


def one_point(job: dict[str, Any]) -> dict[str, Any]:
    """One warm point a request, the next hour of a known record each, in turns with one bare conditional put_item."""
    import boto3  # noqa: PLC0415  # not in the handler's process before the handler imports it

    invoke = warm_handler(job)
    client = boto3.client("dynamodb")
    event = json.loads(Path(job["event"]).read_text())
    document = json.loads(event["body"])
    hours = (datetime(2022, 1, 1, tzinfo=UTC) + timedelta(hours=1) * count for count in range(10**6))

    def put(sk: str) -> None:
        client.put_item(
            TableName=job["table"],
            Item={"pk": {"S": "put#" + "0" * 64}, "sk": {"S": sk}, "v": {"N": "12.5"}, "t": {"N": "1665000000000"}},
            ConditionExpression="attribute_not_exists(pk)",
        )

    def blocks() -> Iterator[tuple[float, float]]:
        for _ in range(job["repetitions"] // BLOCK):
            texts = [f"{next(hours):%Y-%m-%d %H:%M:%S}" for _ in range(BLOCK)]
            events = []
            for text in texts:
                document["data"][0]["timestamp"] = text
                events.append(event | {"body": json.dumps(document)})
            started = time.process_time()
            answers = [invoke(one) for one in events]
            between = time.process_time()
            for text in texts:
                put(text)
            ended = time.process_time()
            if any(answer["statusCode"] != 201 for answer in answers):
                raise SystemExit(f"not saved: {answers}")
            yield between - started, ended - between

    both = list(blocks())[1:]  # the first are warm-up
    return {"pairs": [(ours / BLOCK, bare / BLOCK) for ours, bare in both]}


def warm_handler(job: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the handler after its first requests: it has its connections, and knows the token."""
    from ingest import app  # noqa: PLC0415  # only where it is measured

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        give_up = time.monotonic() + TIMEOUT_SECONDS
        context: Any = SimpleNamespace(
            function_name="ingest",
            memory_limit_in_mb=1769,
            invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:ingest",
            aws_request_id="11111111-2222-3333-4444-555555555555",
            get_remaining_time_in_millis=lambda: int((give_up - time.monotonic()) * 1000),
        )
        answer: dict[str, Any] = app.lambda_handler(event, context)
        return answer

    for event in job["warm_up"]:
        answer = invoke(json.loads(Path(event).read_text()))
        if answer["statusCode"] not in {200, 201}:
            raise SystemExit(f"the warm-up failed: {answer}")
    return invoke


def read_rows(job: dict[str, Any]) -> list[Row]:
    rows: list[Row] = json.loads(Path(job["rows"]).read_text())
    return rows


# --- measuring --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def measured(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure the CPU of this process, all its threads, and the time that passes; record the calls."""
    figures: dict[str, Any] = {}
    with Path(job["calls"]).open("wb") as calls, recorded(calls) as spent:
        wall, cpu = time.perf_counter(), time.process_time()
        yield figures
        figures |= {"cpu": time.process_time() - cpu - sum(spent), "wall": time.perf_counter() - wall}


@contextlib.contextmanager
def recorded(calls: BinaryIO) -> Iterator[list[float]]:
    """Write each request's body to a file, which takes no memory. Yields the CPU time of each write, in seconds."""
    send = HTTPConnectionPool.urlopen
    spent: list[float] = []

    def urlopen(pool: HTTPConnectionPool, *args: Any, **request: Any) -> Any:
        begun = time.thread_time()
        target, body = request["headers"]["X-Amz-Target"], request["body"]
        calls.write(b"%b\t%b\n" % (target if isinstance(target, bytes) else target.encode(), body))
        spent.append(time.thread_time() - begun)
        return send(pool, *args, **request)

    with mock.patch.object(HTTPConnectionPool, "urlopen", urlopen):
        yield spent


@contextlib.contextmanager
def profiled(path: str | None) -> Iterator[None]:
    """Profile all threads into `path`. A profiler sees one thread only, so that each gets its own."""
    if not path:
        yield
        return
    import cProfile  # noqa: PLC0415  # only where it is asked for
    import pstats  # noqa: PLC0415  # only where it is asked for
    import threading  # noqa: PLC0415  # only where it is asked for

    profiles = [cProfile.Profile(time.thread_time)]

    def profile_thread(*_: object) -> None:
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].enable()

    threading.setprofile(profile_thread)
    with profiles[0]:
        yield
    threading.setprofile(None)
    stats = pstats.Stats(profiles[0])
    for profile in profiles[1:]:
        stats.add(profile)
    stats.dump_stats(path)


def peak_mb() -> float:
    """Return the largest memory this process had, in MB.

    On Linux ru_maxrss begins with what the parent had when it forked, which the kernel's own high-water mark does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        mark = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(mark.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(sys.argv[1])
