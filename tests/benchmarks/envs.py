"""Environment steps per CPU-second: the batched grid beside gymnasium's SyncVectorEnv over a plain Python twin.

Run: python tests/benchmarks/envs.py. One thread. Both do the same work in the same run: random actions drawn before,
trials reset as they end, observations and rewards returned for every copy. Timing gates nothing.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metabench.envs import environment_identifiers, make_environment

sys.path.insert(0, str(Path(__file__).parents[1] / "envs"))
from twins import GridTwin

COPIES = 1024
GOAL = 10e6


class GridTwinEnv(gymnasium.Env):
    """The plain Python grid as a gymnasium environment: four episodes of fifteen steps, then truncated."""

    observation_space = spaces.Box(0.0, 4.0, (2,), np.float32)
    action_space = spaces.Discrete(5)
    goals = tuple((x, y) for y in range(5) for x in range(5) if x > 1 or y > 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.twin, self.clock = GridTwin(self.goals[self.np_random.integers(21)]), 0
        return np.array(self.twin.reset(), dtype=np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        place, reward = self.twin.step(int(action))
        self.clock += 1
        if self.clock % 15 == 0:
            place = self.twin.reset()
        return np.array(place, dtype=np.float32), reward, False, self.clock == 60, {}


def rate(step: Callable[[int], Any], copies: int, seconds: float, repeats: int = 5) -> float:
    """Environment steps per CPU-second of this process: the best of some repeats, as others share the machine."""
    best, total = 0.0, 8
    for _ in range(repeats):
        while True:
            start = time.process_time()
            for i in range(total):
                step(i)
            spent = time.process_time() - start
            if spent >= seconds / repeats:
                break
            total *= 2
        best = max(best, total * copies / spent)
    return best


def _actions(env: Any, steps: int = 64) -> torch.Tensor:
    generator, space = torch.Generator().manual_seed(0), env.single_action_space
    if isinstance(space, spaces.Discrete):
        return torch.randint(int(space.n), (steps, env.num_envs), generator=generator)
    return torch.rand(steps, env.num_envs, *space.shape, generator=generator) * 2 - 1


def main() -> None:
    torch.set_num_threads(1)
    seconds = 2.0
    print(f"environment steps per CPU-second, one thread, torch {torch.__version__}, gymnasium {gymnasium.__version__}")

    peer = SyncVectorEnv([GridTwinEnv] * COPIES, autoreset_mode=AutoresetMode.SAME_STEP)
    peer.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 5, (64, COPIES))
    peer_rate = rate(lambda i: peer.step(actions[i % 64]), COPIES, seconds)
    print(f"{'gymnasium SyncVectorEnv, Python grid':44} {COPIES:7,} copies {peer_rate / 1e6:9.3f} M")

    env = make_environment("grid-navigation-v0", COPIES)
    env.reset_tensor(seed=0)
    drawn = _actions(env)
    own = rate(lambda i: env.step(actions[i % 64]), COPIES, seconds)
    print(f"{'grid-navigation-v0, step (NumPy)':44} {COPIES:7,} copies {own / 1e6:9.3f} M {own / peer_rate:7,.0f} x")
    tensor = rate(lambda i: env.step_tensor(drawn[i % 64]), COPIES, seconds)
    verdict = "met" if tensor >= GOAL else "MISSED"
    print(
        f"{'grid-navigation-v0, step_tensor':44} {COPIES:7,} copies {tensor / 1e6:9.3f} M {tensor / peer_rate:8,.0f} x"
        f"   goal {GOAL / 1e6:.0f} M: {verdict}"
    )
    for name in environment_identifiers():
        for copies in (16, COPIES, 16_384):
            env = make_environment(name, copies)
            env.reset_tensor(seed=0)
            drawn = _actions(env)
            found = rate(lambda i, env=env, drawn=drawn: env.step_tensor(drawn[i % 64]), copies, seconds / 2, 3)
            print(f"{name + ', step_tensor':44} {copies:7,} copies {found / 1e6:9.3f} M", flush=True)


if __name__ == "__main__":
    sys.exit(main())
