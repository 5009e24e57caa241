"""What the tests of both handlers share: streams in moto, and all that a function logs."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from support import SECRET_TOKEN, Logged, create_stream, create_table

import unitstream_http

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def streams_in_moto() -> Iterator[None]:
    """Moto's Streams table, with an active and a revoked stream."""
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("STREAMS_TABLE", "streams")
        environment.setenv("METRICS_TABLE", "metrics")
        environment.setenv("MAX_SERIES_PER_METRIC", "100000")
        client = boto3.client("dynamodb")
        create_table(client, "StreamsTable", "streams")
        create_stream(client, "streams", SECRET_TOKEN, "stream-1")
        create_stream(client, "streams", "ds_revoked", "stream-2", state="revoked")
        yield


@pytest.fixture
def logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Logged:
    log = io.StringIO()
    handler = unitstream_http.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", log)
    caplog.set_level(logging.INFO)
    return Logged(log, caplog.records, capsys)
