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
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        help="AWS region of the stack. Default: AWS_REGION, then AWS_DEFAULT_REGION in the environment, then what the "
        "profile says.",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="AWS profile. Default: AWS_PROFILE in the environment."),
]
# They belong to the command as a whole, and may stand anywhere.
SHARED_OPTIONS = ("--url", "--api-key-file", "--token-file", "--stack", "--region", "--profile")
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
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
    """Where the stack is. `endpoint` is AWS's if there is none, `is_local` says that it is the local stack's.

    `region` and `profile` are those that were given; `looked_at` says which and where, for a person.
    """

    name: str
    endpoint: str | None
    is_local: bool
    region: str | None
    profile: str | None
    looked_at: str


class Options(NamedTuple):
    """What the options say that all commands share."""

    url: str | None = None
    api_key_file: Path | None = None
    token_file: Path | None = None
    stack_name: str | None = None
    region: str | None = None
    profile: str | None = None

    def service(self) -> Service:
        """Return the service that the options, the environment or `.local/stack.env` name.

        Raises `CommandFailed` (USAGE) when something is missing, and `BadInput` when a file holds no secret.
        """
        if STDIN == self.api_key_file == self.token_file:
            raise CommandFailed("only one of --api-key-file and --token-file can be stdin.", exit_code=ExitCode.USAGE)
        local = _stack_env()
        given = self.url or os.environ.get(API_URL) or local.get(API_URL, "")
        # People paste the address of the one route that they know.
        address = given.removesuffix("/api/streams/ingest").rstrip("/")
        if address != local.get(API_URL, ""):
            local = {}
        api_key = _secret(self.api_key_file, API_KEY, local)
        token = _secret(self.token_file, DATA_STREAM_TOKEN, local)
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
            raise CommandFailed(
                f"{address!r} is no address: it begins with https:// or http://.", exit_code=ExitCode.USAGE
            )
        return Service(address, api_key, token)

    def stack(self) -> StackSettings:
        """Return the stack that the options, the environment or `.local/stack.env` name.

        Raises `CommandFailed` (USAGE) when none does.
        """
        local = _stack_env()
        name = self.stack_name or os.environ.get(STACK_NAME) or local.get(STACK_NAME)
        if not name:
            raise CommandFailed(
                "the name of the stack is missing.",
                f"Give --stack NAME, or STACK_NAME in the environment, or run in a directory whose {STACK_ENV} has it: "
                "`make run` writes it.",
                exit_code=ExitCode.USAGE,
            )
        local_endpoint = local.get(AWS_ENDPOINT_URL) if name == local.get(STACK_NAME) else None
        endpoint = os.environ.get(AWS_ENDPOINT_URL) or local_endpoint
        is_local = endpoint is not None and endpoint == local_endpoint and is_loopback(endpoint)
        region, region_place = _first("--region", self.region, "AWS_REGION", "AWS_DEFAULT_REGION")
        profile, profile_place = _first("--profile", self.profile, "AWS_PROFILE")
        looked_at = f"region {region_place}, profile {profile_place}" + (f", endpoint {endpoint}" if endpoint else "")
        return StackSettings(name, endpoint, is_local, region, profile, looked_at)


def _first(option: str, given: str | None, *variables: str) -> tuple[str | None, str]:
    """Return what an option or else the environment says, and where, for a person."""
    for place, text in ((option, given), *((name, os.environ.get(name)) for name in variables)):
        if text:
            return text, f"{text} ({place})"
    return None, f"in none of {', '.join((option, *variables))}"


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
