"""Taking back, replacing, and stopping before a total doubles: the command against the real handlers."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from pushing import QUOTA, Deployed, Fault, Push, environment, running, start_push
from stack import DEMO_TOKEN
from support import stored_points

from unitstream.identity import record_id
from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Tables
    from typer.testing import Result

    Event = dict[str, Any]

DAYS = ["--from", "2022-10-01", "--to", "2022-10-31"]
HOURS = pd.date_range("2022-10-01", periods=300, freq="h")


@pytest.fixture
def deployed(invoke: Callable[[Event], Event]) -> Iterator[Deployed]:
    with running(Deployed(invoke)) as started:
        yield started


@pytest.fixture
def push(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    pushing = Push(deployed, tmp_path, monkeypatch)
    pushing.variables["DATA_STREAM_TOKEN"] = DEMO_TOKEN
    return pushing


@pytest.fixture
def points(tables: Tables) -> Callable[[], dict[tuple[str, str, int], float]]:
    """What the table holds: (record ID, day, hour) -> value."""
    return lambda: {key: value for key, (_, value) in stored_points(tables.client, tables.metrics).items()}


def bill(services: str = "abc", factor: float = 1, hours: int = 300, **more: str) -> pd.DataFrame:
    """A bill of services, hour by hour."""
    rows = [
        (f"{hour:%Y-%m-%d %H:%M:%S}", "cost", round((ord(service) + number / 100) * factor, 2), service)
        for service in services
        for number, hour in enumerate(HOURS[:hours])
    ]
    return pd.DataFrame(rows, columns=["timestamp", "metric_name", "metric_value", "service"]).assign(**more)


def total(frame: pd.DataFrame) -> float:
    """The sum of cents."""
    return float((frame["metric_value"] * 100).round().sum() / 100)


def written(push: Push, frame: pd.DataFrame, name: str = "bill.csv") -> str:
    return push.file(frame.to_csv(index=False), name)


def expected(frame: pd.DataFrame, function: str = "Sum") -> dict[tuple[str, str, int], float]:
    keys = [name for name in frame if name not in {"timestamp", "metric_name", "metric_value"}]
    return {
        (
            record_id(row["metric_name"], function, {key: row[key] for key in keys}),
            row["timestamp"][:10],
            int(row["timestamp"][11:13]),
        ): row["metric_value"]
        for row in frame.to_dict("records")
    }


def document(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unitstream_cli.push.precautions.can_ask", lambda: True)
    monkeypatch.setattr("unitstream_cli.deletes.command.can_ask", lambda: True)


# --- a total that would double ----------------------------------------------------------------------------------------


def test_one_more_dimension(push: Push, deployed: Deployed, points: Callable[[], dict[Any, float]]) -> None:
    """It is refused, doubles if it is meant so, and is taken back to the digit: a replay of it changes nothing."""
    assert push.document(written(push, bill()))["created"] == 900
    before = points()
    file = written(push, bill(region="eu"), "again.csv")
    refused = push(file)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "had the dimensions region, service so far, but the dimension service" in refused.stderr
    assert f"900 points of 3 series, from 2022-10-01 to 2022-10-13, together {total(bill()):,}" in refused.stderr
    assert "--new-dimensions" in refused.stderr
    assert "Nothing was sent." in refused.stderr
    assert points() == before

    done = push(file, "--new-dimensions")
    assert (done.exit_code, "900  created" in done.stdout) == (ExitCode.OK, True)
    assert sum(points().values()) == pytest.approx(2 * sum(before.values()))
    (undo,) = [line for line in done.stdout.splitlines() if line.startswith("To take it back: ")]
    asked, deleted = (push.run(*undo.split()[5:], option, "--json") for option in ("--dry-run", "--yes"))
    assert (document(asked)["found"], document(asked)["deleted"]) == (900, 0)
    assert (document(deleted)["deleted"], document(deleted)["deleted_series"]) == (900, 3)
    assert points() == before
    for event in [event for event in deployed.events if event["httpMethod"] == "POST"]:
        deployed.invoke(event)
    assert points() == before


def test_no_dimension_more(push: Push) -> None:
    """What the metric has already, and a metric that is not known, are sent without further questions."""
    assert push(written(push, bill())).exit_code == ExitCode.OK
    assert push(written(push, bill("d"))).exit_code == ExitCode.OK
    assert push(written(push, bill(region="eu").assign(metric_name="other"))).exit_code == ExitCode.OK


def test_a_dry_run_is_not_stopped(push: Push) -> None:
    """It says the same as a notice."""
    push(written(push, bill()))
    asked = push(written(push, bill(region="eu")), "--dry-run")
    assert asked.exit_code == ExitCode.OK
    assert "Notice: no series of cost had the dimensions region, service so far" in asked.stdout


def test_a_rare_dimension_in_a_large_file(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found also where few points have it, and counted alone."""
    monkeypatch.setattr("unitstream_cli.push.precautions.SAMPLED_POINTS", 20)
    push(written(push, bill()))
    rare = bill("z", hours=2, region="eu")
    refused = push(written(push, pd.concat([bill(), rare])))
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "They are 2 points of 1 series, from 2022-10-01 to 2022-10-01, together 244.01." in refused.stderr


# --- a wrong unit -----------------------------------------------------------------------------------------------------


def test_large_changes(push: Push, points: Callable[[], dict[Any, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cents instead of euros are refused without a terminal, asked about on one, and sent if they are meant so."""
    push(written(push, bill()))
    before = points()
    cents = written(push, bill(factor=100))
    refused = push(cents)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "900 of 900 points would change a value by a factor of 100 or more" in refused.stderr
    assert "cost, service=a at 2022-10-01 00:00:00: 97 → 9,700" in refused.stderr
    assert "--large-changes" in refused.stderr
    on_a_terminal(monkeypatch)
    no = push.run("push", cents, "--agg-func", "Sum", answer="n\n")
    assert (no.exit_code, "Is that meant so?" in no.stderr) == (ExitCode.BAD_INPUT, True)
    assert points() == before
    yes = push.run("push", cents, "--agg-func", "Sum", answer="y\n")
    assert (yes.exit_code, "900  updated" in yes.stdout) == (ExitCode.OK, True)
    assert "To take it back: unitstream delete cost:Sum" in yes.stdout
    assert "The values that were replaced do not come back by that." in yes.stdout
    assert push(written(push, bill()), "--large-changes").exit_code == ExitCode.OK
    assert push(written(push, bill(factor=1000)), "--yes").exit_code == ExitCode.OK


def test_half_of_the_rows_may_change_much(push: Push) -> None:
    """Only more of them are asked about."""
    push(written(push, bill("ab")))
    half = pd.concat([bill("a"), bill("b", factor=100)])
    assert push(written(push, half)).exit_code == ExitCode.OK


# --- what a dry run says ----------------------------------------------------------------------------------------------


def test_changes(push: Push) -> None:
    """A dry run shows the first values that would be replaced, with the lines of their rows."""
    push(written(push, bill()))
    file = written(push, bill(factor=2))
    asked = push(file, "--dry-run")
    assert "900 points would replace another value that is saved, such as:" in asked.stdout
    assert "  bill.csv:2: cost, service=a at 2022-10-01 00:00:00: 97 → 194" in asked.stdout
    told = push.document(file, "--dry-run")
    assert (len(told["changes"]), told["large_changes"]) == (20, 0)
    assert told["changes"][1] == {
        "where": "bill.csv:3",
        "timestamp": "2022-10-01 01:00:00",
        "metric_name": "cost",
        "custom_dimensions": {"service": "a"},
        "stored_value": 97.01,
        "new_value": 194.02,
    }


# --- replacing --------------------------------------------------------------------------------------------------------


def test_a_restated_bill(push: Push, points: Callable[[], dict[Any, float]]) -> None:
    """A service that vanished is deleted, what stayed is unchanged, and other days and metrics stay as they are."""
    november = bill().assign(timestamp=lambda frame: frame["timestamp"].str.replace("2022-10", "2022-11"))
    orders = bill().assign(metric_name="orders")
    push(written(push, pd.concat([bill(), november, orders])))
    restated = pd.concat([bill("a"), bill("b", factor=1.5)])
    file = written(push, restated)
    asked = push.document(file, "--replace", "--dry-run")
    told = push.document(file, "--replace")
    for counts in (asked, told):
        assert [counts[name] for name in ("created", "updated", "unchanged", "deleted")] == [0, 300, 300, 300]
    assert told["deleted_series"] == 1
    assert points() == expected(restated) | expected(november) | expected(orders)
    again = push(file, "--replace")
    assert (again.exit_code, "  0  deleted" in again.stdout) == (ExitCode.OK, True)


def test_replaced_dimensions(push: Push, points: Callable[[], dict[Any, float]]) -> None:
    """With other dimensions nothing doubles, so nothing is asked, and what had the old ones is gone."""
    push(written(push, bill()))
    assert push(written(push, bill(region="eu")), "--replace").exit_code == ExitCode.OK
    assert points() == expected(bill(region="eu"))


def test_more_days_than_the_files_have(push: Push, points: Callable[[], dict[Any, float]]) -> None:
    """They can be widened, and not narrowed."""
    push(written(push, bill()))
    file = written(push, bill("a", hours=24))
    narrow = push(file, "--replace", "--replace-from", "2022-10-02")
    assert narrow.exit_code == ExitCode.BAD_INPUT
    assert "2022-10-02 leaves out days of the files, which go from 2022-10-01 to 2022-10-01" in narrow.stderr
    wide = ["--replace-from", "2022-09-01", "--replace-to", "2022-10-12"]
    assert push(file, "--replace", *wide).exit_code == ExitCode.OK
    last_day = bill()[lambda frame: frame["timestamp"] > "2022-10-13"]
    assert points() == expected(bill("a", hours=24)) | expected(last_day)


def test_what_another_producer_owns(push: Push, points: Callable[[], dict[Any, float]]) -> None:
    """A filter keeps it, and every row must pass the filter: else nothing is sent."""
    theirs, ours = bill("ab", account="2"), bill("abc", account="1")
    push(written(push, pd.concat([theirs, ours])))
    own = ["--replace", "--replace-filter", "account:1"]
    assert push(written(push, bill("a", account="1")), *own).exit_code == ExitCode.OK
    assert points() == expected(theirs) | expected(bill("a", account="1"))
    refused = push(written(push, pd.concat([bill("a", account="1"), bill("b", hours=1, account="2")])), *own)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "bill.csv:302: --replace-filter account:1 keeps other points only: of account, it is '2'" in refused.stderr
    assert "1 row of 301 is wrong" in refused.stderr
    assert points() == expected(theirs) | expected(bill("a", account="1"))
    more = push(written(push, bill("a", account="1", region="eu")), *own)
    assert (more.exit_code, "had the dimensions account, region, service" in more.stderr) == (ExitCode.BAD_INPUT, True)


@pytest.mark.parametrize(
    "options",
    [
        ["--replace", "--skip-invalid"],
        ["--replace-from", "2022-10-01"],
        ["--replace-filter", "region:eu"],
        ["--replace", "--replace-filter", "region"],
    ],
)
def test_usage(push: Push, options: list[str]) -> None:
    """What would delete rows that were left out, or has no meaning alone, is wrong usage."""
    assert push(written(push, bill()), *options).exit_code == ExitCode.USAGE


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_replacing_that_was_interrupted(
    push: Push, deployed: Deployed, points: Callable[[], dict[Any, float]], resume: list[str]
) -> None:
    """When all is sent and nothing deleted, the same command completes it; with --resume only that is left to do."""
    push(written(push, bill()))
    file = written(push, bill("a", factor=2))
    deployed.before_deleting = lambda _: Fault(429, QUOTA, "3600")
    failed = push(file, "--replace")
    assert failed.exit_code == ExitCode.UNREACHABLE
    assert "Not everything is replaced" in failed.stdout
    assert points() == expected(bill("bc")) | expected(bill("a", factor=2))
    deployed.before_deleting = lambda _: None
    sent = len(deployed.requests)
    completed = push.document(file, "--replace", *resume)
    assert (completed["skipped"], completed["deleted"]) == (300 if resume else 0, 600)
    assert len(deployed.requests) - sent == (0 if resume else 1)
    assert points() == expected(bill("a", factor=2))


def test_a_push_that_failed_deletes_nothing(
    push: Push, deployed: Deployed, points: Callable[[], dict[Any, float]]
) -> None:
    """What was there before stays for as long as not all is saved that takes its place."""
    push(written(push, bill()))
    deployed.before = lambda _: Fault(429, QUOTA, "3600")
    assert push(written(push, bill("a", factor=2)), "--replace").exit_code == ExitCode.UNREACHABLE
    assert points() == expected(bill())
    assert deployed.deletions == 0


def test_killed_between_sending_and_deleting(
    push: Push, deployed: Deployed, points: Callable[[], dict[Any, float]]
) -> None:
    """The journal knows when the first request was received, so what a killed push has saved is not deleted."""
    push(written(push, bill()))
    file = written(push, bill("a", factor=2))
    reached, gate = threading.Event(), threading.Event()

    def held(_: int) -> Fault:
        reached.set()
        assert gate.wait(60)
        return Fault(429, QUOTA, "3600")

    deployed.before_deleting = held
    variables = environment(deployed.url, push.folder / "state", token=DEMO_TOKEN)
    process = start_push([file, "--agg-func", "Sum", "--replace"], variables)
    assert reached.wait(60)
    process.kill()
    process.communicate()
    gate.set()
    deployed.before_deleting = lambda _: None
    completed = push.document(file, "--replace", "--resume")
    assert (completed["skipped"], completed["sent"], completed["deleted"]) == (300, 0, 600)
    assert points() == expected(bill("a", factor=2))


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_delete(push: Push, points: Callable[[], dict[Any, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what would go, asks, and deletes that alone."""
    push(written(push, bill()))
    arguments = ["delete", "cost:Sum", *DAYS, "--filter", "service:a,b"]
    shown = "600 points of 2 series of cost:Sum, from 2022-10-01 00:00 to 2022-10-13 11:00, together 59,397"
    asked = push.run(*arguments, "--dry-run")
    assert (asked.exit_code, asked.stdout) == (ExitCode.OK, f"{shown}, would be deleted.\n")
    silent = push.run(*arguments)
    assert (silent.exit_code, "Give --yes" in silent.stderr) == (ExitCode.USAGE, True)
    on_a_terminal(monkeypatch)
    no = push.run(*arguments, answer="n\n")
    assert (no.exit_code, f"{shown}.\n" in no.stderr) == (ExitCode.FAILED, True)
    assert "Delete 600 points of cost:Sum?" in no.stderr
    assert points() == expected(bill())
    yes = push.run(*arguments, answer="y\n")
    assert yes.exit_code == ExitCode.OK
    assert "Deleted 600 points of 2 series of cost:Sum." in yes.stdout
    assert points() == expected(bill("c"))
    nothing = push.run(*arguments, "--yes", "--json")
    assert (nothing.exit_code, document(nothing)["deleted"]) == (ExitCode.OK, 0)
    assert "There is nothing to delete of cost:Sum." in nothing.stderr


def test_delete_what_is_not_there(push: Push) -> None:
    """It is said what was likely meant, and no error."""
    push(written(push, bill()))
    result = push.run("delete", "costs:Sum", *DAYS, "--yes")
    assert (result.exit_code, "did you mean cost" in result.stderr) == (ExitCode.OK, True)


@pytest.mark.parametrize(
    "arguments",
    [["--to", "2022-10-31"], ["--from", "2022-10-01"], [*DAYS, "--received-from", "yesterday"]],
)
def test_delete_usage(push: Push, arguments: list[str]) -> None:
    """There is no default for the days, and times are times."""
    assert push.run("delete", "cost:Sum", *arguments, "--yes").exit_code == ExitCode.USAGE


def test_received(push: Push) -> None:
    """Times are taken in any form in which they are told: ISO 8601, with a blank, or as milliseconds."""
    first = push.document(written(push, bill("a")))["received_from"]
    second = push.document(written(push, bill("b")))["received_from"]
    milliseconds = str(int(pd.Timestamp(second).timestamp() * 1000))
    for moment in (second, second.replace("T", " ").removesuffix("Z"), second.replace("Z", "+00:00"), milliseconds):
        for option, value in (("--received-from", "b"), ("--received-before", "a")):
            found = document(push.run("delete", "cost:Sum", *DAYS, option, moment, "--dry-run", "--json"))
            assert (found["found"], found["sum"]) == (300, total(bill(value)))
            assert found[option.removeprefix("--").replace("-", "_")] == second
    assert first < second


def test_deleting_that_takes_several_requests(
    push: Push, deployed: Deployed, points: Callable[[], dict[Any, float]]
) -> None:
    """A preview that is too large is asked in halves; a deletion whose time runs out goes on until all is deleted."""
    push(written(push, bill()))
    invoke = deployed.invoke

    def by_day(event: Event) -> Event:
        parameters = event["multiValueQueryStringParameters"] or {}
        if event["httpMethod"] != "DELETE" or parameters["start_date"] == parameters["end_date"]:
            return invoke(event)
        if "dry_run" in parameters:
            problem = {"type": "urn:unitstream:problem:answer-too-large", "title": "Too large", "status": 400}
            return {"statusCode": 400, "body": json.dumps(problem)}
        for day in pd.date_range(parameters["start_date"][0], parameters["end_date"][0]):
            of_day = parameters | {name: [f"{day:%Y-%m-%d}"] for name in ("start_date", "end_date")}
            answer = json.loads(invoke(event | {"multiValueQueryStringParameters": of_day})["body"])
            if answer["deleted"]:
                problem = {"type": "urn:unitstream:problem:out-of-time", "title": "Not all in time", "status": 503}
                return {"statusCode": 503, "body": json.dumps(problem | answer)}
        return {"statusCode": 200, "body": json.dumps({"deleted": 0, "series": 0})}

    deployed.invoke = by_day
    done = push.run("delete", "cost:Sum", *DAYS, "--yes", "--json")
    told = document(done)
    assert done.exit_code == ExitCode.OK
    assert [told[name] for name in ("found", "found_series", "deleted", "deleted_series")] == [900, None, 900, None]
    assert (told["first_timestamp"], told["last_timestamp"]) == ("2022-10-01T00:00:00Z", "2022-10-13T11:00:00Z")
    assert points() == {}
