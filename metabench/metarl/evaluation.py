"""How good an agent is: deterministic trials in tasks that are the same at every evaluation of every agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metabench.metarl.agent import Agent
from metabench.metarl.environments import Environment, use_split
from metabench.metarl.rollout import collect, episode_returns
from metabench.seeding import derive

if TYPE_CHECKING:
    from metabench.envs import Reference

__all__ = ["EvaluationResult", "evaluate"]

_SEED = derive("metarl", "evaluation")  # no training uses it


@dataclass(frozen=True)
class EvaluationResult:
    """Undiscounted returns, means over tasks.

    Attributes:
        episodes: of each episode of a trial.
        fraction: the trial's return divided by that of the reference's best policy (Bayes-optimal where it is known);
            None without a reference.
        score: (return - random) / (best - random); None without a reference.
    """

    episodes: tuple[float, ...]
    fraction: float | None
    score: float | None

    @property
    def total(self) -> float:
        """Of a whole trial."""
        return sum(self.episodes)

    def metrics(self) -> dict[str, float]:
        """By the names that people know."""
        found = {f"return_avg_per_frame/episode_{k}": value for k, value in enumerate(self.episodes, start=1)}
        found["charts/eval_return"] = self.total
        if self.fraction is not None and self.score is not None:
            found |= {"charts/fraction_of_reference": self.fraction, "charts/score": self.score}
        return found


def evaluate(agent: Agent, env: Environment, split: str, reference: Reference | None) -> EvaluationResult:
    """Plays one trial in every copy of ``env``, always taking the likeliest action.

    Args:
        agent: is not changed.
        env: its copies are the tasks, drawn from its split.
        split: the same; for an environment that keeps none itself.
        reference: returns of reference policies, or None.
    """
    use_split(env, split, _SEED)
    rollout = collect(env, agent, seed=_SEED, deterministic=True)
    episodes = episode_returns(rollout.trajectories.reward, env.episodes).mean(1).tolist()
    if reference is None:
        return EvaluationResult(tuple(episodes), None, None)
    total = sum(episodes)
    return EvaluationResult(tuple(episodes), total / reference.total(reference.unit), reference.score(total))
