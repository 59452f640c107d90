# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Each run draws the same examples, however long they take: what passed once passes again.
settings.register_profile(
    "certain",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("certain")
# Other examples in each run, to look for new faults: ``make search``.
settings.register_profile("search", settings.get_profile("certain"), derandomize=False)
