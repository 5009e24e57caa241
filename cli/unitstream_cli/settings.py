"""Where the service and the stack are: an option says so, or else the environment, or else `.local/stack.env`.

`make run` writes `.local/stack.env`, which is looked for in the current directory. What stands in it belongs together:
its API key and token are used with its `API_URL` alone, and its `AWS_ENDPOINT_URL` with its `STACK_NAME` alone, so that
what is meant for the local stack never reaches another one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import typer

from unitstream_cli.errors import BadInput, CommandFailed, ExitCode

STACK_ENV = Path(".local") / "stack.env"
API_URL, API_KEY, DATA_STREAM_TOKEN = "API_URL", "API_KEY", "DATA_STREAM_TOKEN"
STACK_NAME, AWS_ENDPOINT_URL = "STACK_NAME", "AWS_ENDPOINT_URL"
STDIN = Path("-")

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address of the API, up to and including its stage: what comes before /api/. "
        "Default: API_URL in the environment, then in .local/stack.env.",
    ),
]
ApiKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="PATH",
        help="File that holds the API key and nothing else; - is stdin. "
        "Default: API_KEY in the environment, then in .local/stack.env.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="PATH",
        help="File that holds the data stream token and nothing else; - is stdin. "
        "Default: DATA_STREAM_TOKEN in the environment, then in .local/stack.env.",
    ),
]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="Name of the CloudFormation stack, which is looked up with your AWS credentials. "
        "Default: STACK_NAME in the environment, then in .local/stack.env.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to stdout, for scripts; messages go to stderr.")
]


class Service(NamedTuple):
    """The API's address without a slash at its end, and what opens it."""

    url: str
    api_key: str
    token: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Service(url={self.url!r})"


class StackSettings(NamedTuple):
    """The name of the stack, the endpoint of AWS if it is another one, and whether that is the local stack's."""

    name: str
    endpoint: str | None
    is_local: bool


def service(url: str | None, api_key_file: Path | None, token_file: Path | None) -> Service:
    """Return the service that the options, the environment or `.local/stack.env` name.

    Raises `CommandFailed` (USAGE) when something is missing, and `BadInput` when a file holds no secret.
    """
    if STDIN == api_key_file == token_file:
        raise CommandFailed("only one of --api-key-file and --token-file can be stdin.", exit_code=ExitCode.USAGE)
    local = _stack_env()
    # People paste the address of the one route that they know.
    address = (url or os.environ.get(API_URL) or local.get(API_URL, "")).removesuffix("/api/streams/ingest").rstrip("/")
    if address != local.get(API_URL, ""):
        local = {}
    api_key = _secret(api_key_file, API_KEY, local)
    token = _secret(token_file, DATA_STREAM_TOKEN, local)
    ways = {
        "the address of the API": (address, "--url URL", API_URL),
        "the API key": (api_key, "--api-key-file PATH", API_KEY),
        "the data stream token": (token, "--token-file PATH", DATA_STREAM_TOKEN),
    }
    missing = {
        what: f"{option} or {name} in the environment" for what, (value, option, name) in ways.items() if not value
    }
    if missing:
        hints = [f"  {what}: {ways_to_give}" for what, ways_to_give in missing.items()]
        raise CommandFailed(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            "\n".join(["Give", *hints, f"or run in a directory whose {STACK_ENV} has them: `make run` writes it."]),
            exit_code=ExitCode.USAGE,
        )
    if not _is_address(address):
        raise CommandFailed(f"{address!r} is no address: it begins with https:// or http://.", exit_code=ExitCode.USAGE)
    return Service(address, api_key, token)


def stack(name: str | None) -> StackSettings:
    """Return the stack that the option, the environment or `.local/stack.env` names.

    Raises `CommandFailed` (USAGE) when none does.
    """
    local = _stack_env()
    found = name or os.environ.get(STACK_NAME) or local.get(STACK_NAME)
    if not found:
        raise CommandFailed(
            "the name of the stack is missing.",
            f"Give --stack NAME, or STACK_NAME in the environment, or run in a directory whose {STACK_ENV} has it: "
            "`make run` writes it.",
            exit_code=ExitCode.USAGE,
        )
    local_endpoint = local.get(AWS_ENDPOINT_URL) if found == local.get(STACK_NAME) else None
    endpoint = os.environ.get(AWS_ENDPOINT_URL) or local_endpoint
    return StackSettings(found, endpoint, endpoint is not None and endpoint == local_endpoint and is_loopback(endpoint))


def _secret(path: Path | None, name: str, local: dict[str, str]) -> str:
    if path is None:
        secret = os.environ.get(name) or local.get(name, "")
        if secret:
            _check_secret(secret, name)
        return secret
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text()
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise BadInput(f"{path} is no text file.") from exc
    secret = text.strip()
    _check_secret(secret, "stdin" if path == STDIN else str(path))
    return secret


def _check_secret(secret: str, where: str) -> None:
    """It becomes a header or a JSON string; what is longer than one line is another file."""
    if not secret or not secret.isprintable() or not secret.isascii():
        raise BadInput(f"{where} must hold one line with the secret, and nothing else.")


def _stack_env() -> dict[str, str]:
    try:
        lines = STACK_ENV.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot read {STACK_ENV}.") from exc
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(endpoint: str) -> bool:
    """Whether an address is one of this machine's, as the local stack's is."""
    return urlsplit(endpoint).hostname in {"127.0.0.1", "::1", "localhost"}
