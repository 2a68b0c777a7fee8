"""What README and docs say that a machine can check: links and their anchors, and what code prints."""

import contextlib
import io
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docs_versions import on_post_build
from markdown.extensions.toc import slugify
from PIL import Image

from lossary.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
#: The losses' pages are written by a command that knows which pages there are.
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md"), *ROOT.glob("*/README.md")}
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```.*?^```", re.M | re.S)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.M)
    return {slugify(re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading), "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead: list[str] = []
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_one_page_says_how_to_install_an_extra() -> None:
    """Whether a package index has Lossary changes with a release, and then that page changes."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/**/*.ipynb"), *ROOT.glob("src/**/*.py")]
    naming = {str(page.relative_to(ROOT)) for page in pages if "lossary[" in page.read_text().replace("lossary[{", "")}
    assert naming == {"docs/index.md", "src/lossary/_extras.py"}


def test_readme_says_what_its_code_prints() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    lines = [line for line in code.splitlines() if line.startswith("print(")]
    said = [re.findall(r"  # prints (.*?): ", line) for line in lines]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert said
    assert said == [[line] for line in printed.getvalue().splitlines()]


def test_readme_says_about_how_many_losses_there_are() -> None:
    (said,) = re.findall(r"More than (\d+) losses", (ROOT / "README.md").read_text())
    assert int(said) < len(CATALOGUE) <= int(said) + 10


def test_libraries_that_the_readme_names_have_presets() -> None:
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("- **From ")]
    named = {re.sub(r"[- ]", "_", name.lower()) for line in lines for name in line.split("**")[1][5:].split(", ")}
    assert {path.stem for path in ROOT.glob("src/lossary/presets/[a-z]*.py")} <= named


def test_readme_says_what_its_picture_shows() -> None:
    text = (ROOT / "README.md").read_text()
    ((described, path),) = re.findall(r"^!\[(.*)\]\((.*)\)$", text, re.M)
    with Image.open(ROOT / path) as picture:
        verdict = picture.info["Title"]
    assert verdict.rstrip(".") in described


def test_readme_is_short() -> None:
    """A first reader decides within a minute; what is longer belongs in the docs."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60


def test_a_published_readme_has_no_relative_links(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin", "hatchling.metadata.plugin.interface"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(MetadataHookInterface=object))
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["Hook"]()
    hook.root = str(ROOT)
    metadata: dict[str, Any] = {}
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    hook.update(metadata)
    assert metadata["readme"]["text"] == (ROOT / "README.md").read_text()
    assert "urls" not in metadata

    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/lossary")
    monkeypatch.setenv("GITHUB_REF_NAME", "v0.3.0")
    hook.update(metadata)
    links = LINK.findall(metadata["readme"]["text"])
    files = [re.sub(r"^https://github.com/someone/lossary/(blob|raw)/v0\.3\.0/|#.*", "", link) for link in links]
    assert len(files) > 30
    assert all((ROOT / file).is_file() for file in files)
    assert "](https://github.com/someone/lossary/raw/v0.3.0/docs/images/" in metadata["readme"]["text"]
    assert metadata["urls"]["Changelog"] == "https://github.com/someone/lossary/blob/v0.3.0/CHANGELOG.md"


def test_versions_of_the_docs_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("0.3", "0.10", "0.2", "draft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text("")
    (tmp_path / "0.11").mkdir()  # nothing has been built there
    on_post_build({"site_dir": str(tmp_path / "0.3")})
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert [one["version"] for one in listed] == ["0.10", "0.3", "0.2"]
    assert [one["aliases"] for one in listed] == [["latest"], [], []]
    assert "url=0.10/" in (tmp_path / "index.html").read_text()


def test_a_build_elsewhere_is_of_no_version(tmp_path: Path) -> None:
    on_post_build({"site_dir": str(tmp_path / "site")})
    assert not list(tmp_path.iterdir())
