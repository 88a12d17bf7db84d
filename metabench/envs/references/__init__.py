"""Reference policies: from random to Bayes-optimal, so that an agent's return has a scale."""

from metabench.envs.references.bandit_optimal import optimal_value
from metabench.envs.references.catalogue import Estimate, estimate_return, make_policy, policies_of, unit_of
from metabench.envs.references.gittins import finite_horizon_index
from metabench.envs.references.grid_optimal import solve_beliefs
from metabench.envs.references.planning import plan
from metabench.envs.references.playground import solve_playground
from metabench.envs.references.policy import ReferencePolicy, run_trial
from metabench.envs.references.rooms_optimal import solve_rooms

__all__ = [
    "Estimate",
    "ReferencePolicy",
    "estimate_return",
    "finite_horizon_index",
    "make_policy",
    "optimal_value",
    "plan",
    "policies_of",
    "run_trial",
    "solve_beliefs",
    "solve_playground",
    "solve_rooms",
    "unit_of",
]
