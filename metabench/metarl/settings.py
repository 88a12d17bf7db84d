"""All settings of all agents in one dataclass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from metabench.errors import ArgumentError, UnknownNameError
from metabench.registry import did_you_mean

__all__ = ["Settings", "complete_settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of RL2, variBAD and HyperX; the defaults are variBAD's on the grid."""

    # The run
    frames: int = 20_000_000
    """environment steps in all, over all copies"""
    copies: int = 16
    """copies of the environment; an update sees one whole trial of each"""
    train_split: str = "all"
    """tasks trained on: all, train or held-out"""
    eval_split: str = "all"
    """tasks evaluated on; another seed than training in any case"""
    eval_copies: int = 256
    """tasks of an evaluation"""
    evaluations: int = 50
    """evaluations and checkpoints in a run, at most; the last update always has one"""

    # PPO
    learning_rate: float = 7e-4
    """of the policy's Adam"""
    learning_rate_end: float = 1.0
    """share of that rate at the end of the run, to which it falls linearly; 1 keeps it"""
    ppo_epochs: int = 2
    """passes over each update's data"""
    minibatches: int = 4
    """parts of the data, a gradient step each"""
    clip: float = 0.05
    """how far the probability ratio, and the value, may move from the old one"""
    entropy_weight: float = 0.01
    """bonus on the policy's entropy"""
    entropy_end: float = 1.0
    """share of that weight at the end of the run, to which it falls linearly; 1 keeps it"""
    value_weight: float = 0.5
    """of the critic's loss"""
    discount: float = 0.95
    """gamma"""
    trace: float = 0.95
    """lambda of the advantages"""
    reward_clip: float = 10.0
    """rewards, once divided by their return's standard deviation, are held within it"""
    max_gradient_norm: float = 0.5
    """gradients of the policy are clipped to it"""
    policy_layers: tuple[int, ...] = (32,)
    """tanh layers of actor and of critic"""
    policy_body: str = "skip"
    """a block after these layers, by its registered name; skip for none"""
    policy_inputs: Literal["state+belief", "state", "belief"] = "state+belief"
    """what variBAD's policy sees; the last two are ablations"""
    policy_start: float = 0.0
    """share of the run before which variBAD's policy is not trained: it acts as it was drawn, and beliefs are learnt"""

    # Belief encoder (variBAD, HyperX) or recurrent policy (RL2)
    memory_cell: str = "gru"
    """gru, or any block by its registered name"""
    memory_width: int = 64
    """dimension of the memory"""
    latent: int = 5
    """dimension of the latent"""
    action_embedding: int = 16
    """ReLU features of the action"""
    state_embedding: int = 32
    """ReLU features of the next state"""
    reward_embedding: int = 16
    """ReLU features of the reward"""

    # Decoder and its training
    reward_decoder: Literal["regression", "cell", "action", "cell-value"] = "regression"
    """squared error of a network of the transition, a Bernoulli logit for each cell of a grid or each action, or the
    squared error of a value for each cell"""
    reward_depends_on: tuple[str, ...] = ("next_state",)
    """what a regressed reward is decoded from, besides the latent: state, action, next_state"""
    decode_states: bool = False
    """whether next states are decoded too, where dynamics differ between tasks"""
    decoder_layers: tuple[int, ...] = (32, 32)
    """ReLU layers of a decoder; with none, [], it is affine in the latent"""
    decode: Literal["trial", "past"] = "trial"
    """what a belief is fitted to: the whole trial, with the KL to the belief before; or the steps seen so far, with
    the KL to N(0, I), which makes it their posterior"""
    reward_weight: float = 1.0
    """of the reward's decoding error, beside the next state's; in the bound and in the bonus"""
    kl_weight: float = 0.01
    """of the KL terms"""
    kl_warmup: float = 0.0
    """share of the run over which that weight rises linearly from nothing, so that every latent is put to use first"""
    vae_learning_rate: float = 1e-3
    """of encoder's and decoder's Adam"""
    vae_learning_rate_end: float = 1.0
    """share of that rate at the end of the run, to which it falls linearly; 1 keeps it"""
    vae_updates: int = 3
    """gradient steps for each PPO update"""
    vae_batch: int = 25
    """trials of a gradient step"""
    buffer: int = 100_000
    """trials kept"""
    elbo_terms: int | None = None
    """times t with a reconstruction term, drawn anew each step; all if None"""
    elbo_decoded: int | None = None
    """steps decoded from each, drawn anew each step; all if None"""

    # Exploration bonuses (HyperX)
    state_bonus: float = 0.0
    """weight of the novelty of (state, belief)"""
    reward_bonus: float = 0.0
    """weight of the decoder's error"""
    bonus_share: float = 1.0
    """share of the run over which both bonuses fall linearly to nothing"""
    bonus_clip: float = 10.0
    """each bonus, once divided by its return's standard deviation, is at most this"""
    novelty_embedding: int = 64
    """features of each of state, mean and log variance"""
    novelty_layers: tuple[int, ...] = (256, 256)
    """ReLU layers of prior and predictor"""
    novelty_outputs: int = 128
    """features predicted"""
    novelty_prior_scale: float = 10.0
    """factor on the prior's weights"""
    novelty_learning_rate: float = 1e-4
    """of the predictor's Adam"""
    novelty_batch: int = 512
    """transitions of a gradient step"""
    novelty_updates: int = 4
    """gradient steps for each PPO update, at most: no transition is seen twice"""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name), hints[field.name]))
        parts = {"state", "action", "next_state"}
        if not self.reward_depends_on or not parts.issuperset(self.reward_depends_on):
            raise ArgumentError(f"reward_depends_on is {self.reward_depends_on}; expected some of {sorted(parts)}.")
        for name in (
            "discount", "trace", "entropy_end", "learning_rate_end", "vae_learning_rate_end", "policy_start",
            "kl_warmup",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}; expected 0 to 1.")
        if self.bonus_share > 1:
            raise ArgumentError(f"bonus_share is {self.bonus_share}; expected above 0, and at most 1.")
        if self.minibatches > self.copies:
            raise ArgumentError(f"minibatches is {self.minibatches}; expected at most copies, {self.copies}.")

    def entropy_weight_at(self, frames: int) -> float:
        """The weight of the entropy after ``frames`` environment steps."""
        return self.entropy_weight * self._fallen(self.entropy_end, frames)

    def learning_rate_at(self, frames: int) -> float:
        """The rate of the policy's optimizer after ``frames`` environment steps."""
        return self.learning_rate * self._fallen(self.learning_rate_end, frames)

    def vae_learning_rate_at(self, frames: int) -> float:
        """The rate of the encoder's and decoder's optimizer after ``frames`` environment steps."""
        return self.vae_learning_rate * self._fallen(self.vae_learning_rate_end, frames)

    def kl_weight_at(self, frames: int) -> float:
        """The weight of the KL terms after ``frames`` environment steps."""
        rising = frames < self.kl_warmup * self.frames
        return self.kl_weight * (frames / (self.kl_warmup * self.frames) if rising else 1.0)

    def _fallen(self, end: float, frames: int) -> float:
        return 1 - (1 - end) * min(1.0, frames / self.frames)

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """A copy with some fields changed.

        Raises:
            UnknownNameError: for a field that there is not, with the nearest name.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UnknownNameError(
                    f"unknown setting {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}."
                )
        return dataclasses.replace(self, **changes)


def complete_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a file holds them, with the defaults of those that are newer than the file.

    So a run that an older version began can be resumed; the default of a new setting is what was done before it.
    """
    return json.loads(json.dumps(dataclasses.asdict(Settings()))) | dict(stored)


_MAY_BE_ZERO = {
    "entropy_weight", "entropy_end", "learning_rate_end", "value_weight", "discount", "trace", "kl_weight",
    "vae_learning_rate_end", "state_bonus", "reward_bonus", "vae_updates", "policy_start",
    "kl_warmup",
}  # fmt: skip
_MAY_BE_EMPTY = {"decoder_layers"}


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value as its field has it: a list becomes a tuple, a whole number a float.

    Raises:
        ArgumentError: if it is of the wrong type or sign.
    """
    choices, whole = get_args(hint), not isinstance(value, bool) and isinstance(value, int)
    if get_origin(hint) is Literal:
        fits, expected = value in choices, " or ".join(choices)
    elif hint is str:
        fits, expected = isinstance(value, str) and bool(value), "a name"
    elif hint is bool:
        fits, expected = isinstance(value, bool), "true or false"
    elif get_origin(hint) is tuple:
        kind = choices[0]
        listed = isinstance(value, list | tuple)
        items = tuple(value) if listed else ()
        of_kind = all(isinstance(item, kind) and (kind is str or item > 0) for item in items)
        fits = listed and of_kind and (bool(items) or name in _MAY_BE_EMPTY)
        value = items if fits else value
        expected = "a list of names" if kind is str else "a list of positive whole numbers"
    elif value is None:
        fits, expected = type(None) in choices, "a whole number"
    else:
        of_kind = whole or (hint is float and isinstance(value, float))
        fits = of_kind and (value > 0 or (value == 0 and name in _MAY_BE_ZERO)) and value < float("inf")
        sign = "at least 0" if name in _MAY_BE_ZERO else "above 0"
        expected = f"a {'number' if hint is float else 'whole number'} {sign}"
        value = float(value) if fits and hint is float else value
    if not fits:
        raise ArgumentError(f"setting {name} is {value!r}; expected {expected}.")
    return value
