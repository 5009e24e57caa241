"""Publishing saved unit metrics as CloudWatch metrics, on a schedule. The run and its log, nothing else."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from unitstream.dynamodb import LONGEST_CALL, create_client
from unitstream.problems import InvalidRequest, OutOfTime, TooMuch, UnitMetricNotFound
from unitstream.publishing import emf, is_over, samples, window
from unitstream.reading import Reader
from unitstream.saved import SavedUnitMetrics
from unitstream.table import Table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# What is left for a call that starts right before the deadline, and for the log.
RESERVED_SECONDS = LONGEST_CALL + 2.0
# So that one definition that reads too much leaves time for the others.
MOST_SECONDS_EACH = 60.0

logger = Logger()
metrics = Metrics(namespace="unitstream")


class Run(NamedTuple):
    """What a run works with, when it is, and when its time is over."""

    saved: SavedUnitMetrics
    reader: Reader
    now: datetime
    deadline: float


@logger.inject_lambda_context(log_event=False, clear_state=True)
@metrics.log_metrics
def lambda_handler(_: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Publish every saved unit metric that asks for it, and return how many.

    `over` are those of the `published` that are beyond a threshold, `failed` those that could not be published.
    """
    metrics.add_dimension("function", "publish")
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS
    run = Run(*tables(), datetime.now(UTC), deadline)
    outcomes = [publish(run, *each) for each in run.saved.published(deadline)]
    counts = {outcome: outcomes.count(outcome) for outcome in ("published", "over", "failed")}
    counts["published"] += counts["over"]
    metrics.add_metric("UnitMetricsPublished", MetricUnit.Count, counts["published"])
    metrics.add_metric("UnitMetricsOverThreshold", MetricUnit.Count, counts["over"])
    metrics.add_metric("UnitMetricsFailed", MetricUnit.Count, counts["failed"])
    return counts


def publish(run: Run, stream_id: str, name: str) -> str:
    """Publish one, and return what became of it."""
    try:
        definition = run.saved.get(stream_id, name, run.deadline)
        if not definition.publishes:
            return "unpublished"
        until = min(run.deadline, time.monotonic() + MOST_SECONDS_EACH)
        answer = run.reader.unit_metric(stream_id, window(definition, run.now), until)
        lines = [emf(sample, stream_id, name) for sample in samples(definition, answer, run.now)]
    except UnitMetricNotFound:
        return "deleted"  # in the meantime
    except Exception as exc:  # noqa: BLE001  # whatever is wrong with one, the others go on; an alarm tells of it
        # No values: neither of points nor of parameters.
        extra = {"stream_id": stream_id, "unit_metric": name, "error": type(exc).__name__, "reason": reason_of(exc)}
        logger.warning("not published", extra=extra)
        return "failed"
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return "over" if is_over(definition, answer, run.now) else "published"


def reason_of(exc: Exception) -> str:
    match exc:
        case InvalidRequest():
            return ", ".join(error.code for error in exc.errors)
        case TooMuch():
            return exc.detail
        case OutOfTime():
            return "out of time"
    return ""


@cache
def tables() -> tuple[SavedUnitMetrics, Reader]:
    table = Table(create_client(), os.environ["METRICS_TABLE"])
    return SavedUnitMetrics(table), Reader(table)
