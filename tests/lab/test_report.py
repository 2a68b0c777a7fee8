"""The report: what stands in it, that names are only ever text, and that it is drawn without network or complaint."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import chromium
import fake_run
import pytest
from fake_run import HOSTILE_CLASS, HOSTILE_LOSS, INHERITED
from rich.console import Console

from lossary.lab.comparison import show
from lossary.lab.report import run_figures
from lossary.lab.report.evidence import Evidence, read
from lossary.lab.report.page import page, render
from lossary.lab.report.sections import before, command
from lossary.lab.run.plan import Resolved
from lossary.lab.run.record import Record
from lossary.lab.stats.words import sentence as said_of
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.scoring import primary

SECTIONS: dict[TaskName, list[str]] = {
    "zero-shot": ["similarities", "errors", "map", "neighbours"],
    "classification": ["confusion", "reliability", "mistakes"],
    "binary": ["precision-recall", "calibration"],
    "multi-label": ["labels", "mistakes"],
    "regression": ["predictions", "residuals"],
    "ranking": ["found", "lists"],
    "segmentation": ["maps", "classes"],
    "retrieval": ["ranks", "answers"],
}
FIRST = ["ranking", "findings", "scores", "learning", "training", "tuning", "defaults"]
LAST = ["cost", "provenance"]
VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}
kinds = pytest.mark.parametrize("task", list(SECTIONS))


class Reader(HTMLParser):
    """The page's elements with their attributes, and its text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] for tag, attrs in self.elements if tag == "section"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[TaskName, Evidence]:
    found: dict[TaskName, Evidence] = {}
    for task in SECTIONS:
        folder = tmp_path_factory.mktemp(task)
        found[task] = read(folder, fake_run.build(folder, task))
    return found


@pytest.fixture(scope="module")
def pages(runs: dict[TaskName, Evidence]) -> dict[TaskName, str]:
    return {task: page(evidence) for task, evidence in runs.items()}


@kinds
def test_every_section_is_there_in_order(pages: dict[TaskName, str], task: TaskName) -> None:
    assert Reader(pages[task]).sections == [*FIRST, *SECTIONS[task], *LAST]


@kinds
def test_the_verdict_stands_in_it_word_by_word(
    runs: dict[TaskName, Evidence], pages: dict[TaskName, str], task: TaskName
) -> None:
    verdict, text = runs[task].verdict, Reader(pages[task]).text
    for sentence in (*verdict.said, verdict.recommendation, *verdict.baselines, *verdict.warnings):
        assert sentence in text
    best, *others = runs[task].ranked
    of_best = [
        said_of(c, verdict.metric, verdict.margin)
        for c in verdict.comparisons
        if best in (c.a, c.b) and {c.a, c.b} & {*others}
    ]
    assert len(of_best) == len(others)
    assert all(sentence in text for sentence in of_best)


def test_where_no_loss_has_learned_from_images_trained_weights_are_advised(runs: dict[TaskName, Evidence]) -> None:
    def advised(task: TaskName, losses: list[str], **asked: str) -> bool:
        plan, verdict = replace(runs[task].plan, **asked), runs[task].verdict
        asleep = replace(verdict, not_learned=dict.fromkeys(losses, "a smaller learning rate"))
        sections = before(replace(runs[task], plan=plan, verdict=asleep))
        said = " ".join(sentence for section in sections for group in section.sentences for sentence in group.items)
        return "--backbone timm:resnet18 --frozen" in said

    losses = {task: runs[task].ranked for task in SECTIONS}
    assert advised("classification", losses["classification"])
    assert not advised("classification", losses["classification"][1:])
    assert not advised("classification", losses["classification"], backbone="timm:resnet18")
    assert not advised("classification", losses["classification"], data="task.py")  # which brings its own network
    assert not advised("regression", losses["regression"])  # of no images
    assert not advised("segmentation", losses["segmentation"])  # which no backbone is for


@kinds
def test_a_narrow_terminal_shows_whole_names_and_possible_values(
    runs: dict[TaskName, Evidence], task: TaskName
) -> None:
    verdict, told = runs[task].verdict, io.StringIO()
    wide = tuple(replace(standing, low=-9.0, high=9.0) for standing in verdict.standings)
    show(replace(verdict, standings=wide), [], runs[task].records, task, Console(file=told, width=80))
    table, _, sentences = told.getvalue().partition(verdict.headline[:30])
    assert verdict.recommendation in " ".join(sentences.split())
    assert "…" not in table
    assert all(f"  {loss} " in table for loss in runs[task].ranked)
    possible = "0.0% to 100.0%" if verdict.metric.percent else "0 to 9"
    assert table.count(possible) == len(wide)


@kinds
def test_names_are_text(pages: dict[TaskName, str], task: TaskName) -> None:
    reader = Reader(pages[task])
    assert HOSTILE_LOSS in reader.text
    if task in ("classification", "multi-label", "segmentation", "retrieval"):
        assert HOSTILE_CLASS in reader.text
    assert sum(tag == "script" for tag, _ in reader.elements) == 2  # specifications and code: no name opens another
    assert not any(tag == "b" and attrs == {} and task == "regression" for tag, attrs in reader.elements)


@kinds
def test_nothing_is_loaded(pages: dict[TaskName, str], task: TaskName) -> None:
    reader = Reader(pages[task])
    for tag, attrs in reader.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attrs:
                assert re.match(r"data:|#", attrs[name]), (tag, name, attrs[name][:80])
    style = re.findall(r"<style>(.*?)</style>", pages[task], re.DOTALL)
    assert not any("url(" in sheet or "@import" in sheet for sheet in style)
    policy = [attrs["content"] for _, attrs in reader.elements if "http-equiv" in attrs]
    assert policy[0].startswith("default-src 'none'; img-src data:;")


@kinds
def test_the_same_records_give_the_same_bytes(
    runs: dict[TaskName, Evidence], pages: dict[TaskName, str], task: TaskName
) -> None:
    again = read(runs[task].folder, runs[task].trials)
    assert page(again) == pages[task]


@kinds
def test_it_stays_small(pages: dict[TaskName, str], task: TaskName) -> None:
    assert len(pages[task]) < 6e6


def test_a_section_without_data_is_absent(runs: dict[TaskName, Evidence], tmp_path: Path) -> None:
    full = runs["zero-shot"]
    records = [
        replace(r, arrays="", curve=[], seconds_per_step=0.0, facts={}) for r in full.records if r.role == "tuned"
    ]
    bare = replace(full, folder=tmp_path, records=records, trials=[])
    assert Reader(page(bare)).sections == ["ranking", "findings", "scores", "defaults", "provenance"]


def test_a_choice_without_a_number_is_drawn_by_its_name() -> None:
    rows = [{"value": value, "valid": 0.5, "best": value is None, "number": 0} for value in (None, 0.5)]
    spec = json.dumps(run_figures.tuning(rows, "#123456", primary("zero-shot"), (0.0, 1.0)))
    assert '"value": "None"' in spec
    assert '"value": null' not in spec


def test_what_the_training_says_is_said_loss_by_loss(
    runs: dict[TaskName, Evidence], pages: dict[TaskName, str]
) -> None:
    text = Reader(pages["zero-shot"]).text
    assert text.count("The embeddings have collapsed") == 1  # of the hostile loss
    others = ", ".join(loss for loss in runs["zero-shot"].ranked if loss != HOSTILE_LOSS)
    assert f"Nothing out of the ordinary: {others}." in text


def test_classes_whose_gradients_differ_are_called_by_their_names(pages: dict[TaskName, str]) -> None:
    said = f"A row of class '{HOSTILE_CLASS}' gets 31 times the gradient of a row of class '1'"
    assert said in Reader(pages["classification"]).text
    # Names are of the test classes, and there the training had others.
    assert "A row of the class with the largest gradients gets 31" in Reader(pages["zero-shot"]).text


def test_records_from_before_the_facts_are_read(runs: dict[TaskName, Evidence], tmp_path: Path) -> None:
    record = runs["regression"].records[0]
    record.save(tmp_path)
    stored = json.loads(record.path(tmp_path).read_text())
    del stored["facts"]
    record.path(tmp_path).write_text(json.dumps(stored))
    assert Record.load(record.path(tmp_path)) == replace(record, facts={})


def test_a_loss_that_never_finished_is_named(runs: dict[TaskName, Evidence]) -> None:
    full = runs["regression"]
    longer = replace(full, plan=replace(full.plan, losses=(*full.plan.losses, "mse_loss")))
    assert "mse_loss was entered but has no finished run." in Reader(page(longer)).text


def test_two_trials_are_a_table_and_no_pictures(runs: dict[TaskName, Evidence]) -> None:
    full = runs["regression"]
    few = replace(full, trials=[trial for trial in full.trials if trial.number < 2])
    (section,) = (section for section in before(few) if section.id == "tuning")
    assert not section.groups
    (table,) = section.tables
    assert {row.note for row in table.rows} == {"trial 1", "trial 2"}
    chosen = [row.loss for row in table.rows if row.best]
    assert sorted(set(chosen)) == sorted({row.loss for row in table.rows})  # one of each loss at least


def test_a_baseline_far_off_takes_no_room_from_the_losses(runs: dict[TaskName, Evidence]) -> None:
    full = runs["regression"]
    far = tuple(replace(s, mean=1e6) if s.role == "baseline" else s for s in full.verdict.standings)
    moved = replace(full, verdict=replace(full.verdict, standings=far))
    (figure, *_) = before(moved)[0].groups[0].figures
    drawn = json.dumps(figure.spec)
    names = [s.loss for s in far if s.role == "baseline"]
    assert names
    assert not any(f'"loss": "{name}"' in drawn for name in names)
    assert all(f"{name} 1e+06" in figure.caption for name in names)


def test_differences_to_the_best_stand_beside_the_ranking(runs: dict[TaskName, Evidence]) -> None:
    for evidence in runs.values():
        _, differences = before(evidence)[0].groups[0].figures
        rows = differences.spec["layer"][1]["data"]["values"] if "data" in differences.spec["layer"][1] else []
        rows = rows or next(iter(v for v in differences.spec["datasets"].values() if "difference" in v[0]))
        assert len(rows) == len(evidence.ranked) - 1
        assert all(row["difference"] <= 0 for row in rows)  # none is better than the best


def test_one_seed_gives_a_page_too(tmp_path: Path) -> None:
    trials = fake_run.build(tmp_path, "regression", seeds=1)
    text = Reader(page(read(tmp_path, trials))).text
    assert not re.search(r"\bnan\b", text)


def test_render_writes_the_page(runs: dict[TaskName, Evidence], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs["regression"].folder
    monkeypatch.setattr("lossary.lab.run.study.trials", lambda _: runs["regression"].trials)
    written = render(folder)
    assert written == folder / "report.html"
    assert written.read_text(encoding="utf-8") == page(runs["regression"])


def test_rendering_needs_no_torch(runs: dict[TaskName, Evidence]) -> None:
    code = (
        "import sys; from pathlib import Path; from lossary.lab.report.page import page;"
        "from lossary.lab.report.evidence import read;"
        "page(read(Path(sys.argv[1]), [])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(runs["regression"].folder)], check=True, timeout=120)


def test_the_command_survives_a_shell() -> None:
    losses = ("cross_entropy", "it's=focal_loss")
    plan = Resolved(
        "digits", losses, "same-batches", seeds=(3, 10), trials=4, steps=900, epochs=60, workers=2, out="my runs"
    )
    printed = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command(plan)}"], capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines() == [
        *("lossary", "compare", "digits", "--losses", "cross_entropy,it's=focal_loss"),
        *("--protocol", "same-batches", "--seeds", "3..10", "--trials", "4", "--steps", "900"),
        *("--workers", "2", "--out", "my runs", "--optimizer", "adamw", "--schedule", "constant"),
        *("--weight-decay", "0.01", "--device", "auto", "--precision", "float32"),
    ]


@pytest.fixture(scope="module")
def files(pages: dict[TaskName, str], tmp_path_factory: pytest.TempPathFactory) -> dict[TaskName, Path]:
    if chromium.find() is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("pages")
    found: dict[TaskName, Path] = {task: folder / f"{task}.html" for task in SECTIONS}
    for task, path in found.items():
        path.write_text(pages[task], encoding="utf-8")
    return found


CHARTS = "[...document.querySelectorAll('.chart')]"


@pytest.mark.sample(2)
@pytest.mark.browser
@kinds
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it_all_without_complaint(files: dict[TaskName, Path], task: TaskName, width: int) -> None:
    with chromium.Page(files[task].as_uri(), width=width, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        drawn = view.evaluate(f"{CHARTS}.map(chart => chart.querySelectorAll('svg path, svg image').length)")
        assert len(drawn) > 8
        assert min(drawn) > 1
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            view.evaluate(f"Math.max(...{CHARTS}.map(c => c.querySelector('svg').getBoundingClientRect().right))")
            <= width
        )
        tables = "[...document.querySelectorAll('.scroll')].filter(place => place.clientWidth)"
        narrowest = (
            f"Math.min(...{tables}.flatMap(t => [...t.querySelectorAll('th[scope=row]')].map(h => h.clientWidth)))"
        )
        assert view.evaluate(narrowest) > 100  # a name is no column of letters
        hinted = (
            "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e, '::before').content.includes('↔'))"
        )
        assert view.evaluate(f"{hinted}.every(e => {tables}.includes(e))") is True
        assert HOSTILE_LOSS in view.evaluate("[...document.querySelectorAll('.chart text')].map(t => t.textContent)")
        assert view.messages == []
        assert [url for url in view.requests if not url.startswith("data:")] == [files[task].as_uri()]


def words(view: chromium.Page, figure: str) -> list[str]:
    """As they are seen: without characters that have no width."""
    texts = view.evaluate(f"[...document.querySelectorAll('#figure-{figure} text')].map(t => t.textContent)")
    return [text.replace("\u2060", "") for text in texts]


@pytest.mark.browser
def test_names_that_every_object_of_javascript_has_are_names_like_any_other(files: dict[TaskName, Path]) -> None:
    with chromium.Page(files["classification"].as_uri(), width=1280, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        assert {"constructor", "__proto__"} <= set(words(view, "ranking"))
        seen = [word.rstrip("…") for word in words(view, "confusion")]  # a long name is cut
        shown = {name: sum(name.startswith(word) for word in seen) for name in INHERITED}
        assert shown == dict.fromkeys(INHERITED, 2)  # on both axes
        cells = "document.querySelectorAll('#figure-confusion .mark-rect path').length"
        assert view.evaluate(cells) == 100
        bars = "[...document.querySelectorAll('#figure-cost path[aria-roledescription=bar]')]"
        colours = view.evaluate(f"{bars}.map(bar => bar.getAttribute('fill'))")
        assert len(set(colours)) == len(colours) == 5
        assert view.messages == []


@pytest.mark.browser
def test_a_figure_that_cannot_be_drawn_says_so_and_leaves_the_others(
    files: dict[TaskName, Path], tmp_path: Path
) -> None:
    html = files["regression"].read_text(encoding="utf-8")
    (stored,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', html, flags=re.DOTALL)
    specs = json.loads(stored)
    broken = {**specs, "ranking": {"data": {"values": []}, "mark": "point", "transform": [{"filter": "nonsense("}]}}
    path = tmp_path / "broken.html"
    path.write_text(html.replace(stored, json.dumps(broken).replace("<", "\\u003c")), encoding="utf-8")
    with chromium.Page(path.as_uri(), width=1280, height=900) as view:
        view.wait_for("document.documentElement.dataset.drawn")
        drawn = view.evaluate(f"{CHARTS}.map(chart => chart.querySelectorAll('svg path').length > 1)")
        assert drawn == [False] + [True] * (len(specs) - 1)  # it is the first on the page
        said = view.evaluate("document.getElementById('figure-ranking').textContent")
        assert said.startswith("This figure could not be drawn: ")
        assert len(view.messages) == 1
