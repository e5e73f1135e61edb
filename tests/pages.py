"""Pages of the documentation, run: their Python blocks in order, and what the blocks' comments claim, compared.

A claim is a comment at the end of a statement that starts with numbers that have a decimal point, as in

    rf = fastlazy.rf_risk(target, W) / target.null_risk  # .88
    fit.samples[-1], fit.risk[-1] / null  # 1000000.0, .12 and then any words
    score = cross_val_score(model, X, y).mean()  # .47 to .49

or with a shape, as in "# (1000, 1000), symmetric". The value of the statement, or what it assigns, must be that number
to the digits that are printed, lie between the two numbers, or have that shape. A decimal number elsewhere in a comment
is an error, so that no number is left out. A block of "text" after a block of Python is what that prints. A block after
the line "<!-- not run -->" needs what is not at hand.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"(?P<note><!-- not run -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = r"-?\d*\.\d+(?:e-?\d+)?"
_NUMBERS = re.compile(rf"(?P<first>{_NUMBER})(?: to (?P<last>{_NUMBER})|(?P<more>(?:, {_NUMBER})*))(?![\w.])")
_SHAPE = re.compile(r"\((\d+,(?: \d+)*(?:, \d+)*)\)")


def blocks(page, kind, *, also_not_run=False):
    """The texts of the page's blocks of that *kind*, without those after the comment "not run"."""
    found = [match for match in _FENCE.finditer(page.read_text()) if match["kind"] == kind]
    return [match["text"] for match in found if also_not_run or not match["note"]]


def commands(page):
    """The lines of the page's shell blocks that call fastlazy, without their comments."""
    lines = [line.split(" #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("fastlazy ")]


def run(page):
    """Run the page's Python blocks in order in one namespace, and compare what they claim and what they print."""
    names, printed, left = {"__name__": "__main__"}, "", set()

    def compare_and_note(value, comment, place):
        left.discard(place)
        return compare(value, comment)

    names["_claim_"] = compare_and_note
    for match in _FENCE.finditer(page.read_text()):
        if match["note"]:
            continue
        if match["kind"] == "python":
            tree, places = instrumented(match["text"], match.start())
            left |= places
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(tree, str(page), "exec"), names)
            printed = out.getvalue()
        elif match["kind"] == "text":
            assert match["text"].split() == printed.split(), f"{page.name} shows {match['text']!r}, got {printed!r}"
    assert not left, f"claims of {page.name} that nothing was compared with: {left}"


def instrumented(block, start=0):
    """The tree of a block, with a call of _claim_ in each statement that claims something; where those are."""
    claims = {}
    for token in tokenize.generate_tokens(io.StringIO(block).readline):
        comment = token.string.removeprefix("#").strip()
        if token.type != tokenize.COMMENT:
            continue
        head = _NUMBERS.match(comment) or _SHAPE.match(comment)
        rest = comment[head.end() :] if head else comment
        assert not re.search(r"(?<![\w.])\d*\.\d", rest), f"a number that is not compared: {comment!r}"
        if head:
            claims[token.start[0]] = (head.group(), (start, token.start[0]))
    places = {place for _, place in claims.values()}
    tree = _Instrument(claims).visit(ast.parse(block))
    assert not claims, f"no statement ends on the line of {list(claims.values())}"
    return ast.fix_missing_locations(tree), places


class _Instrument(ast.NodeTransformer):
    def __init__(self, claims):
        self.claims = claims

    def visit_Expr(self, node):
        return self.visit_Assign(node)

    def visit_Assign(self, node):
        if node.end_lineno in self.claims:
            constants = [ast.Constant(value) for value in self.claims.pop(node.end_lineno)]
            node.value = ast.Call(ast.Name("_claim_", ast.Load()), [node.value, *constants], [])
        return node


def compare(value, comment):
    """The *value*, if it is what the *comment* claims."""
    if shape := _SHAPE.fullmatch(comment):
        assert np.shape(value) == ast.literal_eval(shape.group()), f"{np.shape(value)} is not of the shape {comment}"
        return value
    claim = _NUMBERS.fullmatch(comment)
    if claim["last"]:
        low, high = (float(claim[name]) - half_unit(claim[name]) for name in ("first", "last"))
        assert low <= value <= high + 2 * half_unit(claim["last"]), f"{value} is not {comment}"
        return value
    wanted = [claim["first"], *re.findall(_NUMBER, claim["more"] or "")]
    found = np.atleast_1d(np.array(value, dtype=float))
    assert found.shape == (len(wanted),), f"{value} is not as many numbers as {comment}"
    for number, text in zip(found, wanted, strict=True):
        assert abs(number - float(text)) <= half_unit(text), f"{value} is not {comment}"
    return value


def half_unit(text):
    """Half a unit of the last digit that is printed, and a little for rounding."""
    mantissa, _, exponent = text.partition("e")
    return 0.501 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
