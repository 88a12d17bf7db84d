"""The generated data sets: geometry and mechanics by hand, determinism, and bad parameters."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from metabench.datasets import DATASETS
from metabench.datasets.annuli import make as annuli
from metabench.datasets.labels import balanced_labels
from metabench.datasets.pendulum import make as pendulum
from metabench.datasets.pendulum import swing
from metabench.datasets.spirals import arm
from metabench.datasets.spirals import make as spirals
from metabench.errors import ArgumentError

GENERATED = {"spirals": 3, "annuli": 8, "pendulum": 5}


@pytest.mark.parametrize(("name", "classes"), GENERATED.items())
def test_same_seed_same_bytes_and_balanced_classes(name: str, classes: int) -> None:
    make = DATASETS.get(name)
    (x, y), (again, labels), (other, _) = make(samples=203), make(samples=203), make(samples=203, seed=1)
    assert x.tobytes() == again.tobytes()
    assert y.tobytes() == labels.tobytes()
    assert not np.allclose(x, other)
    counts = np.bincount(y, minlength=classes)
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1


def test_labels_are_shuffled() -> None:
    labels = balanced_labels(1000, 2, np.random.Generator(np.random.PCG64(0)))
    assert 400 < np.sum(labels[1:] != labels[:-1]) < 600  # in order it would be 999, in blocks 1


@pytest.mark.parametrize("name", ["spirals", "annuli"])
def test_the_analytic_scale_is_the_root_mean_square(name: str) -> None:
    x, _ = DATASETS.get(name)(samples=40_000, noise=0.1)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.03)
    assert np.sqrt(np.mean(x**2)) == pytest.approx(1, rel=0.01)


def test_arms_by_hand() -> None:
    position, label = np.array([0.0, 1.0, 1.0, 0.4]), np.array([0, 0, 1, 0])
    third = 2 * np.pi / 3
    expected = [
        [0.1, 0],  # the inner end
        [-1, 0],  # two turns and a half on
        [-np.cos(third), -np.sin(third)],  # the next arm, a third of a turn ahead
        [0.46, 0],  # one whole turn: radius .1 + .9 * .4
    ]
    np.testing.assert_allclose(arm(position, label, arms=3, turns=2.5), expected, atol=1e-12)


def test_spirals_without_noise_lie_on_their_arms() -> None:
    x, y = spirals(samples=300, noise=0.0)
    points = x * np.sqrt(1.11 / 3 / 2)  # mean of r**2 for r uniform on [.1, 1] is (1 + .1 + .01) / 3
    radius = np.linalg.norm(points, axis=-1)
    angle = np.arctan2(points[:, 1], points[:, 0])
    turn = (angle / (2 * np.pi) - 2.5 * (radius - 0.1) / 0.9 - y / 3) % 1
    np.testing.assert_allclose(np.minimum(turn, 1 - turn), 0, atol=1e-9)


def test_annuli_radii() -> None:
    x, y = annuli(samples=8000, noise=0.0)
    mean_square = 204 / 8 / 64  # 1 + 4 + ... + 64 = 204
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1) * np.sqrt(mean_square / 8), (y + 1) / 8)
    directions = x / np.linalg.norm(x, axis=-1, keepdims=True)
    np.testing.assert_allclose(directions.T @ directions / len(x), np.eye(8) / 8, atol=0.01)  # isotropic


def test_annuli_best_accuracy_is_the_documented_one() -> None:
    x, y = annuli(samples=40_000)
    radius = np.linalg.norm(x, axis=-1) * np.sqrt((204 / 8 / 64 + 0.03**2) / 8)
    nearest = np.clip(np.rint(radius * 8) - 1, 0, 7)
    by_hand = 1 - 14 / 8 * NormalDist().cdf(-(1 / 16) / 0.03)  # the end shells have one neighbour
    assert by_hand == pytest.approx(0.967, abs=5e-4)
    assert np.mean(nearest == y) == pytest.approx(by_hand, abs=0.004)


def test_small_swing_is_the_damped_oscillator() -> None:
    rate, times = 0.3, np.linspace(0.1, 15, 40)[None]
    angle, velocity = swing(np.array([1e-4]), np.array([0.0]), np.array([rate]), times)
    frequency = np.sqrt(1 - rate**2 / 4)
    decay = 1e-4 * np.exp(-rate * times / 2)
    expected = decay * (np.cos(frequency * times) + rate / 2 / frequency * np.sin(frequency * times))
    np.testing.assert_allclose(angle, expected, atol=1e-10)
    np.testing.assert_allclose(velocity, -decay / frequency * np.sin(frequency * times), atol=1e-10)


def test_swing_agrees_with_scipy_and_does_not_depend_on_the_other_pendulums() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    times = np.sort(generator.uniform(0, 15, (5, 40)), axis=-1)
    start, push, damping = generator.uniform(-2, 2, 5), generator.uniform(-0.9, 0.9, 5), np.linspace(0, 0.5, 5)
    angles, velocities = swing(start, push, damping, times)
    for i in range(5):
        peer = solve_ivp(
            lambda _, state, rate: [state[1], -np.sin(state[0]) - rate * state[1]],
            (0, times[i, -1]),
            [start[i], push[i]],
            "DOP853",
            t_eval=times[i],
            args=(damping[i],),
            rtol=1e-12,
            atol=1e-12,
        )
        np.testing.assert_allclose([angles[i], velocities[i]], peer.y, atol=1e-5)
    alone, _ = swing(start[2:3], push[2:3], damping[2:3], times[2:3])
    np.testing.assert_array_equal(alone[0], angles[2])


def test_energy_is_kept_without_damping_and_falls_faster_with_more() -> None:
    times = np.broadcast_to(np.linspace(0.5, 15, 40), (4, 40))
    damping = np.array([0.0, 0.05, 0.2, 0.8])
    angle, velocity = swing(np.full(4, 1.5), np.zeros(4), damping, times)
    energy = velocity**2 / 2 - np.cos(angle)
    np.testing.assert_allclose(energy[0], -np.cos(1.5), atol=1e-6)
    assert np.all(np.diff(energy[1:], axis=-1) < 0)
    assert np.all(np.diff(energy[:, -1]) < 0)


def test_pendulum_rows_are_times_then_angles() -> None:
    x, _ = pendulum(samples=500)
    times, angles = x[:, :40], x[:, 40:]
    assert np.all(np.diff(times, axis=-1) >= 0)
    assert -1 <= times.min() < -0.99
    assert 0.99 < times.max() <= 1
    assert times.mean() == pytest.approx(0, abs=0.02)
    assert np.abs(angles).max() < np.pi + 5 * 0.12  # none goes over the top
    clean = pendulum(samples=500, noise=0.0)[0][:, 40:]
    assert np.std(angles - clean) == pytest.approx(0.12, rel=0.03)


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (spirals, {"samples": 0}, "samples=0: expected a whole number of at least 1"),
        (spirals, {"samples": 10.0}, "samples=10.0: expected a whole number"),
        (spirals, {"arms": 1}, "arms=1: expected a whole number of at least 2"),
        (spirals, {"turns": 0}, "turns=0: expected a finite number > 0"),
        (spirals, {"noise": float("nan")}, "noise=nan: expected a finite number >= 0"),
        (annuli, {"shells": True}, "shells=True: expected a whole number"),
        (annuli, {"dim": 1}, "dim=1"),
        (annuli, {"noise": -0.1}, "noise=-0.1"),
        (pendulum, {"points": 0}, "points=0"),
        (pendulum, {"duration": float("inf")}, "duration=inf"),
        (pendulum, {"damping": [0.2, 0.1]}, r"damping=\[0.2, 0.1\]: expected at least two ascending"),
        (pendulum, {"damping": [-1.0, 0.1]}, "damping=-1.0: expected a finite number >= 0"),
    ],
)
def test_bad_parameters_are_answered_in_one_line(
    make: Callable[..., object], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        make(**parameters)
    assert "\n" not in str(caught.value)
