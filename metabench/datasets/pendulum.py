"""Pendulum: how strongly a pendulum is damped, from angles seen at irregular times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabench.datasets.labels import balanced_labels, check_count, check_scale
from metabench.errors import ArgumentError
from metabench.seeding import numpy_generator

__all__ = ["make", "swing"]

_SUBSTEPS = 24  # Runge-Kutta steps between two observations
_LARGEST_ANGLE = 2.0  # radians; of the start, uniform on both sides
_LARGEST_VELOCITY = 0.9  # radians a unit of time; likewise. 0.9**2 / 2 < 1 + cos(2): no pendulum goes over the top


def _acceleration(angle: np.ndarray, velocity: np.ndarray, damping: np.ndarray) -> np.ndarray:
    return -np.sin(angle) - damping * velocity


def swing(angle: np.ndarray, velocity: np.ndarray, damping: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, ...]:
    """Integrates angle'' = -sin(angle) - damping angle' from time 0 by the classical Runge-Kutta method.

    The 24 equal steps between two observations end on the observation, so nothing is interpolated.

    Args:
        angle: at time 0, in radians, ``(samples,)``.
        velocity: at time 0, ``(samples,)``.
        damping: friction a unit of time, ``(samples,)``; time is in units of sqrt(length / gravity).
        times: ascending observation times of each pendulum, ``(samples, points)``.

    Returns:
        Angles and velocities at the times, each ``(samples, points)``.
    """
    gaps = np.diff(times, axis=-1, prepend=0.0)
    angles, velocities = np.empty_like(times), np.empty_like(times)
    for point in range(times.shape[-1]):
        step = gaps[:, point] / _SUBSTEPS
        for _ in range(_SUBSTEPS):
            v1, a1 = velocity, _acceleration(angle, velocity, damping)
            v2 = velocity + step / 2 * a1
            a2 = _acceleration(angle + step / 2 * v1, v2, damping)
            v3 = velocity + step / 2 * a2
            a3 = _acceleration(angle + step / 2 * v2, v3, damping)
            v4 = velocity + step * a3
            a4 = _acceleration(angle + step * v3, v4, damping)
            angle = angle + step / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            velocity = velocity + step / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        angles[:, point], velocities[:, point] = angle, velocity
    return angles, velocities


def make(
    samples: int = 7000,
    points: int = 40,
    duration: float = 15.0,
    damping: Sequence[float] = (0.03, 0.06, 0.12, 0.24, 0.48),
    noise: float = 0.12,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws pendulums of random start, looks at them at random times, and asks for the damping.

    The angle at the start is uniform in [-2, 2] radians, well beyond the range where the sine is its argument, the
    velocity uniform in [-0.9, 0.9]: the pendulum swings and never goes round. Observation times are uniform on the
    duration and sorted. An input row is the times, mapped from [0, duration] to [-1, 1], then the angles in radians:
    fixed scales, no row's statistic is used.

    Dampings and noise were set on validation, where a linear model is to be near chance (0.2) and a perceptron of
    2 x 64 near 0.7.

    Args:
        samples: rows.
        points: observations of a pendulum.
        duration: of the observation, in units of sqrt(length / gravity); a small swing takes 2 pi.
        damping: the classes' dampings, ascending.
        noise: standard deviation of an observed angle, in radians.
        seed: of the labels, starts, times and noise.

    Returns:
        Inputs ``(samples, 2 points)`` and labels ``(samples,)``, indices into ``damping``.

    Raises:
        ArgumentError: if a parameter is out of range.
    """
    check_count("samples", samples, 1)
    check_count("points", points, 1)
    duration, noise = check_scale("duration", duration), check_scale("noise", noise, zero=True)
    rates = np.array([check_scale("damping", rate, zero=True) for rate in damping])
    if len(rates) < 2 or not np.all(np.diff(rates) > 0):
        raise ArgumentError(f"damping={list(damping)}: expected at least two ascending numbers, one a class.")
    generator = numpy_generator("pendulum", seed)
    labels = balanced_labels(samples, len(rates), generator)
    angle = generator.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE, samples)
    velocity = generator.uniform(-_LARGEST_VELOCITY, _LARGEST_VELOCITY, samples)
    times = np.sort(generator.uniform(0.0, duration, (samples, points)), axis=-1)
    angles, _ = swing(angle, velocity, rates[labels], times)
    angles += noise * generator.standard_normal(angles.shape)
    return np.concatenate([2 * times / duration - 1, angles], axis=-1), labels
