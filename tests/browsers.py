"""A browser for the tests of the explorer, and the explorer as people start it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright
from support import REPOSITORY, skip_or_fail
from werkzeug.serving import make_server

from unitstream_cli.explore.server import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from unitstream_cli.settings import Service

CHROMIUM = REPOSITORY / ".local" / "chromium" / "chromium"
AXE = REPOSITORY / ".local" / "axe" / "package" / "axe.min.js"
UNITSTREAM = Path(sys.executable).parent / "unitstream"
# It says nothing to anybody.
_QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run")
_STOPS_WITHIN_SECONDS = 10


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium without a window."""
    if not CHROMIUM.exists() or not AXE.exists():
        skip_or_fail("there is no browser: `make browser` installs it, with npm")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        try:
            yield chromium
        finally:
            chromium.close()


@contextlib.contextmanager
def explorer(api_url: str, api_key: str, token: str, log: Path, *options: str) -> Iterator[str]:
    """Run `unitstream explore` on a free port, and yield its address. What it says goes to `log`."""
    given = {"API_URL": api_url, "API_KEY": api_key, "DATA_STREAM_TOKEN": token}
    with log.open("w") as said:
        command = [str(UNITSTREAM), "explore", "--port", "0", *options]
        process = subprocess.Popen(command, env=os.environ | given, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert process.stdout is not None
        with process.stdout as stdout:
            address = stdout.readline().strip()
            assert address, log.read_text()
            yield address
            process.send_signal(signal.SIGINT)
            assert process.wait(_STOPS_WITHIN_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def in_process(service: Service, give_up_after: float = 15.0) -> Iterator[str]:
    """Run the explorer in this process, and yield its address."""
    server = make_server("127.0.0.1", 0, build(service, (), give_up_after), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def barriers(page: Page) -> list[str]:
    """Return what axe-core finds in a page that is serious for somebody."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]
