"""`unitstream push` against a service of the tests' own: what it sends, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import random
import re
import signal
import subprocess
import threading
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from pushing import API_KEY, NO_STREAM, QUOTA, TOKEN, Fault, Push, Service, environment, start_push
from support import free_port, point, request_body

from unitstream.identity import record_id
from unitstream_cli.api import Api, Exchange
from unitstream_cli.errors import ExitCode, Unreachable
from unitstream_cli.settings import Service as Address

if TYPE_CHECKING:
    from pathlib import Path

    from unitstream.days import Counts

HEADER = "timestamp,metric_name,metric_value,region\n"
ORDERS = HEADER + "".join(f"2022-10-01 {hour:02}:00:00,orders,{hour},eu\n" for hour in range(24))


def month(days: int = 30, correction: float = 0.0) -> str:
    rows = (
        f"2022-09-{day + 1:02} {hour:02}:00:00,orders,{hour + correction},eu\n"
        for day in range(days)
        for hour in range(24)
    )
    return HEADER + "".join(rows)


def expected(text: str) -> dict[tuple[str, str, int], float]:
    """The points of a file with the columns of `HEADER`."""
    return {
        (
            record_id(row["metric_name"], "Sum", {"region": row["region"]}),
            row["timestamp"][:10],
            int(row["timestamp"][11:13]),
        ): float(row["metric_value"])
        for row in csv.DictReader(text.splitlines())
    }


def test_push_twice(push: Push) -> None:
    """Everything is saved, and pushing it again changes nothing."""
    file = push.file(ORDERS)
    first, second = push(file), push(file)
    assert first.exit_code == second.exit_code == ExitCode.OK
    assert (
        first.stdout.splitlines()[0]
        == "orders.csv: 24 rows, 24 points, 1 series; dimensions region; 2022-10-01 to 2022-10-01"
    )
    assert "24  created" in first.stdout
    assert "24  unchanged" in second.stdout
    assert first.stderr == ""
    assert push.service.points == expected(ORDERS)


def test_several_files(push: Push) -> None:
    """Files are one push, so that what is in two of them is noticed; each has its own columns."""
    other = push.file("region,metric_value,metric_name,timestamp\nus,7,orders,2022-10-01\n", "us.csv")
    assert push.document(push.file(ORDERS), other)["created"] == 25
    result = push("orders.csv", push.file(HEADER + "\n\n2022-10-01,orders,0,eu\n", "again.csv"))
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "again.csv:4: is for the same record and hour as orders.csv:2" in result.stderr


def test_the_same_file_twice(push: Push) -> None:
    """By whatever name: its rows would count twice."""
    file = push.file(ORDERS)
    result = push(file, f"./{file}", "--combine", "sum")
    assert (result.exit_code, "is given twice" in result.stderr) == (ExitCode.USAGE, True)


def test_dry_run(push: Push) -> None:
    """A dry run says what would change, and changes nothing."""
    file = push.file(ORDERS)
    assert "Would save all" in push(file, "--dry-run").stdout
    assert push.document(file, "--dry-run")["created"] == 24
    assert not push.service.points


def test_bad_rows(push: Push) -> None:
    """Every bad row is reported with its line, column and reason; nothing is sent."""
    file = push.file(ORDERS + "2022-10-02,orders,x,eu\n2022-10-02 00:30,orders,1,eu\n")
    result = push(file, "--errors", "errors.csv")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "orders.csv:26: metric_value: 'x' does not convert to a float" in result.stderr
    assert "2 rows of 26 are wrong" in result.stderr
    assert result.stdout == ""
    assert not push.service.requests
    with (push.folder / "errors.csv").open(newline="") as written:
        rows = list(csv.reader(written))
    assert [row[:3] for row in rows] == [
        ["file", "line", "column"],
        ["orders.csv", "26", "metric_value"],
        ["orders.csv", "27", "timestamp"],
    ]


def test_many_bad_rows(push: Push) -> None:
    """The terminal shows the first and the total, the file of errors has all of them."""
    file = push.file(HEADER + "x,orders,1,eu\n" * 1_000)
    result = push(file, "--errors", "errors.csv")
    assert result.stderr.count("orders.csv:") == 20
    assert "1,000 rows of 1,000 are wrong; the first 20 are listed, all are in errors.csv" in result.stderr
    assert len((push.folder / "errors.csv").read_text().splitlines()) == 1_001


def test_skip_invalid(push: Push) -> None:
    """What is valid is sent if that is asked for, and it is said what was left out."""
    result = push(push.file(ORDERS + "2022-10-02,orders,x,eu\n"), "--skip-invalid")
    assert result.exit_code == ExitCode.OK
    assert "1 row of 25 left out" in result.stderr
    assert push.service.points == expected(ORDERS)


def test_nothing_valid(push: Push) -> None:
    """When no row is left, that is an error all the same."""
    assert push(push.file(HEADER + "x,orders,1,eu\n"), "--skip-invalid").exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("content", ["", HEADER, "\ufeff" + HEADER + "\n\n"])
def test_no_rows(push: Push, content: str) -> None:
    """An export that came out empty is an error, so that a job does not fail silently."""
    result = push(push.file(content))
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "orders.csv has no rows; nothing was sent" in result.stderr


def test_control_characters(push: Push) -> None:
    """What stands in a file does not move the cursor."""
    result = push(push.file(HEADER + "\x1b[2J,orders,1,eu\n"))
    assert "\x1b" not in result.stderr


def test_rows_for_the_same_hour(push: Push) -> None:
    """Two rows for a record and hour name each other, unless it is said what to make of them."""
    file = push.file(HEADER + "2022-10-01 00:10:00,orders,1,eu\n2022-10-01 00:20:00,orders,2,eu\n")
    result = push(file, "--floor", "hour")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert (
        "orders.csv:3: is for the same record and hour as orders.csv:2: orders, region=eu at 2022-10-01 00:00:00"
        in result.stderr
    )
    assert "--combine" in result.stderr
    assert push(file, "--floor", "hour", "--combine", "sum").exit_code == ExitCode.OK
    assert list(push.service.points.values()) == [3.0]


def test_last_of_rows_on_one_line(push: Push) -> None:
    """In a document of one line the last row is the last, and rows are named by their number."""
    rows = [{"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": value} for value in (1, 9, 5)]
    file = push.file(json.dumps(rows), "orders.json")
    refused = push(file)
    assert "orders.json:1: row 2 is for the same record and hour as orders.json:1 (row 1)" in refused.stderr
    assert push(file, "--combine", "last").exit_code == ExitCode.OK
    assert list(push.service.points.values()) == [5.0]
    file = push.file(json.dumps([*rows, {**rows[0], "metric_value": "x"}]), "wrong.json")
    assert "wrong.json:1: metric_value: 'x' does not convert to a float (row 4)" in push(file).stderr


def test_counts_of_what_is_wrong(push: Push) -> None:
    """Rows that are wrong, and points with several rows, are counted by themselves; the hint is for what there is."""
    wide = push.file("timestamp,a,b,c\n" + "2022-10-01,1,2,3\n" * 2, "wide.csv")
    result = push(wide, "--wide")
    assert "Error: 3 points are named by more than one row. Nothing was sent." in result.stderr
    assert "--combine" in result.stderr
    assert "--skip-invalid" not in result.stderr
    row = "2022-10-01,orders,1,eu\n"
    file = push.file(HEADER + row * 3 + "x,orders,1,eu\n")
    both = push(file)
    assert "1 row of 4 is wrong, and 1 point is named by more than one row. Nothing was sent." in both.stderr
    assert "--combine" in both.stderr
    assert "--skip-invalid" in both.stderr
    skipping = push(file, "--skip-invalid")
    assert "Error: 1 point is named by more than one row." in skipping.stderr
    assert push(file, "--skip-invalid", "--combine", "sum").exit_code == ExitCode.OK


def test_rows_behind_a_quotation_mark(push: Push) -> None:
    """Valid rows are not left out because a row before them has a quotation mark too much."""
    lines = (HEADER + "2022-10-01 00:00:00,orders,1,eu\n" * 40).splitlines()
    lines[3], lines[30] = '"' + lines[3], '"' + lines[30]
    result = push(push.file("\n".join(lines) + "\n"), "--skip-invalid", "--combine", "sum")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "lines 4 to 31 were read as one row" in result.stderr
    assert not push.service.requests


def test_lines_of_a_row(push: Push) -> None:
    """A row of several lines that is left out says how many; one whose name has line ends is asked about."""
    row = "2022-10-01,orders,1,eu\n"
    long = HEADER + row + '2022-10-02,orders,1,"' + row * 60 + '"\n'
    result = push(push.file(long), "--skip-invalid")
    assert "1,024 characters" in result.stderr
    assert "(lines 3 to 63 are one row, by their quotation marks)" in result.stderr
    assert result.exit_code == ExitCode.OK
    longer = push(push.file(long.replace(row, row * 3)), "--skip-invalid", "--combine", "sum")
    assert longer.exit_code == ExitCode.BAD_INPUT
    assert "lines 5 to 185 were read as one row, and region must have at most 1,024 characters" in longer.stderr
    result = push(push.file(HEADER + '2022-10-01,orders,1,"' + row.strip() + '\nx"\n'))
    assert result.exit_code == ExitCode.OK
    assert "lines 2 to 3 are one row" in result.stderr


def test_json_of_what_fails(push: Push) -> None:
    """With --json stdout is a document also when nothing is sent: it says why, and counts what is wrong."""
    file = push.file(ORDERS + "x,orders,1,eu\n" + ORDERS.splitlines()[1] + "\n")
    document = push.document(file)
    assert (document["rows"], document["invalid_rows"], document["repeated_points"]) == (26, 1, 1)
    assert document["error"].startswith("1 row of 26 is wrong")
    assert (document["points"], document["not_sent"], document["requests"]) == (24, 24, 0)
    assert "no column" in push.document(push.file("a,b\n1,2\n"))["error"]
    assert "cannot read none.csv" in push.document("none.csv")["error"]
    push.service.before = lambda _: Fault(404, NO_STREAM)
    assert "the token names no stream" in push.document(push.file(ORDERS))["error"]
    push.service.before = lambda _: None
    assert push.document("orders.csv")["error"] is None


def test_combined_value_that_cannot_be_saved(push: Push) -> None:
    """A sum that the database cannot hold is found before anything is sent."""
    file = push.file(HEADER + "2022-10-01,orders,9e125,eu\n" * 2)
    result = push(file, "--combine", "sum")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "outside what can be saved" in result.stderr
    assert not push.service.requests


def test_batches(push: Push) -> None:
    """A large file is sent in several requests, as many at a time as is asked for."""
    push.small_batches()
    document = push.document(push.file(month()), "--parallel", "2")
    assert document["requests"] == 30
    assert push.service.most_at_once <= 2
    assert push.service.points == expected(month())


@pytest.mark.parametrize(
    ("variable", "value", "exit_code", "said"),
    [
        ("API_KEY", "another", ExitCode.REJECTED, "the API key is not accepted"),
        ("DATA_STREAM_TOKEN", "another", ExitCode.REJECTED, "the token names no stream"),
        ("API_URL", "", ExitCode.USAGE, "the address of the API"),
    ],
)
def test_exit_codes(push: Push, variable: str, value: str, exit_code: ExitCode, said: str) -> None:
    """Who has to do something about it shows in the exit code, and no secret shows anywhere."""
    push.variables[variable] = value
    result = push(push.file(ORDERS))
    assert result.exit_code == exit_code
    assert said in result.stderr
    assert "another" not in result.stderr
    assert not push.service.points


def test_nobody_there(push: Push) -> None:
    """A service that does not answer is given up after a while."""
    push.variables["API_URL"] = f"http://127.0.0.1:{free_port()}"
    result = push(push.file(ORDERS), "--give-up-after", "0")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "there was no connection" in result.stderr
    assert "Connection refused" in result.stderr
    assert "host=" not in result.stderr
    assert "24  not saved" in result.stdout
    assert "in doubt" not in result.stdout
    assert "The same command again completes it" in result.stdout


def test_another_address(push: Push) -> None:
    """A path that the API does not have is told from a token that is wrong."""
    push.variables["API_URL"] = push.service.url + "/x"
    result = push(push.file(ORDERS))
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "404 No such route" in result.stderr
    assert "--url is the address" in result.stderr
    assert "again" not in result.stdout


@pytest.mark.parametrize("answer", [{}, {"created": 3, "updated": 0, "unchanged": 0, "superseded": 0}])
def test_success_that_is_none(push: Push, answer: dict[str, int]) -> None:
    """An answer that does not account for every point is not taken for a success."""
    push.service.before = lambda _: Fault(201, answer)
    document = push.document(push.file(ORDERS))
    assert (document["sent"], document["created"]) == (0, 0)


def test_quota(push: Push) -> None:
    """A quota that is used up is said at once, rather than waited for."""
    push.service.before = lambda _: Fault(429, QUOTA, "3600")
    result = push(push.file(ORDERS))
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "429 Quota exceeded, and asks to wait for 3,600 s, which is more than --give-up-after 300" in result.stderr
    assert len(push.service.requests) == 1


def test_refused(push: Push) -> None:
    """What the service does not take after all is shown with the rows that it is about."""
    error = {"pointer": "/data/7/metric_value", "code": "metric_value_invalid", "detail": "metric_value is wrong"}
    problem = {"title": "Invalid request", "detail": "The request has 1 error.", "errors": [error]}
    push.service.before = lambda _: Fault(400, problem)
    result = push(push.file(ORDERS))
    assert result.exit_code == ExitCode.FAILED
    assert "400 Invalid request. The request has 1 error." in result.stderr
    assert "orders.csv:9: metric_value is wrong" in result.stderr
    assert "24  not saved" in result.stdout


def test_what_passes(push: Push) -> None:
    """Throttles, errors and lost answers are tried again until all is saved, and no point is counted as too much."""
    numbers = random.Random(5)  # noqa: S311  # reproducible, on purpose
    faults = [
        Fault(429, {"title": "Too many requests"}, "0"),
        Fault(503, {"title": "Not everything was saved in time"}, "0", saves=True),
        Fault(500),
        Fault(502, saves=True),
        Fault(0),
        Fault(0, saves=True),
    ]
    push.service.before = lambda _: numbers.choice(faults) if numbers.random() < 0.4 else None
    push.small_batches()
    document = push.document(push.file(month()))
    assert push.service.points == expected(month())
    assert document["sent"] == 720
    assert document["created"] <= 720
    assert document["retries"] == document["requests"] - 30 > 0


def test_failed_halfway(push: Push) -> None:
    """It is said what was saved, and `--resume` completes it without sending that again."""
    push.small_batches()
    push.service.before = lambda number: Fault(429, QUOTA, "3600") if number >= 10 else None
    file = push.file(month())
    failed = push(file, "--parallel", "1")
    assert failed.exit_code == ExitCode.UNREACHABLE
    assert "Saved 240 points in 11 requests" in failed.stdout
    assert "480  not saved" in failed.stdout
    assert "with --resume it skips what is saved" in failed.stdout
    push.service.before = lambda _: None
    document = push.document(file, "--resume")
    assert (document["skipped"], document["sent"], document["created"]) == (240, 480, 480)
    assert push.service.points == expected(month())
    assert "There is nothing to resume" in push(file, "--resume").stderr


def test_rejected_halfway(push: Push) -> None:
    """It is not said that the same again completes what was rejected."""
    push.small_batches()
    push.service.before = lambda number: Fault(404, NO_STREAM) if number >= 10 else None
    failed = push(push.file(month()), "--parallel", "1")
    assert failed.exit_code == ExitCode.REJECTED
    assert "480  not saved" in failed.stdout
    assert "again" not in failed.stdout


def test_sent_again(push: Push) -> None:
    """It is said how often requests were sent again, which may be the same one."""
    push.service.before = lambda number: Fault(429, retry_after="0") if number < 3 else None
    assert "Requests had to be sent again 3 times" in push(push.file(ORDERS)).stdout


def test_interrupted_without_resume(push: Push) -> None:
    """What an earlier push saved can still be skipped after a second one that was interrupted as well."""
    push.small_batches()
    push.service.before = lambda number: Fault(404, NO_STREAM) if number >= 10 else None
    push(push.file(month()), "--parallel", "1")
    again = push("orders.csv", "--parallel", "1")
    assert "An earlier push of the same was interrupted" in again.stderr
    push.service.before = lambda _: None
    assert push.document("orders.csv", "--resume")["skipped"] == 240


def test_other_token_in_between(push: Push) -> None:
    """What was confirmed before a push with another token is sent again: it may be of the same stream, rotated."""
    push.small_batches()
    push.service.tokens.add("ds_rotated")
    push.service.before = lambda number: Fault(429, QUOTA, "3600") if number >= 10 else None
    assert push(push.file(month()), "--parallel", "1").exit_code == ExitCode.UNREACHABLE
    push.service.before = lambda _: None
    push.variables["DATA_STREAM_TOKEN"] = "ds_rotated"
    assert push(push.file(month(correction=0.5), "other.csv")).exit_code == ExitCode.OK
    push.variables["DATA_STREAM_TOKEN"] = TOKEN
    assert push.document("orders.csv", "--resume")["skipped"] == 0
    assert push.service.points == expected(month())


def test_other_token(push: Push) -> None:
    """What was confirmed with one token is not skipped with another: that may be of another stream."""
    push.small_batches()
    push.service.tokens.add("ds_other")
    push.service.before = lambda number: Fault(429, QUOTA, "3600") if number >= 10 else None
    assert push(push.file(month()), "--parallel", "1").exit_code == ExitCode.UNREACHABLE
    push.service.before = lambda _: None
    push.variables["DATA_STREAM_TOKEN"] = "ds_other"
    assert push.document("orders.csv", "--resume")["skipped"] == 0


def test_failed_in_doubt(push: Push) -> None:
    """What may or may not be saved is not counted as saved."""
    push.service.before = lambda _: Fault(0, saves=True)
    file = push.file(ORDERS)
    document = push.document(file, "--give-up-after", "0")
    assert (document["sent"], document["in_doubt"], document["not_sent"]) == (0, 24, 0)
    assert document["received_from"] is None
    moment = "2026-11-25T21:02:18.123Z"
    push.service.before = lambda _: Fault(503, {"title": "Not everything was saved in time", "received_at": moment})
    assert push.document(file, "--give-up-after", "0")["received_from"] == moment


def test_other_content_in_between(push: Push) -> None:
    """What was confirmed before other content was pushed is sent again: it may be overwritten."""
    push.small_batches()
    push.service.before = lambda number: Fault(404, NO_STREAM) if number >= 10 else None
    assert push(push.file(month()), "--parallel", "1").exit_code == ExitCode.REJECTED
    push.service.before = lambda _: None
    assert push(push.file(month(correction=0.5), "other.csv")).exit_code == ExitCode.OK
    document = push.document("orders.csv", "--resume")
    assert (document["skipped"], document["updated"]) == (0, 720)
    assert push.service.points == expected(month())


@pytest.mark.parametrize(
    "option", [["--floor", "day", "--combine", "last"], ["--dimension", "region"], ["--ignore", "region"]]
)
def test_other_options_in_between(push: Push, option: list[str]) -> None:
    """The same file with other options is other content."""
    push.service.before = lambda _: Fault(404, NO_STREAM)
    push(push.file(ORDERS))
    assert "There is nothing to resume" in push("orders.csv", *option, "--resume").stderr


def test_journal_holds_no_secret(push: Push) -> None:
    """Neither the key nor the token nor a value is written to the journal."""
    push.small_batches()
    push.service.before = lambda number: Fault(404, NO_STREAM) if number >= 10 else None
    push(push.file(month()))
    (journal,) = (push.folder / "state" / "journals").iterdir()
    written = journal.read_text()
    assert len(written.splitlines()) > 1
    assert API_KEY not in written
    assert TOKEN not in written
    assert "orders" not in written


def test_journal_that_cannot_be_kept(push: Push) -> None:
    """Without a place for its journal a push goes on, and says so."""
    push.variables["UNITSTREAM_STATE_DIR"] = str(push.folder / push.file("", "no-folder"))
    result = push(push.file(ORDERS))
    assert result.exit_code == ExitCode.OK
    assert "No journal is kept" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--wide", "--metric", "orders"],
        ["--dimension", "a=x", "--dimension", "a=y"],
        ["--value", "orders", "--metric-name", "orders"],
        ["--value", "orders", "--metric", "orders", "--dimension", "count=orders"],
        ["--value", "hour", "--timestamp", "hour"],
        ["--ignore", "metric_value"],
        ["--delimiter", "ab"],
        ["--encoding", "none"],
        ["--timestamp-format", "%Y-%m-%d %H:%M %Z"],
        ["--timestamp-format", "%d.%m.%Y %H:%d"],
        ["--timestamp-format", "%d.%Q.%Y"],
        ["--timestamp-format", "%d.%m.%Y %"],
        ["--timestamp-format", "%H:%M"],
        ["--combine", "median"],
        ["--parallel", "0"],
        ["--errors", "orders.csv"],
        ["-", "-"],
    ],
)
def test_usage(push: Push, arguments: list[str]) -> None:
    """Options that contradict each other, or make no sense, are wrong usage."""
    assert push(push.file(ORDERS), *arguments).exit_code == ExitCode.USAGE
    assert (push.folder / "orders.csv").read_text() == ORDERS


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%Y-%m-%d %H:%M %Z", "offsets (%z)"),
        ("%d.%m.%Y %H:%d", "has a letter twice"),
        ("%d.%Q.%Y", "is not a form of strptime: 'Q' is a bad directive"),
        ("%H:%M", "does not say the date"),
    ],
)
def test_timestamp_format(push: Push, form: str, said: str) -> None:
    """A form by which no timestamp can be read is said once, and not to be the fault of the rows."""
    result = push(push.file(ORDERS), "--timestamp-format", form)
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert "orders.csv" not in result.stderr


@pytest.mark.parametrize(
    ("form", "text"), [("%d%m%Y", "1122024"), ("%Y%m%d", "2024112"), ("%Y%m%d %H%M", "202415 130")]
)
def test_digits_without_their_zeros(push: Push, form: str, text: str) -> None:
    """Where numbers follow each other, a zero that a spreadsheet has left out would make another date of them."""
    file = push.file(HEADER + f"{text},orders,1,eu\n")
    result = push(file, "--timestamp-format", form)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert f"'{text}' does not have all the digits of the form {form}" in result.stderr


@pytest.mark.parametrize("form", ["%Y", "%Y-%m", "%d %b %Y", "%x", "%Y%m%d%H", "%G-W%V-%u", "%d.%m.%y %I %p"])
def test_timestamp_format_that_is_right(push: Push, form: str) -> None:
    """Whatever says a date is a form: also a year or a month, which begins then."""
    text = datetime(2022, 1, 1, tzinfo=UTC).strftime(form)
    file = push.file(HEADER + f"{text},orders,1,eu\n")
    assert push(file, "--timestamp-format", form).exit_code == ExitCode.OK
    assert push.service.points == expected(HEADER + "2022-01-01 00:00:00,orders,1,eu\n")


def test_stdin(service: Service, tmp_path: Path) -> None:
    """Without a FILE, stdin is read."""
    process = start_push(["--agg-func", "sum"], environment(service.url, tmp_path), stdin=subprocess.PIPE)
    out, err = process.communicate(ORDERS)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("stdin: 24 rows, 24 points")
    assert service.points == expected(ORDERS)


def test_terminal(service: Service, tmp_path: Path) -> None:
    """In a terminal a progress bar shows what is going on, on stderr; stdout has the summary alone."""
    (tmp_path / "orders.csv").write_text(ORDERS)
    variables = environment(service.url, tmp_path) | {"TERM": "xterm", "COLUMNS": "100"}
    ours, theirs = pty.openpty()
    command = ["--agg-func", "Sum", str(tmp_path / "orders.csv")]
    process = start_push(command, variables, stderr=theirs)
    out, _ = process.communicate()
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert out.splitlines()[1].startswith("Saved all in 1 request")
    assert "Checking" in shown
    assert re.search(r"100 % 24 points, [0-9,]+/s: 24 created", shown)


class Gate:
    """Holds requests from the n-th on until it is opened."""

    def __init__(self, service: Service, first: int) -> None:
        self.first = first
        self.reached = threading.Event()
        self.open = threading.Event()
        service.before = self

    def __call__(self, number: int) -> None:
        if number >= self.first:
            self.reached.set()
            assert self.open.wait(60)


def years(tmp_path: Path) -> tuple[str, str]:
    """A file of 20,000 points, each of a day of its own, which are eight requests."""
    first = date(2020, 1, 1)
    text = HEADER + "".join(
        f"{first + timedelta(day)} 00:00:00,orders,{day},r{region}\n" for region in range(8) for day in range(2_500)
    )
    (tmp_path / "years.csv").write_text(text)
    return str(tmp_path / "years.csv"), text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(service: Service, tmp_path: Path, number: signal.Signals) -> None:
    """When interrupted it lets the requests under way end, says what was saved, and can be resumed."""
    file, text = years(tmp_path)
    variables = environment(service.url, tmp_path / "state")
    gate = Gate(service, 3)
    process = start_push([file, "--agg-func", "Sum", "--parallel", "1", "--json"], variables)
    assert gate.reached.wait(60)
    process.send_signal(number)
    assert process.stderr
    assert process.stderr.readline().startswith("Stopping: waiting for the requests that are under way.")
    gate.open.set()
    out, err = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED, err
    document = json.loads(out)
    assert document["sent"] == document["created"] == len(service.points)
    assert 0 < document["not_sent"] == document["points"] - document["sent"]
    assert "interrupted" in err
    process = start_push([file, "--agg-func", "Sum", "--resume", "--json"], variables)
    out, _ = process.communicate()
    assert json.loads(out)["skipped"] == document["sent"]
    assert service.points == expected(text)


def test_interrupted_twice(service: Service, tmp_path: Path) -> None:
    """Who interrupts a second time does not wait."""
    file, _ = years(tmp_path)
    gate = Gate(service, 0)
    process = start_push([file, "--agg-func", "Sum"], environment(service.url, tmp_path / "state"))
    assert gate.reached.wait(60)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate()
    gate.open.set()
    assert process.returncode == ExitCode.INTERRUPTED


def test_killed(service: Service, tmp_path: Path) -> None:
    """Killed at any time, a push is completed by another with `--resume`, which sends little of it again."""
    file, text = years(tmp_path)
    variables = environment(service.url, tmp_path / "state")
    gate = Gate(service, 4)
    process = start_push([file, "--agg-func", "Sum", "--parallel", "2"], variables)
    assert gate.reached.wait(60)
    process.kill()
    process.communicate()
    gate.open.set()
    process = start_push([file, "--agg-func", "Sum", "--resume", "--json"], variables)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["skipped"] > 0
    assert service.points == expected(text)


class Impatient(threading.Event):
    """Does not wait, and remembers for how long it was to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return False


def ingest(service: Service, stop: threading.Event, exchange: Exchange, give_up_after: float = 300) -> Counts:
    """Send one point."""
    point = {"timestamp": "2022-10-01", "metric_name": "orders", "metric_value": 1}
    body = json.dumps({"data_stream_token": TOKEN, "metric_agg_func": "Sum", "data": [point]})
    address = Address(service.url, API_KEY, TOKEN)
    with contextlib.closing(Api(address, stop=stop, give_up_after=give_up_after)) as api:
        return api.ingest(body.encode(), 1, exchange).counts


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(service: Service, status: int) -> None:
    """It waits for as long as the service asks, and a little longer, so that clients do not come back all at once."""
    service.before = lambda number: Fault(status, retry_after="7") if number < 3 else None
    stop, exchange = Impatient(), Exchange()
    assert ingest(service, stop, exchange).created == 1
    assert (exchange.attempts, exchange.in_doubt) == (4, status == 503)
    assert len(stop.waits) == 3
    assert all(7 <= wait <= 8 for wait in stop.waits)


def test_long_retry_after(service: Service) -> None:
    """A day is said to be a day."""
    service.before = lambda _: Fault(429, QUOTA, "86400")
    with pytest.raises(Unreachable, match="asks to wait for 86,400 s"):
        ingest(service, Impatient(), Exchange())


def test_retry_after_a_date(service: Service) -> None:
    """The service may name a moment instead; one that has passed is no pause."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    faults = [Fault(503, retry_after=later), Fault(503, retry_after="Sat, 01 Oct 2022 00:00:00 GMT")]
    service.before = lambda number: faults[number] if number < 2 else None
    stop = Impatient()
    ingest(service, stop, Exchange())
    first, second = stop.waits
    assert 60 < first <= 101
    assert second == 0


def test_no_connection_is_no_doubt() -> None:
    """What never left this machine is not in doubt."""
    exchange = Exchange()
    with pytest.raises(Unreachable, match="there was no connection"):
        ingest(Service(f"http://127.0.0.1:{free_port()}"), Impatient(), exchange, give_up_after=0)
    assert not exchange.in_doubt


@pytest.mark.parametrize("fault", [Fault(500), Fault(502), Fault(503, retry_after="soon"), Fault(504), Fault(0)])
def test_backoff(service: Service, fault: Fault) -> None:
    """Otherwise the pauses are drawn at random, from a range that doubles up to half a minute."""
    service.before = lambda number: fault if number < 12 else None
    stop, exchange = Impatient(), Exchange()
    ingest(service, stop, exchange)
    assert exchange.in_doubt
    assert len(stop.waits) == 12
    assert all(0 <= wait <= min(30, 0.5 * 2**n) for n, wait in enumerate(stop.waits))
    assert len(set(stop.waits)) > 10


def test_counts_after_an_answer_that_was_lost(service: Service) -> None:
    """What an attempt saved whose answer was lost counts as unchanged: never as created twice."""
    service.before = lambda number: Fault(0, saves=True) if number == 0 else None
    counts = ingest(service, Impatient(), Exchange())
    assert (counts.created, counts.unchanged) == (0, 1)


def test_give_up(service: Service) -> None:
    """A service that stays busy is given up, with what it said last."""
    service.before = lambda _: Fault(503, {"title": "Not everything was saved in time", "detail": "Send it again."})
    said = r"503 Not everything was saved in time, given up after 0\.0 s and 1 attempt .*\. Send it again\.$"
    with pytest.raises(Unreachable, match=said):
        ingest(service, Impatient(), Exchange(), give_up_after=0)


# --- compressed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local", [False, True])
def test_large_requests_are_compressed(service: Service, monkeypatch: pytest.MonkeyPatch, *, local: bool) -> None:
    """But not for the local stack, whose emulator cannot carry them; the service gets the same points."""
    if not local:
        monkeypatch.setattr("unitstream_cli.settings.is_loopback", lambda _: False)
    points = [point(f"2022-10-{day:02}", day, dimensions={"n": str(n)}) for day in range(1, 31) for n in range(10)]
    body = request_body(points, TOKEN).encode()
    with contextlib.closing(Api(Address(service.url, API_KEY, TOKEN), stop=threading.Event())) as api:
        assert api.ingest(body, len(points), Exchange()).counts.created == len(points)
        small = request_body(points[:1], TOKEN).encode()
        assert api.ingest(small, 1, Exchange()).counts.unchanged == 1
    assert service.requests == [body, small]
    assert service.encodings == ({None} if local else {None, "gzip"})


def test_notices_of_the_service(push: Push) -> None:
    """Each is told once, however many requests it came with; also as JSON."""
    push.service.notices = [{"code": "new_dimension_keys", "detail": "no series had these", "pointer": "/data/0"}]
    push.small_batches()
    file = push.file(month(3))
    assert push(file, "--new-dimensions").stdout.count("Notice: no series had these.") == 1
    assert len(push.service.requests) == 3
    assert push.document(file, "--new-dimensions")["notices"] == ["no series had these"]
