"""What all tests share: no way to a real AWS account, and hypothesis without a clock."""

from __future__ import annotations

import os

import hypothesis
import support

# Machines are noisy: a slow example is no finding.
hypothesis.settings.register_profile("unitstream", deadline=None, print_blob=True)
hypothesis.settings.load_profile("unitstream")

support.forget_this_machine()
os.environ["POWERTOOLS_SERVICE_NAME"] = "unitstream"
