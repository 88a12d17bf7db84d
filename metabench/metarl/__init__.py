"""Meta-RL agents and the loop that trains them. Plug-ins: entry points ``metabench.agents``."""

from metabench.registry import Registry

__all__ = ["AGENTS"]

AGENTS = Registry(
    "agent",
    {
        "rl2": "metabench.metarl.rl2:RL2",
        "varibad": "metabench.metarl.varibad:VariBAD",
        "hyperx": "metabench.metarl.hyperx:HyperX",
    },
    "metabench.agents",
)
