"""What objects show of themselves: one line, and a small table in HTML."""

import html.parser

import numpy as np
import pytest

import fastlazy
from fastlazy._support.summaries import html_table, one_line


class Reader(html.parser.HTMLParser):
    """Checks that tags are closed in order, and keeps tags, attributes and the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.attributes = [], set(), [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def read(text):
    reader = Reader(text)
    assert reader.tags <= {"table", "caption", "b", "tbody", "tr", "th", "td"}
    assert reader.attributes <= {"style"}
    assert len(text) < 3000
    return reader.cells


def test_the_facts_in_one_line_and_in_a_table():
    facts = {"N": 3, "risk": 1 / 3, "dtype": np.dtype("float32"), "name": "a\n<b>&'"}
    assert one_line(facts, facts) == """dict(N=3, risk=0.333333, dtype=float32, name="a\\n<b>&'")"""
    assert read(html_table("<T>", facts)) == [
        *("<T>", "N", "3", "risk", "0.333333", "dtype", "float32", "name", "a\n<b>&'")
    ]


SIGMA = fastlazy.Activation("<script>alert(1)</script>\n", lambda x: x * x)
W = np.arange(6.0).reshape(2, 3)
TARGET = fastlazy.QuadraticTarget([3.0, 1.0], b0=-4.0)
LINES = {
    "QuadraticTarget(d=2, trace=4, b0=-4)": TARGET,
    "QuadraticTarget(d=2, trace=1e+150, b0=0)": fastlazy.QuadraticTarget([1e150, 0.0]),
    "QuadraticTarget(d=2, trace=3, b0=0)": fastlazy.QuadraticTarget([2.0, 1.0], input_cov=[4.0, 1.0]),
    "QuadraticFunction(d=2, trace=4, b0=0)": fastlazy.QuadraticFunction([3.0, 1.0]),
    "GaussianMixture(d=2, trace=2)": fastlazy.GaussianMixture([1.0, 1.0], [0.5, 0.0]),
    r"Activation('<script>alert(1)</script>\n', without a derivative)": SIGMA,
    "get_activation('relu')": fastlazy.get_activation("relu"),
    "hermite_activation([0, 0, 2])": fastlazy.hermite_activation([0, 0, 2]),
    "PreparedWeights(N=2, d=3, dtype=float64)": fastlazy.prepare_weights(W),
    "PreparedWeights(N=2, d=3, dtype=float32)": fastlazy.prepare_weights(W.astype(np.float32)),
    "Linearization(N=2, d=3, activation='relu')": fastlazy.linearize(W, 1.0, 0.0, "relu"),
    r"FeatureFunction(features=2, tangent_features=0, d=3, activation='<script>alert(1)</script>\n', c=0.5)": (
        fastlazy.network_function(W, 1.0, 0.5, SIGMA)
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_every_object_shows_one_line_and_a_table(line):
    value = LINES[line]
    assert repr(value) == line
    cells = read(value._repr_html_())
    assert len(cells) >= 7
    assert "<script>" not in value._repr_html_()


def test_what_the_tables_say():
    told = {"d": "2", "trace": "4", "b0": "-4", "inputs": "N(0, I)", "null risk": "20"}
    assert read(TARGET._repr_html_()) == ["QuadraticTarget", *(text for row in told.items() for text in row)]
    relu = read(fastlazy.get_activation("relu")._repr_html_())
    assert relu == ["Activation", "name", "relu", "derivative", "known", "values at -1, 0, 1", "0, 0, 1"]
    assert "SCRIPT" in SIGMA._repr_html_().upper()
