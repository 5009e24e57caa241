"""The read commands on the deployed local stack: what was pushed comes back, as pandas computes it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import support
from support import point, request_body

from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support import Stack

    Command = Callable[..., subprocess.CompletedProcess[str]]

REGIONS = ("eu", "us")
COSTS, ORDERS = "read: costs", "read: orders"
FIRST_DAY, LAST_DAY, PREVIOUS_FIRST_DAY = "2022-05-04", "2022-05-06", "2022-05-01"
DAYS = ("--from", FIRST_DAY, "--to", LAST_DAY)
UNIT_METRIC = ("unit-metrics", f"{COSTS}:Sum", f"{ORDERS}:Sum", *DAYS, "--group-by", "region")


@pytest.fixture(scope="module")
def hourly() -> pd.DataFrame:
    """Costs and orders of two regions over six days: a row an hour and region."""
    chance = np.random.default_rng(20220501)
    hours = pd.date_range(PREVIOUS_FIRST_DAY, f"{LAST_DAY} 23:00", freq="h")
    frame = pd.MultiIndex.from_product([hours, REGIONS], names=["hour", "region"]).to_frame(index=False)
    frame[COSTS] = chance.uniform(0.01, 90, len(frame))
    frame[ORDERS] = chance.integers(1, 40, len(frame))
    return frame


@pytest.fixture
def pushed(hourly: pd.DataFrame, unitstream: Command, tmp_path: Path) -> pd.DataFrame:
    """The rows of `hourly`, sent with `unitstream push`, as operators do; the second time changes nothing."""
    hourly.rename(columns={"hour": "timestamp"}).to_csv(tmp_path / "shop.csv", index=False)
    done = unitstream("push", "shop.csv", "--agg-func", "Sum", "--wide", "--dimension", "region")
    assert done.returncode == 0, done.stderr
    return hourly


def read(unitstream: Command, *arguments: str, **environment: str) -> str:
    result = unitstream(*arguments, **environment)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


def test_cost_per_order_by_day_and_region(unitstream: Command, pushed: pd.DataFrame) -> None:
    """With the days before, from file to answer by command line alone; the table says the same, rounded."""
    daily = pushed.groupby(["region", pushed["hour"].dt.strftime("%Y-%m-%d")])[[COSTS, ORDERS]].sum()
    unit = daily[COSTS] / daily[ORDERS]
    found = pd.read_csv(io.StringIO(read(unitstream, *UNIT_METRIC, "--csv"))).set_index(["region", "date"])
    for region in REGIONS:
        one, expected = found.loc[region], unit.loc[region]
        np.testing.assert_allclose(one["current_timeframe_unit_metric"], expected.iloc[3:], rtol=1e-12)
        np.testing.assert_allclose(one["previous_timeframe_unit_metric"], expected.iloc[:3], rtol=1e-12)
        np.testing.assert_allclose(
            one["pop_change"], expected.iloc[3:].to_numpy() / expected.iloc[:3].to_numpy() - 1, rtol=1e-9
        )
    title, *lines = read(unitstream, *UNIT_METRIC, COLUMNS="120").splitlines()
    assert title.startswith(f"{COSTS}:Sum per {ORDERS}:Sum by day from {FIRST_DAY} to {LAST_DAY}")
    rows = {(cells[1], cells[0]): cells for line in lines if len(cells := line.split()) > 7}
    for place, expected in found.iterrows():
        cells = rows[place]
        assert int(cells[3]) == expected["current_timeframe_denominator"]
        assert float(cells[4]) == pytest.approx(expected["current_timeframe_unit_metric"], abs=0.0005)
        assert float(cells[5]) == pytest.approx(expected["previous_timeframe_unit_metric"], abs=0.0005)
        assert cells[7] == f"{expected['pop_change']:+.1%}"


@pytest.mark.parametrize("form", [("--csv", "text/csv"), ("--json", "application/json")])
def test_scripts_get_what_the_api_says(
    stack: Stack, unitstream: Command, pushed: pd.DataFrame, form: tuple[str, str]
) -> None:
    """Every digit of it."""
    option, accept = form
    asked = {"metric_name": COSTS, "metric_agg_func": "Sum", "start_date": FIRST_DAY, "end_date": LAST_DAY}
    asked |= {"granularity": "hour", "group_by": "region", "filter": "region:us"}
    _, _, answer = stack.get("/api/views", {"Accept": accept}, **asked)
    options = ("--by", "hour", "--group-by", "region", "--filter", "region:us")
    printed = read(unitstream, "views", f"{COSTS}:Sum", *DAYS, *options, option)
    if option == "--json":
        assert json.loads(printed) == json.loads(answer)
        ((cells),) = (one["data"] for one in json.loads(printed)["series"])
        recent = pushed[(pushed["hour"] >= FIRST_DAY) & (pushed["region"] == "us")]
        assert [cell["value"] for cell in cells] == list(recent[COSTS])
    else:
        assert printed.splitlines() == answer.splitlines()


@pytest.mark.parametrize("columns", ["60", "40"])
def test_a_narrow_terminal_shows_every_number(unitstream: Command, pushed: pd.DataFrame, columns: str) -> None:
    text = read(unitstream, "views", f"{COSTS}:Sum", *DAYS, "--group-by", "region", COLUMNS=columns)
    daily = pushed[pushed["hour"] >= FIRST_DAY].groupby(["region", pushed["hour"].dt.strftime("%Y-%m-%d")])[COSTS].sum()
    assert daily.to_numpy().min() > 500
    for (region, day), cost in daily.items():
        assert [day, region, f"{cost:,.2f}", "24"] in [line.split()[:4] for line in text.splitlines()]
    assert max(map(len, text.splitlines()[1:])) <= int(columns)


def test_metrics_series_and_points_are_found(unitstream: Command, pushed: pd.DataFrame) -> None:
    """With the names that the other commands take."""
    listed = [line.rstrip() for line in read(unitstream, "metrics").splitlines()]
    for name in (COSTS, ORDERS):
        (line,) = [line for line in listed if line.startswith(f"{name}:Sum")]
        assert line.removeprefix(f"{name}:Sum").split() == ["region", PREVIOUS_FIRST_DAY, LAST_DAY]
    document = json.loads(read(unitstream, "series", f"{COSTS}:sum", "--json"))
    assert sorted(one["dimensions"]["region"] for one in document["series"]) == list(REGIONS)
    points = pd.read_csv(io.StringIO(read(unitstream, "points", f"{COSTS}:Sum", *DAYS, "--csv")))
    recent = pushed[pushed["hour"] >= FIRST_DAY]
    for region in REGIONS:
        assert list(points[points["region"] == region]["value"]) == list(recent[recent["region"] == region][COSTS])


def test_more_than_a_page_is_one_table(stack: Stack, unitstream: Command) -> None:
    """Of series whose dimensions have different names."""
    points = [point("2022-05-01", 1, "read: paged", {f"key{number % 3}": str(number)}) for number in range(1_200)]
    assert stack.post(request_body(points, stack.token))[0] == 201
    text = read(unitstream, "series", "read: paged:Sum", "--csv")
    found = pd.read_csv(io.StringIO(text), index_col="record_id")
    assert list(found.columns) == ["key0", "key1", "key2"]
    assert found.index.is_unique
    assert sorted(found.max(axis="columns")) == list(range(1_200))
    assert len(json.loads(read(unitstream, "series", "read: paged:Sum", "--json"))["series"]) == 1_200


@pytest.mark.parametrize("name", ["costs: réservés", "日本😀", "?&=#;+ <a>"])
def test_a_metric_may_have_any_name(stack: Stack, unitstream: Command, name: str) -> None:
    assert stack.post(request_body([point("2022-05-01", 5, name, {"a:b": "c,d"})], stack.token))[0] == 201
    filtered = ("--filter", "a\\:b:c\\,d")
    document = json.loads(read(unitstream, "series", f"{name}:Sum", *filtered, "--json"))
    assert (document["metric_name"], len(document["series"])) == (name, 1)
    asked = ("views", f"{name}:Sum", "--from", "2022-05-01", "--to", "2022-05-01", "--group-by", "a:b", *filtered)
    assert read(unitstream, *asked).splitlines()[2].split()[:4] == ["2022-05-01", "c,d", "5", "1"]


def test_finding_nothing_is_said(unitstream: Command) -> None:
    nothing = unitstream("views", "read: nothing:Sum")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "There are no points of read: nothing:Sum from " in nothing.stderr


def test_each_failure_has_its_exit_code(unitstream: Command) -> None:
    wrong = unitstream("views", "orders:Sum", "--group-by", "a,b,c,d", "--filter", "region")
    assert (wrong.returncode, wrong.stdout) == (ExitCode.BAD_INPUT, "")
    assert "--group-by: group_by must name at most 3 keys" in wrong.stderr
    assert "--filter: filter 'region' must be" in wrong.stderr
    large = unitstream("views", "orders:Sum", "--from", "1970-01-01", "--by", "hour", "--fill")
    assert (large.returncode, large.stdout) == (ExitCode.BAD_INPUT, "")
    assert "choose a shorter range of days" in large.stderr
    for refused in (unitstream("metrics", API_KEY="wrong"), unitstream("metrics", DATA_STREAM_TOKEN="ds_unknown")):
        assert (refused.returncode, refused.stdout) == (ExitCode.REJECTED, "")
    nobody = ("--url", f"http://127.0.0.1:{support.free_port()}/v1", "--give-up-after", "0")
    silent = unitstream("metrics", *nobody, API_KEY="key", DATA_STREAM_TOKEN="ds_unknown")
    assert silent.returncode == ExitCode.UNREACHABLE
    for result in (wrong, large, refused, silent):
        assert "Traceback" not in result.stderr
