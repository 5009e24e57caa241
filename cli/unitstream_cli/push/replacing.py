"""`unitstream push --replace`: what the files no longer have is deleted, once all that they have is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unitstream.filters import Filter, parse_filter
from unitstream.identity import Metric
from unitstream.periods import Timeframe
from unitstream_cli.deletes.deleting import Deletion, Preview, Selection, added, check, delete, preview
from unitstream_cli.errors import BadInput
from unitstream_cli.push.plan import usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unitstream.identity import AggFunc
    from unitstream_cli.api import Api
    from unitstream_cli.push.sending_options import ReplaceOptions
    from unitstream_cli.push.series import SeriesKey
    from unitstream_cli.push.spool import Spool


class Owned(NamedTuple):
    """The series that the producer of the files owns: those that pass all filters, each beside its text.

    `replaces`: what the files do not have of them is deleted.
    """

    filters: tuple[tuple[str, Filter], ...] = ()
    replaces: bool = False

    def objection(self, series: SeriesKey) -> str | None:
        """Return why a series is not among them, None if it is."""
        dimensions = dict(series.dimensions)
        for text, one in self.filters:
            if not one.keeps(dimensions):
                value = dimensions.get(one.key)
                said = "there is none" if value is None else f"it is {value!r}"
                return f"--replace-filter {text} keeps other points only: of {one.key}, {said}"
        return None


def owned_by(options: ReplaceOptions, *, skip_invalid: bool) -> Owned:
    """Return what the options come to."""
    if not options.replace and any(options[1:]):
        raise usage("--replace-from, --replace-to and --replace-filter are of --replace.")
    if options.replace and skip_invalid:
        raise usage("--replace would delete the points of the rows that --skip-invalid leaves out.")
    try:
        filters = tuple((text, parse_filter(text)) for text in options.replace_filter or ())
    except ValueError as exc:
        raise usage(f"--replace-filter {exc}.") from exc
    return Owned(filters, options.replace)


def selections(spool: Spool, agg_func: AggFunc, options: ReplaceOptions) -> list[Selection]:
    """Return what is replaced of each metric. Raises `BadInput` where the files have other days too."""
    first, last = spool.days or ("", "")
    start, end = str(options.replace_from or first), str(options.replace_to or last)
    for option, given, of_files in (("--replace-from", start, first), ("--replace-to", end, last)):
        if (given > of_files) == (option == "--replace-from") and given != of_files:
            raise BadInput(
                f"{option} {given} leaves out days of the files, which go from {first} to {last}. Nothing was sent."
            )
    filters = options.replace_filter or []
    found = [Selection(Metric(name, agg_func), Timeframe(start, end), filters) for name in spool.all_metrics()]
    # With the server's own rules: later, all would be sent and nothing deleted.
    check(found[0])
    return found


def found_in(api: Api, replaced: Iterable[Selection]) -> dict[Metric, Preview]:
    """Return what is there of each metric. Raises as `preview` does: `Rejected` for who may not delete."""
    return {selection.metric: preview(api, selection) for selection in replaced}


def replace(
    api: Api, replaced: list[Selection], received_at: str, deletion: Deletion, progress: Callable[[], None]
) -> None:
    """Delete what was last received before `received_at`: all that this push did not save. Raises as `delete` does."""
    deletion.found = found_in(api, _before(replaced, received_at))
    for selection in _before(replaced, received_at):
        delete(api, selection, deletion, progress)


def to_be_replaced(api: Api, replaced: list[Selection], received_at: str, kept: int) -> int:
    """Return how many points would be deleted, if `kept` of those that are saved are in the files."""
    found = added(found_in(api, _before(replaced, received_at)).values())
    return max(0, found.points - kept)


def _before(replaced: list[Selection], received_at: str) -> Iterator[Selection]:
    return (selection._replace(received_before=received_at) for selection in replaced)
