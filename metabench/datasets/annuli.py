"""Annuli: concentric spherical shells, one a class."""

from __future__ import annotations

import numpy as np

from metabench.datasets.labels import balanced_labels, check_count, check_scale
from metabench.seeding import numpy_generator

__all__ = ["make"]


def make(
    samples: int = 7000, shells: int = 8, dim: int = 8, noise: float = 0.03, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points on spheres of radius 1/shells, 2/shells, ..., 1, each radius with normal noise.

    Every shell is a class of its own, so a linear map does little better than chance, and a flow of the input space has
    to carry nested shells apart. With the default noise the best possible accuracy is 0.967: a radius falls on the
    wrong side of the midpoint between two shells at 2.08 standard deviations.

    The inputs are divided by the root mean square of a coordinate, an analytic constant; no row's statistic is used.

    Args:
        samples: rows.
        shells: shells, each a class.
        dim: dimension of the space.
        noise: standard deviation of a radius; the outer radius is 1.
        seed: of the labels, directions and noise.

    Returns:
        Inputs ``(samples, dim)`` and labels 0 (innermost) to ``shells`` - 1 ``(samples,)``.

    Raises:
        ArgumentError: if a parameter is out of range.

    Reference: after the concentric annuli of Dupont, Doucet and Teh (2019), Augmented neural ODEs, arXiv:1904.01681.
    """
    check_count("samples", samples, 1)
    check_count("shells", shells, 2)
    check_count("dim", dim, 2)
    noise = check_scale("noise", noise, zero=True)
    generator = numpy_generator("annuli", seed)
    labels = balanced_labels(samples, shells, generator)
    directions = generator.standard_normal((samples, dim))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    radii = (labels + 1) / shells + noise * generator.standard_normal(samples)
    mean_square_radius = (shells + 1) * (2 * shells + 1) / (6 * shells**2) + noise**2
    return radii[:, None] * directions / np.sqrt(mean_square_radius / dim), labels
