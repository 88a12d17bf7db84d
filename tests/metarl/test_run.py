"""The loop: resumed runs, bad input, and what is written."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import metabench
from metabench.errors import (
    ArgumentError,
    CheckpointError,
    ContentError,
    DivergedError,
    OptionalDependencyError,
    RunFolderError,
    UnknownNameError,
)
from metabench.metarl import AGENTS, run
from metabench.metarl.checkpoint import first_nonfinite
from metabench.metarl.evaluation import evaluate
from metabench.metarl.presets import PRESETS, preset
from metabench.metarl.run import Plan, Report, train
from metabench.metarl.settings import Settings
from metabench.metarl.trained import load_trained

GRID = "grid-navigation-v0"


class Interrupted(Exception):
    """What a test stops a run with."""


@pytest.mark.parametrize("agent", AGENTS.names())
@pytest.mark.parametrize("cell", ["gru", "gated.deq"])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one_to_the_byte(
    agent: str, cell: str, small: Settings, tmp_path: Path
) -> None:
    if cell != "gru":
        small = small.changed({"copies": 4, "frames": 4 * 60 * 3, "policy_body": "mlp.tied"})
    plan = Plan(agent, GRID, small, seed=1)
    whole = train(plan, tmp_path / "whole")

    def stop_after_the_second_checkpoint(report: Report) -> None:
        if report.frames >= 2 * small.frames // 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(plan, tmp_path / "parts", tell=stop_after_the_second_checkpoint)
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:  # a line of an update that was not saved, cut off
        file.write('{"update": 5, "frames"')
    resumed = train(plan, tmp_path / "parts", resume=True)
    assert resumed == whole
    for name in ("metrics.jsonl", "checkpoint.pt"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert train(plan, tmp_path / "parts", resume=True) == whole  # nothing is left to do


def test_seeds_differ_and_repeat(small: Settings, tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(Plan("varibad", GRID, small, seed), tmp_path / name)
        files.append((tmp_path / name / "metrics.jsonl").read_bytes())
    assert files[0] == files[1] != files[2]


def test_lines_carry_the_names_that_people_know(small: Settings, tmp_path: Path) -> None:
    result = train(Plan("hyperx", GRID, small, 0), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["frames"] for line in lines] == [480 * k for k in range(1, 7)]
    assert [line["charts/bonus_factor"] for line in lines] == pytest.approx([1 - k / 6 for k in range(6)])
    evaluated = [line["update"] for line in lines if "charts/eval_return" in line]
    assert evaluated == [2, 4, 6]
    assert lines[-1]["return_avg_per_frame/episode_1"] == result.episodes[0]
    for name in ("charts/episodic_return", "losses/policy_loss", "losses/value_loss", "losses/entropy", "losses/kl"):
        assert math.isfinite(lines[0][name])


def test_tensorboard_is_an_extra(small: Settings, tmp_path: Path) -> None:
    """Its files hold the same values, also over an interruption; without it, the message says how to get it."""
    plan = Plan("rl2", GRID, small, 0)
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[tensorboard\]'"):
            train(plan, tmp_path, tensorboard=True)
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(plan, tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [(event.step, event.value) for event in events.Scalars("losses/entropy")]
    assert found == [(line["frames"], pytest.approx(line["losses/entropy"])) for line in lines]

    def stop_after_the_second_checkpoint(report: Report) -> None:
        if report.frames >= report.total * 2 // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "again", tensorboard=True, tell=stop_after_the_second_checkpoint)
    train(plan, tmp_path / "again", resume=True, tensorboard=True)
    resumed = EventAccumulator(str(tmp_path / "again" / "tensorboard"))
    resumed.Reload()
    assert [(event.step, event.value) for event in resumed.Scalars("losses/entropy")] == found


def test_nan_stops_the_run_with_the_last_good_checkpoint(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, calls = Plan("varibad", GRID, small, 3), []
    original = AGENTS.get("varibad").update

    def poisoned(self: Any, rollout: Any, frames: int) -> dict[str, float]:
        calls.append(frames)
        metrics = original(self, rollout, frames)
        return metrics | ({"losses/elbo": math.nan} if len(calls) == 3 else {})

    monkeypatch.setattr(AGENTS.get("varibad"), "update", poisoned)
    with pytest.raises(
        DivergedError, match=r"seed 3: losses/elbo became nan .* 960 frames; the last good .* 960 frames"
    ):
        train(plan, tmp_path)
    kept = torch.load(run.checkpoint_path(tmp_path), weights_only=True)
    assert kept["updates"] == 2
    assert first_nonfinite(kept["state"]) is None


def test_weights_that_are_not_finite_are_not_saved(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AGENTS.get("rl2").update

    def poisoned(self: Any, rollout: Any, frames: int) -> dict[str, float]:
        metrics = original(self, rollout, frames)
        with torch.no_grad():
            self.policy.embed.bias[0] = math.inf
        return metrics

    monkeypatch.setattr(AGENTS.get("rl2"), "update", poisoned)
    changed = small.changed({"evaluations": 6})
    with pytest.raises(DivergedError, match=r"policy\.embed\.bias.*no checkpoint was made"):
        train(Plan("rl2", GRID, changed, 0), tmp_path)
    assert not run.checkpoint_path(tmp_path).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "rl2"}, "is of agent 'varibad', not 'rl2'"),
        ({"env": "grid-navigation-v0:size=6"}, "is of env 'grid-navigation-v0', not 'grid-navigation-v0:size=6'"),
        ({"seed": 4}, "is of seed 0, not 4"),
        ({"settings": {"clip": 0.2}}, "was made with clip 0.05, not 0.2"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    change: dict[str, Any], message: str, small: Settings, tmp_path: Path
) -> None:
    train(Plan("varibad", GRID, small, 0), tmp_path)
    fields: dict[str, Any] = {"agent": "varibad", "env": GRID, "settings": small, "seed": 0, **change}
    if isinstance(fields["settings"], dict):
        fields["settings"] = small.changed(fields["settings"])
    with pytest.raises(CheckpointError, match=message):
        train(Plan(**fields), tmp_path, resume=True)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", b"\x80\x02."])
def test_a_damaged_checkpoint_is_one_clear_line(damage: bytes, small: Settings, tmp_path: Path) -> None:
    plan = Plan("varibad", GRID, small, 0)
    run.checkpoint_path(tmp_path).write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged \("):
        train(plan, tmp_path, resume=True)


def test_explore_makes_a_folder_resumes_and_reports(small: Settings, tmp_path: Path) -> None:
    out = tmp_path / "run"
    report = metabench.explore("varibad", GRID, seeds=2, settings=small, out=out, workers=1)
    assert [result.seed for result in report.seeds] == [0, 1]
    assert report.frames == small.frames
    assert report.trial_return[0] == pytest.approx(sum(sum(result.episodes) for result in report.seeds) / 2)
    assert {path.name for path in report.figures} == {"learning-curve.png", "paths.png", "visits.png", "belief.png"}
    assert all(path.is_file() for path in report.figures)
    assert json.loads((out / "summary.json").read_text())["agent"] == "varibad"
    with pytest.raises(RunFolderError, match="add --resume"):
        metabench.explore("varibad", GRID, seeds=2, settings=small, out=out, workers=1)
    again = metabench.explore("varibad", GRID, seeds=2, settings=small, out=out, workers=1, resume=True)
    assert again == report
    with pytest.raises(RunFolderError, match=r"its clip is 0\.05, not 0\.3"):
        metabench.explore("varibad", GRID, settings=small.changed({"clip": 0.3}), out=out, resume=True)
    with pytest.raises(RunFolderError, match="its agent is 'varibad', not 'hyperx'"):
        metabench.explore("hyperx", GRID, settings=small, out=out, resume=True)


def test_ways_are_drawn_where_there_is_a_plane(small: Settings, tmp_path: Path) -> None:
    sparse = metabench.explore(
        "rl2", "sparse-point-v0", settings=small.changed({"frames": 2400}), out=tmp_path / "sparse", workers=1
    )
    assert {path.name for path in sparse.figures} == {"learning-curve.png", "paths.png"}
    bandit = metabench.explore("rl2", "bandit-v0", settings=small, out=tmp_path / "bandit", workers=1)
    assert {path.name for path in bandit.figures} == {"learning-curve.png"}


def test_seeds_may_begin_elsewhere(small: Settings, tmp_path: Path) -> None:
    """Runs that choose settings are not the reported ones; a seed is the same whichever seeds run beside it."""
    both = metabench.explore("rl2", GRID, seeds=2, settings=small, out=tmp_path / "both", workers=1)
    second = metabench.explore("rl2", GRID, first_seed=1, settings=small, out=tmp_path / "second", workers=1)
    assert second.seeds == both.seeds[1:]
    with pytest.raises(ArgumentError, match="first_seed is -1"):
        metabench.explore("rl2", GRID, first_seed=-1, settings=small)


def test_a_run_begun_before_a_setting_was_added_goes_on(small: Settings, tmp_path: Path) -> None:
    """The setting has its default then, which is what was done before."""
    out = tmp_path / "run"
    report = metabench.explore("rl2", GRID, settings=small, out=out, workers=1)
    path = out / "seed-000" / "checkpoint.pt"
    document = torch.load(path, weights_only=True)
    document["settings"] = json.dumps(_without(json.loads(document["settings"]), "decode"))
    torch.save(document, path)
    plan = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(plan | {"settings": _without(plan["settings"], "decode")}))
    assert metabench.explore("rl2", GRID, settings=small, out=out, workers=1, resume=True) == report
    with pytest.raises(RunFolderError, match="its decode is 'trial', not 'past'"):
        metabench.explore("rl2", GRID, settings=small.changed({"decode": "past"}), out=out, resume=True)


def test_a_trained_agent_is_loaded_from_its_folder(small: Settings, tmp_path: Path) -> None:
    out = tmp_path / "run"
    report = metabench.explore("varibad", GRID, settings=small, out=out, workers=1)
    trained = load_trained(out)
    assert trained.plan == Plan("varibad", GRID, small, 0)
    assert (trained.updates, trained.env.num_envs) == (6, small.eval_copies)
    assert evaluate(trained.agent, trained.env, small.eval_split, None).episodes == report.seeds[0].episodes
    assert load_trained(out, copies=3).env.num_envs == 3
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_trained(out, seed=7)
    with pytest.raises(RunFolderError, match=r"holds no run\.json; give a folder that metabench explore wrote"):
        load_trained(tmp_path)
    (out / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="cannot be read"):
        load_trained(out)


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("varibda", GRID), {}, UnknownNameError, "unknown agent 'varibda'. Did you mean 'varibad'"),
        (("varibad", "grid-navigaton-v0"), {}, ContentError, "Did you mean 'grid-navigation-v0'"),
        (("varibad", GRID), {"frames": 959}, ArgumentError, "959 frames are fewer than one update, which takes 960"),
        (("varibad", GRID), {"seeds": 0}, ArgumentError, "seeds is 0"),
        (
            ("varibad", GRID),
            {"settings": {"clipp": 1}},
            UnknownNameError,
            "unknown setting 'clipp'. Did you mean 'clip'",
        ),
        (("varibad", GRID), {"settings": {"clip": -1}}, ArgumentError, "setting clip is -1; expected a number above 0"),
        (("varibad", GRID), {"settings": {"memory_cell": "gatd.deq"}}, UnknownNameError, "Did you mean 'gated.deq'"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    arguments: Any, options: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(error, match=message.replace("'", ".")):
        metabench.explore(*arguments, out=out, **options)
    assert not out.exists()


def test_every_preset_is_valid_and_bad_settings_are_not() -> None:
    for env in PRESETS:
        for agent in AGENTS.names():
            assert preset(agent, f"{env}:whatever=1") == preset(agent, env)
    bad: list[tuple[str, Any]] = [
        ("frames", 1.5),
        ("frames", True),
        ("discount", 1.2),
        ("policy_layers", ()),
        ("policy_layers", (0,)),
        ("decoder_layers", 32),
        ("decoder_layers", (0,)),
        ("reward_depends_on", ()),
        ("reward_decoder", "cells"),
        ("decode_states", 1),
        ("copies", None),
        ("bonus_share", 1.5),
        ("bonus_share", 0),
        ("policy_start", 1.5),
        ("kl_warmup", -0.1),
        ("learning_rate", math.nan),
        ("minibatches", 17),
        ("reward_depends_on", ("reward",)),
    ]
    for name, value in bad:
        with pytest.raises(ArgumentError, match=name):
            Settings().changed({name: value})
    assert Settings().changed({"policy_layers": [64, 64], "discount": 1}).policy_layers == (64, 64)


_OWN = """
from metabench.envs import make_environment
from gymnasium.vector import VectorEnv

class Own(VectorEnv):  # a NumPy face of the grid, as someone else might have written it
    def __init__(self, copies):
        self.inner = make_environment("grid-navigation-v0", copies)
        for name in ("num_envs", "single_observation_space", "single_action_space", "episodes", "horizon"):
            setattr(self, name, getattr(self.inner, name))
        self.splits = []

    def sample_tasks(self, n, seed, split="all"):
        self.splits.append(split)
        return self.inner.sample_tasks(n, seed, split).numpy()

    def set_task(self, tasks):
        self.inner.set_task(tasks)

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed, options=options)

    def step(self, actions):
        return self.inner.step(actions)

made = []

def make(copies):
    made.append(Own(copies))
    return made[-1]

def nothing(copies):
    return None
"""


def test_an_environment_of_ones_own(small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_environment.py").write_text(_OWN)
    monkeypatch.syspath_prepend(tmp_path)
    changed = small.changed({"reward_decoder": "regression", "train_split": "train", "eval_split": "held-out"})
    report = metabench.explore("hyperx", "own_environment:make", settings=changed, out=tmp_path / "run")
    assert len(report.seeds[0].episodes) == 4
    assert report.fraction is None
    import own_environment  # type: ignore[import-not-found]

    used = [set(env.splits) for env in own_environment.made if env.num_envs > 1 and env.splits]
    assert used == [{"train"}, {"held-out"}]
    for name, message in (("own_environment:mke", "no attribute 'mke'"), ("own_environment:nothing", "NoneType")):
        with pytest.raises(ArgumentError, match=message):
            metabench.explore("hyperx", name, settings=changed, out=tmp_path / "other")
