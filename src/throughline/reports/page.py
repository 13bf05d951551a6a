"""One page of a report: a headline with its verdict, figures, and sections; the same look for every verb.

Everything that a caller passes as a section is markup that was escaped already; all other
text is escaped here.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from throughline.files import whole_file


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page.

    Attributes:
        brand: which verb made it.
        title: what it is about.
        state: how it ended, which is also its colour: complete, gaps, failed or interrupted.
        verdict: that in a word.
        says: that in a sentence.
        tiles: the few figures that matter most, by name.
        sections: the rest, in order, as markup.
        footer: a closing line.
    """

    brand: str
    title: str
    state: str
    verdict: str
    says: str
    tiles: Mapping[str, str]
    sections: Sequence[str]
    footer: str = ""

    def __str__(self) -> str:
        return Template(text("page.html")).substitute(
            brand=escape(self.brand),
            title=escape(self.title),
            style=text("page.css"),
            state=escape(self.state),
            verdict=escape(self.verdict),
            says=escape(self.says),
            tiles="".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in self.tiles.items()),
            sections="\n".join(section for section in self.sections if section),
            footer=escape(self.footer),
        )

    def write(self, path: Path) -> Path:
        """Write it, whole or not at all."""
        page = str(self).encode("utf-8", "replace")
        with whole_file(path) as draft:
            draft.write_bytes(page)
        return path


def text(name: str) -> str:
    """A file of this folder."""
    return resources.files("throughline.reports").joinpath(name).read_text("utf-8")


def section(title: str, *parts: str) -> str:
    """Parts of markup under a heading; nothing where there are none."""
    inside = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def pairs(title: str, values: Mapping[str, str]) -> str:
    """Names and values; nothing where there are none."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in values.items()
    )
    return section(title, f'<table class="plain"><tbody>{rows}</tbody></table>' if rows else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", numbers: Collection[int] = ()) -> str:
    """Rows of plain text under a head; the columns in ``numbers`` are set flush right."""

    def cell(tag: str, at: int, value: str) -> str:
        kind = ' class="number"' if at in numbers else ""
        return f"<{tag}{kind}>{escape(value)}</{tag}>"

    body = "".join(f"<tr>{''.join(cell('td', at, value) for at, value in enumerate(row))}</tr>" for row in rows)
    heads = "".join(cell("th", at, name) for at, name in enumerate(head))
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{told}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(jpeg: bytes, alt: str, caption: str) -> str:
    """A picture that travels inside the page."""
    data = base64.b64encode(jpeg).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def figures(several: Iterable[str]) -> str:
    """Figures side by side, as many as the window is wide."""
    inside = "".join(several)
    return f'<div class="samples">{inside}</div>' if inside else ""
