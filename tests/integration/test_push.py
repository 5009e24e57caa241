"""`unitstream push` and the real handler, with every fault on the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pushing import TOKEN, Front, Load, environment, running, start_push
from support import create_stream

if TYPE_CHECKING:
    from pathlib import Path

    from support import Tables

LOAD = Load(series=24, hours=834, note=500)


def test_killed_halfway(tables: Tables, endpoint: str, tmp_path: Path) -> None:
    """Throttled, failing, without answers and killed halfway: resumed, it leaves the table complete and exact."""
    create_stream(tables.client, tables.streams, TOKEN, "pushed")
    file = tmp_path / "load.csv"
    LOAD.write(file)
    front = Front(tables, endpoint, processes=2, rate=0.3)
    try:
        with running(front):
            arguments = [str(file), "--agg-func", "Sum", "--parallel", "2"]
            variables = environment(front.url, tmp_path / "state")
            process = start_push(arguments, variables)
            # More than can be under way at once, so that some are in the journal.
            front.wait_for(5)
            process.kill()
            process.communicate()
            process = start_push([*arguments, "--resume", "--json"], variables)
            out, err = process.communicate()
    finally:
        front.stop()
    assert process.returncode == 0, err
    assert front.faults
    document = json.loads(out)
    assert document["sent"] + document["skipped"] == LOAD.rows
    assert document["skipped"] > 0
    LOAD.check(tables, "pushed")
