"""Links between pages: their texts are titles of pages, they lead somewhere, and nothing is loaded from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Attributes by which a page names another file, and those among them that the browser loads without being asked.
_LINKS = {("a", "href"), ("img", "src"), ("script", "src"), ("link", "href"), ("source", "src")}
_LOADED = _LINKS - {("a", "href")}


class Page(HTMLParser):
    """The anchors of a page, and what it links to: (address, whether the browser loads it by itself)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[tuple[str, bool]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif (tag, name) in _LINKS and value:
                self.links.add((value, (tag, name) in _LOADED))


def complaints(folder: Path) -> list[str]:
    """What is wrong with the links of the pages in the *folder*, a line for each."""
    own = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in own}
    found = []
    for path, page in pages.items():
        for address, loaded in sorted(page.links):
            link = urlsplit(address)
            if link.scheme or link.netloc:
                if loaded and link.scheme != "data":
                    found.append(f"{path.relative_to(folder.resolve())} loads {address} from elsewhere")
                continue
            goal = (path.parent / unquote(link.path)).resolve() if link.path else path
            if not goal.exists():
                found.append(f"{path.relative_to(folder.resolve())} links to {address}, which does not exist")
            elif link.fragment and goal in pages and unquote(link.fragment) not in pages[goal].anchors:
                found.append(f"{path.relative_to(folder.resolve())} links to {address}, a place that does not exist")
    return found


def name_by_titles(app: Any, doctree: Any, _docname: str) -> None:
    """Put the title of a page in the place of its file's name, where that is the text of a link, in place."""
    from docutils import nodes

    for link in doctree.findall(nodes.reference):
        docname = link.astext().removesuffix(".md")
        if link.get("internal") and link.astext().endswith(".md") and docname in app.env.titles:
            link.children = [nodes.inline("", app.env.titles[docname].astext())]


def check(app: Any, error: Exception | None) -> None:
    """Warn of each link that leads nowhere."""
    from sphinx.util import logging

    if error is None and app.builder.name == "html":
        for complaint in complaints(Path(app.outdir)):
            logging.getLogger(__name__).warning("%s", complaint)


def setup(app: Any) -> dict[str, Any]:
    """Register the texts of links, and their check, after everything else that is done at the end of a build."""
    app.connect("doctree-resolved", name_by_titles)
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
