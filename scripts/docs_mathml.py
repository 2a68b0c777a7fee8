"""TeX in the docs as MathML, made when the site is built: readers need no script and no network.

mkdocs runs :func:`on_page_content` as a hook; mkdocstrings loads :class:`Docstrings` as a griffe extension.
"""

import html
import re
from typing import Any

import griffe
from latex2mathml.converter import convert

from lossary.catalogue import FAMILIES

LOSSES = frozenset(f"{family.__name__}.{card.name}" for family in FAMILIES for card in family.CARDS)
#: What pymdownx.arithmatex makes of $...$ and $$...$$.
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
#: A function's name directly before its argument: MathML leaves no space where TeX leaves a thin one.
NAMED = re.compile(r"(<mi>(?:log|exp|cos|sin|max|min)</mi>)(?=<m(?:i|sub|frac|n|row)\b)")


def on_page_content(content: str, **_: Any) -> str:
    content = BLOCK.sub(lambda m: _mathml(m[1], "block"), content)
    return INLINE.sub(lambda m: _mathml(m[1], "inline"), content)


def _mathml(tex: str, display: str) -> str:
    return NAMED.sub(r'\1<mspace width="0.17em"/>', convert(html.unescape(tex).strip(), display=display))


class Docstrings(griffe.Extension):
    """Docstrings as mkdocstrings wants them."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        text = obj.docstring.value
        if obj.path in LOSSES:
            text = text[max(text.find("\nArgs:"), 0) :]  # the page itself opens with what stands before
        # Only the plural is a section whose >>> lines are code.
        obj.docstring.value = re.sub(r"^Example:$", "Examples:", markdown(text), flags=re.M)


def markdown(docstring: str) -> str:
    """A docstring, written for ``help()`` in Sphinx's dialect, as Markdown."""
    text = re.sub(r"^( *)\.\. math::((?:.*\n?)(?:\1 +.*\n?|\n(?=\1 ))*)", _block, docstring, flags=re.M)
    text = re.sub(r":(?:func|class|mod|meth|data):`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"::$", ":", text, flags=re.M).strip("\n")


def _block(match: re.Match[str]) -> str:
    return f"{match[1]}$$\n{match[1]}{' '.join(match[2].split())}\n{match[1]}$$\n"
