"""Which decoder lets a belief on a bandit be learnt: python tests/studies/bandit_fit.py [VARIANT...].

No agent is trained. Encoder and decoder are fitted to 8,000 trials of 100 pulls that the index policy made, by 4,000
gradient steps on the bound of ``decode=past`` with a KL weight of 1, and judged on 1,000 trials in held-out tasks. Each
line has the bound there less what no belief can fall below, in nats of 101 terms; the latents in use; and the standard
deviation and the error after 5 and after 100 pulls. All variants if none is named; about 3 minutes each. Fits that are
in surrogates/metarl/bandit_fits.json are not made again (--out to have another file).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from metabench.envs.references.gittins import GittinsIndex
from metabench.envs.references.policy import play_trial
from metabench.errors import ArgumentError
from metabench.files import replace_file
from metabench.metarl.elbo import elbo_loss
from metabench.metarl.environments import open_environment, use_split
from metabench.metarl.posterior import exact_bound, latents_in_use, nearness
from metabench.metarl.presets import preset
from metabench.metarl.problem import Trajectories, problem_of
from metabench.metarl.varibad import VariBAD
from metabench.program import KEPT, run_program
from metabench.registry import did_you_mean
from metabench.seeding import derive, torch_generator

RESULTS = Path("surrogates/metarl/bandit_fits.json")
VARIANTS: dict[str, dict[str, Any]] = {
    "layers": {},
    "layers-fast": {"vae_learning_rate": 0.003},
    "layers-kl-warmup": {"kl_warmup": 0.5},
    "wide": {"decoder_layers": [128]},
    "wide-fast": {"decoder_layers": [128], "vae_learning_rate": 0.003},
    "wide-kl-warmup": {"decoder_layers": [128], "kl_warmup": 0.5},
    "affine": {"decoder_layers": []},
    "affine-fast": {"decoder_layers": [], "vae_learning_rate": 0.003},
}
COMMON = {"decode": "past", "kl_weight": 1, "vae_updates": 1, "memory_width": 128, "vae_learning_rate_end": 0.1}
PULLS = (5, 100)


@cache
def trials_of_the_index(env: str, trials: int, split: str, seed: int) -> Trajectories:
    """What the index policy does, and gets, in tasks of a split."""
    bandit = open_environment(env, trials, split)
    use_split(bandit, split, seed)
    played = list(play_trial(GittinsIndex(), bandit, seed=seed))
    rows = [(step.obs, step.action, step.transition.next_obs, step.transition.reward) for step in played]
    return Trajectories(*(torch.stack(parts) for parts in zip(*rows, strict=True)))


def fit(arms: int, changes: dict[str, Any], seed: int, *, steps: int = 4000, trials: int = 8000) -> dict[str, Any]:
    """Fits one variant, and judges it."""
    env = f"bandit-v0:pulls=100,arms={arms}"
    problem = problem_of(open_environment(env, 2, "train"))
    settings = preset("varibad", env).changed({**COMMON, "latent": 2 * arms, "frames": steps, **changes})
    agent = VariBAD(problem, settings, seed)
    agent.buffer.add(trials_of_the_index(env, trials, "train", derive("metarl", "fit", seed)))
    for step in range(steps):
        agent.update_belief(step)
        if step and step % 500 == 0:
            sys.stderr.write(f"bandit_fit: {step} of {steps} gradient steps\n")
    test = trials_of_the_index(env, trials // 8, "held-out", derive("metarl", "fit", "judged", seed))
    known = exact_bound(test.action, test.reward, arms).mean().item()
    with torch.no_grad():
        contexts = torch.cat(agent.encoder.unroll(problem.actions.encode(test.action), test.next_obs, test.reward), -1)
        bound = elbo_loss(
            agent.encoder, agent.reward_decoder, None, test, problem.actions, kl_weight=1.0, decode="past",
            generator=torch_generator("metarl", "fit", "judged", seed),
        ).loss.item()  # fmt: skip
    return {
        "bound": bound,
        "exact_bound": known,
        "latents_in_use": latents_in_use(contexts[-1]),
        "after": {str(pulls): nearness(agent, test, contexts, pulls)._asdict() for pulls in PULLS},
    }


def line(name: str, result: dict[str, Any]) -> str:
    """A row of the table."""
    cells = [f"{name:<24}{result['bound'] - result['exact_bound']:8.1f}{result['latents_in_use']:9d}"]
    for pulls in PULLS:
        after = result["after"][str(pulls)]
        cells.append(f"{after['deviation']:15.3f}{after['decoded']:9.3f}{after['error']:7.3f}")
    return "".join(cells)


def fit_all(names: Sequence[str], arms: int, seed: int, out: Path) -> None:
    """Prints a line a variant, as it is finished."""
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ArgumentError(
            f"there is no variant {unknown[0]!r}.{did_you_mean(unknown[0], VARIANTS)} Known: {', '.join(VARIANTS)}."
        )
    if not out.parent.is_dir():
        raise ArgumentError(f"--out {out}: there is no folder {out.parent}; make it first.")
    title = f"{'variant, seed':<24}{'nats':>8}{'latents':>9}"
    print(title + "".join(f"   after {pulls:3d}: sd  decoded  error" for pulls in PULLS), flush=True)
    for name in names or VARIANTS:
        key = f"{arms} arms, {name}, {seed}"
        result = _kept(out).get(key)
        if result is None:
            sys.stderr.write(f"bandit_fit: {key}\n")
            result = {"changes": VARIANTS[name], **fit(arms, VARIANTS[name], seed)}
            kept = {**_kept(out), key: result}  # read again: another process may have finished one meanwhile
            replace_file(out, json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        print(line(f"{name}, {seed}", result), flush=True)


def _kept(out: Path) -> dict[str, Any]:
    try:
        return json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    except ValueError as error:
        raise ArgumentError(f"{out} cannot be read ({error}); give another --out, or remove it.") from error


def main(words: Sequence[str] | None = None) -> int:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--arms", type=int, default=10, help="of the bandit (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and trials (default: 0)")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"where results are kept (default: {RESULTS})")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    return run_program(
        "bandit_fit", lambda: fit_all(options.variants, options.arms, options.seed, options.out), kept=KEPT
    )


if __name__ == "__main__":
    sys.exit(main())
