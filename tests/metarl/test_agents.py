"""What each agent sees, when, and what its gradient is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabench.blocks.memory import make_memory_cell, memory_cell_names
from metabench.blocks.tally import EXPLICIT
from metabench.envs import Transition, make_environment
from metabench.metarl import AGENTS
from metabench.metarl.buffer import TrajectoryBuffer
from metabench.metarl.hyperx import HyperX
from metabench.metarl.ppo import Evaluation, Targets, ppo_update
from metabench.metarl.problem import Problem, Trajectories
from metabench.metarl.rl2 import RL2, RecurrentPolicy
from metabench.metarl.rollout import collect, episode_returns
from metabench.metarl.settings import Settings
from metabench.metarl.varibad import VariBAD
from metabench.spaces import load_space

GRID = "grid-navigation-v0"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", memory_cell_names())
def test_a_memory_cell_unrolls_as_it_steps_and_has_gradients(name: str) -> None:
    cell = make_memory_cell(name, 6, 8, generator())
    entries = torch.randn(4, 3, 6, generator=generator(1))
    memory, states = torch.zeros(3, 8), []
    for entry in entries:
        memory = cell.step(memory, entry)
        states.append(memory)
    unrolled = cell.unroll(torch.zeros(3, 8), entries)
    torch.testing.assert_close(unrolled, torch.stack(states), rtol=1e-4, atol=1e-5)
    unrolled[-1].square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in cell.parameters())
    again = make_memory_cell(name, 6, 8, generator())
    assert all(torch.equal(a, b) for a, b in zip(cell.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", load_space("memory-v1").blocks)
def test_every_cell_of_the_space_makes_an_agent(name: str, problem: Problem, small: Settings) -> None:
    agent = VariBAD(problem, small.changed({"memory_cell": name, "policy_body": name}), 0)
    carry, obs = agent.begin(3), torch.zeros(3, 2)
    decision, carry = agent.act(carry, obs, agent.generator)
    carry = agent.observe(carry, decision.action, Transition(obs, torch.ones(3), obs, False, False))
    decision, _ = agent.act(carry, obs, agent.generator)
    (decision.log_prob + decision.value).sum().backward()
    gradients = [weight.grad for weight in agent.policy.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)


@pytest.mark.parametrize("agent", ["varibad", "rl2"])
def test_solves_are_told_of_what_is_trained_and_not_of_what_is_acted(
    agent: str, problem: Problem, small: Settings
) -> None:
    """``mlp.tied`` is unrolled six times, by definition; acting, which is not trained through, adds nothing."""
    env = make_environment(GRID, small.copies)
    tied = AGENTS.get(agent)(problem, small.changed({"memory_cell": "mlp.tied", "policy_body": "mlp.tied"}), 0)
    metrics = tied.update(collect(env, tied, seed=0), 0)
    for part in ("memory", "policy"):
        assert metrics[f"charts/{part}_nfe_forward"] == 6
        assert metrics[f"charts/{part}_nfe_backward"] == 6
        assert metrics[f"charts/{part}_unconverged"] == metrics[f"charts/{part}_residual"] == 0.0
    cell = tied.policy.cell if agent == "rl2" else tied.encoder.cell
    collect(env, tied, seed=1)
    assert cell.take_solves() == EXPLICIT  # nothing since
    gru = AGENTS.get(agent)(problem, small, 0)
    metrics = gru.update(collect(env, gru, seed=0), 0)
    assert metrics["charts/memory_nfe_forward"] == 1.0
    assert "charts/policy_nfe_forward" not in metrics  # no block


def test_the_space_has_every_memory_cell() -> None:
    assert set(load_space("memory-v1").blocks) == set(memory_cell_names())


def test_gru_is_torchs() -> None:
    cell, peer = make_memory_cell("gru", 6, 8, generator()), torch.nn.GRUCell(6, 8)
    parts = zip((peer.weight_hh, peer.weight_ih, peer.bias_ih, peer.bias_hh), cell.parameters(), strict=True)
    with torch.no_grad():
        for theirs, ours in parts:
            theirs.copy_(ours.normal_(generator=generator(2)))
    entry, memory = torch.randn(3, 6), torch.randn(3, 8)
    torch.testing.assert_close(cell.step(memory, entry), peer(entry, memory))


@pytest.mark.parametrize("name", AGENTS.names())
def test_a_rollout_is_one_trial_with_the_reset_states_kept_apart(name: str, problem: Problem, small: Settings) -> None:
    env, agent = make_environment(GRID, 8), AGENTS.get(name)(problem, small, 0)
    rollout = collect(env, agent, seed=1)
    data = rollout.trajectories
    assert data.reward.shape == (60, 8)
    assert rollout.contexts.shape[0] == 61
    starts = data.obs[::15]  # each episode begins in the corner
    assert bool((starts == 0).all())
    inside = torch.ones(59, dtype=torch.bool)
    inside[14::15] = False
    assert torch.equal(data.next_obs[:-1][inside], data.obs[1:][inside])
    assert bool((data.next_obs[14::15].sum(-1) > 0).any())  # the successor, not the state after the reset
    again = collect(make_environment(GRID, 8), AGENTS.get(name)(problem, small, 0), seed=1)
    assert torch.equal(again.trajectories.action, data.action)
    by_hand = torch.stack([data.reward[15 * k : 15 * k + 15].sum(0) for k in range(4)])
    torch.testing.assert_close(episode_returns(data.reward, 4), by_hand)


def test_acting_beliefs_are_those_of_the_unrolled_encoder(problem: Problem, small: Settings) -> None:
    agent = VariBAD(problem, small, 0)
    rollout = collect(make_environment(GRID, 8), agent, seed=1)
    data = rollout.trajectories
    beliefs = agent.encoder.unroll(problem.actions.encode(data.action), data.next_obs, data.reward)
    torch.testing.assert_close(rollout.contexts, torch.cat(beliefs, -1).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", ["state+belief", "state", "belief"])
def test_ablations_hide_what_they_say(inputs: str, problem: Problem, small: Settings) -> None:
    agent = VariBAD(problem, small.changed({"policy_inputs": inputs}), 0)
    obs, context = torch.randn(5, 2), torch.randn(5, 6)
    seen = agent.seen(obs, context)
    assert torch.equal(agent.seen(obs + 1, context), seen) == (inputs == "belief")
    assert torch.equal(agent.seen(obs, context + 1), seen) == (inputs == "state")


def test_the_policy_is_updated_on_the_inputs_that_it_acted_on(problem: Problem, small: Settings) -> None:
    """With a learning rate of nearly nothing, the ratio is one throughout, in the second update as well."""
    for kind in (VariBAD, RL2, HyperX):
        agent = kind(problem, small.changed({"learning_rate": 1e-12}), 0)
        env = make_environment(GRID, 8)
        for update in range(3):
            metrics = agent.update(collect(env, agent, seed=update), 0)
            assert metrics["losses/approx_kl"] == pytest.approx(0.0, abs=1e-5)
            assert metrics["losses/clipfrac"] == 0.0


def test_ppo_does_not_reach_the_encoder(problem: Problem, small: Settings) -> None:
    agent = VariBAD(problem, small, 0)
    rollout = collect(make_environment(GRID, 8), agent, seed=1)
    agent.update_policy(rollout, rollout.trajectories.reward, 0)
    assert all(weight.grad is None for weight in agent.vae_parameters)
    assert all(weight.grad is not None for weight in agent.policy.parameters())


def test_gradient_through_the_recurrence_is_that_of_a_step_by_step_loop(problem: Problem, small: Settings) -> None:
    obs, context = torch.randn(9, 4, 2, generator=generator(1)), torch.randn(9, 4, 7, generator=generator(2))
    action = torch.randint(5, (9, 4), generator=generator(3))
    advantage, returns = torch.randn(2, 9, 4, generator=generator(4))

    def gradients(unrolled: bool) -> list[Tensor]:
        policy = RecurrentPolicy(problem, small, generator(7))
        if unrolled:
            outputs, values = policy.unroll(obs, context)
        else:
            memory, parts = policy.empty(4), []
            for t in range(9):
                memory, *part = policy.step(memory, obs[t], context[t])
                parts.append(part)
            outputs, values = (torch.stack(part) for part in zip(*parts, strict=True))
        log_prob = problem.actions.log_prob(outputs, None, action)
        loss = -(log_prob * advantage).mean() + (values - returns).square().mean()
        loss.backward()
        return [weight.grad for weight in policy.parameters() if weight.grad is not None]

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_ppo_raises_the_probability_of_what_paid() -> None:
    logits = torch.nn.Parameter(torch.zeros(2))
    action = torch.tensor([0, 1]).repeat(50)

    def evaluate(batch: Tensor) -> Evaluation:
        logs = logits.log_softmax(-1)
        return Evaluation(logs[action[batch]], torch.zeros(len(batch)), torch.zeros(len(batch)))

    targets = Targets(torch.full((100,), 0.5).log(), torch.zeros(100), torch.where(action == 0, 1.0, -1.0))
    settings = Settings().changed({"clip": 0.2, "learning_rate": 0.05})
    metrics = ppo_update(evaluate, targets, [logits], torch.optim.Adam([logits], lr=0.05), settings, generator())
    assert logits[0] > logits[1]
    assert metrics["losses/approx_kl"] > 0


def test_the_entropys_weight_falls_linearly_to_its_end_share() -> None:
    settings = Settings().changed({"frames": 100, "entropy_weight": 0.1, "entropy_end": 0.2, "learning_rate": 0.05})
    assert [settings.entropy_weight_at(n) for n in (0, 50, 100, 200)] == pytest.approx([0.1, 0.06, 0.02, 0.02])
    assert Settings().entropy_weight_at(Settings().frames) == Settings().entropy_weight

    def entropy_after(frames: int) -> float:
        """Of two actions that pay alike, after an update at this point of the run."""
        logits = torch.nn.Parameter(torch.tensor([2.0, 0.0]))

        def evaluate(batch: Tensor) -> Evaluation:
            logs = logits.log_softmax(-1)
            return Evaluation(logs[batch % 2], torch.zeros(len(batch)), -(logs.exp() * logs).sum().expand(len(batch)))

        targets = Targets(torch.full((100,), 0.5).log(), torch.zeros(100), torch.zeros(100))
        plain = torch.optim.SGD([logits], lr=1.0)
        ppo_update(evaluate, targets, [logits], plain, settings, generator(), frames)
        return evaluate(torch.arange(1)).entropy.item()

    assert entropy_after(0) > entropy_after(100)


def test_the_learning_rate_falls_linearly_to_its_end_share() -> None:
    settings = Settings().changed({"frames": 100, "learning_rate": 0.1, "learning_rate_end": 0.0})
    assert [settings.learning_rate_at(n) for n in (0, 50, 100, 200)] == pytest.approx([0.1, 0.05, 0.0, 0.0])
    assert Settings().learning_rate_at(Settings().frames) == Settings().learning_rate

    def moved(frames: int) -> float:
        """How far an update goes at this point of the run."""
        logits = torch.nn.Parameter(torch.zeros(2))

        def evaluate(batch: Tensor) -> Evaluation:
            zeros = torch.zeros(len(batch))
            return Evaluation(logits.log_softmax(-1)[batch % 2], zeros, zeros)

        paid = torch.tensor([1.0, -1.0]).repeat(50)
        targets = Targets(torch.full((100,), 0.5).log(), torch.zeros(100), paid)
        ppo_update(evaluate, targets, [logits], torch.optim.SGD([logits], lr=1.0), settings, generator(), frames)
        return logits[0].item()

    assert moved(0) > moved(50) > moved(100) == 0.0


def test_the_beliefs_learning_rate_falls_by_itself(problem: Problem, small: Settings) -> None:
    settings = small.changed({"frames": 100, "vae_learning_rate_end": 0.0, "vae_updates": 1})
    rollout = collect(make_environment(GRID, 8), VariBAD(problem, settings, 0), seed=1)

    def moved(frames: int) -> tuple[float, float]:
        """How far the encoder and the policy go in an update at this point of the run."""
        agent = VariBAD(problem, settings, 0)
        parts = (agent.encoder, agent.policy)
        before = [torch.nn.utils.parameters_to_vector(part.parameters()).detach().clone() for part in parts]
        agent.update(rollout, frames)
        after = [torch.nn.utils.parameters_to_vector(part.parameters()) for part in parts]
        encoder, policy = ((a - b).abs().max().item() for a, b in zip(after, before, strict=True))
        return encoder, policy

    (early, _), (half, _), (late, policy) = moved(0), moved(50), moved(100)
    assert early > half > late == 0.0
    assert policy > 0.0


def test_rl2_sees_the_last_action_reward_and_the_episodes_end(problem: Problem, small: Settings) -> None:
    rollout = collect(make_environment(GRID, 8), RL2(problem, small, 0), seed=1)
    assert bool((rollout.contexts[0] == 0).all())
    torch.testing.assert_close(rollout.contexts[1:, :, :5], problem.actions.encode(rollout.trajectories.action))
    torch.testing.assert_close(rollout.contexts[1:, :, 5], rollout.trajectories.reward)
    assert rollout.contexts[:, 0, 6].nonzero()[:, 0].tolist() == [15, 30, 45, 60]


def test_bonuses_are_of_the_state_before_the_reset(problem: Problem, small: Settings) -> None:
    """The last step's bonus depends on what was reached, which no later observation shows."""
    agent = HyperX(problem, small, 0)
    rollout = collect(make_environment(GRID, 8), agent, seed=1)
    new, surprising = agent.bonuses(rollout)
    assert new.shape == surprising.shape == (60, 8)
    data = rollout.trajectories
    moved = data.next_obs.clone()
    moved[-1] = (moved[-1] + 1) % 5
    changed, errors = agent.bonuses(rollout._replace(trajectories=data._replace(next_obs=moved)))
    assert torch.equal(changed[:-1], new[:-1])
    assert bool((changed[-1] != new[-1]).all())
    assert torch.equal(errors[:-1], surprising[:-1])
    assert not torch.equal(errors[-1], surprising[-1])


def test_novelty_of_what_is_learnt_falls_and_the_prior_stays(problem: Problem, small: Settings) -> None:
    agent = HyperX(problem, small.changed({"novelty_learning_rate": 1e-2}), 0)
    inputs = tuple(torch.randn(64, size, generator=generator()) for size in (2, 3, 3))
    prior = [weight.clone() for weight in agent.novelty.prior.parameters()]
    before = agent.novelty(*inputs).mean().item()
    for _ in range(200):
        agent.novelty.learn(*inputs, generator=generator(1))
    assert agent.novelty(*inputs).mean().item() < 0.5 * before
    assert all(torch.equal(a, b) for a, b in zip(prior, agent.novelty.prior.parameters(), strict=True))


def test_without_weights_hyperx_is_varibad(problem: Problem, small: Settings) -> None:
    plain = small.changed({"state_bonus": 0.0, "reward_bonus": 0.0})
    env = make_environment(GRID, 8)
    one, other = VariBAD(problem, plain, 0), HyperX(problem, plain, 0)
    metrics = [agent.update(collect(env, agent, seed=1), 0) for agent in (one, other)]
    assert all(metrics[1][name] == value for name, value in metrics[0].items())


def test_bonuses_end_after_their_share_of_the_run(problem: Problem, small: Settings) -> None:
    env, settings = make_environment(GRID, 8), small.changed({"frames": 1000, "bonus_share": 0.5})

    def factor(frames: int) -> float:
        agent = HyperX(problem, settings, 0)
        return agent.update(collect(env, agent, seed=1), frames)["charts/bonus_factor"]

    assert [factor(frames) for frames in (0, 250, 500, 900)] == [1.0, 0.5, 0.0, 0.0]


def test_the_weight_of_the_kl_rises_from_nothing(small: Settings) -> None:
    settings = small.changed({"frames": 1000, "kl_weight": 0.5, "kl_warmup": 0.2})
    assert [settings.kl_weight_at(n) for n in (0, 100, 200, 900)] == pytest.approx([0.0, 0.25, 0.5, 0.5])
    assert small.kl_weight_at(0) == small.kl_weight


def test_beliefs_are_learnt_before_the_policy_is(problem: Problem, small: Settings) -> None:
    env, settings = make_environment(GRID, 8), small.changed({"frames": 1000, "policy_start": 0.5})

    def changed(frames: int) -> tuple[bool, bool]:
        agent = VariBAD(problem, settings, 0)
        parts = (agent.policy, agent.encoder)
        before = [torch.nn.utils.parameters_to_vector(part.parameters()) for part in parts]
        agent.update(collect(env, agent, seed=1), frames)
        after = [torch.nn.utils.parameters_to_vector(part.parameters()) for part in parts]
        policy, encoder = (not torch.equal(*pair) for pair in zip(before, after, strict=True))
        return policy, encoder

    assert [changed(frames) for frames in (0, 499, 500)] == [(False, True), (False, True), (True, True)]


def test_the_buffer_keeps_the_latest_trials_and_restores_them(trajectories: Trajectories) -> None:
    buffer = TrajectoryBuffer(6)
    for k in range(3):
        buffer.add(trajectories._replace(reward=trajectories.reward * 0 + torch.arange(4 * k, 4 * k + 4)))
    drawn = buffer.sample(200, generator())
    assert set(drawn.reward.unique().tolist()) == set(range(6, 12))
    assert drawn.reward.shape == (7, 200)
    again = TrajectoryBuffer(6)
    again.load_state_dict(buffer.state_dict())
    for one, other in zip(again.sample(9, generator()), buffer.sample(9, generator()), strict=True):
        assert torch.equal(one, other)
