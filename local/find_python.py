"""Print an interpreter of the version that template.yaml deploys to, or else the one that this runs on.

`make runtime` runs what `sam build` makes on it. It is looked for on PATH, and among what pyenv and uv have installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).resolve().parent.parent / "template.yaml"
# pyenv's commands start the version that is set, if any; builds without the GIL find no wheels; Debian splits off venv.
PROBE = "import ensurepip, ssl, sys, venv; print('%d.%d%s' % (*sys.version_info[:2], sys.abiflags))"


def main() -> int:
    default = re.search(r"Default: python(3\.\d+)", TEMPLATE.read_text())
    if not default:
        print("template.yaml has no default runtime", file=sys.stderr)
        return 1
    version = default[1]
    found = next((path for path in _candidates(version) if _version_of(path) == version), None)
    if not found:
        at_hand = ".".join(map(str, sys.version_info[:3]))
        print(f"No Python {version} here, which template.yaml deploys to: taking Python {at_hand}", file=sys.stderr)
    print(found or sys.executable)
    return 0


def _candidates(version: str) -> Iterator[str]:
    command = f"python{version}"
    if on_path := shutil.which(command):
        yield on_path
    installed = (
        (Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions", f"{version}*/bin/{command}"),
        (Path.home() / ".local" / "share" / "uv" / "python", f"cpython-{version}*/bin/{command}"),
    )
    for folder, pattern in installed:
        yield from sorted(map(str, folder.glob(pattern)), key=_numbers, reverse=True)


def _numbers(path: str) -> list[int]:
    """3.13.10 is newer than 3.13.9."""
    return [int(digits) for digits in re.findall(r"\d+", path)]


def _version_of(path: str) -> str:
    probe = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
    return probe.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
