"""The three regimes as scikit-learn estimators, fitted to data; needs the extra `sklearn`.

Ridge regression on random features and in the neural tangent model penalises alpha |theta|^2 beside the *sum* of
squared errors, as scikit-learn's `Ridge` on the features does; the offset is not penalised. Trained networks are
`NetworkRegressor`, of any non-linearity, and `QuadraticNetworkRegressor`. Classifiers learn +1 and -1, as
scikit-learn's `RidgeClassifier` does. None of them scales the data: put a `StandardScaler` before.
"""

from fastlazy.estimators.linear import NTRegressor, RFRegressor, RFTransformer
from fastlazy.estimators.linear_classifiers import NTClassifier, RFClassifier
from fastlazy.estimators.network import NetworkRegressor
from fastlazy.estimators.network_classifier import NetworkClassifier
from fastlazy.estimators.quadratic_network import QuadraticNetworkRegressor

__all__ = [
    "NTClassifier",
    "NTRegressor",
    "NetworkClassifier",
    "NetworkRegressor",
    "QuadraticNetworkRegressor",
    "RFClassifier",
    "RFRegressor",
    "RFTransformer",
]
