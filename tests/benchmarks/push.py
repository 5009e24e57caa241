"""`make push-million`: a large file through `unitstream push`, into the real handler on DynamoDB Local.

The service fails at random, and the command is killed once halfway and resumed. At the end the table is compared with
the file, point by point.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import support
from pushing import TOKEN, Front, Load, environment, running, start_push

if TYPE_CHECKING:
    import subprocess

STREAM = "pushed"
SERIES = 119
POINTS_A_REQUEST = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time, and processes of the handler")
    parser.add_argument("--rate", type=float, default=0.2, help="how many of the requests fail")
    options = parser.parse_args()
    support.forget_this_machine()
    load = Load(SERIES, -(-options.rows // SERIES))
    with tempfile.TemporaryDirectory() as folder, support.dynamodb_local() as endpoint:
        file = Path(folder) / "load.csv"
        load.write(file)
        say(f"{load.rows:,} rows of {SERIES} series, {file.stat().st_size / 1e6:,.0f} MB")
        client = support.local_client(endpoint)
        tables = support.Tables(client, "streams", "metrics")
        support.create_table(client, "StreamsTable", tables.streams)
        support.create_table(client, "MetricsTable", tables.metrics)
        support.create_stream(client, tables.streams, TOKEN, STREAM)
        front = Front(tables, endpoint, processes=options.parallel, rate=options.rate)
        try:
            with running(front):
                push(front, load, file, options.parallel)
        finally:
            front.stop()
        faults = [f"{count} times {status or 'no answer'}" for status, count in sorted(front.faults.items())]
        say(f"faults: {', '.join(faults)}")
        load.check(tables, STREAM)
        say(f"the table holds exactly the {load.rows:,} points")
    return 0


def push(front: Front, load: Load, file: Path, parallel: int) -> None:
    arguments = [str(file), "--agg-func", "Sum", "--parallel", str(parallel)]
    variables = environment(front.url, file.parent / "state")
    process = start_push(arguments, variables)
    front.wait_for(load.rows // POINTS_A_REQUEST // 2)
    peak = high_water_mark(process)
    process.kill()
    process.communicate()
    say(f"killed after {front.successes} requests; peak memory {peak:.0f} MB")

    started = time.monotonic()
    process = start_push([*arguments, "--resume", "--json"], variables)
    while process.poll() is None:
        peak = high_water_mark(process) or peak
        time.sleep(0.1)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    document = json.loads(out)
    say(
        f"resumed: {document['skipped']:,} points skipped, {document['sent']:,} sent in {document['seconds']:.0f} s "
        f"({document['points_per_second']:,} points/s), {time.monotonic() - started:.0f} s with reading and checking; "
        f"peak memory {peak:.0f} MB; {document['retries']} requests sent again"
    )


def say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def high_water_mark(process: subprocess.Popen[str]) -> float:
    """Return the most memory that a process has had so far, in MB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0][1]) / 1024 if lines else 0


if __name__ == "__main__":
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "unitstream")
    sys.exit(main())
