"""Environment of every test, and of every process that a test starts.

Set before anything is imported: the libraries read these once. A value that the caller has set stays.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # nothing is fetched from a hub: what a test loads, it makes or finds in a package
    "NO_ALBUMENTATIONS_UPDATE": "1",  # img2dataset's transforms ask the registry for news at import
    "OMP_NUM_THREADS": "1",  # the last bits of a float depend on the number of threads
    "RAY_AUTH_MODE": "disabled",  # Ray writes a token into the home folder otherwise
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this environment, and build none of their own
    "RAY_USAGE_STATS_ENABLED": "0",
}

for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

# A busy machine is no failure: tests never assert times.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
