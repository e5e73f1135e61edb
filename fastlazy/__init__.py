"""Lazy training of two-layer networks, fast and exact on CPUs: RF, NT and NN side by side.

Random features, the neural tangent model and the trained network, for the quadratic target and the mixture of two
Gaussians of Ghorbani, Mei, Misiakiewicz, Montanari, "Limitations of Lazy Training of Two-layers Neural Networks"
(NeurIPS 2019, arXiv:1906.08899). Each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastlazy._version import __version__ as __version__

if TYPE_CHECKING:
    from fastlazy.activations.activation import Activation as Activation
    from fastlazy.activations.builtin import get_activation as get_activation
    from fastlazy.activations.hermite import hermite_activation as hermite_activation
    from fastlazy.activations.hermite import hermite_coefficients as hermite_coefficients
    from fastlazy.figures.risk_curves import plot_activations as plot_activations
    from fastlazy.figures.risk_curves import plot_risk_curves as plot_risk_curves
    from fastlazy.kernels.kernel_limits import nt_kernel_limit as nt_kernel_limit
    from fastlazy.kernels.kernel_limits import rf_kernel_limit as rf_kernel_limit
    from fastlazy.kernels.kernels import nt_kernel as nt_kernel
    from fastlazy.kernels.kernels import rf_kernel as rf_kernel
    from fastlazy.kernels.normal_equations import rf_normal_equations as rf_normal_equations
    from fastlazy.kernels.nt_gram import nt_gram as nt_gram
    from fastlazy.kernels.prepared import PreparedWeights as PreparedWeights
    from fastlazy.kernels.prepared import prepare_weights as prepare_weights
    from fastlazy.kernels.rf_gram import rf_gram as rf_gram
    from fastlazy.risk.bayes import BayesRisk as BayesRisk
    from fastlazy.risk.bayes import bayes_risk as bayes_risk
    from fastlazy.risk.best_functions import nt_function as nt_function
    from fastlazy.risk.best_functions import rf_function as rf_function
    from fastlazy.risk.captured import captured_share as captured_share
    from fastlazy.risk.captured import nt_captured_limit as nt_captured_limit
    from fastlazy.risk.captured import rf_captured_limit as rf_captured_limit
    from fastlazy.risk.equivalent import BestRidge as BestRidge
    from fastlazy.risk.learning_curves import nt_learning_curve as nt_learning_curve
    from fastlazy.risk.learning_curves import rf_learning_curve as rf_learning_curve
    from fastlazy.risk.limits import nt_risk_limit as nt_risk_limit
    from fastlazy.risk.limits import rf_risk_limit as rf_risk_limit
    from fastlazy.risk.network import network_risk as network_risk
    from fastlazy.risk.network import tangent_risk as tangent_risk
    from fastlazy.risk.nn import nn_risk as nn_risk
    from fastlazy.risk.nn import nn_risk_limit as nn_risk_limit
    from fastlazy.risk.nt import nt_risk as nt_risk
    from fastlazy.risk.rf import rf_risk as rf_risk
    from fastlazy.sweeps.cells import grid as grid
    from fastlazy.sweeps.driver import load_sweep as load_sweep
    from fastlazy.sweeps.driver import run_sweep as run_sweep
    from fastlazy.sweeps.driver import scan_sweep as scan_sweep
    from fastlazy.sweeps.quantity import MeasuredCell as MeasuredCell
    from fastlazy.sweeps.stored_targets import load_targets as load_targets
    from fastlazy.targets.gap import gap_target as gap_target
    from fastlazy.targets.library import exponential_target as exponential_target
    from fastlazy.targets.library import identity_target as identity_target
    from fastlazy.targets.library import power_law_target as power_law_target
    from fastlazy.targets.library import rank_one_target as rank_one_target
    from fastlazy.targets.library import spiked_target as spiked_target
    from fastlazy.targets.mixture import GaussianMixture as GaussianMixture
    from fastlazy.targets.mixture import exponential_mixture as exponential_mixture
    from fastlazy.targets.quadratic import QuadraticFunction as QuadraticFunction
    from fastlazy.targets.quadratic import QuadraticTarget as QuadraticTarget
    from fastlazy.targets.weights import draw_weights as draw_weights
    from fastlazy.training.diagnostics import Diagnostics as Diagnostics
    from fastlazy.training.feature_functions import FeatureFunction as FeatureFunction
    from fastlazy.training.fit import Fit as Fit
    from fastlazy.training.fit_nn import fit_nn as fit_nn
    from fastlazy.training.flow import nn_flow as nn_flow
    from fastlazy.training.infimum import lazy_risk as lazy_risk
    from fastlazy.training.linearization import Linearization as Linearization
    from fastlazy.training.linearization import linearize as linearize
    from fastlazy.training.linearization import network_function as network_function
    from fastlazy.training.linearization import population_distance as population_distance

_MODULES = {
    "Activation": "activations.activation",
    "BayesRisk": "risk.bayes",
    "BestRidge": "risk.equivalent",
    "Diagnostics": "training.diagnostics",
    "FeatureFunction": "training.feature_functions",
    "Fit": "training.fit",
    "GaussianMixture": "targets.mixture",
    "Linearization": "training.linearization",
    "MeasuredCell": "sweeps.quantity",
    "PreparedWeights": "kernels.prepared",
    "QuadraticFunction": "targets.quadratic",
    "QuadraticTarget": "targets.quadratic",
    "bayes_risk": "risk.bayes",
    "captured_share": "risk.captured",
    "draw_weights": "targets.weights",
    "exponential_mixture": "targets.mixture",
    "exponential_target": "targets.library",
    "fit_nn": "training.fit_nn",
    "gap_target": "targets.gap",
    "get_activation": "activations.builtin",
    "grid": "sweeps.cells",
    "hermite_activation": "activations.hermite",
    "hermite_coefficients": "activations.hermite",
    "identity_target": "targets.library",
    "lazy_risk": "training.infimum",
    "linearize": "training.linearization",
    "load_sweep": "sweeps.driver",
    "load_targets": "sweeps.stored_targets",
    "network_function": "training.linearization",
    "network_risk": "risk.network",
    "nn_flow": "training.flow",
    "nn_risk": "risk.nn",
    "nn_risk_limit": "risk.nn",
    "nt_captured_limit": "risk.captured",
    "nt_function": "risk.best_functions",
    "nt_gram": "kernels.nt_gram",
    "nt_kernel": "kernels.kernels",
    "nt_kernel_limit": "kernels.kernel_limits",
    "nt_learning_curve": "risk.learning_curves",
    "nt_risk": "risk.nt",
    "nt_risk_limit": "risk.limits",
    "plot_activations": "figures.risk_curves",
    "plot_risk_curves": "figures.risk_curves",
    "population_distance": "training.linearization",
    "power_law_target": "targets.library",
    "prepare_weights": "kernels.prepared",
    "rank_one_target": "targets.library",
    "rf_captured_limit": "risk.captured",
    "rf_function": "risk.best_functions",
    "rf_gram": "kernels.rf_gram",
    "rf_kernel": "kernels.kernels",
    "rf_kernel_limit": "kernels.kernel_limits",
    "rf_learning_curve": "risk.learning_curves",
    "rf_normal_equations": "kernels.normal_equations",
    "rf_risk": "risk.rf",
    "rf_risk_limit": "risk.limits",
    "run_sweep": "sweeps.driver",
    "scan_sweep": "sweeps.driver",
    "spiked_target": "targets.library",
    "tangent_risk": "risk.network",
}

__all__ = [*_MODULES]


if not TYPE_CHECKING:  # to whom it would say that there is every name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'fastlazy' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"fastlazy.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__]
