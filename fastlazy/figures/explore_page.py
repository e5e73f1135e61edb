"""The page of ``fastlazy explore``: one file of HTML with its data, style and script in it, which needs no server."""

from __future__ import annotations

import json
from importlib import resources
from string import Template
from typing import Any


def explore_page(data: dict[str, Any]) -> str:
    """The page that shows *data*, which `explore_data` makes."""
    folder = resources.files(__package__)
    page, script = (folder.joinpath(name).read_text("utf-8") for name in ("explore.html", "explore.js"))
    as_json = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    return Template(page).substitute(data=as_json, script=script)
