"""The whole stack on this machine: MiniStack with `template.yaml` deployed by the SAM CLI, and a demo stream.

`make run` runs it until Ctrl-C; the end-to-end tests run it with a folder and a port of their own. The interpreter that
it runs on is the one that the functions run on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import explorer
from first_points import send_first_points

from unitstream.rights import Right
from unitstream_cli.admin.aws import LOCAL_KEY, LOCAL_REGION
from unitstream_cli.admin.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / "local" / "build.py"
STACK_NAME = "unitstream-local"
STAGE = "v1"
# Known to everybody, so it exists in the local stack only: the events in events/ carry it.
DEMO_TOKEN = "ds_local-demo-stream-0000000000000000000000000"  # noqa: S105  # it opens nothing
# Of the same stream, each with one right.
DEMO_WRITE_TOKEN = "ds_local-demo-writer-0000000000000000000000000"  # noqa: S105  # of the local stack alone
DEMO_READ_TOKEN = "ds_local-demo-reader-0000000000000000000000000"  # noqa: S105  # of the local stack alone
DEMO_STREAM_ID = DEMO_NAME = "demo"
STARTS_WITHIN_SECONDS = 60
# Less than the command waits for an answer of the local stack.
FUNCTION_SECONDS = 120
STOPS_WITHIN_SECONDS = 10


class StepFailed(Exception):
    """A step of bringing up the stack failed."""


class Stopped(Exception):
    """Somebody asked the stack to stop."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=4566, help="where the stack listens on the loopback interface")
    parser.add_argument("--home", type=Path, default=REPOSITORY / ".local", help="where it keeps its files")
    parser.add_argument("--sam", default="sam", help="the SAM CLI")
    parser.add_argument("--unitstream", type=Path, help="the command, which runs the explorer with a year of data")
    options = parser.parse_args()
    options.home.mkdir(parents=True, exist_ok=True)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with (options.home / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"A stack runs already: {options.home / 'stack.env'} says where. Stop it with Ctrl-C first.")
            return 1
        try:
            with _ministack(options.home, options.port) as (endpoint, process):
                settings = _bring_up(options.home, options.sam, endpoint)
                with explorer.beside(options.unitstream, settings, options.home, options.port + 1) as explorer_url:
                    _write_environment(options.home / "stack.env", settings | explorer_url)
                    _say(f"Up. {options.home / 'stack.env'} has the addresses and keys; Ctrl-C stops the stack.")
                    _serve(process)
        except StepFailed as failure:
            print(f"\nFailed: {failure}", file=sys.stderr)
            return 1
        except Stopped:
            print("\nStopped.")
        finally:
            (options.home / "stack.env").unlink(missing_ok=True)
    return 0


def _stop(*_: object) -> None:
    raise Stopped


@contextlib.contextmanager
def _ministack(home: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MiniStack on the loopback interface, and stop all of its processes at the end."""
    endpoint = f"http://127.0.0.1:{port}"
    _say(f"Starting MiniStack on {endpoint}")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise StepFailed(f"port {port} is taken; choose another one with PORT=")
    scratch = home / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    environment = _plain_environment() | {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(scratch),
    }
    log = home / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # its functions' processes too, so that all of them can be stopped
        )
    try:
        _wait_for(f"{endpoint}/_ministack/ready", process, log)
        yield endpoint, process
    finally:
        # A second Ctrl-C must not leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # It has nothing to save, and would wait for connections that clients keep.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(scratch, ignore_errors=True)


def _plain_environment() -> dict[str, str]:
    """This environment without what would lead to a real AWS account or into this interpreter's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "SAM_"))}
    return kept | {
        "AWS_ACCESS_KEY_ID": LOCAL_KEY,
        "AWS_SECRET_ACCESS_KEY": LOCAL_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": LOCAL_REGION,
        "SAM_CLI_TELEMETRY": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise StepFailed(f"MiniStack ended with {process.returncode}; the end of {log}:\n{_tail(log)}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise StepFailed(f"MiniStack did not answer within {STARTS_WITHIN_SECONDS} s; the end of {log}:\n{_tail(log)}")


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPS_WITHIN_SECONDS)


def _deploy(home: Path, sam: str, endpoint: str) -> None:
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    architecture = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
    # MiniStack is done when it answers: `sam deploy` need not look after five seconds.
    environment = _plain_environment() | {"AWS_ENDPOINT_URL": endpoint, "SAM_CLI_POLL_DELAY": "0.1"}
    built = home / "build"

    _say(f"Building for {runtime} on {architecture} (sam build, and bytecode)")
    build = [sys.executable, str(BUILD), "--sam", sam, "--build-dir", str(built), "--architecture", architecture]
    _run(build, environment, home / "build.log")

    _say(f"Deploying template.yaml as {STACK_NAME} (sam deploy)")
    config = ["--config-file", str(REPOSITORY / "samconfig.toml"), "--config-env", "local", "--stack-name", STACK_NAME]
    parameters = [f"Runtime={runtime}", f"Architecture={architecture}", "DeletionProtection=false"]
    deploy = [sam, "deploy", "--template-file", str(built / "template.yaml"), *config]
    _run([*deploy, "--parameter-overrides", *parameters], environment, home / "deploy.log")


def _bring_up(home: Path, sam: str, endpoint: str) -> dict[str, str]:
    """Deploy, make the demo stream and send first points to it. Returns what stack.env tells."""
    _deploy(home, sam, endpoint)
    session: Any = boto3.Session(LOCAL_KEY, LOCAL_KEY, region_name=LOCAL_REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)

    stack = client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    _allow_what_ministack_does_not_know(client, outputs)
    _give_time(client, outputs)

    _say("Creating the demo stream")
    registry = Registry(client("dynamodb"), outputs["StreamsTableName"])
    registry.register(DEMO_NAME, DEMO_STREAM_ID, DEMO_TOKEN)
    registry.create_token(DEMO_NAME, "writer", [Right.WRITE], secret=DEMO_WRITE_TOKEN)
    registry.create_token(DEMO_NAME, "reader", [Right.READ], secret=DEMO_READ_TOKEN)
    key = client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"]
    api = f"{endpoint}/restapis/{outputs['ApiId']}/{STAGE}/_user_request_"
    url = f"{api}/api/streams/ingest"
    try:
        send_first_points(url, key, DEMO_TOKEN)
    except urllib.error.HTTPError as exc:
        events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{STACK_NAME}-ingest")["events"]
        log = home / "function.log"
        log.write_text("\n".join(event["message"] for event in events))
        answer = f"the first request was answered with {exc.code} {exc.read().decode()}"
        raise StepFailed(f"{answer}; the end of {log}:\n{_tail(log)}") from exc
    return {
        "API_URL": api,
        "INGEST_URL": url,
        "API_KEY": key,
        "DATA_STREAM_TOKEN": DEMO_TOKEN,
        "WRITE_TOKEN": DEMO_WRITE_TOKEN,
        "READ_TOKEN": DEMO_READ_TOKEN,
        "STACK_NAME": STACK_NAME,
        # Where the file is not in the current directory, it can be the environment: AWS's part of it too.
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": LOCAL_REGION,
        "AWS_ACCESS_KEY_ID": LOCAL_KEY,
        "AWS_SECRET_ACCESS_KEY": LOCAL_KEY,
    }


def _allow_what_ministack_does_not_know(client: Any, outputs: dict[str, str]) -> None:
    """It asks for an action that AWS does not have, and knows nothing of the keys that a condition of ours names."""
    actions = {
        "IngestFunctionName": ["dynamodb:BatchExecuteStatement"],
        "ViewsFunctionName": ["dynamodb:DeleteItem", "dynamodb:PutItem"],
    }
    for function, allowed in actions.items():
        role = client("lambda").get_function_configuration(FunctionName=outputs[function])["Role"]
        table = f"arn:aws:dynamodb:*:*:table/{outputs['MetricsTableName']}"
        # The action that AWS does not have is asked for without a table.
        resource = "*" if function == "IngestFunctionName" else table
        statement = {"Effect": "Allow", "Action": allowed, "Resource": resource}
        client("iam").put_role_policy(
            RoleName=role.rpartition("/")[2],
            PolicyName="ministack",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )


def _give_time(client: Any, outputs: dict[str, str]) -> None:
    """MiniStack looks at all items of a partition for each page of it: what DynamoDB does in a second takes it 40."""
    for function in ("IngestFunctionName", "PublishFunctionName", "ViewsFunctionName"):
        client("lambda").update_function_configuration(FunctionName=outputs[function], Timeout=FUNCTION_SECONDS)


def _run(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait()
    except Stopped:
        _stop_group(process)
        raise
    if code:
        step = " ".join(Path(part).name for part in command[:2])
        raise StepFailed(f"{step} ended with {code}; the end of {log}:\n{_tail(log)}")


def _write_environment(path: Path, values: dict[str, str]) -> None:
    """Written whole or not at all: others wait for this file."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    partial.chmod(0o600)
    partial.rename(path)


def _serve(process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    raise StepFailed(f"MiniStack ended by itself, with {code}")


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _say(message: str) -> None:
    print(f"\n▸ {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
