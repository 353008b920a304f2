"""Settings of all tests: nothing is judged by how long it takes on a busy machine.

Properties are tried with few examples, but with new ones in every run.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "often", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("often")
