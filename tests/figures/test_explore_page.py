"""The page of ``fastlazy explore``: what it is made of, and what its controls do in a real browser."""

import json
import re
import runpy
import sys
import types
from importlib import resources
from pathlib import Path

import browser
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastlazy
from fastlazy.figures import explore_tables
from fastlazy.figures.explore_page import explore_page
from fastlazy.figures.explore_tables import explore_data, lazy_optimum, spectra_of
from fastlazy.sweeps.regimes import REGIMES

ROOT = Path(__file__).resolve().parents[2]
D = 20
NOW = "Number(document.getElementById('width').value)"


@pytest.fixture(scope="module")
def data():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explore_tables, "SIGMAS", {"square": "x²", "relu": "ReLU", "step": "step"})
        return explore_data(D, 0)


@pytest.fixture(scope="module")
def text(data):
    return explore_page(data)


def test_the_page_holds_the_data_and_loads_nothing(data, text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert json.loads(found[1]) == data
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert not re.search(r"<(link|img|iframe)|\b(src|href)=|\bimport\b|fetch\(", text)
    assert "default-src 'none'" in text
    assert "$" not in resources.files("fastlazy.figures").joinpath("explore.html").read_text("utf-8").replace(
        "$data", ""
    ).replace("$script", "")


def test_words_cannot_end_the_script(data):
    text = explore_page({**data, "version": "</script><b>"})
    assert text.count("</script>") == 2


def test_colours_and_dashes_are_those_of_the_figures(data):
    assert {name: line["color"] for name, line in data["lines"].items()} == {
        name: regime.style["color"] for name, regime in REGIMES.items()
    }
    assert len({line["dash"] for line in data["lines"].values()}) == 3


def test_templates_are_in_a_wheel():
    """Hatchling takes all files of the package that git does not ignore, if pyproject.toml does not say otherwise."""
    build = re.search(r"\[tool\.hatch\.build\.targets\.wheel\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.S)
    assert build[1] == 'packages = ["fastlazy"]'
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name in ("explore.html", "explore.js"):
        assert resources.files("fastlazy.figures").joinpath(name).is_file()
        assert not {name, f"*{Path(name).suffix}"} & set(ignored)


@pytest.fixture(scope="module")
def page(text, tmp_path_factory):
    if browser.BROWSER is None:
        pytest.skip(browser.REASON)
    folder = tmp_path_factory.mktemp("explore")
    (folder / "a page.html").write_text(text, encoding="utf-8")
    with browser.opened(folder / "a page.html", folder / "profile") as opened:
        yield opened


def press(page, control, key, times=1):
    page.value(f"document.getElementById('{control}').focus()")
    page.press(key, times)


def shown(page, name):
    return page.value(f"document.getElementById('{name}').textContent")


def curve(page, chart, name):
    """The points of a curve in the units of its axes, found by the places of the ticks, and those of the x ticks."""
    points = page.value(f"document.getElementById('{name}').getAttribute('d')")
    places = np.array([pair.split() for pair in re.split("[ML]", points)[1:]], dtype=float)
    ticks = page.value(
        f"[...document.querySelectorAll('#{chart} .y.tick')].map(t => [Number(t.textContent), t.getAttribute('y') - 6])"
    )
    slope, offset = np.polyfit([place for _, place in ticks], [value for value, _ in ticks], 1)
    return slope * places[:, 1] + offset


def expected_risks(target, widths, sigma, W, alpha):
    risks = {
        "RF": [fastlazy.rf_risk_limit(target, N, sigma, refined=True) for N in widths],
        "NT": [fastlazy.nt_risk_limit(target, N, sigma, refined=True) for N in widths],
    }
    if sigma == "square":
        risks["NN"] = [fastlazy.nn_risk_limit(target, N) for N in widths]
        risks["lazy"] = [fastlazy.lazy_risk(target, W[:N], scale=alpha) for N in widths]
    return {line: np.array(found) / target.null_risk for line, found in risks.items()}


def check(page, data, target, N, sigma="square", alpha=1.0):
    """That the page shows what Python computes: table, curves, dots and shares."""
    widths, W = data["widths"], fastlazy.draw_weights(D, D, rng=0)
    risks = expected_risks(target, widths, sigma, W, alpha)
    assert shown(page, "width-is") == f"N = {N}, N / d = {N / D:.3g}"
    k = widths.index(N)
    for line, values in risks.items():
        assert float(shown(page, f"value-{line}")) == pytest.approx(values[k], abs=0.501e-4)
        np.testing.assert_allclose(curve(page, "risks", f"risk-{line}"), values, atol=1e-4)
    shares = {
        "RF": fastlazy.rf_captured_limit(target, N, sigma),
        "NT": fastlazy.nt_captured_limit(target, N, sigma, refined=True),
    }
    if sigma == "square":
        shares["NN"] = (np.arange(D) < N).astype(float)
    for line, values in shares.items():
        assert float(shown(page, f"share-{line}")) == pytest.approx(values[0], abs=0.501e-3)
        drawn = np.clip(values, -99, 99)  # what is further off is not in the chart
        np.testing.assert_allclose(curve(page, "shares", f"share-curve-{line}"), drawn, rtol=1e-5, atol=1e-4)


@pytest.mark.skipif(browser.BROWSER is None, reason=browser.REASON)
def test_keys_on_the_controls_move_the_curves_to_the_right_values(page, data, tmp_path):
    exponential, spiked = fastlazy.exponential_target(D, rng=0), fastlazy.spiked_target(D)
    widths = data["widths"]
    first = page.value(NOW)
    check(page, data, exponential, widths[first])
    press(page, "width", "ArrowRight", 3)
    check(page, data, exponential, widths[first + 3])
    press(page, "scale", "ArrowRight", 2)
    assert shown(page, "scale-is") == "α = 10"
    check(page, data, exponential, widths[first + 3], alpha=10.0)
    press(page, "spectrum-exponential", "ArrowRight", 3)
    assert shown(page, "law") == "1 of λ = 10, rest 1"
    check(page, data, spiked, widths[first + 3], alpha=10.0)
    press(page, "sigma-square", "ArrowRight")
    check(page, data, spiked, widths[first + 3], "relu")
    assert [shown(page, name) for name in ("value-NN", "share-lazy", "scale-is")] == ["–", "–", "α: for x² only"]
    assert page.value("document.getElementById('scale').disabled")
    assert page.value("document.getElementById('risk-NN').getAttribute('d')") == ""
    press(page, "sigma-relu", "ArrowRight")
    assert shown(page, "value-NT") == "–"
    press(page, "sigma-step", "ArrowRight")  # round to the first
    press(page, "width", "End")
    check(page, data, spiked, 10 * D, alpha=10.0)
    page.screenshot(tmp_path / "a.png")
    pixels = mpl.image.imread(tmp_path / "a.png")
    assert min(pixels.shape[:2]) > 500
    assert pixels.std() > 0.05


@pytest.mark.skipif(browser.BROWSER is None, reason=browser.REASON)
def test_dots_of_lazy_scaling_and_names_for_who_cannot_see(page, data):
    press(page, "width", "Home")
    press(page, "width", "ArrowRight", 5)
    press(page, "scale", "Home")
    N = data["widths"][5]
    found = page.value("captured('lazy', state())")
    *_, target = spectra_of(D, 0)[data["spectra"][page.value("state().s")]["name"]]
    _, shares = lazy_optimum(target, fastlazy.draw_weights(D, D, rng=0)[:N], [0.01])
    assert found == pytest.approx(shares[0].clip(-3.2768, 3.2767).tolist(), abs=0.51e-4)
    places = page.value("[...document.querySelectorAll('#shares circle.lazy')].map(c => Number(c.getAttribute('cy')))")
    assert np.corrcoef(places, found)[0, 1] == pytest.approx(-1, abs=1e-6)
    assert f"N = {N}" in page.value("document.getElementById('risks').getAttribute('aria-label')")
    assert page.value("document.getElementById('width').getAttribute('aria-valuetext')") == f"N = {N}"
    unnamed = "[...document.querySelectorAll('input')].filter(i => !i.labels.length).length"
    assert page.value(unnamed) == 0


def test_the_example_draws_without_ipywidgets_and_with_it(monkeypatch):
    mpl.use("Agg")
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf().axes))
    path = ROOT / "examples" / "plot_explore.py"
    names = runpy.run_path(str(path))
    assert [len(ax.lines) for ax in drawn[0]] == [5, 3]
    assert names["COLOURS"] == {name: regime.style["color"] for name, regime in REGIMES.items()}
    # The lines for a notebook, with widgets that stand at their first value.
    lines = re.search(r"\.\. code-block:: python\n#\n((?:#.*\n)+)", path.read_text())[1].splitlines()
    code = "\n".join(line.removeprefix("#").removeprefix("     ") for line in lines)

    def interact(show, **widgets):
        show(**{name: widget[-1] if isinstance(widget, list) else widget for name, widget in widgets.items()})

    stub = types.ModuleType("ipywidgets")
    stub.interact, stub.FloatLogSlider = interact, lambda value, min, max: value
    monkeypatch.setitem(sys.modules, "ipywidgets", stub)
    exec(code, names)
    assert [len(ax.lines) for ax in drawn[1]] == [3, 2]  # of tanh
    plt.close("all")
