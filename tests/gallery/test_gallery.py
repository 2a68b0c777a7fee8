"""The gallery: it holds what the documents hold, the code on the page is the code that was run, and the page itself."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import chromium
import pytest
import torch

import lossary
from lossary.catalogue import CATALOGUE
from lossary.gallery import page as pages
from lossary.gallery import records
from lossary.gallery.exhibit import PRELUDE, Exhibit, Source, exhibit
from lossary.gallery.findings import Finding, finding, plain, run
from lossary.gallery.registry import EXHIBITS, FAMILIES, chosen, inventory, missing
from lossary.lab.report.drawing import COLOURS

OF_EACH_DOCUMENT = (9, 13, 12, 15, 32)
IN_THE_DOCUMENTS = [
    *(f"C{number}" for number in range(1, 45)),
    *(f"P{number}" for number in range(1, 26)),  # those from 16 on are ours
    *(f"Q{number}" for number in range(1, 10)),
    *(f"W{number}" for number in range(1, 18)),
    *(f"E{document}-{number}" for document, last in enumerate(OF_EACH_DOCUMENT) for number in range(1, last + 1)),
]
computed = [one for one in EXHIBITS if not one.recorded]
each = pytest.mark.parametrize("shown", EXHIBITS, ids=lambda one: one.id)
each_computed = pytest.mark.parametrize("shown", computed, ids=lambda one: one.id)


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    found = [pages.found(one) for one in EXHIBITS]
    return {one.exhibit.id: one for one in found if one}


def test_what_the_documents_hold_is_shown_or_says_why_not() -> None:
    assert list(inventory()) == IN_THE_DOCUMENTS
    shown = [one.id for one in EXHIBITS]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(inventory()) - set(missing())


def test_families_stand_in_their_order() -> None:
    letters = [one.family for one in EXHIBITS]
    assert letters == sorted(letters, key=list(FAMILIES).index)


@each
def test_an_exhibit_is_short_and_names_losses_that_exist(shown: Exhibit) -> None:
    result = ast.parse(shown.lines).body[-1]
    assert result.lineno - 1 <= (20 if shown.hand else 10)  # lines before what they say
    assert set(shown.losses) <= {card.name for card in CATALOGUE}
    assert shown.says
    assert shown.answer
    assert shown.look_for or shown.family != "P"
    assert all(shown.expect) or not any(shown.expect)


@each_computed
def test_the_code_on_the_page_gives_the_results_on_the_page(shown: Exhibit) -> None:
    before = torch.get_default_dtype()
    cell = ast.parse(PRELUDE + shown.code)
    last = cell.body.pop()
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    try:
        exec(compile(cell, shown.id, "exec"), names)
        value = eval(compile(ast.Expression(last.value), shown.id, "eval"), names)
    finally:
        torch.set_default_dtype(before)
    assert str(plain(value)) == str(plain(run(shown)))  # as text: nan is nan


def test_a_run_leaves_the_state_of_others_alone() -> None:
    torch.manual_seed(3)
    drawn = torch.rand(2)
    torch.manual_seed(3)
    run(chosen("W17")[0])
    assert torch.equal(torch.rand(2), drawn)
    assert torch.get_default_dtype() == torch.float32


def test_the_margin_of_twenty_is_wrong_as_printed(findings: dict[str, Finding]) -> None:
    assert findings["W2"].verdict == "not as printed"
    assert [(number.text, number.agrees) for number in findings["W2"].numbers] == [("14", True), ("68", False)]
    wrong = [id for id, found in findings.items() if found.verdict == "not as printed"]
    assert wrong == ["W2"]


def test_every_erratum_is_shown_by_what_is_computed(findings: dict[str, Finding]) -> None:
    errata = {id: found.statements for id, found in findings.items() if found.exhibit.family == "E"}
    assert len(errata) == 81
    assert not [id for id, statements in errata.items() if {one.mark for one in statements} != {"yes"}]


def made(function: Any, **more: Any) -> Exhibit:
    return exhibit("C1", "A coin", Source.BOOK, says="says", answer="answer", **more)(function)


def test_a_verdict_is_what_the_statements_say() -> None:
    shown = made(lambda seed: {"even": seed % 2 == 0, "a number": 1}, seeds=4)
    verdicts = {
        n: finding(shown, [run(shown, seed) for seed in seeds]) for n, seeds in enumerate([(0, 2), (1, 3), (0, 1)])
    }
    assert [found.verdict for found in verdicts.values()] == ["holds", "does not hold", "holds in part"]
    assert verdicts[2].statements[0].note == "in 50 % of the seeds"
    assert verdicts[0].numbers[0].text == "1 (1 to 1, 2 seeds)"


@pytest.mark.parametrize(
    ("gains", "mark", "verdict"),
    [
        ((1.0, 1.2, 0.9), "yes", "holds"),
        ((-1.0, -1.2, -0.9), "no", "does not hold"),
        ((1.0, -1.2, 0.9), "partly", "holds in part"),
    ],
)
def test_what_differs_by_chance_is_said_by_its_interval(gains: tuple[float, ...], mark: str, verdict: str) -> None:
    shown = made(lambda seed: {"one is better": {"by": gains[seed]}}, seeds=3)
    found = finding(shown, [run(shown, seed) for seed in range(3)])
    assert (found.statements[0].mark, found.verdict) == (mark, verdict)
    assert found.statements[0].note.startswith("by ")
    assert found.numbers == ()


def test_a_verdict_that_does_not_return_holds_in_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "AGAIN", tmp_path)

    def early(seed: int) -> dict[str, Any]:
        return {"with the first seeds": seed < 1000, "a number": 1.0}

    shown = made(early, seeds=3)
    assert list(records.measure(shown, tmp_path)) == [1000, 1001, 1002]
    assert records.read(shown, tmp_path)[1000] == {"with the first seeds": False}
    found = pages.found(shown)
    assert found is not None
    assert (found.first, found.again, found.verdict) == ("holds", "does not hold", "holds in part")
    assert "knife" in pages.page([found])


def test_other_seeds_flip_one_verdict_at_most() -> None:
    claims = [one for one in EXHIBITS if one.family == "C"]
    assert len(claims) == 44
    again = {one.id: records.read(one, records.AGAIN) for one in claims}
    assert {id: len(seeds) for id, seeds in again.items()} == {one.id: max(one.seeds, 1) for one in claims}
    found = [pages.found(one) for one in claims]
    assert len([one for one in found if one and one.first != one.again]) <= 1


def test_records_go_on_where_they_were(tmp_path: Path) -> None:
    measured: list[int] = []

    def coin(seed: int) -> dict[str, Any]:
        measured.append(seed)
        return {"seen": torch.tensor(float(seed))}

    shown = made(coin, seeds=3, recorded=True)
    work = records.measure(shown, tmp_path)
    assert next(work) == 0  # and killed here
    assert list(records.measure(shown, tmp_path)) == [1, 2]
    assert measured == [0, 1, 2]
    assert records.read(shown, tmp_path) == {seed: {"seen": float(seed)} for seed in range(3)}


def test_what_is_recorded_is_not_shown_before_it_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records.read, "__defaults__", (tmp_path,))
    shown = made(lambda seed: {"seed": float(seed)}, seeds=3, recorded=True)
    assert pages.found(shown) is None
    quick, fresh = pages.found(shown, quick=True), pages.found(shown, fresh=True)
    assert quick is not None
    assert fresh is not None
    assert [one.numbers[0].text for one in (quick, fresh)] == ["0", "1 (−1.48 to 3.48, 3 seeds)"]


def test_the_records_stay_small() -> None:
    assert sum(path.stat().st_size for path in records.FOLDER.glob("*.json")) < 1e6


class Reader(HTMLParser):
    """What is loaded or linked, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


@pytest.fixture(scope="module")
def html(findings: dict[str, Finding]) -> str:
    return pages.page(list(findings.values()))


def test_the_page_is_one_file(html: str) -> None:
    assert len(html.encode()) < 12e6
    assert all(link.startswith(("#", "data:")) for link in Reader(html).links)
    assert "url(" not in html.partition("</style>")[0]


def test_texts_are_escaped(findings: dict[str, Finding]) -> None:
    hostile = replace(findings["W1"].exhibit, title="<script>alert(1)</script>", says="<b>", answer="</style><i>")
    drawn = pages.page([replace(findings["W1"], exhibit=hostile)])
    assert Reader(drawn).tags.count("script") == 4
    assert not {"b", "i"} & set(
        re.findall(r"<(b|i)>(?!printed|right|Look|Ques|Work)", drawn.partition("<main>")[2].partition("<footer>")[0])
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lossary", "gallery", "--only", "W2,q6", "--out", str(tmp_path / "here")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith(f"gallery: {tmp_path / 'here' / 'index.html'}\n")
    text = (tmp_path / "here" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<section class="exhibit" id="(.*?)"', text) == ["Q6", "W2"]


def test_an_unknown_id_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lossary", "gallery", "--only", "C99"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr == "lossary: only: C99 is not an exhibit; the page has C, P, Q, W and E, such as W2 or E1-4\n"


@pytest.fixture(scope="module")
def file(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if chromium.find() is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path_factory.mktemp("gallery") / "index.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_all_without_complaint(file: Path, html: str, width: int) -> None:
    with chromium.Page(file.as_uri(), width=width, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        specs = re.findall(r'id="specs">(.*?)</script>', html, flags=re.DOTALL)
        assert view.evaluate("Number(document.documentElement.dataset.drawn)") == len(json.loads(specs[0]))
        assert int(view.evaluate("document.documentElement.dataset.hands")) == sum(bool(one.hand) for one in EXHIBITS)
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.messages == []
        assert [url for url in view.requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]


#: Points of the lines of a picture, by colour, as they are seen: pixels through the scales backwards.
POINTS = """(() => {
  const view = document.getElementById("figure-ID").view;
  const lines = [...document.querySelectorAll("#figure-ID .mark-line path")];
  return Object.fromEntries(lines.map((line) => [line.getAttribute("stroke"),
    line.getAttribute("d").match(/-?[\\d.e-]+,-?[\\d.e-]+/g).map((pair) => pair.split(",").map(Number))
      .map(([x, y]) => [view.scale("x").invert(x), view.scale("y").invert(y)])]));
})()"""
MOVE = """(async () => {
  const slider = document.querySelector("#figure-ID input[type=range]");
  slider.value = POSITION;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await document.getElementById("figure-ID").view.runAsync();
  return Number(slider.value);
})()"""


@pytest.mark.browser
def test_what_a_slider_moves_is_what_the_library_computes(file: Path) -> None:
    with chromium.Page(file.as_uri(), width=1280, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        for delta in (1.0, 2.5, 0.3):
            if delta != 1.0:  # where it stands at first
                assert view.evaluate(MOVE.replace("ID", "P2").replace("POSITION", str(delta))) == delta
            lines = view.evaluate(POINTS.replace("ID", "P2"))
            errors, losses = torch.tensor(lines[COLOURS[0]]).unbind(1)
            assert len(errors) == 61
            expected = lossary.huber_loss(errors, torch.zeros(61), "none", delta=delta)
            torch.testing.assert_close(losses, expected, atol=0.02, rtol=0)  # a pixel is 0.014


@pytest.mark.browser
def test_every_slider_is_reached_by_keys_and_has_a_name(file: Path) -> None:
    with chromium.Page(file.as_uri(), width=390, height=844) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        sliders = view.evaluate(
            "[...document.querySelectorAll('.vega-bind input')].map(one => [one.type, one.tabIndex])"
        )
        assert sliders == [["range", 0]] * 11
        labels = view.evaluate("[...document.querySelectorAll('.vega-bind label')].map(one => one.textContent.trim())")
        assert all(labels)


@pytest.mark.browser
def test_an_exhibit_without_a_picture_is_saved_as_one(file: Path) -> None:
    with chromium.Page(file.as_uri(), width=1280, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        view.evaluate("HTMLAnchorElement.prototype.click = function () { window.saved = [this.download, this.href]; }")
        for button, head in (("SVG", "data:image/svg+xml,"), ("PNG", "data:image/png;base64,")):
            view.evaluate("window.saved = null")
            buttons = "[...document.querySelectorAll('#W2 .save button')]"
            view.evaluate(f"{buttons}.find(one => one.textContent === '{button}').click()")
            view.wait_for("window.saved")
            name, address = view.evaluate("window.saved")
            assert name == f"lossary-W2.{button.lower()}"
            assert address.startswith(head)
            assert button == "PNG" or "not%20as%20printed" in address
        without = view.evaluate(
            "[...document.querySelectorAll('section.exhibit, section.erratum')]"
            ".filter(one => !one.querySelector('.save button, .vega-actions')).map(one => one.id)"
        )
        assert without == []
