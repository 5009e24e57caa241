"""`sam build`, and the bytecode of what it made: for the interpreter that runs this, which stands for Lambda's.

Lambda's folders cannot be written to: a module that comes without bytecode is compiled anew in every cold start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sam", default="sam", help="the SAM CLI")
    parser.add_argument("--template", type=Path, default=REPOSITORY / "template.yaml", help="what is built")
    parser.add_argument("--build-dir", type=Path, default=REPOSITORY / ".aws-sam" / "build", help="where it is built")
    parser.add_argument("--architecture", help="arm64 or x86_64; by default the template's")
    options = parser.parse_args()
    overrides = [f"Runtime={RUNTIME}", *([f"Architecture={options.architecture}"] if options.architecture else [])]
    command = [options.sam, "build", "--template-file", str(options.template), "--build-dir", str(options.build_dir)]
    command += ["--parameter-overrides", *overrides]
    built = subprocess.run(command, env=_environment(), check=False)
    if built.returncode:
        print(f"sam build ended with {built.returncode}")
        return built.returncode
    compiled = [_compile(folder) for folder in sorted(options.build_dir.iterdir()) if folder.is_dir()]
    return 0 if all(compiled) else 1


def _environment() -> dict[str, str]:
    """This environment without other settings of SAM and Python, and with this interpreter where SAM looks first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "SAM_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "SAM_CLI_TELEMETRY": "0"}


def _compile(folder: Path) -> bool:
    """Compile a function or a layer, with the paths that Lambda gives to its files.

    Unchecked hashes: neither times nor contents are compared at a start, and the same source makes the same bytes.
    """
    on_lambda = "/opt" if (folder / "python").is_dir() else "/var/task"
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", on_lambda, str(folder)]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
