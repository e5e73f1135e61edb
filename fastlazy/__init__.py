"""Lazy training of two-layer networks, fast and exact on CPUs: RF, NT and NN side by side.

Random features, the neural tangent model and the trained network, for the quadratic target of Ghorbani,
Mei, Misiakiewicz, Montanari, "Limitations of Lazy Training of Two-layers Neural Networks" (NeurIPS 2019,
arXiv:1906.08899). Each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastlazy._version import __version__ as __version__

if TYPE_CHECKING:
    from fastlazy.activations import Activation as Activation
    from fastlazy.activations import get_activation as get_activation
    from fastlazy.cells import grid as grid
    from fastlazy.diagnostics import Diagnostics as Diagnostics
    from fastlazy.directions import captured_share as captured_share
    from fastlazy.directions import nt_captured_limit as nt_captured_limit
    from fastlazy.directions import rf_captured_limit as rf_captured_limit
    from fastlazy.figures import plot_activations as plot_activations
    from fastlazy.figures import plot_risk_curves as plot_risk_curves
    from fastlazy.gap import gap_target as gap_target
    from fastlazy.gram import nt_kernel as nt_kernel
    from fastlazy.gram import rf_gram as rf_gram
    from fastlazy.gram import rf_kernel as rf_kernel
    from fastlazy.lazy import Linearization as Linearization
    from fastlazy.lazy import lazy_risk as lazy_risk
    from fastlazy.lazy import linearize as linearize
    from fastlazy.lazy import network_function as network_function
    from fastlazy.lazy import nt_function as nt_function
    from fastlazy.lazy import population_distance as population_distance
    from fastlazy.lazy import rf_function as rf_function
    from fastlazy.normal_equations import rf_normal_equations as rf_normal_equations
    from fastlazy.risk import network_risk as network_risk
    from fastlazy.risk import nn_risk as nn_risk
    from fastlazy.risk import nt_risk as nt_risk
    from fastlazy.risk import rf_risk as rf_risk
    from fastlazy.risk import tangent_risk as tangent_risk
    from fastlazy.sgd import Fit as Fit
    from fastlazy.sgd import fit_nn as fit_nn
    from fastlazy.sweep import load_sweep as load_sweep
    from fastlazy.sweep import run_sweep as run_sweep
    from fastlazy.tangent import nt_gram as nt_gram
    from fastlazy.targets import QuadraticTarget as QuadraticTarget
    from fastlazy.targets import draw_weights as draw_weights
    from fastlazy.targets import exponential_target as exponential_target
    from fastlazy.theory import nn_risk_limit as nn_risk_limit
    from fastlazy.theory import nt_risk_limit as nt_risk_limit
    from fastlazy.theory import rf_risk_limit as rf_risk_limit

_MODULES = {
    "Activation": "activations",
    "Diagnostics": "diagnostics",
    "Fit": "sgd",
    "Linearization": "lazy",
    "QuadraticTarget": "targets",
    "captured_share": "directions",
    "draw_weights": "targets",
    "exponential_target": "targets",
    "fit_nn": "sgd",
    "gap_target": "gap",
    "get_activation": "activations",
    "grid": "cells",
    "lazy_risk": "lazy",
    "linearize": "lazy",
    "load_sweep": "sweep",
    "network_function": "lazy",
    "network_risk": "risk",
    "nn_risk": "risk",
    "nn_risk_limit": "theory",
    "nt_captured_limit": "directions",
    "nt_function": "lazy",
    "nt_gram": "tangent",
    "nt_kernel": "gram",
    "nt_risk": "risk",
    "nt_risk_limit": "theory",
    "plot_activations": "figures",
    "plot_risk_curves": "figures",
    "population_distance": "lazy",
    "rf_captured_limit": "directions",
    "rf_function": "lazy",
    "rf_gram": "gram",
    "rf_kernel": "gram",
    "rf_normal_equations": "normal_equations",
    "rf_risk": "risk",
    "rf_risk_limit": "theory",
    "run_sweep": "sweep",
    "tangent_risk": "risk",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fastlazy' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastlazy.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
