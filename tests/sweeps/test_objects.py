"""Objects of the user's in cells: known by their content, named, refused where they are none."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastlazy
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.sweeps.cells import canonical_cell, cell_id, cell_target, check_cells, grid
from fastlazy.sweeps.objects import Own, cell_activation, content, target_of
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget

ROOT = Path(__file__).resolve().parents[2]
B = np.array([[2.0, 0.5, 0.0], [0.5, -1.0, 0.25], [0.0, 0.25, 1.0]])
SIGMA = Activation("bent", lambda x: math.tanh(x) + x * x, lambda x: 1 - math.tanh(x) ** 2 + 2 * x)
MIXTURE = GaussianMixture([1.0, 1.0, 1.0], [0.5, 0.25, 0.0])
RF = {"regime": "RF", "d": 3, "N": 2}
NT = {**RF, "regime": "NT"}
NN = {**RF, "regime": "NN", "n_samples": 100}


def identity(**change):
    return cell_id(canonical_cell({**RF, **change}))


def bent(shift):
    return Activation("bent", lambda x: math.tanh(x + shift), lambda x: 1 - math.tanh(x + shift) ** 2)


DIFFERENT = {
    "a matrix": {"target": B},
    "a last digit": {"target": np.nextafter(B, np.diag(np.diagonal(B) * 2) + B)},
    "its constant": {"target": QuadraticTarget(B, 1.0)},
    "covariance": {"target": QuadraticTarget(B, -2.0, input_cov=[1.0, 2.0, 3.0])},
    "a diagonal": {"target": np.diag([2.0, -1.0, 1.0])},
    "eigenvalues": {"target": [2.0, -1.0, 1.0]},
    "a mixture": {"target": MIXTURE},
    "another": {"target": GaussianMixture([1.0, 1.0, 1.0], [0.5, 0.0, 0.25])},
    "two of a mixture": {"target": GaussianMixture(B @ B, np.diag([0.01, 0.0, 0.0]))},
    "sigma": {"activation": SIGMA},
    "both": {"activation": SIGMA, "target": B},
    "sigma without derivative": {"activation": Activation("bent", SIGMA.function)},
    "its name": {"activation": Activation("crooked", SIGMA.function, SIGMA.derivative)},
    "a closure": {"activation": bent(0.5)},
    "another closure": {"activation": bent(0.25)},
    "nothing": {},
}


def test_every_content_has_an_id_of_its_own():
    assert len({identity(**change) for change in DIFFERENT.values()}) == len(DIFFERENT)


SAME = {
    "order": np.asfortranarray(B),
    "lists": B.tolist(),
    "view": np.kron(B, np.ones((2, 2)))[::2, ::2],
    "name": {"mine": B},
    "target": QuadraticTarget(B, -2.0),
    "function": QuadraticFunction(B, -2.0),
    "minus zero": np.where(B == 0, -0.0, B),
    "pickled": pickle.loads(pickle.dumps(QuadraticTarget(B, -2.0))),
}


@pytest.mark.parametrize("value", SAME.values(), ids=SAME)
def test_the_same_content_is_the_same_cell(value):
    assert identity(target=value) == identity(target=B)
    assert identity(target=value, activation=pickle.loads(pickle.dumps(bent(0.5)))) == identity(
        target=B, activation=bent(0.5)
    )


def test_a_diagonal_is_its_eigenvalues_with_a_name():
    names = [{"mine": [3.0, 2.0, 1.0]}, {"mine": np.diag([3.0, 2.0, 1.0])}, QuadraticTarget([3.0, 2.0, 1.0], -6.0)]
    assert len({identity(target=value) for value in names}) == 1
    assert identity(target=[3.0, 2.0, 1.0]) not in {identity(target=names[0])}  # of stores that are out there


def test_a_built_in_object_is_its_name():
    assert identity(activation=get_activation("relu")) == identity(activation="relu")
    assert canonical_cell({**RF, "activation": get_activation("relu")})["activation"] == "relu"


def test_a_function_is_its_activation():
    """Of its own name; a function that a named non-linearity has is that name, as in stores that are out there."""

    def bend(x):
        return math.tanh(x) + x * x

    assert canonical_cell({**RF, "activation": np.tanh})["activation"] == "tanh"
    own = canonical_cell({**RF, "activation": bend})["activation"]
    assert str(own).startswith("bend #")
    assert identity(activation=bend) == identity(activation=Activation("bend", bend)) != identity(activation=SIGMA)
    assert identity(activation=bend, regime="NT") != identity(activation=bend)
    assert len(check_cells([{**RF, "activation": sigma} for sigma in (bend, bend, "tanh", np.tanh)])) == 2
    with pytest.raises(ValueError, match=r"activation 'bend #.*' has no derivative, which regime NN"):
        canonical_cell({**NN, "activation": bend})


PROGRAM = """
import math
import numpy as np
from fastlazy import Activation, GaussianMixture
from fastlazy.sweeps.cells import canonical_cell, cell_id

def bent(shift):
    return Activation("bent", lambda x: math.tanh(x + shift), lambda x: 1 - math.tanh(x + shift) ** 2)

B = np.array([[2.0, 0.5, 0.0], [0.5, -1.0, 0.25], [0.0, 0.25, 1.0]])
mixture = GaussianMixture([1.0, 1.0, 1.0], [0.5, 0.25, 0.0])
for change in ({"target": B}, {"target": mixture}, {"activation": bent(0.5)}):
    print(cell_id(canonical_cell({"regime": "RF", "d": 3, "N": 2, **change})))
"""


def test_ids_are_the_same_in_every_process():
    child = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    found = child.stdout.split()
    assert found == [identity(target=B), identity(target=MIXTURE), identity(activation=bent(0.5))]
    # Stores that are out there hold these.
    assert found[0] == "e6d9994825c03fa2ef938bd68199531a969a3ca3a094dccf9e2b6fde362a9a39"
    assert found[1] == "f1d5916fbebcd27f12c6f7f30ad96b5dc50dc5dc7f913c9614ca984b5e50fbc6"


@pytest.mark.parametrize("target", [QuadraticTarget(B, 0.1), MIXTURE, DIFFERENT["covariance"]["target"]])
def test_content_is_all_that_a_target_is(target):
    again = target_of(content(target))
    assert type(again) is type(target)
    for name in ("B", "b0", "input_cov", "Sigma", "Delta"):
        np.testing.assert_array_equal(getattr(again, name, None), getattr(target, name, None))
    assert content(again) == content(target)
    assert len(content(QuadraticTarget(np.ones(500)))) < 500 * 8 + 200


def test_a_cell_has_its_objects():
    parameters = canonical_cell({**RF, "target": {"mine": B}, "activation": SIGMA})
    np.testing.assert_array_equal(cell_target(parameters).B, B)
    assert cell_target(parameters).b0 == -2.0
    assert cell_activation(parameters) == SIGMA
    assert canonical_cell(parameters) == parameters
    own = parameters["target"]
    assert str(own) == repr(own) == f"mine #{own.digest[:12]}"
    assert pickle.loads(pickle.dumps(own)) == own


def test_an_object_that_comes_with_many_cells_is_kept():
    own = canonical_cell({**RF, "target": B})["target"]
    first, second = (pickle.loads(pickle.dumps(own)) for _ in range(2))
    assert first.value is second.value


def test_many_cells_share_one_object():
    cells = grid(regime=["RF", "NT"], d=3, N=[1, 2], target={"a": B, "b": QuadraticTarget(B, 1.0)}, draw=range(3))
    cells += grid(regime="RF", d=3, N=9, target={"a": B.copy()})
    found = check_cells(cells).values()
    assert len(found) == 25
    assert len({id(parameters["target"]) for parameters in found}) == 2
    assert {str(parameters["target"]).split()[0] for parameters in found} == {"a", "b"}


def test_an_array_that_an_iterator_changes_is_another_target():
    matrix = B.copy()

    def cells():
        for value in (1.0, 2.0, 3.0):
            matrix[0, 0] = value
            yield {**RF, "target": matrix}

    found = [parameters["target"].value.B[0, 0] for parameters in check_cells(cells()).values()]
    assert found == [1.0, 2.0, 3.0]


def test_grids_of_objects():
    assert [cell["target"] for cell in grid(d=3, target={"a": 1, "b": 2})] == [{"a": 1}, {"b": 2}]
    assert len(grid(d=3, activation=["relu", SIGMA])) == 2
    with pytest.raises(ValueError, match=r"target is an array \(3, 3\), one matrix or 3 lists of eigenvalues; pass"):
        grid(regime="RF", d=3, N=2, target=B)
    assert len(grid(regime="RF", d=3, N=2, target=B[:2])) == 2  # two lists of eigenvalues
    assert len(grid(regime="RF", d=3, N=2, target=np.array([B, 2 * B]))) == 2
    with pytest.raises(ValueError, match="axis target of the grid is empty"):
        grid(d=3, target={})


NOT_COMPILED = Activation("mine", lambda x: x * x, lambda x: 2 * x)
vars(NOT_COMPILED)["function"] = np.vectorize(lambda x: x)
BAD = {
    "not symmetric": ({"target": [[1.0, 2.0], [0.0, 1.0]], "d": 2}, ValueError, "target must be symmetric, got"),
    "not square": ({"target": B[:2]}, ValueError, r"target must be square, got shape \(2, 3\)"),
    "not finite": ({"target": B * np.nan}, ValueError, "target must be finite"),
    "complex": ({"target": B + 1j}, TypeError, "target must"),
    "text": ({"target": [["a"] * 3] * 3}, TypeError, "target must"),
    "ragged": ({"target": [[1.0], [1.0, 2.0]]}, (TypeError, ValueError), "A target is one of .* a symmetric matrix"),
    "three": ({"target": np.ones((2, 2, 2))}, ValueError, "A target is one of .*, a QuadraticTarget or a Gaussian"),
    "another d": ({"target": {"mine": B}, "d": 4}, ValueError, r"'mine #.{12}' has d = 3, but the cell has d = 4"),
    "zero": ({"target": np.zeros((3, 3))}, ValueError, "target is zero, so that there is nothing to learn"),
    "large": ({"target": B * 1e200}, ValueError, "B has entries of size 2e"),
    "seed": ({"target": B, "target_seed": 1}, ValueError, "with target 'quadratic #.*' has no key 'target_seed'"),
    "a name named": ({"target": {"mine": "identity"}}, TypeError, "target has a name, but 'identity' of type str"),
    "no name": ({"target": {3: B}}, TypeError, "the name of target must be a string, got 3"),
    "empty name": ({"target": {"": B}}, ValueError, "the name of target must have 1 to 40 characters"),
    "a mark": ({"target": {"a#b": B}}, ValueError, "without '#', got 'a#b'"),
    "two lines": ({"target": {"a\nb": B}}, ValueError, "in one line"),
    "several": ({"target": {"a": B, "b": B}}, TypeError, "A target is one of"),
    "a class": ({"target": QuadraticTarget}, TypeError, "A target is one of"),
    "sigma's name": ({"activation": Activation("a\nb", lambda x: x)}, ValueError, "the name of activation must have"),
    "a number": ({"activation": 3}, TypeError, "activation must be a name, got"),
    "a type": ({"activation": float}, TypeError, "activation must be a name, an Activation or a function"),
    "no sigma": ({"activation": lambda x, y: x}, ValueError, "activation '<lambda>' cannot be compiled by numba"),
    "no identity": ({"activation": NOT_COMPILED}, TypeError, "activation 'mine' has no identity outside of this"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), BAD.values(), ids=BAD)
def test_what_is_no_object_is_told(change, error, message):
    with pytest.raises(error, match=message):
        check_cells([{**RF, **change}])


def test_one_object_has_one_name():
    cells = [{**RF, "target": {"a": B}}, {**RF, "N": 5, "target": {"b": B.copy()}}]
    with pytest.raises(ValueError, match="cell 1: one object is called 'a' and 'b'; give it the same name"):
        check_cells(cells)


WITHOUT = Activation("bent", SIGMA.function)
COVARIANCE = QuadraticTarget(B, input_cov=[1.0, 2.0, 3.0])


def test_what_cannot_be_trained_is_told_before():
    assert canonical_cell({**NT, "activation": WITHOUT})["activation"].value == WITHOUT
    for cell, use in (({**NN}, "regime NN"), ({**NT, "n_samples": 9}, "regime NT with n_samples")):
        with pytest.raises(ValueError, match=f"activation 'bent #.*' has no derivative, which {use} needs; pass"):
            canonical_cell({**cell, "activation": WITHOUT})
    with pytest.raises(ValueError, match=r"target 'quadratic #.*' has an input_cov, and networks are trained on"):
        canonical_cell({**NN, "target": COVARIANCE})
    flow = {**RF, "regime": "NN", "nn": "flow", "second_layer": "signs"}
    assert canonical_cell({**flow, "target": MIXTURE})["target"].value is MIXTURE


def test_own_is_what_it_says():
    assert Own("a", "0" * 64, None) == Own("a", "0" * 64, 3)
    assert len({Own("a", "0" * 64, None), Own("a", "0" * 64, 3), Own("b", "0" * 64, 3)}) == 2


@pytest.mark.parametrize("target", [fastlazy.QuadraticTarget([3.0, 1.0, 0.5]), [3.0, 1.0, 0.5]], ids=["object", "list"])
def test_the_target_itself_says_what_d_is(target):
    cell = {"regime": "RF", "N": 4, "target": target}
    assert list(check_cells([cell])) == list(check_cells([{**cell, "d": 3}]))
