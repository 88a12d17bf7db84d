"""Estimators of the meta-gradient on systems whose gradient is known, and the inner unroll against torch.func."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import grad, vmap

from metabench.errors import ArgumentError, DifferentiationError
from metabench.learned.meta_training.backpropagation import TruncatedBackpropagation
from metabench.learned.meta_training.noise_reuse import NoiseReuseES
from metabench.learned.meta_training.pes import PersistentES
from metabench.learned.meta_training.truncated_es import TruncatedES
from metabench.learned.meta_training.unroll import begin, flatten, unflatten, unroll
from metabench.learned.optimizers import SGD, LSTMRule, MLPRule
from metabench.problems import ArchitectureProblem, Quadratic

A, HORIZON, TRUNCATION = 0.9, 12, 3
SIGMA = 0.1


class Linear:
    """s <- A s + w[0] + 2 w[1], from 0; the loss of a step is the new s. Everything is linear in w."""

    def unroll(self, weights, run):
        losses = torch.zeros(len(weights), dtype=weights.dtype)
        for _ in range(TRUNCATION):
            run = A * run + weights[:, 0] + 2 * weights[:, 1]
            losses = losses + run / TRUNCATION
        return run, losses

    def select(self, run, rows):
        return run[rows].detach()


class Noisy(Linear):
    """The same, and every loss has noise of its own."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(7)

    def unroll(self, weights, run):
        run, losses = super().unroll(weights, run)
        return run, losses + 5.0 * torch.randn(len(losses), generator=self.generator, dtype=losses.dtype)


def slope_from(start: int) -> float:
    """d(sum over the horizon's steps t of s_t) / dw[0] if weights act from step ``start`` on, by the geometric series.

    The weight of step j (from 0) is in s_t with A^(t - j), t >= j.
    """
    return sum(A ** (t - j) for t in range(HORIZON) for j in range(start, t + 1))


def truncated_slope() -> float:
    """The same with every truncation's weights acting on the losses of that truncation alone."""
    return sum(A ** (t - j) for t in range(HORIZON) for j in range(t - t % TRUNCATION, t + 1))


def whole_run(estimator, units, seed, only_last=False, inner=None):
    """The sum over a whole run of the estimates of its truncations, one row a unit, in units of the summed loss."""
    generator = torch.Generator().manual_seed(seed)
    inner, weights = inner or Linear(), torch.tensor([0.3, -0.2], dtype=torch.float64)
    run = torch.zeros(units * estimator.runs_per_unit, dtype=torch.float64)
    memory, total = estimator.fresh(units, 2).double(), torch.zeros(units, 2, dtype=torch.float64)
    for _ in range(HORIZON // TRUNCATION):
        draws = torch.randn(units, 2, generator=generator, dtype=torch.float64)
        estimate = estimator.estimate(inner, weights, run, memory, lambda unit, d=draws: d[unit])
        run, memory, found = estimate.run, estimate.memory, TRUNCATION * estimate.gradient
        total = found if only_last else total + found
    return total


def z_values(estimates, expected):
    standard_error = estimates.std(0) / math.sqrt(len(estimates))
    return (estimates.mean(0) - expected * torch.tensor([1.0, 2.0])) / standard_error


def test_pes_is_unbiased_on_a_linear_unroll_and_truncated_es_is_not() -> None:
    units = 20000
    pes = whole_run(PersistentES(SIGMA), units, seed=1)
    assert z_values(pes, slope_from(0)).abs().max() < 3
    es = whole_run(TruncatedES(SIGMA), units, seed=1)
    assert z_values(es, slope_from(0)).abs().min() > 20
    assert z_values(es, truncated_slope()).abs().max() < 3  # it is unbiased for the truncated gradient


def test_noise_reuse_is_unbiased_too_and_an_update_of_an_old_run_has_less_variance_than_that_of_pes() -> None:
    units = 20000
    assert z_values(whole_run(NoiseReuseES(SIGMA), units, seed=1), slope_from(0)).abs().max() < 3
    # s_j: the slope of the last truncation's summed loss in what truncation j had for w[0]; half that of w[1].
    ages = [range(start, start + TRUNCATION) for start in range(0, HORIZON, TRUNCATION)]
    s = [sum(A ** (t - i) for t in ages[-1] for i in age if i <= t) for age in ages]
    # xi S / sigma^2 with S linear in normal draws: by their fourth moments var = E xi_i^2 E S^2 + (E xi_i S)^2, which
    # is (5 + c_i^2) (sum s)^2 for one draw, and 5 K sum s^2 + c_i^2 (sum s)^2 for K of them, c = (1, 2).
    c = torch.tensor([1.0, 2.0], dtype=torch.float64)
    reuse = (5 + c**2) * sum(s) ** 2
    pes = 5 * len(s) * sum(one**2 for one in s) + c**2 * sum(s) ** 2
    assert (reuse < pes).all()
    # Noise of deviation 5 on a mean loss adds E xi_i^2 2 5^2 / (2 sigma^2)^2, and E xi_i^2 is sigma^2, or K sigma^2.
    added = TRUNCATION**2 * 5.0**2 / (2 * SIGMA**2)
    for estimator, expected in ((NoiseReuseES, reuse + added), (PersistentES, pes + len(s) * added)):
        last = whole_run(estimator(SIGMA), units, seed=1, only_last=True, inner=Noisy())
        assert z_values(last, sum(s)).abs().max() < 3
        torch.testing.assert_close(last.var(0), expected, rtol=0.1, atol=0)


def test_truncated_backpropagation_gives_the_truncated_gradient_and_all_of_it_when_the_truncation_is_the_horizon() -> (
    None
):
    short = whole_run(TruncatedBackpropagation(), 1, seed=0)[0]
    assert short.tolist() == pytest.approx([truncated_slope(), 2 * truncated_slope()])

    class Whole(Linear):
        def unroll(self, weights, run):
            losses = torch.zeros(len(weights), dtype=weights.dtype)
            for _ in range(HORIZON):
                run = A * run + weights[:, 0] + 2 * weights[:, 1]
                losses = losses + run
            return run, losses

    weights = torch.zeros(2, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    found = TruncatedBackpropagation().estimate(Whole(), weights, zero, zero[:, None], lambda unit: weights)
    assert found.gradient[0].tolist() == pytest.approx([slope_from(0), 2 * slope_from(0)])


def test_a_pair_does_not_depend_on_its_neighbours() -> None:
    draws = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([0.3, -0.2], dtype=torch.float64)
    for estimator in (PersistentES(SIGMA), NoiseReuseES(SIGMA), TruncatedES(SIGMA)):
        n = estimator.runs_per_unit
        start = torch.arange(3.0, dtype=torch.float64)
        together = estimator.estimate(Linear(), weights, start.repeat(n), torch.zeros(3, 2), lambda unit: draws[unit])
        alone = estimator.estimate(Linear(), weights, start[1:2].repeat(n), torch.zeros(1, 2), lambda _: draws[1])
        torch.testing.assert_close(together.gradient[1], alone.gradient[0])
        torch.testing.assert_close(together.loss[1], alone.loss[0])


class Real:
    """Inner runs of a problem as the estimators see them."""

    def __init__(self, rule, problem, steps, second_order=False):
        self.rule, self.problem, self.steps, self.second_order = rule, problem, steps, second_order
        self.like = rule.weights(torch.Generator().manual_seed(0))

    def unroll(self, weights, run):
        return unroll(
            self.rule,
            self.problem,
            unflatten(weights, self.like),
            run,
            self.steps,
            ceiling=1e9,
            second_order=self.second_order,
        )

    def select(self, run, rows):
        return run.map(lambda value: value.detach()[rows], [run.seeds[row] for row in rows.tolist()])


class DoubleQuadratic(Quadratic):
    def sample(self, seeds):
        return {name: value.double() for name, value in super().sample(seeds).items()}

    def batch(self, seeds, step):
        W, y = super().batch(seeds, step)
        return W.double(), y.double()


def full_backpropagation(rule, problem, weights, like, seed, steps, second_order):
    """The meta-gradient of one instance by torch.func through everything, without the code under test."""
    start = {name: value[0] for name, value in problem.sample([seed]).items()}
    batches = [tuple(part[0] for part in problem.batch([seed], t)) for t in range(steps)]

    def inner(parameters, batch):
        return problem.loss({k: v[None] for k, v in parameters.items()}, tuple(part[None] for part in batch))[0]

    first = inner(start, batches[0])

    def meta(vector):
        parameters, state, total = start, rule.init(start), 0.0
        for batch in batches:
            total = total + inner(parameters, batch) / first
            slopes = grad(inner)(parameters, batch)
            if not second_order:
                slopes = {k: v.detach() for k, v in slopes.items()}
            parameters, state = rule.step(unflatten(vector, like), parameters, slopes, state)
        return total / steps

    return grad(meta)(weights)


@pytest.mark.parametrize("second_order", [False, True])
@pytest.mark.parametrize("rule", [LSTMRule(hidden=3), MLPRule(hidden=3)], ids=["lstm", "mlp"])
def test_backpropagation_over_the_whole_horizon_equals_torch_func(rule, second_order) -> None:
    problem, steps = DoubleQuadratic(3), 4
    real = Real(rule, problem, steps, second_order)
    weights = flatten(real.like).double()
    run = begin(rule, problem, [5, 6])
    found = TruncatedBackpropagation().estimate(real, weights, run, torch.zeros(2, 1), lambda unit: weights)
    for i, seed in enumerate((5, 6)):
        expected = full_backpropagation(rule, problem, weights, real.like, seed, steps, second_order)
        assert expected.abs().max() > 1e-4
        torch.testing.assert_close(found.gradient[i], expected, rtol=1e-8, atol=1e-11)


def test_second_order_through_an_equilibrium_raises_and_first_order_runs() -> None:
    problem = ArchitectureProblem(task="spirals-v1", architecture="mlp.deq", width=8, batch_size=16)
    rule = MLPRule()
    real, run = Real(rule, problem, 2, second_order=True), begin(rule, problem, [0])
    with pytest.raises(DifferentiationError, match="second derivative"):
        TruncatedBackpropagation().estimate(real, flatten(real.like), run, torch.zeros(1, 1), lambda unit: run)
    real = Real(rule, problem, 2)
    found = TruncatedBackpropagation().estimate(
        real, flatten(real.like), begin(rule, problem, [0]), torch.zeros(1, 1), lambda unit: unit
    )
    assert torch.isfinite(found.gradient).all()
    assert found.gradient.abs().max() > 0


def test_unroll_in_two_parts_is_the_unroll_in_one() -> None:
    problem, rule = ArchitectureProblem(task="spirals-v1", architecture="mlp.tied", width=8, batch_size=16), MLPRule()
    weights = {k: v.expand(2, *v.shape) for k, v in rule.weights(torch.Generator().manual_seed(0)).items()}
    with torch.no_grad():
        whole, mean = unroll(rule, problem, weights, begin(rule, problem, [0, 1]), 4)
        half, first = unroll(rule, problem, weights, begin(rule, problem, [0, 1]), 2)
        end, second = unroll(rule, problem, weights, half, 2)
    assert end.step == whole.step == 4
    assert all(torch.equal(end.parameters[k], whole.parameters[k]) for k in whole.parameters)
    torch.testing.assert_close((first + second) / 2, mean)


def test_a_diverged_run_counts_as_the_ceiling() -> None:
    problem, rule = Quadratic(3), SGD()
    weights = {"rate": torch.tensor([1e30, 1e-3])}
    with torch.no_grad():
        run, losses = unroll(rule, problem, weights, begin(rule, problem, [0, 0]), 6)
        _, logarithms = unroll(rule, problem, weights, begin(rule, problem, [0, 0]), 6, logarithm=True)
    assert losses[0] == pytest.approx((1 + 5 * 2.0) / 6)
    assert 0 < losses[1] < 1
    assert logarithms[0] == pytest.approx((math.log(1.01) + 5 * math.log(2.01)) / 6)
    assert len(run.seeds) == 2


def test_flatten_and_back() -> None:
    weights = MLPRule().weights(torch.Generator().manual_seed(0))
    vector = flatten(weights)
    back = vmap(lambda v: unflatten(v, weights))(vector.expand(2, -1))
    assert all(torch.equal(back[name][1], value) for name, value in weights.items())


@pytest.mark.parametrize("estimator", [PersistentES, NoiseReuseES, TruncatedES])
def test_bad_sigma(estimator) -> None:
    with pytest.raises(ArgumentError, match="positive"):
        estimator(sigma=0.0)
