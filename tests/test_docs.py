"""What README and docs say that a machine can check: links and their anchors, and what code prints."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from docs_versions import on_post_build
from markdown.extensions.toc import slugify

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


def test_readme_says_what_its_code_prints() -> None:
    code, said = re.findall(r"^```(?:python|text)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)[:2]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue() == said


def test_readme_is_short() -> None:
    """A first reader decides within a minute; what is longer belongs in the docs."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


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
