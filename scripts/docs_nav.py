"""The docs' menu: pages by what readers are after, and losses by the data that they are for.

The version that the docs are of stands at the foot of each page. mkdocs runs :func:`on_config` as a hook.
"""

from pathlib import Path
from typing import Any

from generate_docs import KINDS, cards_of
from mkdocs.exceptions import ConfigurationError

import lossary

DOCS = Path(__file__).parent.parent / "docs"
SECTIONS = {
    "The library": ("language_models", "several_processes", "precision", "watching", "adapters", "migration", "api"),
    "The lab": ("your_data", "options", "own_code", "results", "board", "calibration", "planted"),
    "Understand": ("tutorials", "gallery", "case_study", "claims", "check", "survey"),
    "Speed and memory": ("benchmarks", "counts"),
    "The project": ("comparison", "stability", "packaging", "roadmap", "fuzzing"),
}


def on_config(config: Any) -> Any:
    named = {name for names in SECTIONS.values() for name in names}
    if left := {page.stem for page in DOCS.glob("*.md")} - named - {"index"}:
        raise ConfigurationError(f"scripts/docs_nav.py: no section has {', '.join(sorted(left))}")
    pages = {title: [f"{name}.md" for name in names] for title, names in SECTIONS.items()}
    pages["The project"] += [f"decisions/{page.name}" for page in sorted((DOCS / "decisions").glob("*.md"), key=order)]
    losses: list[Any] = ["losses/index.md"]
    losses += [
        {question: [f"losses/{card.name}.md" for card in cards_of(kind)]} for kind, (question, _) in KINDS.items()
    ]
    config["copyright"] = f"Lossary {lossary.__version__}"
    config["nav"] = ["index.md", {"Losses": losses}, *({title: names} for title, names in pages.items())]
    return config


def order(page: Path) -> tuple[bool, str]:
    """The page that lists the others first."""
    return page.name != "README.md", page.name
