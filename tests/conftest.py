"""What all tests share: no way to a real AWS account, and hypothesis without a clock."""

from __future__ import annotations

import os

import hypothesis

# Machines are noisy: a slow example is no finding.
hypothesis.settings.register_profile("unitstream", deadline=None, print_blob=True)
hypothesis.settings.load_profile("unitstream")

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    POWERTOOLS_SERVICE_NAME="unitstream",
)
