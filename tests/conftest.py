"""Settings of the property tests: the same examples at each run. `HYPOTHESIS_PROFILE=search` looks for new ones."""

from __future__ import annotations

import os

import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("search", max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
