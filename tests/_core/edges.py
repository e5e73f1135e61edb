"""Every compiled computation at given sizes, and the sizes at which a layout for register tiles can go wrong."""

from __future__ import annotations

import math

import numpy as np

import fastlazy
from fastlazy._core import gram as core
from fastlazy._core import normal
from fastlazy._core import sgd as core_sgd
from fastlazy._core import tangent as core_tangent
from fastlazy._core.geometry import HEIGHT, NARROW, REGISTER_BYTES, WIDE
from fastlazy.activations.builtin import get_activation
from fastlazy.kernels import centred, normal_equations
from fastlazy.kernels import features as features_module
from fastlazy.training import epochs, loop
from tests import naive, naive_epochs, naive_gram
from tests.sgd_samples import drawn_classes, drawn_samples

LAYERS = ("ones", "signs", "scalar", "free")
WAVES = (
    (
        fastlazy.Activation("2 - cos", lambda x: 2 - math.cos(x), lambda x: math.sin(x)),
        (lambda z: 2 - np.cos(z), np.sin),
    ),
    (get_activation("softplus"), (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z)))),
)


def edges(dtype):
    """Sizes on both sides of every edge of a layout: tiles, panels, blocks of rows."""
    widths = [vectors * REGISTER_BYTES // np.dtype(dtype).itemsize for vectors in (NARROW, WIDE)]
    around = [size + step for size in (HEIGHT, *widths, core.ROWS) for step in (-1, 0, 1)]
    return sorted({1, 2, 4, 5, *around, *(2 * width + 1 for width in widths)})


def far_edges(dtype):
    """Sizes beyond which a computation goes in several parts: of depth, neurons, samples or panels."""
    panels = core.PANELS * WIDE * REGISTER_BYTES // np.dtype(dtype).itemsize
    return [core.DEPTH + 1, panels + 1, core_tangent.CHUNK + 1, core.INNER + 1]


def draw(n, m, N, d, dtype):
    """Samples X (n, d) and Y (m, d), weights W (N, d)."""
    rng = np.random.default_rng([n, m, N, d])
    X, Y, W = (rng.standard_normal((rows, d)).astype(dtype) for rows in (n, m, N))
    return X, Y, W / dtype(math.sqrt(d))


def _kernels(n, m, N, d, dtype, **options):
    X, Y, W = draw(n, m, N, d, dtype)
    x, y, w = (array.astype(float) for array in (X, Y, W))
    for name in ("tanh", "relu"):
        yield fastlazy.rf_kernel(X, W, name, **options), naive_gram.rf_kernel(x, w, name, x)
        yield fastlazy.rf_kernel(X, W, name, Y=Y, **options), naive_gram.rf_kernel(x, w, name, y)
    for name in ("square", "relu", "tanh"):
        yield fastlazy.nt_kernel(X, W, name, **options), naive_gram.nt_kernel(x, w, name, x)
        yield fastlazy.nt_kernel(X, W, name, Y=Y, **options), naive_gram.nt_kernel(x, w, name, y)


def _normal_equations(n, m, N, d, dtype, **options):
    X, _, W = draw(n, m, N, d, dtype)
    y = np.random.default_rng(n).standard_normal((n, 1 + m % 3))
    found = fastlazy.rf_normal_equations(X, y, W, "tanh", **options)
    return zip(found, naive_gram.rf_normal_equations(X.astype(float), y, W.astype(float), "tanh"), strict=True)


def _grams(n, m, N, d, dtype, **options):
    _, _, W = draw(n, m, N, d, dtype)
    w = W.astype(float)
    for center in (False, True):
        squares = (w @ w.T) ** 2 * 2 + (0 if center else np.outer(*(np.sum(w**2, axis=1),) * 2))
        yield fastlazy.rf_gram(W, center=center, **options), squares
    yield fastlazy.rf_gram(W, "erf", **options), naive_gram.erf_gram(w)
    b = np.random.default_rng(m).standard_normal((N, d))
    K = fastlazy.nt_gram(W, "erf", **options)
    size = 4 / math.pi * np.abs(b).max()  # of a summand: they may cancel
    yield np.append(K @ b.ravel(), size).astype(dtype), np.append(naive_gram.erf_tangent_product(w, b), size)


def _models(n, m, N, d, dtype, **options):
    X, _, W = draw(n, m, N, d, dtype)
    x, w = X.astype(float), W.astype(float)
    rng = np.random.default_rng([n, N])
    t = 1 + m % 3
    a, b, u = (rng.standard_normal(shape) for shape in ((t, N), (t, N, d), (n, t)))
    tanh = get_activation("tanh")
    features, slopes = np.tanh(x @ w.T), 1 / np.cosh(x @ w.T) ** 2
    yield features_module.features(X, W, tanh, **options), features
    yield features_module.features(X, W, tanh, derivative=1, **options), slopes
    yield features_module.rf_values(X, W, a, tanh, **options), features @ a.T
    yield features_module.nt_values(X, W, b, tanh, **options), np.einsum("ni,nj,tij->nt", slopes, x, b, optimize=True)
    yield features_module.rf_coefficients(X, u, W, tanh, **options), u.T @ features
    yield (
        features_module.nt_coefficients(X, u, W, tanh, **options),
        np.einsum("nt,ni,nj->tij", u, slopes, x, optimize=True),
    )


def _centred(n, m, N, d, dtype, **options):
    """Kernels and products of features less their means, and of tangent features less theirs."""
    X, _, W = draw(n, m, N, d, dtype)
    x, w = X.astype(float), W.astype(float)
    y = np.random.default_rng(m).standard_normal((n, 1 + m % 3))
    for name in ("tanh", "relu", "square"):
        sigma = get_activation(name)
        features, slopes = (function(x @ w.T) for function in naive_gram.ACTIVATIONS[name])
        origin, own = (0.8 * values.mean(axis=0).astype(dtype) for values in (features, slopes))
        less = features - origin.astype(float)
        yield centred.centred_rf_kernel(X, W, sigma, origin, **options), less @ less.T
        Gram, vectors = normal_equations.centred_normal_equations(X, y, W, sigma, origin, **options)
        yield Gram, less.T @ less / n
        yield vectors, less.T @ y / n
        mean = 0.1 * X.mean(axis=0)
        moved = slopes[:, :, None] * x[:, None, :] - own.astype(float)[:, None] * mean.astype(float)
        kernel = moved.reshape(n, -1) @ moved.reshape(n, -1).T
        found = centred.centred_nt_kernel(X, W, sigma, own, mean, **options)
        if name == "tanh":
            yield found, kernel
        else:  # taken about another origin, which leaves the kernel of centred features as it is
            size = [[kernel.max()] * n]
            yield np.append(less_means(found), size, axis=0), np.append(less_means(kernel), size, axis=0)


def less_means(kernel):
    """H K H for H = I - 1 1^T / n."""
    return kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()


def _training(n, m, N, d, dtype, *, parallel=True, threads=None):
    """Three steps on drawn samples, minibatches of m, and two more on a data set; every kind of second layer."""
    layer = LAYERS[(n + N) % 4]
    _, _, W = draw(n, m, N, d, dtype)
    rng = np.random.default_rng([N, d])
    target = fastlazy.QuadraticTarget(np.abs(rng.standard_normal(d)) + 0.1, b0=0.3)
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}[layer]
    rates, seed = (2e-3 / (d * N), 5e-3 / (N if layer == "free" else N * N), 2e-2), 5
    fit = fastlazy.fit_nn(
        target, N, n_samples=3 * m, batch_size=m, step_size=lambda u: rates, second_layer=layer, W0=W.astype(float),
        a0=a0, c0=0.1, dtype=dtype, rng=seed, reduce=bool(n % 2), n_records=2, n_threads=threads,
    )  # fmt: skip
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    X = drawn_samples(key, 3 * m, m, d, N, layer, dtype)
    steps = np.tile(rates, (3, 1))
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    W_end, a_end, c_end = naive.sgd(W.astype(float), a, 0.1, X, target(X), m, steps, layer)
    assert np.abs(W_end - W).max() > 1e-5 * np.abs(W).max()
    yield fit.W, W_end
    yield np.broadcast_to(fit.a, N).astype(dtype), a_end
    yield np.array([1.0, fit.c], dtype), np.array([1.0, c_end])  # c may end near 0
    samples = draw(n, m, N, d, dtype)[0]
    y = target(samples.astype(float)).astype(dtype)
    order, b = rng.permutation(n), min(m, n)
    start = epochs.State(W.astype(float), np.ones(N), a0, 0.1) if layer == "scalar" else (W.astype(float), a, 1.0, 0.1)
    with epochs.training(samples, y, epochs.State(*start), layer, m, parallel=parallel) as run:
        run.epoch(order, np.array(rates))
        state = run.state()
    steps = np.tile(rates, (-(-n // b), 1))
    x, t = samples.astype(float)[order], y.astype(float)[order]
    W_end, a_end, c_end = naive.sgd(W.astype(float), a, 0.1, x, t, b, steps, layer)
    yield state.W.astype(dtype), W_end
    yield (state.gain * state.a).astype(dtype), a_end
    yield np.array([1.0, state.c], dtype), np.array([1.0, c_end])


def _training_of_any_sigma(n, m, N, d, dtype, *, threads=None, **_):
    """Three steps of minibatches of m, and one of the rest; sigma is not 0 where the padding of a panel is."""
    layer, (sigma, twin) = LAYERS[(n + N) % 4], WAVES[(m + d) % 2]
    _, _, W = draw(n, m, N, d, dtype)
    rng, samples, key = np.random.default_rng([N, d]), 3 * m + min(n, m - 1), np.uint64(5)
    beta, b0, common = np.abs(rng.standard_normal(d)) + 0.1, 0.3, layer in ("ones", "scalar")
    a = {"signs": rng.choice([-1.0, 1.0], N), "free": rng.standard_normal(N)}.get(layer, np.ones(N))
    gain = 0.7 if layer == "scalar" else 1.0
    rates = np.tile((2e-3 / d, 5e-3 / (N if layer == "free" else N * N), 2e-2), (4 if samples > 3 * m else 3, 1))
    network = core_sgd.pack(W.astype(float), a, gain, 0.1, np.dtype(dtype))
    setup = loop.Setup(network, loop.TRAINED[layer], m, min(N, d), beta, b0, sigma, N)
    with loop.training_loop(setup, threads or 1) as run:
        for _ in run.run(loop.Course(samples, lambda first, count: rates[first : first + count], key)):
            pass
    state = core_sgd.unpack(network, N, d)
    X = drawn_samples(key, samples, m, d, N, layer, dtype, sigma.name)
    W_end, a_end, c_end = naive.sgd(W.astype(float), gain * a, 0.1, X, X**2 @ beta + b0, m, rates, layer, twin)
    assert np.abs(W_end - W).max() > 1e-5 * np.abs(W).max()
    yield state.W.astype(dtype), W_end
    yield (np.full(N, state.gain) if common else state.a).astype(dtype), a_end
    yield np.array([1.0, state.c], dtype), np.array([1.0, c_end])


def _training_on_classes(n, m, N, d, dtype, *, threads=None, **_):
    """Three steps of minibatches of m on two classes, and one of the rest, for x^2 and for another sigma."""
    layer, (sigma, twin) = LAYERS[(n + N) % 4], WAVES[(m + d) % 2]
    _, _, W = draw(n, m, N, d, dtype)
    rng, samples, key = np.random.default_rng([N, d]), 3 * m + min(n, m - 1), np.uint64(6)
    spreads = np.sqrt(1 + np.outer((-1, 1), np.linspace(-0.5, 1, d)))
    a = {"signs": rng.choice([-1.0, 1.0], N), "free": rng.standard_normal(N)}.get(layer, np.ones(N))
    rates = np.tile((1e-2 / (d * N), 5e-3 / (N if layer == "free" else N * N), 2e-2), (4 if samples > 3 * m else 3, 1))
    for activation, functions in ((get_activation("square"), naive_gram.ACTIVATIONS["square"]), (sigma, twin)):
        network = core_sgd.pack(W.astype(float), a, 1.0, 0.1, np.dtype(dtype))
        moving = None if activation.is_square else N
        size = min(N, d)
        setup = loop.Setup(network, loop.TRAINED[layer], m, size, np.zeros(d), 0.0, activation, moving, spreads)
        with loop.training_loop(setup, threads or 1) as run:
            for _ in run.run(loop.Course(samples, lambda first, count: rates[first : first + count], key)):
                pass
        state = core_sgd.unpack(network, N, d)
        X, y = drawn_classes(key, samples, m, spreads, N, layer, dtype, activation.name)
        W_end, a_end, c_end = naive.sgd(W.astype(float), a, 0.1, X, y, m, rates, layer, functions)
        assert np.abs(W_end - W).max() > 1e-5 * np.abs(W).max()
        yield state.W.astype(dtype), W_end
        yield (state.gain * state.a).astype(dtype), a_end
        yield np.array([1.0, state.c], dtype), np.array([1.0, c_end])


def _weighted_training(n, m, N, d, dtype, *, parallel=True):
    """An epoch in minibatches of m of samples with weights, for tanh and x^2; every kind of second layer."""
    layer = LAYERS[(n + N) % 4]
    X, _, W = draw(n, m, N, d, dtype)
    rng = np.random.default_rng([n, N, d])
    y, weight, order = (rng.standard_normal(n).astype(dtype), rng.exponential(size=n).astype(dtype), rng.permutation(n))
    a = {"ones": np.ones(N), "signs": rng.choice([-1.0, 1.0], N), "scalar": np.full(N, 0.7)}.get(layer)
    a = rng.standard_normal(N) if a is None else a
    gain, second = (0.7, np.ones(N)) if layer == "scalar" else (1.0, a)
    rates = np.array([2e-3 / (d * N), 5e-3 / (N if layer == "free" else N * N), 2e-2])
    for name in ("tanh", "square"):
        start, options = epochs.State(W.astype(float), second, gain, 0.1), {"parallel": parallel, "weight": weight}
        with epochs.training(X, y, start, layer, m, activation=get_activation(name), **options) as run:
            run.epoch(order, rates)
            state = run.state()
        x, t, s = (part.astype(float)[order] for part in (X, y, weight))
        W_end, a_end, c_end, _ = naive_epochs.epoch(W.astype(float), a, 0.1, x, t, min(m, n), rates, layer, name, s)
        yield state.W.astype(dtype), W_end
        yield (state.gain * state.a).astype(dtype), a_end
        yield np.array([1.0, state.c], dtype), np.array([1.0, c_end])


COMPUTATIONS = {
    "kernels": _kernels,
    "normal_equations": _normal_equations,
    "grams": _grams,
    "models": _models,
    "centred": _centred,
    "training": _training,
    "training of any sigma": _training_of_any_sigma,
    "training on classes": _training_on_classes,
    "weighted_training": _weighted_training,
}


def half(parity):
    """Each computation in one dtype, (name, dtype); the other parity has the others.

    Trainings have one dtype and all else the other, since most of what is compiled for one training serves all.
    """
    for name in COMPUTATIONS:
        yield name, (np.float32, np.float64)[("training" in name) ^ parity]


def near_twins(parity):
    """Names of the tests that compare a half with its slow twins near the edges of a layout."""
    test = "test_layout_edges.py::test_equals_its_slow_twin"
    return [f"{test}[{name}-near-{dtype.__name__}]" for name, dtype in half(parity)]


def results(*parities):
    """What each computation of these halves gives at one size, and normals, by their name and dtype."""
    found = {}
    for name, dtype in [case for parity in parities for case in half(parity)]:
        for k, (array, _) in enumerate(COMPUTATIONS[name](101, 30, 131, 53, dtype, parallel=False)):
            found[f"{name} {k} {np.dtype(dtype).name}"] = array
    for dtype in (np.float32, np.float64):
        normals = np.empty(1000, dtype)
        normal.fill_normals(np.uint64(3), np.uint64(4), normals)
        found[f"normals {np.dtype(dtype).name}"] = normals
    return found
