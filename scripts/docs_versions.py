"""Versions of the docs beside each other, each in its own folder, and the list that the theme's version selector reads.

`make docs` builds into ``site/0.3`` and leaves the folders of other versions alone. mkdocs runs :func:`on_post_build`
as a hook.
"""

import json
import re
from pathlib import Path
from typing import Any


def on_post_build(config: Any) -> None:
    folder = Path(config["site_dir"])
    if _numbers(folder):  # a build elsewhere, such as that of `make check`, is of no version
        write_list(folder.parent)


def write_list(site: Path) -> None:
    """``versions.json``, newest first, and a first page that leads to the newest version."""
    folders = [folder for folder in site.iterdir() if _numbers(folder) and (folder / "index.html").is_file()]
    names = [folder.name for folder in sorted(folders, key=_numbers, reverse=True)]
    listed = [{"version": name, "title": name, "aliases": ["latest"] * (name == names[0])} for name in names]
    (site / "versions.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    leads = f'<!doctype html>\n<title>Lossary</title>\n<meta http-equiv="refresh" content="0; url={names[0]}/">\n'
    (site / "index.html").write_text(leads, encoding="utf-8")


def _numbers(folder: Path) -> tuple[int, ...]:
    """Of a folder named after a version, else none."""
    return tuple(map(int, folder.name.split("."))) if re.fullmatch(r"\d+\.\d+", folder.name) else ()
