"""`make starts`: how long the functions take to start in Lambda's emulator, with their bytecode and without.

AGAINST= names another checkout, whose functions are started beside, as a plain `sam build` makes them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import emulator
import pytest
from support import REPOSITORY

if TYPE_CHECKING:
    from emulator import Artefact

# They are refused before any call: what is measured is over by then.
EVENTS = {"IngestFunction": "ingest_body_missing", "ViewsFunction": "views_token_missing"}
WITH, WITHOUT, AGAINST = "make build", "sam build", "sam build of AGAINST"

Starts = dict[str, dict[str, list[float]]]


def measure(home: Path, repetitions: int, against: Path | None) -> Starts:
    """Return the milliseconds of each start by build and function, all in turns."""
    environment = emulator.find_environment()
    say(f"{environment.name}: {emulator.describe(environment / 'bin' / 'python')}")
    builds = {WITH: emulator.build(environment, home / "with")}
    shutil.copytree(home / "with", home / "without", ignore=shutil.ignore_patterns("__pycache__"))
    builds[WITHOUT] = emulator.artefacts(environment, home / "without")
    if against:
        emulator.build(environment, home / "built", against.resolve() / "template.yaml")
        shutil.copytree(home / "built", home / "against", ignore=shutil.ignore_patterns("__pycache__"))
        builds[AGAINST] = emulator.artefacts(environment, home / "against")
    starts: Starts = {build: {function: [] for function in EVENTS} for build in builds}
    for _ in range(repetitions):
        for build, artefacts in builds.items():
            for function, artefact in artefacts.items():
                starts[build][function].append(start(artefact, EVENTS[function], home / "log"))
    return starts


def start(artefact: Artefact, event: str, log: Path) -> float:
    sandbox = emulator.Emulator(artefact, artefact.environment(StreamsTable="streams", MetricsTable="metrics"), log)
    try:
        sandbox.invoke(json.loads((REPOSITORY / "events" / f"{event}.json").read_text()))
        (milliseconds,) = sandbox.init_milliseconds()
    finally:
        sandbox.stop()
    return milliseconds


def report(starts: Starts) -> None:
    for function in EVENTS:
        ours = statistics.median(starts[WITH][function])
        for build, of_function in starts.items():
            each = sorted(of_function[function])
            median = statistics.median(each)
            say(
                f"{function}, {build}: {median:,.0f} ms, median of {len(each)} from {each[0]:,.0f} to {each[-1]:,.0f}; "
                f"{WITH} takes {ours / median:.2f} of it"
            )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long the functions take to start.")
    parser.add_argument("--repetitions", type=int, default=11, help="starts of each function of each build")
    parser.add_argument("--against", type=Path, help="another checkout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        try:
            report(measure(Path(home), arguments.repetitions, arguments.against))
        except pytest.skip.Exception as exc:
            raise SystemExit(f"starts: {exc}") from exc


if __name__ == "__main__":
    main()
