"""The command `unitstream`: what it is made of, and how it ends."""

from __future__ import annotations

from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from unitstream_cli.admin import streams, tokens
from unitstream_cli.admin.replay import replay
from unitstream_cli.console import say
from unitstream_cli.deletes.command import delete_points
from unitstream_cli.errors import CommandFailed, ExitCode
from unitstream_cli.explore.command import explore
from unitstream_cli.grouping import grouped
from unitstream_cli.push.command import push
from unitstream_cli.reads import commands as reads
from unitstream_cli.reads import saved
from unitstream_cli.settings import (
    SHARED_OPTIONS,
    ApiKeyFileOption,
    Options,
    ProfileOption,
    RegionOption,
    StackOption,
    TokenFileOption,
    UrlOption,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Commands(TyperGroup):
    """The commands, of which each may end with a `CommandFailed`: here it becomes a sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, shared_first(joined(args)))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandFailed as failure:
            say(f"Error: {failure.message}")
            if failure.hint:
                say(failure.hint)
            raise typer.Exit(failure.exit_code) from failure
        except (KeyboardInterrupt, typer.Abort):
            say("Interrupted.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def joined(arguments: Sequence[str]) -> list[str]:
    """Make one name of `unit-metrics save` and its like. A metric, which may stand there too, has a colon."""
    words = list(arguments)
    for place, pair in enumerate(pairwise(words)):
        if " ".join(pair) in SAVED:
            return [*words[:place], " ".join(pair), *words[place + 2 :]]
    return words


def shared_first(arguments: Sequence[str]) -> list[str]:
    """Move the shared options before the command: they may stand anywhere, but are its group's."""
    shared, others = [], []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            others += [argument, *left]
        elif argument.partition("=")[0] not in SHARED_OPTIONS:
            others.append(argument)
        elif "=" in argument:
            shared.append(argument)
        else:
            value = next(left, None)
            # Of what lacks its value the command complains.
            (others if value is None else shared).extend([argument] if value is None else [argument, value])
    return shared + others


app = typer.Typer(
    name="unitstream",
    cls=Commands,
    help=(
        "Data streams and their tokens, and data for them.\n\n"
        "A data stream takes the business metrics of a producer. Operators create one and hand its token to the "
        "producer, who then pushes files of data points to it. What was sent is read back as views and unit metrics."
        "\n\n"
        "The options below are those of all commands, and may also stand after a command's name."
    ),
    epilog=(
        "Exit codes: 0 done, 1 failed or not everything saved, 2 wrong usage, 3 bad input, 4 key, token or credentials "
        "rejected, 5 service or stack not reachable, 6 a unit metric beyond a limit, 7 none to judge, 130 interrupted."
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.add_typer(streams.app, name="streams")
app.add_typer(tokens.app, name="tokens")
app.command(epilog="Example: unitstream push orders.csv --agg-func Sum")(grouped(push))
app.command(
    "delete", epilog="Example: unitstream delete orders:Sum --from 2022-10-01 --to 2022-10-31 --filter region:eu"
)(grouped(delete_points))
app.command(epilog="Example: unitstream replay failed-requests.json --stack unitstream")(replay)
app.command(epilog="Example: unitstream metrics")(grouped(reads.metrics))
app.command(epilog="Example: unitstream series orders:Sum --filter region:eu")(grouped(reads.series))
app.command(epilog="Example: unitstream points orders:Sum --from 2022-10-01 --to 2022-10-02")(grouped(reads.points))
app.command(epilog="Example: unitstream views orders:Sum --from 2022-10-01 --to 2022-10-31 --group-by region")(
    grouped(reads.views)
)
app.command(epilog="Example: unitstream unit-metrics costs:Sum orders:Sum --by week --group-by region --csv")(
    grouped(reads.unit_metrics)
)
app.command(epilog="Example: unitstream explore --port 8060")(explore)


SAVED: dict[str, tuple[Callable[..., None], str]] = {
    "unit-metrics save": (saved.save, '"cost per order" costs:Sum orders:Sum --group-by region --unit "EUR per order"'),
    "unit-metrics list": (saved.list_saved, "--json"),
    "unit-metrics show": (saved.show, '"cost per order" --by week --fail-rise 20'),
    "unit-metrics delete": (saved.delete, '"cost per order"'),
}
for _name, (_command, _example) in SAVED.items():
    app.command(_name, epilog=f"Example: unitstream {_name} {_example}")(grouped(_command))


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"unitstream {version('unitstream')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    token_file: TokenFileOption = None,
    stack: StackOption = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda asked: _print_version(asked=asked),
            is_eager=True,
            help="Print the version, and nothing else.",
        ),
    ] = False,
) -> None:
    """What every command shares."""
    ctx.obj = Options(url, api_key_file, token_file, stack, region, profile)
