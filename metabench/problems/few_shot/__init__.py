"""Few-shot tasks: many small problems to adapt to. Definitions are ``tasks/*.toml`` with ``kind = "few-shot"``."""

from metabench.problems.few_shot.episodes import Episodes, EpisodeSource
from metabench.problems.few_shot.task import EPISODES, FewShotTask, load_few_shot

__all__ = ["EPISODES", "EpisodeSource", "Episodes", "FewShotTask", "load_few_shot"]
