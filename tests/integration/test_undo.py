"""Taking back, and stopping before it must be: the command against the real handlers."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from bills import bill, expected, total, written
from deployed import day_by_day
from pushing import QUOTA, Fault, environment, start
from stack import DEMO_TOKEN, DEMO_WRITE_TOKEN
from typer.testing import CliRunner

from unitstream_cli.errors import ExitCode
from unitstream_cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from deployed import Deployed
    from pushing import Push
    from typer.testing import Result

    Event = dict[str, Any]
    Points = Callable[[], dict[tuple[str, str, int], float]]

DAYS = ["--from", "2022-10-01", "--to", "2022-10-31"]


def document(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unitstream_cli.push.precautions.can_ask", lambda: True)
    monkeypatch.setattr("unitstream_cli.deletes.command.can_ask", lambda: True)


# --- a total that would double ----------------------------------------------------------------------------------------


def test_one_more_dimension(producer: Push, deployed: Deployed, points: Points) -> None:
    """It is refused, doubles if it is meant so, and is taken back to the digit: a replay of it changes nothing."""
    assert producer.document(written(producer, bill()))["created"] == 900
    before = points()
    file = written(producer, bill(region="eu"), "again.csv")
    refused = producer(file)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "had the dimensions region, service so far, but the dimension service" in refused.stderr
    assert f"900 points of 3 series, from 2022-10-01 to 2022-10-13, together {total(bill()):,}" in refused.stderr
    assert "--new-dimensions" in refused.stderr
    assert "Nothing was sent." in refused.stderr
    assert points() == before

    done = producer(file, "--new-dimensions")
    assert (done.exit_code, "900  created" in done.stdout) == (ExitCode.OK, True)
    assert sum(points().values()) == pytest.approx(2 * sum(before.values()))
    (undo,) = [line for line in done.stdout.splitlines() if line.startswith("To take it back: ")]
    asked, deleted = (producer.run(*undo.split()[5:], option, "--json") for option in ("--dry-run", "--yes"))
    assert (document(asked)["found"], document(asked)["deleted"]) == (900, 0)
    assert (document(deleted)["deleted"], document(deleted)["deleted_series"]) == (900, 3)
    assert points() == before
    for event in [event for event in deployed.events if event["httpMethod"] == "POST"]:
        deployed.invoke(event)
    assert points() == before


def test_no_dimension_more(producer: Push) -> None:
    """What the metric has already, and a metric that is not known, are sent without further questions."""
    assert producer(written(producer, bill())).exit_code == ExitCode.OK
    assert producer(written(producer, bill("d"))).exit_code == ExitCode.OK
    assert producer(written(producer, bill(region="eu").assign(metric_name="other"))).exit_code == ExitCode.OK


def test_a_dry_run_is_not_stopped(producer: Push) -> None:
    """It says the same as a notice."""
    producer(written(producer, bill()))
    asked = producer(written(producer, bill(region="eu")), "--dry-run")
    assert asked.exit_code == ExitCode.OK
    assert "Notice: no series of cost had the dimensions region, service so far" in asked.stdout


def test_a_rare_dimension_in_a_large_file(producer: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found also where few points have it, and counted alone."""
    monkeypatch.setattr("unitstream_cli.push.precautions.SAMPLED_POINTS", 20)
    producer(written(producer, bill()))
    rare = bill("z", hours=2, region="eu")
    refused = producer(written(producer, pd.concat([bill(), rare])))
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "They are 2 points of 1 series, from 2022-10-01 to 2022-10-01, together 244.01." in refused.stderr


# --- a wrong unit -----------------------------------------------------------------------------------------------------


def test_large_changes(producer: Push, points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cents instead of euros are refused without a terminal, asked about on one, and sent if they are meant so."""
    producer(written(producer, bill()))
    before = points()
    cents = written(producer, bill(factor=100))
    refused = producer(cents)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "900 of 900 points would change a value by a factor of 100 or more" in refused.stderr
    assert "cost, service=a at 2022-10-01 00:00:00: 97 → 9,700" in refused.stderr
    assert "--large-changes" in refused.stderr
    on_a_terminal(monkeypatch)
    no = producer.run("push", cents, "--agg-func", "Sum", answer="n\n")
    assert (no.exit_code, "Is that meant so?" in no.stderr) == (ExitCode.BAD_INPUT, True)
    assert points() == before
    yes = producer.run("push", cents, "--agg-func", "Sum", answer="y\n")
    assert (yes.exit_code, "900  updated" in yes.stdout) == (ExitCode.OK, True)
    assert (
        "900 points replaced another value that was saved, 900 of them by a factor of 100 or more, such" in yes.stdout
    )
    assert "To take it back: unitstream delete cost:Sum" in yes.stdout
    assert "That deletes 900 points too that had a value before, which does not come back." in yes.stdout
    assert producer(written(producer, bill()), "--large-changes").exit_code == ExitCode.OK
    assert producer(written(producer, bill(factor=1000)), "--yes").exit_code == ExitCode.OK


def test_half_of_the_rows_may_change_much(producer: Push) -> None:
    """Only more of them are asked about."""
    producer(written(producer, bill("ab")))
    half = pd.concat([bill("a"), bill("b", factor=100)])
    assert producer(written(producer, half)).exit_code == ExitCode.OK


def test_a_wrong_unit_among_new_points(producer: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    """New points do not hide that most values which are there change a hundredfold; few of them may."""
    producer(written(producer, bill("a", hours=20)))
    refused = producer(written(producer, bill("abc", factor=100)))
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "20 of 900 points would change a value by a factor of 100 or more, and only 20 have one" in refused.stderr
    few = pd.concat([bill("a", factor=100, hours=9), bill("b")])
    assert producer(written(producer, few)).exit_code == ExitCode.OK
    monkeypatch.setattr("unitstream_cli.push.precautions.SAMPLED_POINTS", 100)
    done = producer(written(producer, bill("b", factor=10_000)), "--large-changes")
    assert ", at least 100 of them by a factor of 100 or more" in done.stdout


# --- what an interrupted push saved -----------------------------------------------------------------------------------


def test_deleted_before_it_is_resumed(producer: Push, deployed: Deployed, points: Points) -> None:
    """What was saved and then deleted, also elsewhere, is not skipped. To find out, the right to write is enough."""
    producer.small_batches(13)
    producer.variables["DATA_STREAM_TOKEN"] = DEMO_WRITE_TOKEN
    file = written(producer, bill())
    deployed.before = lambda number: Fault(429, QUOTA, "3600") if number == 2 else None
    assert producer(file, "--parallel", "1").exit_code == ExitCode.UNREACHABLE
    assert points() == expected(bill("ab"))
    variables = {**producer.variables, "DATA_STREAM_TOKEN": DEMO_TOKEN, "UNITSTREAM_STATE_DIR": "elsewhere"}
    deleted = CliRunner().invoke(app, ["delete", "cost:Sum", *DAYS, "--filter", "service:a", "--yes"], env=variables)
    assert deleted.exit_code == ExitCode.OK, deleted.stderr
    resumed = producer(file, "--resume", "--json")
    assert "What the interrupted push saved was deleted since: all is sent again." in resumed.stderr
    counts = document(resumed)
    assert [counts[name] for name in ("skipped", "created", "unchanged")] == [0, 600, 300]
    assert points() == expected(bill())


# --- what a dry run says ----------------------------------------------------------------------------------------------


def test_changes(producer: Push) -> None:
    """A dry run shows the first values that would be replaced, with the lines of their rows."""
    producer(written(producer, bill()))
    file = written(producer, bill(factor=2))
    asked = producer(file, "--dry-run")
    assert "900 points would replace another value that is saved, such as:" in asked.stdout
    assert "  bill.csv:2: cost, service=a at 2022-10-01 00:00:00: 97 → 194" in asked.stdout
    told = producer.document(file, "--dry-run")
    assert (len(told["changes"]), told["large_changes"]) == (20, 0)
    assert told["changes"][1] == {
        "where": "bill.csv:3",
        "timestamp": "2022-10-01 01:00:00",
        "metric_name": "cost",
        "custom_dimensions": {"service": "a"},
        "stored_value": 97.01,
        "new_value": 194.02,
    }


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_delete(producer: Push, points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what would go, asks, and deletes that alone."""
    producer(written(producer, bill()))
    arguments = ["delete", "cost:Sum", *DAYS, "--filter", "service:a,b"]
    shown = "600 points of 2 series of cost:Sum, from 2022-10-01 00:00 to 2022-10-13 11:00, together 59,397"
    asked = producer.run(*arguments, "--dry-run")
    assert (asked.exit_code, asked.stdout) == (ExitCode.OK, f"{shown}, would be deleted.\n")
    silent = producer.run(*arguments)
    assert (silent.exit_code, "Give --yes" in silent.stderr) == (ExitCode.USAGE, True)
    on_a_terminal(monkeypatch)
    no = producer.run(*arguments, answer="n\n")
    assert (no.exit_code, f"{shown}.\n" in no.stderr) == (ExitCode.FAILED, True)
    assert "Delete 600 points of cost:Sum?" in no.stderr
    assert points() == expected(bill())
    yes = producer.run(*arguments, answer="y\n")
    assert yes.exit_code == ExitCode.OK
    assert "Deleted 600 points of 2 series of cost:Sum." in yes.stdout
    assert points() == expected(bill("c"))
    assert "go too" not in asked.stderr + yes.stderr
    nothing = producer.run(*arguments, "--yes", "--json")
    assert (nothing.exit_code, document(nothing)["deleted"]) == (ExitCode.OK, 0)
    assert "There is nothing to delete of cost:Sum." in nothing.stderr


def test_delete_what_is_not_there(producer: Push) -> None:
    """It is said what was likely meant, and no error."""
    producer(written(producer, bill()))
    result = producer.run("delete", "costs:Sum", *DAYS, "--yes")
    assert (result.exit_code, "did you mean cost" in result.stderr) == (ExitCode.OK, True)


@pytest.mark.parametrize(
    "arguments",
    [["--to", "2022-10-31"], ["--from", "2022-10-01"], [*DAYS, "--received-from", "yesterday"]],
)
def test_delete_usage(producer: Push, arguments: list[str]) -> None:
    """There is no default for the days, and times are times."""
    assert producer.run("delete", "cost:Sum", *arguments, "--yes").exit_code == ExitCode.USAGE


def test_delete_of_an_average(producer: Push) -> None:
    """A sum of averages means nothing, so none is told."""
    producer(written(producer, bill()), "--agg-func", "Average")
    asked = producer.run("delete", "cost:Average", *DAYS, "--dry-run")
    assert asked.stdout.endswith("of cost:Average, from 2022-10-01 00:00 to 2022-10-13 11:00, would be deleted.\n")


def test_delete_a_push_that_confirmed(producer: Push, points: Points) -> None:
    """The preview says that what the push replaced or only confirmed goes too."""
    producer(written(producer, bill()))
    moment = producer.document(written(producer, bill("ab")))["received_from"]
    asked, deleted = (
        producer.run("delete", "cost:Sum", *DAYS, "--received-from", moment, option)
        for option in ("--dry-run", "--yes")
    )
    for told in (asked, deleted):
        assert "a push replaced or only confirmed, go too and do not come back" in told.stderr
    assert points() == expected(bill("c"))


def test_received(producer: Push) -> None:
    """Times are taken in any form in which they are told: ISO 8601, with a blank, or as milliseconds."""
    first = producer.document(written(producer, bill("a")))["received_from"]
    second = producer.document(written(producer, bill("b")))["received_from"]
    milliseconds = str(int(pd.Timestamp(second).timestamp() * 1000))
    for moment in (second, second.replace("T", " ").removesuffix("Z"), second.replace("Z", "+00:00"), milliseconds):
        for option, value in (("--received-from", "b"), ("--received-before", "a")):
            found = document(producer.run("delete", "cost:Sum", *DAYS, option, moment, "--dry-run", "--json"))
            assert (found["found"], found["sum"]) == (300, total(bill(value)))
            assert found[option.removeprefix("--").replace("-", "_")] == second
    assert first < second


def test_deleting_that_takes_several_requests(producer: Push, deployed: Deployed, points: Points) -> None:
    """A preview that is too large is asked in halves; a deletion whose time runs out goes on until all is deleted."""
    producer(written(producer, bill()))
    deployed.invoke = day_by_day(deployed.invoke)
    done = producer.run("delete", "cost:Sum", *DAYS, "--yes", "--json")
    told = document(done)
    assert done.exit_code == ExitCode.OK
    assert [told[name] for name in ("found", "found_series", "deleted", "deleted_series")] == [900, None, 900, None]
    assert (told["first_timestamp"], told["last_timestamp"]) == ("2022-10-01T00:00:00Z", "2022-10-13T11:00:00Z")
    assert points() == {}


def test_interrupted(producer: Push, deployed: Deployed, points: Points) -> None:
    """Ctrl-C lets the request under way end, and says that the same command goes on."""
    producer(written(producer, bill()))
    deployed.invoke = day_by_day(deployed.invoke)
    reached, gate = threading.Event(), threading.Event()

    def held(number: int) -> None:
        if number == 3:
            reached.set()
            assert gate.wait(60)

    deployed.before_deleting = held
    variables = environment(deployed.url, producer.folder / "state", token=DEMO_TOKEN)
    process = start(["delete", "cost:Sum", *DAYS, "--yes", "--json"], variables)
    assert reached.wait(60)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    while not process.stderr.readline().startswith("Stopping: "):
        pass
    gate.set()
    out, err = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Deleted 288 points so far. The same command goes on." in err
    assert (json.loads(out)["complete"], json.loads(out)["deleted"]) == (False, 288)
    assert len(points()) == 900 - 288
    assert producer.run("delete", "cost:Sum", *DAYS, "--yes").exit_code == ExitCode.OK
    assert points() == {}


def test_an_answer_that_was_lost(producer: Push, deployed: Deployed, points: Points) -> None:
    """What was deleted and not told is not claimed, and not denied."""
    producer(written(producer, bill()))
    deployed.before_deleting = lambda number: Fault(0, saves=True) if number == 0 else None
    done = producer.run("delete", "cost:Sum", *DAYS, "--yes")
    assert (done.exit_code, "Deleted at least 0 points of cost:Sum." in done.stdout) == (ExitCode.OK, True)
    assert points() == {}


def test_interrupted_while_it_asks(producer: Push, deployed: Deployed, points: Points) -> None:
    """Ctrl-C at the question ends it, and nothing is deleted."""
    producer(written(producer, bill()))
    ours, theirs = pty.openpty()
    variables = environment(deployed.url, producer.folder / "state", token=DEMO_TOKEN)
    process = start(["delete", "cost:Sum", *DAYS], variables, stdin=theirs, stdout=theirs)
    assert process.stderr
    shown = ""
    while "[y/N]" not in shown:
        shown += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    for end in (ours, theirs):
        os.close(end)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "nothing was deleted" in err
    assert len(points()) == 900
