"""The film of ``fastlazy animate``: its frames show what runs of fit_nn have captured."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastlazy
from fastlazy.figures import share_animation
from fastlazy.figures.share_animation import share_frames, share_runs
from fastlazy.sweeps.regimes import NN, NT, RF

D, N, SCALES, SEED = 10, 3, [0.1, 50.0], 1


@pytest.fixture(scope="module")
def runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share_animation, "_RECORDS", 30)
        patch.setattr(share_animation, "_FRAMES", 6)
        patch.setattr(share_animation, "quick_samples", lambda N, d: 9000)
        return share_runs(D, N, SCALES, SEED)


def test_runs_are_those_of_fit_nn(runs):
    target = fastlazy.exponential_target(D, rng=SEED)
    for scale, captured, risks in zip(SCALES, runs.captured, runs.risks, strict=True):
        fit = fastlazy.fit_nn(target, N, n_samples=9000, rng=SEED, scale=scale, n_records=30)
        assert risks[-1] == pytest.approx(fit.risk[-1] / target.null_risk, rel=1e-6)
        assert (runs.samples[0], runs.samples[-1]) == (0, fit.samples[-1])
        shares = fastlazy.captured_share(target, fit.function)
        np.testing.assert_allclose(captured[-1], shares, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(captured[0], 0, atol=1e-12)  # f = f_0
    assert len(runs.samples) == 6
    np.testing.assert_allclose(runs.samples[1:], np.geomspace(300, 9000, 5), atol=200)  # to a record


def test_frames_show_the_runs(runs):
    mpl.use("Agg")
    animation = share_frames(runs)
    axes = plt.gcf().axes
    try:
        frames = [*animation.new_frame_seq()]
        assert frames == [*range(6), *[5] * 15]
        for frame in (2, 5):
            animation._draw_frame(frame)
            for k, ax in enumerate(axes):
                drawn = {line.get_label(): line for line in ax.lines}
                np.testing.assert_array_equal(drawn["trained by SGD"].get_ydata(), runs.captured[k, frame])
                (text,) = (text.get_text() for text in ax.texts)
                assert text.splitlines()[1] == f"risk {runs.risks[k, frame]:.3f} of null"
                assert text.splitlines()[0] == f"{runs.samples[frame]:,} samples".replace(",", " ")
        for name, regime in (("RF, predicted", RF), ("NT, predicted", NT), ("NN, infimum", NN)):
            assert drawn[name].get_color() == regime.style["color"]
        np.testing.assert_array_equal(drawn["NN, infimum"].get_ydata(), np.arange(D) < N)
        target = fastlazy.exponential_target(D, rng=SEED)
        law = fastlazy.nt_captured_limit(target, N, refined=True)
        np.testing.assert_array_equal(drawn["NT, predicted"].get_ydata(), law)
        assert [f"$\\alpha$ = {scale:g}," in ax.get_title() for scale, ax in zip(SCALES, axes, strict=True)] == [
            True
        ] * 2
    finally:
        animation._draw_was_started = True  # nothing is to be rendered, and matplotlib warns of that
        plt.close("all")
