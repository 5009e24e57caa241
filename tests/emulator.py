"""What `make build` makes, run as Lambda runs it: AWS's Runtime Interface Emulator starts Lambda's own runtime client.

Nothing of the source tree is on the path. The interpreter's environment has what Lambda's runtime brings, which is the
runtime client and boto3; all else must come from the built function and the built layer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from samtranslator.yaml_helper import yaml_parse
from support import REPOSITORY, STARTS_WITHIN_SECONDS, free_port, skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
BUILD, SAM, TEMPLATE = REPOSITORY / "local" / "build.py", REPOSITORY / ".local" / "sam", REPOSITORY / "template.yaml"
FUNCTIONS, LAYER = ("IngestFunction", "ViewsFunction"), "CommonLayer"
INVOCATIONS = "/2015-03-31/functions/function/invocations"
# Lambda's limit for the event of a synchronous invocation.
LARGEST_EVENT_BYTES = 6 * 1024 * 1024
STOPS_WITHIN_SECONDS = 10

# In the emulator's REPORT line the init duration leaves out the time that the runtime took to start, so not from there.
_INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")


def find_environment() -> Path:
    """Return the environment that stands for Lambda's runtime, or skip."""
    if platform.system() != "Linux":
        skip_or_fail("what is built for Lambda runs on Linux only")
    environment = REPOSITORY / ".local" / "runtime"
    if not environment.exists() or not SAM.exists():
        skip_or_fail("Lambda's runtime or the SAM CLI is not installed: `make runtime` does that")
    return environment.resolve()


@dataclass(frozen=True)
class Artefact:
    """What was built of a function, and the interpreter that it was made for."""

    python: Path
    function: Path
    layer: Path
    properties: Mapping[str, Any]
    parameters: Mapping[str, Any]

    @property
    def smallest_memory(self) -> int:
        """MB that the function has at least, whatever is deployed."""
        smallest: int = self.parameters["MemorySize"]["MinValue"]
        return smallest

    def environment(self, **resources: str) -> dict[str, str]:
        """Return the environment variables of the function on Lambda; `resources` are the physical names of some.

        On Lambda the layer's /opt/python comes right after the function's folder, and before the runtime's boto3. Here
        PYTHONPATH puts it there, and `python -m` the function's folder, where it is started, before it.
        """
        references = {name: one.get("Default") for name, one in self.parameters.items()} | resources
        references["AWS::StackName"] = "unitstream"
        layers = [self.layer / "lib" / self.properties["Runtime"] / "site-packages", self.layer]
        variables = {
            name: str(references[value["Ref"]] if isinstance(value, dict) else value)
            for name, value in self.properties["Environment"]["Variables"].items()
        }
        return variables | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_LAMBDA_FUNCTION_NAME": "ingest",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(references["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.properties["Timeout"]),
            "LAMBDA_TASK_ROOT": str(self.function),
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(map(str, layers)),
            "PYTHONNOUSERSITE": "1",
            # Lambda's folders cannot be written to: what comes without bytecode is compiled in each cold start.
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": ":UTC",
        }


def build(environment: Path, into: Path, template: Path = TEMPLATE) -> dict[str, Artefact]:
    """Build a template as `make build` does, for the interpreter of `environment`. Returns its functions."""
    python, sam = environment / "bin" / "python", SAM / "bin" / "sam"
    options = {"--sam": sam, "--template": template, "--build-dir": into, "--architecture": ARCHITECTURE}
    built = subprocess.run(
        [python, BUILD, *(str(part) for option in options.items() for part in option)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return artefacts(environment, into)


def _with_globals(of_all: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a function: its own before those of all, and the variables of both."""
    variables = of_all["Environment"]["Variables"] | own.get("Environment", {}).get("Variables", {})
    return of_all | own | {"Environment": {"Variables": variables}}


def artefacts(environment: Path, built: Path) -> dict[str, Artefact]:
    """Return the functions of what was built for the interpreter of `environment`."""
    template = yaml_parse((built / "template.yaml").read_text())
    # Lambda unpacks layers into /opt.
    layer = built / template["Resources"][LAYER]["Properties"]["ContentUri"] / "python"
    built_for = {"Runtime": environment.name.replace("runtime-", "python")}
    return {
        function: Artefact(
            environment / "bin" / "python",
            built / properties["CodeUri"],
            layer,
            _with_globals(template["Globals"]["Function"], properties) | built_for,
            template["Parameters"],
        )
        for function, properties in ((name, template["Resources"][name]["Properties"]) for name in FUNCTIONS)
    }


class Emulator:
    """The Runtime Interface Emulator with the built function: one sandbox, as warm or cold as Lambda would have it."""

    def __init__(self, artefact: Artefact, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._port = free_port()
        (binary,) = SAM.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}")
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(binary), *addresses, str(artefact.python), "-m", "awslambdaric", artefact.properties["Handler"]],
                cwd=artefact.function,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        give_up = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self._port)):
                break
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < give_up, self.log()
            time.sleep(0.02)

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the function with `event`. Returns the response, or what the emulator says instead of one."""
        return self.invoke_raw(json.dumps(event).encode())

    def invoke_raw(self, event: bytes) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", INVOCATIONS, event, {"Content-Type": "application/json"})
            answer = connection.getresponse().read().decode()
        finally:
            connection.close()
        try:
            return json.loads(answer)
        except ValueError:
            return answer

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def init_milliseconds(self) -> list[float]:
        """Return how long each cold start took: from starting the interpreter until the handler was imported."""
        return [float(milliseconds) for milliseconds in _INIT_REPORT.findall(self.log())]

    def peak_memory(self) -> float:
        """Return the most memory that the function's process has had, in MB: the emulator does not measure it."""
        (process,) = self._runtimes()
        status = Path("/proc", process, "status").read_text()
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(kilobytes) / 1024

    def stop(self) -> None:
        runtimes = self._runtimes()
        self._process.terminate()
        try:
            self._process.wait(STOPS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # It is the emulator's process, so it may still be on its way out, or nobody's any more.
        for process in runtimes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)

    def _runtimes(self) -> list[str]:
        """Return the IDs of the processes that the emulator has started and that still run."""
        threads = Path("/proc", str(self._process.pid), "task").glob("*/children")
        return [process for thread in threads for process in thread.read_text().split()]


class TricklingDynamoDB:
    """DynamoDB Local, whose answers can be made to trickle.

    What trickles, a byte at a time, never runs into a client's timeout: only the function's own timeout ends it.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self._intact: float = float("inf")
        self._operation = ""
        self._stopped = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # http.server names it
                outer.forward(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def trickle_after(self, calls: float, operation: str = "") -> None:
        """Answer so many `calls` of `operation` as ever, and execute later ones too, but let their answers trickle."""
        with self._lock:
            self._intact, self._operation = calls, operation

    def forward(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        trickles = self._trickles(request.headers["X-Amz-Target"].partition(".")[2])
        connection = http.client.HTTPConnection(self._upstream, timeout=STARTS_WITHIN_SECONDS)
        connection.request("POST", request.path, body, dict(request.headers))
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        with contextlib.suppress(OSError):  # the function's end is the end of the connection
            request.send_response(response.status)
            request.send_header("Content-Type", response.headers["Content-Type"])
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            if trickles:
                self._trickle(request, answer)
            else:
                request.wfile.write(answer)

    def _trickles(self, operation: str) -> bool:
        with self._lock:
            if operation != self._operation:
                return False
            self._intact -= 1
            return self._intact < 0

    def _trickle(self, request: BaseHTTPRequestHandler, answer: bytes) -> None:
        for byte in answer:
            if self._stopped.wait(0.5):
                request.close_connection = True
                return
            request.wfile.write(bytes([byte]))
            request.wfile.flush()

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers. Yields its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def describe(python: Path) -> str:
    """Return what stands for Lambda's runtime: interpreter and boto3."""
    command = [
        str(python),
        "-c",
        "import boto3, platform; print(platform.python_version(), 'with boto3', boto3.__version__)",
    ]
    described = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    return f"Python {described.stdout.strip()}"
