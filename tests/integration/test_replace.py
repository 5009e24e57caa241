"""`unitstream push --replace` against the real handlers: what the files no longer have is deleted, and no more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from bills import bill, expected, total, written
from deployed import day_by_day
from pushing import QUOTA, Fault, Push, environment, start_push
from stack import DEMO_TOKEN, DEMO_WRITE_TOKEN

from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from deployed import Deployed

    Event = dict[str, Any]
    Points = Callable[[], dict[tuple[str, str, int], float]]


def test_a_restated_bill(producer: Push, points: Points) -> None:
    """A service that vanished is deleted, what stayed is unchanged, and other days and metrics stay as they are."""
    november = bill().assign(timestamp=lambda frame: frame["timestamp"].str.replace("2022-10", "2022-11"))
    orders = bill().assign(metric_name="orders")
    producer(written(producer, pd.concat([bill(), november, orders])))
    restated = pd.concat([bill("a"), bill("b", factor=1.5)])
    file = written(producer, restated)
    asked = producer.document(file, "--replace", "--dry-run")
    told = producer.document(file, "--replace")
    for counts in (asked, told):
        assert [counts[name] for name in ("created", "updated", "unchanged", "deleted")] == [0, 300, 300, 300]
    assert told["deleted_series"] == 1
    assert points() == expected(restated) | expected(november) | expected(orders)
    fewer = producer(written(producer, bill("a"), "fewer.csv"), "--replace")
    span = f"from 2022-10-01 00:00 to 2022-10-13 11:00, together {total(bill('b', factor=1.5)):,}"
    assert f"What was deleted was {span}. It does not come back by itself." in fewer.stdout
    again = producer(file, "--replace")
    assert (again.exit_code, "  0  deleted" in again.stdout) == (ExitCode.OK, True)


def test_who_may_not_delete_replaces_nothing(producer: Push, points: Points) -> None:
    """And is told before anything is sent. To push without --replace, the right to write is enough."""
    producer(written(producer, bill()))
    before = points()
    producer.variables["DATA_STREAM_TOKEN"] = DEMO_WRITE_TOKEN
    file = written(producer, bill(factor=1.5))
    refused = producer(file, "--replace")
    assert refused.exit_code == ExitCode.REJECTED
    assert "the right to delete" in refused.stderr
    assert points() == before
    assert producer(file).exit_code == ExitCode.OK
    assert points() == expected(bill(factor=1.5))


def test_replaced_dimensions(producer: Push, points: Points) -> None:
    """With other dimensions nothing doubles, so nothing is asked, and what had the old ones is gone."""
    producer(written(producer, bill()))
    assert producer(written(producer, bill(region="eu")), "--replace").exit_code == ExitCode.OK
    assert points() == expected(bill(region="eu"))


def test_more_days_than_the_files_have(producer: Push, points: Points) -> None:
    """They can be widened, and not narrowed."""
    producer(written(producer, bill()))
    file = written(producer, bill("a", hours=24))
    narrow = producer(file, "--replace", "--replace-from", "2022-10-02")
    assert narrow.exit_code == ExitCode.BAD_INPUT
    assert "2022-10-02 leaves out days of the files, which go from 2022-10-01 to 2022-10-01" in narrow.stderr
    wide = ["--replace-from", "2022-09-01", "--replace-to", "2022-10-12"]
    assert producer(file, "--replace", "--yes", *wide).exit_code == ExitCode.OK
    last_day = bill()[lambda frame: frame["timestamp"] > "2022-10-13"]
    assert points() == expected(bill("a", hours=24)) | expected(last_day)


def test_what_another_producer_owns(producer: Push, points: Points) -> None:
    """A filter keeps it, and every row must pass the filter: else nothing is sent."""
    theirs, ours = bill("ab", account="2"), bill("abc", account="1")
    producer(written(producer, pd.concat([theirs, ours])))
    own = ["--replace", "--replace-filter", "account:1", "--yes"]
    assert producer(written(producer, bill("a", account="1")), *own).exit_code == ExitCode.OK
    assert points() == expected(theirs) | expected(bill("a", account="1"))
    refused = producer(written(producer, pd.concat([bill("a", account="1"), bill("b", hours=1, account="2")])), *own)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "bill.csv:302: --replace-filter account:1 keeps other points only: of account, it is '2'" in refused.stderr
    assert "1 row of 301 is wrong" in refused.stderr
    assert points() == expected(theirs) | expected(bill("a", account="1"))
    more = producer(written(producer, bill("a", account="1", region="eu")), *own)
    assert (more.exit_code, "had the dimensions account, region, service" in more.stderr) == (ExitCode.BAD_INPUT, True)
    assert "what they replace passes --replace-filter" in more.stderr
    assert "with --replace or" not in more.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--replace", "--skip-invalid"],
        ["--replace-from", "2022-10-01"],
        ["--replace-filter", "region:eu"],
        ["--replace", "--replace-filter", "region"],
    ],
)
def test_usage(producer: Push, options: list[str]) -> None:
    """What would delete rows that were left out, or has no meaning alone, is wrong usage."""
    assert producer(written(producer, bill()), *options).exit_code == ExitCode.USAGE


def test_filters_that_the_service_refuses(producer: Push, deployed: Deployed) -> None:
    """They are refused before anything is sent: later, nothing could be deleted."""
    filters = [option for n in range(21) for option in ("--replace-filter", f"-service:{n}")]
    refused = producer(written(producer, bill()), "--replace", *filters)
    assert (refused.exit_code, "filter must occur at most 20 times" in refused.stderr) == (ExitCode.BAD_INPUT, True)
    assert not deployed.events


def test_most_would_vanish(producer: Push, points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was cut off is refused without a terminal, asked about on one, and replaces all if it is meant so."""
    producer(written(producer, bill("ab")))
    few = written(producer, bill("a", hours=200), "few.csv")
    refused = producer(few, "--replace", "--replace-to", "2022-10-13", "--large-changes")
    assert refused.exit_code == ExitCode.BAD_INPUT
    there = "600 are there to be replaced, from 2022-10-01 00:00 to 2022-10-13 11:00, together 59,397"
    assert f"the files have 200 points, and {there}: " in refused.stderr
    assert "at least 400 would be deleted, and do not come back by themselves" in refused.stderr
    assert "Nothing was sent.\n" in refused.stderr
    assert "--yes sends them" in refused.stderr
    monkeypatch.setattr("unitstream_cli.push.precautions.can_ask", lambda: True)
    no = producer.run("push", few, "--agg-func", "Sum", "--replace", "--replace-to", "2022-10-13", answer="n\n")
    assert (no.exit_code, "Is that meant so?" in no.stderr) == (ExitCode.BAD_INPUT, True)
    assert points() == expected(bill("ab"))
    yes = producer.run("push", few, "--agg-func", "Sum", "--replace", "--replace-to", "2022-10-13", answer="y\n")
    assert (yes.exit_code, points()) == (ExitCode.OK, expected(bill("a", hours=200)))


def test_sums_of_several_metrics(producer: Push) -> None:
    """Each has its own, and what is no Sum has none."""
    file = written(producer, pd.concat([bill(), bill().assign(metric_name="orders")]))
    rest = written(producer, pd.concat([bill("a"), bill("a").assign(metric_name="orders")]), "rest.csv")
    for function, together in (
        ("Sum", f", together {total(bill()):,} of cost:Sum; "),
        ("Average", ": at least 1,200 "),
    ):
        assert producer(file, "--agg-func", function).exit_code == ExitCode.OK
        refused = producer(rest, "--agg-func", function, "--replace")
        assert f"1,800 are there to be replaced, from 2022-10-01 00:00 to 2022-10-13 11:00{together}" in refused.stderr


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_replacing_that_was_interrupted(producer: Push, deployed: Deployed, points: Points, resume: list[str]) -> None:
    """When all is sent and nothing deleted, the same command completes it; with --resume only that is left to do."""
    producer(written(producer, bill()))
    file = written(producer, bill("a", factor=2))
    deployed.before_deleting = lambda _: Fault(429, QUOTA, "3600")
    failed = producer(file, "--replace", "--yes")
    assert failed.exit_code == ExitCode.UNREACHABLE
    assert "Not everything is replaced" in failed.stdout
    assert points() == expected(bill("bc")) | expected(bill("a", factor=2))
    deployed.before_deleting = lambda _: None
    sent = len(deployed.requests)
    completed = producer.document(file, "--replace", "--yes", *resume)
    assert (completed["skipped"], completed["deleted"]) == (300 if resume else 0, 600)
    assert len(deployed.requests) - sent == (0 if resume else 1)
    assert points() == expected(bill("a", factor=2))


def test_deleting_that_takes_several_requests(producer: Push, deployed: Deployed, points: Points) -> None:
    """Where the time runs out while it deletes, it goes on until nothing is left that the files do not have."""
    producer(written(producer, bill()))
    deployed.invoke = day_by_day(deployed.invoke)
    file = written(producer, bill("a"))
    asked = producer.document(file, "--replace", "--dry-run")
    told = producer.document(file, "--replace", "--yes")
    assert (asked["deleted"], told["deleted"], told["deleted_series"]) == (600, 600, None)
    assert points() == expected(bill("a"))


def test_an_answer_that_was_lost(producer: Push, deployed: Deployed, points: Points) -> None:
    """What was deleted and not told is not denied."""
    producer(written(producer, bill()))
    deployed.before_deleting = lambda number: Fault(0, saves=True) if number == 0 else None
    done = producer(written(producer, bill("a")), "--replace", "--yes")
    assert (done.exit_code, "  0  deleted, or more: an answer was lost" in done.stdout) == (ExitCode.OK, True)
    assert points() == expected(bill("a"))


def test_a_push_that_failed_deletes_nothing(producer: Push, deployed: Deployed, points: Points) -> None:
    """What was there before stays for as long as not all is saved that takes its place."""
    producer(written(producer, bill()))
    deployed.before = lambda _: Fault(429, QUOTA, "3600")
    assert producer(written(producer, bill("a", factor=2)), "--replace", "--yes").exit_code == ExitCode.UNREACHABLE
    assert points() == expected(bill())
    assert deployed.deletions == 0


def test_killed_between_sending_and_deleting(producer: Push, deployed: Deployed, points: Points) -> None:
    """The journal knows when the first request was received, so what a killed producer has saved is not deleted."""
    producer(written(producer, bill()))
    file = written(producer, bill("a", factor=2))
    reached, gate = threading.Event(), threading.Event()

    def held(_: int) -> Fault:
        reached.set()
        assert gate.wait(60)
        return Fault(429, QUOTA, "3600")

    deployed.before_deleting = held
    variables = environment(deployed.url, producer.folder / "state", token=DEMO_TOKEN)
    process = start_push([file, "--agg-func", "Sum", "--replace", "--yes"], variables)
    assert reached.wait(60)
    process.kill()
    process.communicate()
    gate.set()
    deployed.before_deleting = lambda _: None
    completed = producer.document(file, "--replace", "--resume")
    assert (completed["skipped"], completed["sent"], completed["deleted"]) == (300, 0, 600)
    assert points() == expected(bill("a", factor=2))
