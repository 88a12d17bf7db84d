"""Model uncertainty from an ensemble's spread: scaled until errors on unseen architectures are as large as said."""

from __future__ import annotations

import numpy as np

__all__ = ["fit_calibration"]


def fit_calibration(errors: np.ndarray, spread: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Slope a and offset b of the model's variance ``a spread**2 + b``, by maximum likelihood of normal errors.

    Args:
        errors: of predictions of architectures that a model has not seen, ``(n,)``; NaN is left out.
        spread: standard deviation over the ensemble's members, ``(n,)``.
        noise: standard deviation that the replicates' mean itself has, ``(n,)``; it is no error of the model.

    Returns:
        a and b, both above 0.
    """
    from scipy.optimize import minimize

    known = ~np.isnan(errors)
    if not known.any():
        return 1.0, 0.0
    squares, s2, n2 = errors[known] ** 2, spread[known] ** 2, noise[known] ** 2
    typical = max(float(squares.mean()), 1e-12)

    def loss(x: np.ndarray) -> float:
        variance = np.exp(x[0]) * s2 + np.exp(x[1]) * typical + n2 + 1e-12
        return float(0.5 * (np.log(variance) + squares / variance).mean())

    found = minimize(loss, np.array([0.0, np.log(0.3)]), method="L-BFGS-B", bounds=[(-8.0, 3.0), (-8.0, 2.0)])
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]) * typical)
