"""Meta-RL speed on one thread: an environment with an agent acting, and the training loop with its parts.

Run: python tests/benchmarks/metarl.py [--copies N]. Times are process-CPU seconds, the median of repeats in one
process, so a busy machine disturbs them little. The original implementations make 17 to 18 thousand grid steps a
CPU-second.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from metabench.envs import make_environment
from metabench.metarl.gae import generalized_advantages
from metabench.metarl.presets import preset
from metabench.metarl.problem import problem_of
from metabench.metarl.rollout import collect
from metabench.metarl.varibad import VariBAD

GRID = "grid-navigation-v0"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median process-CPU seconds of one call, after a first one that does not count."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def print_acting(copies: int, repeats: int) -> None:
    """Environment steps a CPU-second: random actions, and a variBAD agent (GRU 64, policy 32) that encodes and acts."""
    env = make_environment(GRID, copies)
    agent = VariBAD(problem_of(env), preset("varibad", GRID).changed({"copies": max(copies, 4)}), seed=0)
    actions = torch.randint(5, (env.steps, copies), generator=torch.Generator().manual_seed(0))

    def act_at_random() -> None:
        env.reset_tensor(seed=0)
        for action in actions:
            env.step_tensor(action)

    steps = copies * env.steps
    alone = steps / seconds(act_at_random, repeats)
    acting = steps / seconds(lambda: collect(env, agent, seed=0), repeats)
    print(f"{copies:>6,} copies   environment alone {alone:>12,.0f} steps/s   agent acting {acting:>10,.0f} steps/s")


def print_training(copies: int, repeats: int) -> None:
    """Frames a CPU-second of the whole variBAD loop on the grid, and milliseconds of its parts in an update."""
    env = make_environment(GRID, copies)
    agent = VariBAD(problem_of(env), preset("varibad", GRID).changed({"copies": copies}), seed=0)
    rollout = collect(env, agent, seed=0)
    rewards = rollout.trajectories.reward
    parts = {
        "rollout": lambda: collect(env, agent, seed=0),
        "advantages": lambda: generalized_advantages(rewards, rollout.value, discount=0.95, trace=0.95),
        "PPO": lambda: agent.update_policy(rollout, rewards, 0),
        "buffer": lambda: agent.buffer.add(rollout.trajectories),
        "VAE": agent.update_belief,
        "moments": lambda: agent.update_moments(rollout),
    }
    agent.update(rollout, 0)
    spent = {name: seconds(work, repeats) for name, work in parts.items()}
    whole = seconds(lambda: agent.update(collect(env, agent, seed=0), 0), repeats)
    words = "  ".join(f"{name} {1e3 * value:.1f}" for name, value in spent.items())
    speed = copies * env.steps / whole
    print(f"{copies:>6,} copies   {speed:>10,.0f} frames/s   ms an update: {words}  all {1e3 * whole:.1f}")


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, nargs="+", default=[16, 64, 1024])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{GRID}, torch {torch.__version__}, one thread, CPU seconds\nacting")
    for copies in options.copies:
        print_acting(copies, options.repeats)
    print("training (3 VAE updates of 25 trials and 8 PPO minibatches an update, whatever the copies)")
    for copies in options.copies:
        print_training(copies, options.repeats)


if __name__ == "__main__":
    main()
