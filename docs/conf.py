"""How Sphinx builds the documentation: `python -m sphinx -W --keep-going docs build/site`. It needs no network."""

import sys
from pathlib import Path

import fastlazy

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fastlazy"
author = "The fastlazy developers"
copyright = author  # the name is Sphinx's
version = release = fastlazy.__version__

extensions = [
    "links",
    "mathml",
    "myst_parser",
    "numpydoc",
    "reference",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["extensions"]
highlight_language = "text"
default_role = "literal"  # `single quotes` in docstrings
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!fastlazy\b).*")]  # only names of this package are links

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc's sections say what each argument is
autosummary_generate = False  # the pages of names are written by docs/extensions/reference.py
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/uses",
    "doc_module": ("fastlazy",),
    "reference_url": {"fastlazy": None},
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "thumbnail_size": (480, 336),
    "remove_config_comments": True,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastlazy"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastlazy"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": False,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {page: [] for page in ("index", "recipes", "mathematics", "development")}  # no pages are below these
math_eqref_format = "({number})"
math_number_all = False
html_math_renderer = "mathml"
