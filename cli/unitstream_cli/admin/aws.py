"""Reaching the stack: AWS clients with the caller's credentials, the stack's outputs, and what AWS's refusals mean.

Importing boto3 takes longer than all the rest of the command, so the commands import this module where they need it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's, on purpose
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from unitstream_cli.errors import CommandFailed, ExitCode, Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unitstream_cli.settings import StackSettings

# The local stack knows one account and one region, whatever is set on this machine.
LOCAL_KEY, LOCAL_REGION = "test", "us-east-1"
ATTEMPTS = 4
LOGIN_HINT = "Log in to AWS (`aws sso login`, or --profile, or AWS_ACCESS_KEY_ID with its secret) and try again."

_CREDENTIALS_REJECTED = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_ACCESS_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


class Stack:
    """A deployed stack: its outputs, and clients for what is in it."""

    def __init__(self, session: Any, settings: StackSettings, outputs: dict[str, str]) -> None:
        self._session = session
        self._settings = settings
        self.outputs = outputs

    def output(self, name: str) -> str:
        """Return an output. Raises `Unreachable` when the stack has none of that name."""
        try:
            return self.outputs[name]
        except KeyError as exc:
            raise Unreachable(
                f"the stack {self._settings.name} has no output {name}.",
                "Either it is no unitstream, or it was deployed from an older version, or not completely.",
            ) from exc

    def client(self, service: str, attempts: int = ATTEMPTS) -> Any:
        """Return a boto3 client of `service`, which makes up to so many attempts at a call."""
        return _client(self._session, self._settings, service, attempts)


def find_stack(settings: StackSettings) -> Stack:
    """Return the stack, as CloudFormation describes it. Raises `Unreachable` when there is none of that name."""
    if settings.is_local:
        session = boto3.Session(LOCAL_KEY, LOCAL_KEY, region_name=LOCAL_REGION)
    else:
        # boto3 by itself knows AWS_DEFAULT_REGION alone.
        session = boto3.Session(region_name=settings.region, profile_name=settings.profile)
    try:
        client = _client(session, settings, "cloudformation", ATTEMPTS)
        stacks = client.describe_stacks(StackName=settings.name)["Stacks"]
    except ClientError as exc:
        # For this call it means that there is no such stack, or that no stack can have that name.
        if exc.response["Error"]["Code"] != "ValidationError":
            raise
        where = f"at {settings.endpoint}" if settings.endpoint else f"in region {session.region_name}"
        raise Unreachable(
            f"there is no stack {settings.name} {where}.",
            f"Check --stack, and that this is its account and region: {settings.looked_at}.",
        ) from exc
    return Stack(session, settings, {one["OutputKey"]: one["OutputValue"] for one in stacks[0].get("Outputs", [])})


@contextlib.contextmanager
def foreseen_errors(settings: StackSettings) -> Iterator[None]:
    """Turn what AWS refuses, and what a person can mend, into `CommandFailed`. Everything else passes as it is."""
    looked_at = f"What was looked at: {settings.looked_at}."
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError) as exc:
        raise Rejected(f"there are no AWS credentials, or they cannot be read. {looked_at}", LOGIN_HINT) from exc
    except ProfileNotFound as exc:
        raise Rejected(f"there is no such AWS profile. {looked_at}", LOGIN_HINT) from exc
    except (NoRegionError, InvalidRegionError) as exc:
        raise CommandFailed(
            f"no AWS region is given, or it is no region's name. {looked_at}",
            "Give the stack's with --region.",
            exit_code=ExitCode.USAGE,
        ) from exc
    except (ConnectionError, HTTPClientError) as exc:
        raise Unreachable(f"AWS does not answer: {exc}", f"Is the network there? {looked_at}") from exc
    except ClientError as exc:
        code = exc.response["Error"]["Code"]
        call = exc.operation_name
        if code in _CREDENTIALS_REJECTED:
            raise Rejected(f"AWS does not accept the credentials ({code}).", LOGIN_HINT) from exc
        if code in _ACCESS_DENIED:
            raise Rejected(f"the AWS credentials do not allow {call}.", "Ask for that right, or use others.") from exc
        if code in _THROTTLED or exc.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise Unreachable(f"AWS did not manage {call} ({code}).", "Try again later.") from exc
        if code == "ResourceNotFoundException":
            raise Unreachable(f"{call} did not find a part of the stack.", "Was it deleted by hand?") from exc
        raise


def _client(session: Any, settings: StackSettings, service: str, attempts: int) -> Any:
    config = Config(connect_timeout=5, retries={"mode": "standard", "total_max_attempts": attempts})
    return session.client(service, endpoint_url=settings.endpoint, config=config)
