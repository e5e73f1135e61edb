"""Formulas as MathML, which browsers typeset by themselves: no script, no font and no network is needed.

Docutils, on which Sphinx stands, translates TeX to MathML; Sphinx numbers the formulas.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number


def translated(node: nodes.math | nodes.math_block, *, as_block: bool) -> str:
    """The formula as MathML; as it was written, with a warning, if it is not understood.

    Angle brackets keep their size, as they do in TeX; docutils says so of all other brackets.
    """
    try:
        found = latex2mathml.tex2mathml(node.astext(), as_block=as_block)
        return re.sub("<mo([^>]*)>(?=[⟨⟩]<)", r'<mo\1 stretchy="false">', found)
    except MathError as error:
        logging.getLogger(__name__).warning("a formula is not understood: %s", error, location=node)
        return escape(node.astext())


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(translated(node, as_block=False))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula of its own, with its number and a link to it if it has a label."""
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    writer.body.append(translated(node, as_block=True))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
