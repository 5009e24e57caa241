"""The first request to a new local stack, which shows how to send one's own."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta


def send_first_points(url: str, key: str, token: str) -> None:
    """Send three points, of the hour before, and print what was sent, what was answered, and how to send more."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    body = {
        "data_stream_token": token,
        "metric_agg_func": "Sum",
        "data": [
            {
                "timestamp": f"{hour:%Y-%m-%d %H:%M:%S}",
                "metric_name": "orders",
                "metric_value": value,
                "custom_dimensions": {"region": region},
            }
            for region, value in (("eu", 128), ("us", 256), ("ap", 64))
        ],
    }
    print(f"\n▸ Sending three points to {url}", flush=True)
    print(json.dumps(body, indent=2))
    request = urllib.request.Request(  # the address is ours
        url, json.dumps(body).encode(), {"x-api-key": key, "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        print(f"\n{response.status} {response.read().decode()}")
    one = json.dumps(body | {"data": body["data"][:1]})
    print(f"\nSend your own:\n\ncurl -i '{url}' -H 'x-api-key: {key}' -H 'Content-Type: application/json' -d '{one}'")
