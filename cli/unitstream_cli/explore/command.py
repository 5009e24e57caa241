"""`unitstream explore`: the explorer on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from unitstream_cli.console import say
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.explore.stream import GIVE_UP_AFTER_SECONDS
from unitstream_cli.reads.arguments import GiveUpOption

PORT = 8050


def explore(
    ctx: typer.Context,
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Where it listens; 0 is any free port.")
    ] = PORT,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address of this machine at which it listens, and a name to which it answers. It asks nobody who they "
            "are, so anything but loopback belongs behind a proxy that does.",
        ),
    ] = "127.0.0.1",
    give_up_after: GiveUpOption = GIVE_UP_AFTER_SECONDS,
) -> None:
    """Look at metrics and unit metrics in a browser, until Ctrl-C.

    It talks to the API with the command's settings: no key and no token is ever in the browser. Prints its address.
    """
    service = ctx.obj.service()
    if find_spec("dash") is None:
        raise CommandFailed(
            "the explorer needs Dash, which is not installed.",
            'Install it: pip install "unitstream[explore]"',
            exit_code=ExitCode.USAGE,
        )
    from werkzeug.serving import make_server  # noqa: PLC0415  # comes with Dash, which is an extra

    from unitstream_cli.explore.server import build  # noqa: PLC0415  # it imports Dash, which is an extra

    try:
        server = make_server(host, port, build(service, [host], give_up_after), threaded=True)
    except (OSError, SystemExit) as exc:
        raise CommandFailed(
            f"cannot listen on {host}, port {port}: it is taken, or not this machine's.",
            "Choose another one with --port.",
            exit_code=ExitCode.USAGE,
        ) from exc
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"http://{shown}:{server.server_port}")
    say("Ctrl-C stops it.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("Stopped.")
    finally:
        server.server_close()
