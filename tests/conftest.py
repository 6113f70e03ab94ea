"""What holds for every test: no timing decides one."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# All else stays as it was: under CI there is a profile of its own.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
