"""The kit for meta-reinforcement-learning environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from metabench.testing.requirement import require, without_global_randomness

__all__ = ["check_environment"]

_COPIES, _SEED, _TASKS = 6, 11, 512
_NAMES = ("num_envs", "episodes", "horizon", "sample_tasks", "set_task", "tasks")

Make = Callable[[int], Any]
Record = dict[str, list[Any]]


def check_environment(make: Make) -> None:
    """Checks that an environment can be explored by the agents and scored.

    A gymnasium vector environment whose copies run trials of ``episodes`` episodes of ``horizon`` steps in explicit
    tasks.
    Checked: the interface and the spaces; observations, rewards and ends of two trials, exactly E x H transitions each,
    with the end of an episode in ``info`` and of a trial as the only truncation, reset in the same step; that a seed
    decides everything; that copies do not see each other; that tasks can be sampled, set and taken back, and those held
    out are not among the training ones; that mistakes are refused; no global randomness. Where the environment has the
    tensor path (``reset_tensor``, ``step_tensor``, ``state_dict``): that it agrees with ``step``, keeps what it
    returned, and resumes.

    Args:
        make: builds the environment with that many copies; called several times.

    Raises:
        ConformanceError: at the first property that fails.
    """
    _interface(make(_COPIES))
    subject = type(make(_COPIES))
    with without_global_randomness(subject):
        _trials(make(_COPIES))
        _seeds(make)
        _independent_copies(make)
        _tasks(make(_COPIES))
        _splits(make(_COPIES))
        _mistakes(make)
        _tensor_path(make)


def _interface(env: Any) -> None:
    subject = type(env)
    require(isinstance(env, VectorEnv), subject, "interface", "expected a gymnasium.vector.VectorEnv.")
    env.reset(seed=_SEED)  # ``tasks`` is that of a running trial
    for name in _NAMES:
        require(hasattr(env, name), subject, "interface", f"it has no {name!r}; expected {', '.join(_NAMES)}.")
    require(env.num_envs == _COPIES, subject, "interface", f"num_envs is {env.num_envs}; {_COPIES} were asked for.")
    require(env.episodes >= 1 and env.horizon >= 1, subject, "interface", "episodes and horizon must be at least 1.")
    mode = env.metadata.get("autoreset_mode")
    require(mode is AutoresetMode.SAME_STEP, subject, "autoreset", f"metadata says {mode}; expected SAME_STEP.")
    obs, action = env.single_observation_space, env.single_action_space
    require(
        isinstance(obs, spaces.Box) and obs.dtype == np.float32,
        subject,
        "spaces",
        f"observations are {obs}; expected a float32 Box.",
    )
    require(isinstance(action, spaces.Discrete | spaces.Box), subject, "spaces", f"{action} is no Discrete or Box.")
    require(
        env.observation_space.shape == (_COPIES, *obs.shape),
        subject,
        "spaces",
        f"the batched observation space has shape {env.observation_space.shape}; expected {(_COPIES, *obs.shape)}.",
    )


def _actions(env: Any, steps: int, seed: int = 0) -> np.ndarray:
    """Random actions ``(steps, num_envs, ...)``, from a generator of their own."""
    generator, space = np.random.default_rng(seed), env.single_action_space
    if isinstance(space, spaces.Discrete):
        return generator.integers(space.n, size=(steps, env.num_envs))
    shape = (steps, env.num_envs, *space.shape)
    return generator.uniform(space.low, space.high, size=shape).astype(np.float32)


def _run(env: Any, actions: np.ndarray, seed: int | None = _SEED) -> Record:
    """Resets, takes the actions, and keeps copies of all that was returned."""
    obs, _ = env.reset(seed=seed)
    record: Record = {name: [] for name in ("obs", "reward", "next_obs", "terminated", "truncated", "info")}
    record["obs"].append(np.array(obs))
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        record["obs"].append(np.array(obs))
        record["reward"].append(np.array(reward))
        record["next_obs"].append(np.array(info.get("next_obs", obs)))
        record["terminated"].append(np.array(terminated))
        record["truncated"].append(np.array(truncated))
        record["info"].append(dict(info))
    return record


def _trials(env: Any) -> None:
    subject, trial = type(env), env.episodes * env.horizon
    record = _run(env, _actions(env, 2 * trial))
    space = env.single_observation_space
    for step in range(2 * trial):
        where = f"at step {step + 1}"
        for name in ("obs", "next_obs"):
            array = record[name][step + (name == "obs")]
            good = array.dtype == np.float32 and array.shape == (env.num_envs, *space.shape)
            require(good, subject, "observations", f"{name} {where} is {array.dtype} {array.shape}; expected float32.")
            inside = all(space.contains(row) for row in array)
            require(inside, subject, "observations", f"{name} {where} is outside the observation space.")
        reward = record["reward"][step]
        good = reward.shape == (env.num_envs,) and reward.dtype.kind == "f" and np.isfinite(reward).all()
        require(good, subject, "rewards", f"{where} they are not {env.num_envs} finite floating-point numbers.")
        info, last = record["info"][step], (step + 1) % trial == 0
        require("episode_end" in info and "next_obs" in info, subject, "info", "expected 'episode_end' and 'next_obs'.")
        ends = np.asarray(info["episode_end"])
        expected = (step + 1) % env.horizon == 0
        require(
            ends.shape == (env.num_envs,) and (ends == expected).all(),
            subject,
            "episodes",
            f"{where} episode_end is {ends.tolist()}; expected an end every {env.horizon} steps, in all copies.",
        )
        require(not record["terminated"][step].any(), subject, "ends", f"terminated {where}; expected truncation.")
        require(
            (record["truncated"][step] == last).all(),
            subject,
            "ends",
            f"truncated is {record['truncated'][step].tolist()} {where}; expected trials of {trial} transitions.",
        )
        if last:
            final = info.get("final_obs")
            good = final is not None and np.array_equal(np.stack(list(final)), record["next_obs"][step])
            require(good, subject, "ends", f"{where} info['final_obs'] is not what the last actions led to.")
        elif not expected:
            same = np.array_equal(record["obs"][step + 1], record["next_obs"][step])
            require(same, subject, "info", f"next_obs differs from the observation {where}, inside an episode.")


def _same(left: Record, right: Record, rows: slice = slice(None)) -> bool:
    names = ("obs", "reward", "next_obs")
    return all(np.array_equal(a[rows], b[rows]) for name in names for a, b in zip(left[name], right[name], strict=True))


def _seeds(make: Make) -> None:
    env = make(_COPIES)
    actions = _actions(env, env.episodes * env.horizon + 1)
    first, again, other = _run(env, actions), _run(env, actions), _run(make(_COPIES), actions)
    require(_same(first, again), type(env), "seeds", "two runs with the same seed and actions differ.")
    require(_same(first, other), type(env), "seeds", "two environments with the same seed and actions differ.")
    env.reset(seed=_SEED)
    tasks = _array(env.tasks)
    env.reset(seed=_SEED + 1)
    several = len(np.unique(_array(env.sample_tasks(64, 0)), axis=0)) > 4
    fresh = not np.array_equal(tasks, _array(env.tasks)) or not several
    require(fresh, type(env), "seeds", "another seed gives the same tasks.")


def _independent_copies(make: Make) -> None:
    env = make(_COPIES)
    actions = _actions(env, env.episodes * env.horizon)
    changed = actions.copy()
    changed[:, 0] = _actions(env, len(actions), seed=1)[:, 0]
    same = _same(_run(env, actions), _run(env, changed), slice(1, None))
    require(same, type(env), "independent copies", "the actions of copy 0 change what the other copies see.")


def _array(tasks: Any) -> np.ndarray:
    return tasks.cpu().numpy() if isinstance(tasks, torch.Tensor) else np.asarray(tasks)


def _tasks(env: Any) -> None:
    subject = type(env)
    first, again = _array(env.sample_tasks(_COPIES, 5)), _array(env.sample_tasks(_COPIES, 5))
    require(len(first) == _COPIES, subject, "tasks", f"sample_tasks({_COPIES}, seed) gave {len(first)} tasks.")
    require(np.array_equal(first, again), subject, "tasks", "sample_tasks with the same seed gave other tasks.")
    env.set_task(env.sample_tasks(_COPIES, 5))
    env.reset(seed=_SEED)
    require(
        np.array_equal(_array(env.tasks), first), subject, "tasks", "set_task does not hold from the next reset on."
    )
    for action in _actions(env, env.episodes * env.horizon):
        env.step(action)
    require(np.array_equal(_array(env.tasks), first), subject, "tasks", "set_task does not outlast the end of a trial.")
    env.set_task(None)
    env.reset(seed=_SEED)
    drawn = _array(env.tasks)
    env.reset(seed=_SEED)
    require(
        np.array_equal(_array(env.tasks), drawn), subject, "tasks", "after set_task(None) a seed gives other tasks."
    )


def _splits(env: Any) -> None:
    splits = (_array(env.sample_tasks(_TASKS, 3, split)) for split in ("train", "held-out"))
    train, held_out = (tasks.reshape(_TASKS, -1) for tasks in splits)
    both = {row.tobytes() for row in train} & {row.tobytes() for row in held_out}
    require(not both, type(env), "splits", f"{len(both)} tasks are in both the 'train' and the 'held-out' split.")


def _refuses(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Exception:  # whatever an environment of someone else's raises; it only must not carry on
        return True
    return False


def _mistakes(make: Make) -> None:
    env = make(_COPIES)
    subject, actions = type(env), _actions(env, 1)[0]
    require(_refuses(lambda: env.step(actions)), subject, "mistakes", "step before the first reset is not refused.")
    env.reset(seed=_SEED)
    require(_refuses(lambda: env.step(actions[1:])), subject, "mistakes", "too few actions are not refused.")
    space = env.single_action_space
    beyond = actions + (space.n if isinstance(space, spaces.Discrete) else 2 * np.abs(space.high) + 1)
    require(_refuses(lambda: env.step(beyond)), subject, "mistakes", "actions out of range are not refused.")
    few = env.sample_tasks(_COPIES - 1, 0)
    require(_refuses(lambda: env.set_task(few)), subject, "mistakes", "fewer tasks than copies are not refused.")
    split = _refuses(lambda: env.sample_tasks(1, 0, "no such split"))
    require(split, subject, "mistakes", "an unknown split is not refused.")


def _tensor_path(make: Make) -> None:
    env, other = make(_COPIES), make(_COPIES)
    if not hasattr(env, "step_tensor"):
        return
    subject, trial = type(env), env.episodes * env.horizon
    actions = _actions(env, trial + env.horizon)
    record = _run(env, actions)
    kept = [other.reset_tensor(seed=_SEED)]
    copies = [kept[0].clone()]
    saved = None
    for step, action in enumerate(actions):
        if step == trial // 2:
            saved = other.state_dict()
        transition = other.step_tensor(torch.as_tensor(action, device=kept[0].device))
        for name in ("obs", "reward", "next_obs"):
            array = record[name][step + (name == "obs")]
            same = np.array_equal(getattr(transition, name).cpu().numpy(), array)
            require(same, subject, "tensor path", f"{name} of step_tensor differs from step at step {step + 1}.")
        ends = (transition.episode_end, transition.trial_end)
        expected_ends = ((step + 1) % env.horizon == 0, (step + 1) % trial == 0)
        require(ends == expected_ends, subject, "tensor path", f"the ends are {ends} at step {step + 1}.")
        kept += [transition.obs, transition.reward, transition.next_obs]
        copies += [part.clone() for part in kept[-3:]]
    same = all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    require(same, subject, "tensor path", "a tensor that was returned has been written to since; return new ones.")
    resumed = make(_COPIES)
    resumed.load_state_dict(saved)
    for step in range(trial // 2, len(actions)):
        transition = resumed.step_tensor(torch.as_tensor(actions[step], device=kept[0].device))
        same = np.array_equal(transition.reward.cpu().numpy(), record["reward"][step])
        same = same and np.array_equal(transition.obs.cpu().numpy(), record["obs"][step + 1])
        require(same, subject, "resume", f"after load_state_dict, step {step + 1} differs from the uninterrupted run.")
    written = make(_COPIES)
    written.reset_tensor(seed=_SEED).fill_(0.5)
    for step, action in enumerate(actions):
        transition = written.step_tensor(torch.as_tensor(action, device=kept[0].device))
        same = np.array_equal(transition.reward.cpu().numpy(), record["reward"][step])
        require(same, subject, "tensor path", "writing into a returned observation changes the environment.")
        transition.obs.fill_(0.5)
