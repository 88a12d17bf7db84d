"""What every test shares: one torch thread, and property tests that are the same in every run."""

import torch
from hypothesis import HealthCheck, settings

# Two or more threads on small tensors cost 30-100x when cores are shared.
torch.set_num_threads(1)

settings.register_profile(
    "metabench", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metabench")
