"""The web server of the explorer: what it answers to, and what a browser may do with its page."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, Response, request

from unitstream_cli.explore.callbacks import connect
from unitstream_cli.explore.layout import page
from unitstream_cli.explore.stream import GIVE_UP_AFTER_SECONDS, Stream
from unitstream_cli.settings import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unitstream_cli.settings import Service

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Names by which a proxy calls the explorer, with commas.
HOSTS = "EXPLORER_HOSTS"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def from_environment() -> Flask:
    """Return the explorer for a WSGI server: the settings are those of the command without options."""
    return build(Options().service(), ())


def build(service: Service, hosts: Iterable[str], give_up_after: float = GIVE_UP_AFTER_SECONDS) -> Flask:
    """Return the explorer of a service, which answers to the loopback names, `hosts` and those in EXPLORER_HOSTS."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = Dash(
        __package__,
        title="unitstream",
        update_title="",
        serve_locally=True,
        add_log_handler=False,
        enable_mcp=False,
        assets_folder=os.path.join(os.path.dirname(__file__), "assets"),  # noqa: PTH118, PTH120  # Dash takes texts
        assets_ignore="first",  # it stands in the index, before all that Dash adds there
        index_string=_INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = page()
    connect(app, Stream(service, give_up_after))
    named = {*LOOPBACK, *hosts, *filter(None, os.environ.get(HOSTS, "").split(","))}
    _guard(app.server, frozenset(name.strip().lower() for name in named), app.csp_hashes())
    server: Flask = app.server
    return server


def _guard(server: Any, hosts: frozenset[str], scripts: Iterable[str]) -> None:
    """Answer under known names only: a page of somebody else's could give this machine's address a name of its own."""
    policy = (
        f"default-src 'none'; script-src 'self' {' '.join(scripts)}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    @server.before_request  # type: ignore[untyped-decorator]  # Dash's server may be one of several kinds
    def check_host() -> Response | None:
        if _name_of(request.headers.get("Host", "")) in hosts:
            return None
        text = "The explorer does not answer to this name. --host or EXPLORER_HOSTS names others.\n"
        return Response(text, 421, content_type="text/plain")

    @server.after_request  # type: ignore[untyped-decorator]  # Dash's server may be one of several kinds
    def add_headers(response: Response) -> Response:
        response.headers.update(_HEADERS | {"Content-Security-Policy": policy})
        return response


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<script src="/assets/first.js"></script><title>{%title%}</title>{%favicon%}{%css%}</head>
<body>{%app_entry%}<footer hidden>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""
