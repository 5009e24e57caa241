"""Give the events of events/ to the functions of the local stack, and compare what they answer with events/answers/.

An answer says in `after` which event comes before its own. `make replay` runs this after `forget_events.py`.
"""

from __future__ import annotations

import json
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forget_events import EVENTS

from unitstream_cli.admin.replay import functions, parsed, read_events
from unitstream_cli.errors import CommandFailed
from unitstream_cli.settings import Options

if TYPE_CHECKING:
    from collections.abc import Iterable


class Expected(NamedTuple):
    """An event, the answer that it must get, and the event that comes before it, if any."""

    name: str
    event: dict[str, Any]
    answer: dict[str, Any]
    after: str | None


def main() -> int:
    failed = 0
    exchanges = in_order([Path(name) for name in sys.argv[1:]] or EVENTS.glob("*.json"))
    try:
        with functions(Options()) as invoke:
            for name, event, answer, _ in exchanges:
                outcome = invoke(event)
                different = difference(answer, outcome.response)
                print(f"{'differs' if different else 'same':8} {name:40} {outcome.brief()}")
                if different:
                    failed += 1
                    print(different, file=sys.stderr)
    except CommandFailed as failure:
        print(failure.message, file=sys.stderr)
        return failure.exit_code
    print(f"{failed or 'none'} of {len(exchanges)} events got another answer than the expected one", file=sys.stderr)
    return bool(failed)


def in_order(events: Iterable[Path]) -> list[Expected]:
    """Return the events, each after the one that its answer names."""
    exchanges = {}
    for path in events:
        (event,) = read_events(path)
        answer = json.loads((path.parent / "answers" / path.name).read_text())
        exchanges[path.stem] = Expected(path.stem, event, answer, answer.pop("after"))
    before = {name: [one.after] for name, one in exchanges.items()}
    return [exchanges[name] for name in TopologicalSorter(before).static_order() if name in exchanges]


def difference(expected: dict[str, Any], actual: dict[str, Any]) -> str | None:
    """Return both answers in full when `actual`, a proxy response, is not the one `expected`, and None when it is."""
    if "statusCode" in actual:  # else it is a function's crash
        kinds = ", ".join(actual.get("multiValueHeaders", {}).get("Content-Type", []))
        headers = {"Content-Type": kinds}
        actual = {"statusCode": actual["statusCode"], "headers": headers, "body": parsed(actual["body"])}
    # As text, because 1, 1.0 and true are equal to Python.
    want, got = (json.dumps(one, indent=2, sort_keys=True, ensure_ascii=False) for one in (expected, actual))
    return None if want == got else f"expected {want}\nactual {got}"


if __name__ == "__main__":
    sys.exit(main())
