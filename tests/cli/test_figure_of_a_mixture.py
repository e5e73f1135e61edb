"""``fastlazy figure --target``: the paper's second model, and other targets by name."""

import pandas as pd
import pytest
from small_figure import _small  # noqa: F401  # a fixture that all tests use

import fastlazy
from fastlazy.cli import figure
from fastlazy.cli.main import main
from fastlazy.figures import risk_curves, risk_table
from fastlazy.sweeps.driver import load_sweep
from fastlazy.targets.library import FAMILIES

SMALL = ["figure", "--d", "12", "--widths", "3,12,30", "--draws", "2"]


def test_two_classes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(risk_table, "mixture_samples", lambda N, d: 20_000)
    drawn = {}
    plot = risk_curves.plot_bayes_risk
    monkeypatch.setattr(
        risk_curves,
        "plot_bayes_risk",
        lambda axes, target: drawn.update(axes=axes, target=target) or plot(axes, target),
    )
    assert main([*SMALL, "--target", "mixture", "--seed", "3", "--out", str(tmp_path)]) == 0
    table = load_sweep(tmp_path / "figure.sqlite")
    mixture = fastlazy.exponential_mixture(12, rng=3)
    assert set(table["target"]) == {"mixture"}
    assert set(table["null_risk"]) == {1.0}
    risks = {"RF": fastlazy.rf_risk, "NT": fastlazy.nt_risk}
    for row in table.itertuples():
        if row.regime == "NN":
            assert row.second_layer == "signs"
            assert row.predicted == pytest.approx(fastlazy.nn_risk(mixture, row.N))
            assert row.predicted <= row.risk < row.predicted + 0.1
        else:
            W = fastlazy.draw_weights(row.N, 12, rng=row.stream)
            assert row.risk == pytest.approx(risks[row.regime](mixture, W), rel=1e-12)
            limit = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}[row.regime]
            assert row.predicted == pytest.approx(limit(mixture, row.N, refined=True))
    (ax,) = drawn["axes"]
    assert "Bayes risk (Monte Carlo)" in [text.get_text() for text in ax.texts]
    bayes = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert bayes == [fastlazy.bayes_risk(mixture, rng=0).risk]
    capsys.readouterr()
    again = ["figure", "--from", str(tmp_path / "figure.sqlite"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    first, second = (pd.read_csv(folder / "results.csv") for folder in (tmp_path, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, second)


def test_two_classes_by_gradient_flow(tmp_path):
    arguments = [*SMALL, "--target", "mixture", "--nn", "flow", "--seed", "3", "--out", str(tmp_path)]
    assert main(arguments) == 0
    dots = pd.read_csv(tmp_path / "results.csv").query("regime == 'NN'")
    mixture = fastlazy.exponential_mixture(12, rng=3)
    assert set(dots["nn"]) == {"flow"}
    assert dots["converged"].all()
    ratios = [fastlazy.nn_risk(mixture, N) for N in dots["N"]]
    assert dots["measured"].to_numpy() == pytest.approx(ratios, abs=1e-6)


def test_other_targets_by_name(tmp_path):
    assert main([*SMALL, "--target", "identity", "--out", str(tmp_path)]) == 0
    table = load_sweep(tmp_path / "figure.sqlite")
    assert set(table["target"]) == {"identity"}
    assert set(table["null_risk"]) == {24.0}
    arguments = ["figure", "--from", str(tmp_path / "figure.sqlite"), "--target", "power_law"]
    assert main([*arguments, "--out", str(tmp_path / "none")]) == 2


def test_a_target_by_name_at_finite_n(tmp_path):
    arguments = [*SMALL, "--target", "spiked", "--n-samples", "50", "--ridge", "0.1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = load_sweep(tmp_path / "figure.sqlite")
    assert set(table["target"]) == {"spiked"}
    assert set(table["n_samples"]) == {50}
    target = fastlazy.spiked_target(12)
    for row in table[table["regime"] == "RF"].itertuples():
        limit = fastlazy.rf_risk_limit(target, row.N, refined=True, n_samples=50, ridge=0.1)
        assert row.predicted == pytest.approx(limit / target.null_risk)


def test_the_targets_are_those_of_sweeps():
    assert set(figure._TARGETS) == {*FAMILIES}


@pytest.mark.parametrize("ridge", [[], ["--ridge", "0.1"]])
def test_fits_to_samples_of_two_classes_have_no_line(ridge, tmp_path):
    arguments = [*SMALL, "--target", "mixture", "--n-samples", "50", *ridge, "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert pd.read_csv(tmp_path / "results.csv")["predicted"].isna().all()


def test_samples_are_enough():
    assert risk_table.mixture_samples(30, 450) < 30 * 450**2
    assert risk_table.mixture_samples(200, 450) == 55 * 450**2
    assert risk_table.mixture_samples(450, 450) == 25 * 450**2
    assert risk_table.mixture_samples(1, 5) == 200_000


def test_what_it_refuses(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([*SMALL, "--target", "unknown", "--out", str(tmp_path)])
    assert "--target" in capsys.readouterr().err
