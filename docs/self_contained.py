"""Ends the build where a page would load something from another host.

A reader may follow links; reading alone must work without a network, and tell nobody.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

LINKS = {"a", "base", "form"}
"""Tags whose addresses are for readers to follow."""
HARMLESS = {"canonical", "next", "prev"}
"""Relations of ``link`` that load nothing."""
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
STYLE = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])((?:https?:)?//[^\"')]+)")


class Loads(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in LINKS or given.get("rel") in HARMLESS:
            return
        # Material fetches the library for diagrams when a page has one.
        if "mermaid" in given.get("class", "").split():
            self.found.append("the library for mermaid diagrams")
        for name in ("src", "href", "srcset", "data", "poster"):
            if ELSEWHERE.match(given.get(name, "")):
                self.found.append(given[name])


def on_post_build(config: MkDocsConfig) -> None:
    """Looks through the finished site."""
    site = Path(config.site_dir)
    for path in sorted((*site.rglob("*.html"), *site.rglob("*.css"))):
        text = path.read_text("utf-8")
        found = STYLE.findall(text)
        if path.suffix == ".html":
            page = Loads()
            page.feed(text)
            found += page.found
        if found:
            raise PluginError(
                "The site must load nothing from other hosts. Received: "
                f"{path.relative_to(site)} with {', '.join(found)}. Put a copy into "
                "docs/, or make it a link."
            )
