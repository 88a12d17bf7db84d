"""The update rules against plain loops over the published formulas, under vmap, and as torch optimizers."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch.func import vmap

import metabench
from metabench.errors import ArgumentError, ContentError, GradientError
from metabench.learned.optimizers import (
    SGD,
    Adam,
    LearnedOptimizer,
    LSTMRule,
    MLPRule,
    Momentum,
    RMSprop,
    save_weights,
)
from metabench.learned.optimizers.lstm import log_and_sign
from metabench.learned.optimizers.mlp_features import factored_axes

RULES = (LSTMRule(hidden=5), MLPRule(hidden=4), MLPRule(hidden=7, layers=1), SGD(), Momentum(), RMSprop(), Adam())
SHAPES = {"matrix": (3, 4), "bias": (4,), "scalar": (), "stack": (2, 5, 3)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    source = generator(seed)
    return {name: torch.randn(shape, generator=source, dtype=dtype) for name, shape in SHAPES.items()}


def run(rule, weights, steps=4, seed=0):
    params = tensors(seed)
    state = rule.init(params)
    for i in range(steps):
        params, state = rule.step(weights, params, tensors(100 + seed + i), state)
    return params, state


def test_log_and_sign_by_hand() -> None:
    tiny = math.exp(-5)
    grad = torch.tensor([1.0, -math.e, 0.0, tiny / 2, -tiny / 2], dtype=torch.float64)
    expected = torch.tensor([[0, 1], [0.2, -1], [-1, 0], [-1, 0.5], [-1, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(log_and_sign(grad, 5.0), expected)


def test_lstm_equals_torch_lstm_cells() -> None:
    rule = LSTMRule(hidden=6)
    weights = {k: v.double() for k, v in rule.weights(generator()).items()}
    cells = [torch.nn.LSTMCell(2, 6, dtype=torch.float64), torch.nn.LSTMCell(6, 6, dtype=torch.float64)]
    with torch.no_grad():
        for i, cell in enumerate(cells, start=1):
            cell.weight_ih.copy_(weights[f"input{i}"].T)
            cell.weight_hh.copy_(weights[f"recurrent{i}"].T)
            cell.bias_ih.copy_(weights[f"bias{i}"])
            cell.bias_hh.zero_()
    value = tensors(0)["matrix"]
    params, state = {"w": value}, rule.init({"w": value})
    memory, expected = [None, None], value.reshape(-1)
    for i in range(3):
        grad = tensors(10 + i)["matrix"]
        params, state = rule.step(weights, params, {"w": grad}, state)
        x = log_and_sign(grad.reshape(-1), 5.0)
        for j, cell in enumerate(cells):
            memory[j] = cell(x, memory[j])
            x = memory[j][0]
        expected = expected + 0.01 * (x @ weights["output"] + weights["output_bias"])[:, 0]
    torch.testing.assert_close(params["w"].reshape(-1), expected.detach())


def mlp_features_by_loops(p, grads):
    """The 28 features of every entry of a matrix after ``grads``, entry by entry."""
    rows, columns = p.shape
    g, decays = grads[-1], (0.9, 0.99, 0.999)
    momenta = [np.zeros_like(p) for _ in decays]
    second = np.zeros_like(p)
    row = [np.zeros(rows) for _ in decays]
    column = [np.zeros(columns) for _ in decays]
    for grad in grads:
        second = 0.999 * second + 0.001 * grad**2
        for k, decay in enumerate(decays):
            momenta[k] = decay * momenta[k] + (1 - decay) * grad
            row[k] = decay * row[k] + (1 - decay) * (grad**2).mean(1)
            column[k] = decay * column[k] + (1 - decay) * (grad**2).mean(0)
    tall = [np.repeat(r[:, None], columns, 1) for r in row]
    wide = [np.repeat(c[None], rows, 0) for c in column]
    factor = [
        1 / np.sqrt(t / (r.mean() + 1e-8) + 1e-8) / np.sqrt(w + 1e-8) for t, w, r in zip(tall, wide, row, strict=True)
    ]
    root = 1 / np.sqrt(second + 1e-8)
    features = [g, p, *momenta, second, *(m * root for m in momenta), root]
    features += [g * f for f in factor] + [m * f for m, f in zip(momenta, factor, strict=True)]
    features += [*tall, *(1 / np.sqrt(t + 1e-8) for t in tall), *wide, *(1 / np.sqrt(w + 1e-8) for w in wide)]
    return np.stack([f / np.sqrt((f**2).mean() + 1e-5) for f in features])


def test_mlp_step_equals_the_formula_entry_by_entry() -> None:
    rule = MLPRule(hidden=4, layers=2)
    weights = {k: v.double() for k, v in rule.weights(generator(3)).items()}
    weights = {k: v + 0.1 for k, v in weights.items()}
    value, grads = tensors(0)["matrix"], [tensors(10 + i)["matrix"] for i in range(3)]
    params, state = {"w": value}, rule.init({"w": value})
    for grad in grads[:-1]:
        params, state = rule.step(weights, params, {"w": grad}, state)
    before = params["w"].numpy()
    params, _ = rule.step(weights, params, {"w": grads[-1]}, state)

    features = mlp_features_by_loops(before, [g.numpy() for g in grads])
    taus = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
    steps = np.array([math.tanh(2 / tau - 1) for tau in taus])
    w = {k: v.numpy() for k, v in weights.items()}
    for i in range(before.shape[0]):
        for j in range(before.shape[1]):
            h = np.concatenate([features[:, i, j], steps])
            h = np.maximum(w["weight0"] @ h + w["bias0"], 0)
            h = np.maximum(w["weight1"] @ h + w["bias1"], 0)
            d, m = w["weight2"] @ h + w["bias2"]
            expected = before[i, j] - d * math.exp(1e-3 * m) * 1e-3
            assert params["w"][i, j].item() == pytest.approx(expected, abs=1e-12)


def test_a_start_from_adam_steps_along_the_normalised_momentum() -> None:
    rule = MLPRule(step_scale=0.05, exponent_scale=1.0, start="adam")
    weights = {name: value.double() for name, value in rule.weights(generator()).items()}
    plain = MLPRule().weights(generator())  # the small random part, a tenth of these
    weights = {name: value - 0.1 * plain[name] for name, value in weights.items()}
    value, grad = tensors(0)["matrix"], tensors(1)["matrix"]
    moved, _ = rule.step(weights, {"w": value}, {"w": grad}, rule.init({"w": value}))
    direction = 0.1 * grad / (0.001 * grad.square() + 1e-8).sqrt()
    direction = direction / (direction.square().mean() + 1e-5).sqrt()
    clocks = [1 + math.tanh(-1.0)] * 2  # before the first step, both
    size = 0.02 * math.exp(-0.5 * clocks[0] - 0.7 * clocks[1])
    torch.testing.assert_close(value - moved["w"], size * direction, rtol=1e-5, atol=1e-8)


def test_an_exponent_is_kept_in_bounds() -> None:
    rule = MLPRule(exponent_scale=1.0)
    weights = {name: torch.zeros_like(value) for name, value in rule.weights(generator()).items()}
    weights["bias2"] = torch.tensor([1.0, 50.0])
    value = torch.zeros(3)
    moved, _ = rule.step(weights, {"w": value}, {"w": value}, rule.init({"w": value}))
    assert moved["w"].tolist() == pytest.approx([-1e-3 * math.exp(4.0)] * 3)


def test_factored_axes_are_the_two_longest() -> None:
    assert factored_axes(torch.Size([7])) is None
    assert factored_axes(torch.Size([3, 4])) == (0, 1)
    assert factored_axes(torch.Size([5, 2, 7])) == (0, 2)
    assert factored_axes(torch.Size([4, 4, 4])) == (1, 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{getattr(rule, 'layers', '')}")
def test_vmap_equals_one_by_one(rule) -> None:
    several = [{k: v.double() for k, v in rule.weights(generator(i)).items()} for i in range(3)]
    single = [run(rule, weights, seed=i)[0] for i, weights in enumerate(several)]

    def stack(dicts):
        return {name: torch.stack([d[name] for d in dicts]) for name in dicts[0]}

    params = stack([tensors(i) for i in range(3)])
    state = vmap(rule.init)(params)
    for t in range(4):
        grads = stack([tensors(100 + i + t) for i in range(3)])
        params, state = vmap(rule.step)(stack(several), params, grads, state)
    for name, value in params.items():
        torch.testing.assert_close(value, torch.stack([one[name] for one in single]), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{getattr(rule, 'layers', '')}")
def test_nothing_handed_in_is_written_to(rule) -> None:
    weights, params, grads = rule.weights(generator()), tensors(0), tensors(1)
    _, state = rule.step(weights, params, grads, rule.init(params))
    kept = copy.deepcopy((weights, params, grads, state))
    rule.step(weights, params, grads, state)
    for now, then in zip((weights, params, grads), kept[:3], strict=True):
        assert all(torch.equal(now[k], then[k]) for k in then)
    assert all(torch.equal(state[n][k], kept[3][n][k]) for n in kept[3] for k in kept[3][n])


@pytest.mark.parametrize(
    ("rule", "peer"),
    [
        (SGD(), lambda p: torch.optim.SGD(p, lr=0.03)),
        (Momentum(), lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9)),
        (RMSprop(), lambda p: torch.optim.RMSprop(p, lr=0.03)),
        (Adam(), lambda p: torch.optim.Adam(p, lr=0.03)),
    ],
    ids=["sgd", "momentum", "rmsprop", "adam"],
)
def test_hand_made_rules_equal_torch(rule, peer) -> None:
    ours, _ = run(rule, {"rate": torch.tensor(0.03, dtype=torch.float64)}, steps=7)
    theirs = {name: value.clone().requires_grad_() for name, value in tensors(0).items()}
    optimizer = peer(theirs.values())
    for i in range(7):
        for name, grad in tensors(100 + i).items():
            theirs[name].grad = grad
        optimizer.step()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name].detach(), rtol=1e-10, atol=1e-12)


def network() -> torch.nn.Module:
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.randn(p.shape, generator=generator(i)))
    return net


def train(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for i in steps:
        x = torch.randn(8, 3, generator=generator(i))
        optimizer.zero_grad()
        (net(x) - x.sum(-1, keepdim=True)).square().mean().backward()
        optimizer.step()


LEARNED = (LSTMRule(), MLPRule())


@pytest.mark.parametrize("rule", LEARNED, ids=lambda rule: rule.kind)
def test_resume_from_a_state_dict_is_exact(rule, tmp_path) -> None:
    weights = rule.weights(generator())
    whole = network()
    train(whole, LearnedOptimizer(whole.parameters(), rule, weights), range(6))

    half = network()
    optimizer = LearnedOptimizer(half.parameters(), rule, weights)
    train(half, optimizer, range(3))
    torch.save({"net": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "half.pt")
    saved = torch.load(tmp_path / "half.pt", weights_only=True)
    other = network()
    other.load_state_dict(saved["net"])
    resumed = LearnedOptimizer(other.parameters(), rule, weights)
    resumed.load_state_dict(saved["optimizer"])
    train(other, resumed, range(3, 6))
    for mine, theirs in zip(other.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_groups_factor_and_schedulers() -> None:
    rule = MLPRule()
    weights = rule.weights(generator())
    net, twin = network(), network()
    first, last = net[0].parameters(), net[2].parameters()  # type: ignore[index]
    optimizer = LearnedOptimizer([{"params": first, "lr": 0.0}, {"params": last}], rule, weights)
    train(net, optimizer, range(1))
    train(twin, LearnedOptimizer(twin.parameters(), rule, weights), range(1))
    start, moved, full = list(network().parameters()), list(net.parameters()), list(twin.parameters())
    assert torch.equal(moved[0], start[0])  # a factor of 0
    torch.testing.assert_close(moved[2], full[2])  # other groups are as they would be alone
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    train(net, optimizer, range(1))
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.5]
    grown = LearnedOptimizer(list(net[0].parameters()), rule, weights)  # type: ignore[index]
    grown.add_param_group({"params": list(net[2].parameters())})  # type: ignore[index]
    train(net, grown, range(1))


def test_replicates_are_optimised_as_if_alone() -> None:
    rule = MLPRule()
    weights = rule.weights(generator())
    start, grads = torch.randn(2, 3, 4, generator=generator(1)), torch.randn(2, 3, 4, generator=generator(2))
    stacked = torch.nn.Parameter(start.clone())
    stacked.grad = grads.clone()
    LearnedOptimizer([stacked], rule, weights, replicated=True).step()
    for i in range(2):
        alone = torch.nn.Parameter(start[i].clone())
        alone.grad = grads[i].clone()
        LearnedOptimizer([alone], rule, weights).step()
        torch.testing.assert_close(stacked[i].detach(), alone.detach(), rtol=1e-6, atol=1e-8)


def test_a_module_without_parameters() -> None:
    rule = MLPRule()
    for nothing in (torch.nn.ReLU().parameters(), [{"params": []}]):
        with pytest.raises(ArgumentError, match="no parameters"):
            LearnedOptimizer(nothing, rule, rule.weights(generator()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_half_precision_and_complex_say_no(dtype) -> None:
    rule = MLPRule()
    with pytest.raises(ArgumentError, match="keep float32"):
        LearnedOptimizer([torch.nn.Parameter(torch.zeros(2, dtype=dtype))], rule, rule.weights(generator()))


def test_sparse_gradients_say_no() -> None:
    rule, table = MLPRule(), torch.nn.Embedding(4, 2, sparse=True)
    optimizer = LearnedOptimizer(table.parameters(), rule, rule.weights(generator()))
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ArgumentError, match="sparse=False"):
        optimizer.step()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_gradients_raise_or_skip_and_are_counted(bad, caplog) -> None:
    rule = MLPRule()
    weights = rule.weights(generator())
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    p.grad, q.grad = torch.tensor([1.0, bad]), torch.ones(2)
    optimizer = LearnedOptimizer([p, q], rule, weights)
    with pytest.raises(GradientError, match="nothing was changed"):
        optimizer.step()
    assert torch.equal(q.detach(), torch.ones(2))
    optimizer = LearnedOptimizer([p, q], rule, weights, non_finite="skip")
    optimizer.step()
    assert "left out" in caplog.text
    assert optimizer.skipped_steps == 1
    assert torch.equal(q.detach(), torch.ones(2))
    assert not optimizer.state
    p.grad = torch.ones(2)
    optimizer.step()
    assert not torch.equal(q.detach(), torch.ones(2))
    assert optimizer.state_dict()["param_groups"][0]["skipped_steps"] == 1


def test_parameters_without_a_gradient_stay() -> None:
    rule = MLPRule()
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    p.grad = torch.ones(2)
    LearnedOptimizer([p, q], rule, rule.weights(generator())).step()
    assert torch.equal(q.detach(), torch.ones(2))
    assert not torch.equal(p.detach(), torch.ones(2))


def test_weight_files_are_whole_or_refused(tmp_path) -> None:
    rule = MLPRule(hidden=3)
    home = save_weights(tmp_path / "mine", rule, rule.weights(generator()), {"seed": 0})
    factory = metabench.learned.load(home)
    assert factory.rule == rule
    for name, value in rule.weights(generator()).items():
        assert torch.equal(factory.weights[name], value)
    net = network()
    train(net, factory(net.parameters()), range(1))
    assert not any(path.suffix in {".pt", ".pkl"} for path in home.iterdir())

    with pytest.raises(ArgumentError, match="weights of optimizer 'mlp'; expected 'lstm'"):
        metabench.learned.load(home, kind="lstm")
    text = (home / "manifest.json").read_text()

    def rewrite(**changes):
        (home / "manifest.json").write_text(json.dumps({**json.loads(text), **changes}))

    rewrite(version=2)
    with pytest.raises(ArgumentError, match="version 2 of 'mlp'; this metabench has version 1"):
        metabench.learned.load(home)
    rewrite(settings={"hidden": 5})
    with pytest.raises(ArgumentError, match="arrays"):
        metabench.learned.load(home)
    rewrite(settings={"width": 5})
    with pytest.raises(ArgumentError, match="settings"):
        metabench.learned.load(home)
    (home / "manifest.json").write_text("{")
    with pytest.raises(ContentError, match="cannot be read"):
        metabench.learned.load(home)
    (home / "manifest.json").write_text(text)
    content = bytearray((home / "weights.npz").read_bytes())
    content[-30] ^= 1
    (home / "weights.npz").write_bytes(content)
    with pytest.raises(ContentError, match="damaged"):
        metabench.learned.load(home)


def test_an_unknown_name_says_what_to_do() -> None:
    with pytest.raises(ContentError, match="no learned optimizer 'mpl-v1'"):
        metabench.learned.load("mpl-v1")


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPRule(hidden=0),
        lambda: MLPRule(layers=0),
        lambda: MLPRule(step_scale=0.0),
        lambda: MLPRule(hidden=3, start="adam"),
        lambda: LSTMRule(hidden=0),
    ],
)
def test_bad_settings(make) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        make()


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"non_finite": "ignore"}])
def test_bad_options(options) -> None:
    rule = MLPRule()
    with pytest.raises(ArgumentError, match="expected"):
        LearnedOptimizer([torch.nn.Parameter(torch.ones(1))], rule, rule.weights(generator()), **options)
