"""Reads a page as a browser would: its text, its tags, and every address in it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """One page, read.

    Attributes
    ----------
    text
        All that a person reads.
    tags, classes
        In their order, as often as they are there.
    addresses
        Of anything that would be fetched or followed.
    details
        Whether each ``<details>`` is open, in their order.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.addresses: list[str] = []
        self.details: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "details":
            self.details.append("open" in dict(attrs))
        for name, value in attrs:
            if name in ("src", "href", "action"):
                self.addresses.append(value or "")
            elif name == "class":
                self.classes += (value or "").split()

    def handle_data(self, data: str) -> None:
        self.text += data
