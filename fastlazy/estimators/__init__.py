"""The three regimes as scikit-learn estimators, fitted to data; needs the extra `sklearn`.

Ridge regression on random features and in the neural tangent model penalises alpha |theta|^2 beside the *sum* of
squared errors, as scikit-learn's `Ridge` on the features does; the offset is not penalised. Trained networks are
`NetworkRegressor`, of any non-linearity, and `QuadraticNetworkRegressor`. None of them scales the data: put a
`StandardScaler` before.
"""

from fastlazy.estimators.linear import NTRegressor, RFRegressor, RFTransformer
from fastlazy.estimators.network import NetworkRegressor
from fastlazy.estimators.quadratic_network import QuadraticNetworkRegressor

__all__ = ["NTRegressor", "NetworkRegressor", "QuadraticNetworkRegressor", "RFRegressor", "RFTransformer"]
