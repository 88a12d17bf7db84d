"""Surrogates: models fitted to a table that predict every metric at every epoch, with uncertainty.

This package knows arrays, not tables: :class:`Measurements` in, predictions out. :mod:`metabench.tables` hands both on.
"""

from metabench.surrogate.measurements import Measurements
from metabench.surrogate.settings import Settings
from metabench.surrogate.store import load_surrogate, surrogate_files
from metabench.surrogate.surrogate import Prediction, Surrogate, fit_surrogate

__all__ = [
    "Measurements",
    "Prediction",
    "Settings",
    "Surrogate",
    "fit_surrogate",
    "load_surrogate",
    "surrogate_files",
]
