"""A person's own files and code: what is found, what is refused, and that a comparison ends in a report."""

import functools
import re
import shlex
from collections import UserList
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from docs_transcripts import prepare, transcribed
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

import lossary.lab
from lossary.cli import main
from lossary.lab.comparison import Refused
from lossary.lab.data import files
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.data.readers.code import from_code
from lossary.lab.data.types import Data, Split
from lossary.lab.run import jobs
from lossary.lab.run.folder import save_plan
from lossary.lab.run.plan import Plan, Resolved
from lossary.lab.run.record import load_all
from usual import some

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "your_data.md").read_text()
TINY = ("--seeds", "1", "--trials", "1", "--epochs", "2")
HOSTILE = "<script>alert(1)</script>"

random = np.random.default_rng(0)


def table(path: str, rows: int = 60, **columns: object) -> str:
    """A CSV of a number, a category and whatever else."""
    given = {"length": random.normal(size=rows), "colour": ["red", "blue"] * (rows // 2), **columns}
    pl.DataFrame(given).write_csv(path)
    return path


def arrays(path: str, rows: int = 60, **changed: Any) -> str:
    whole: dict[str, Any] = {"embeddings": random.normal(size=(rows, 8)), "labels": np.arange(rows) % 3}
    np.savez(path, **{**whole, **changed})
    return path


def images(folder: str, classes: Iterable[str] = ("cat", "dog"), each: int = 8, side: int = 8) -> str:
    for name in classes:
        for number in range(each):
            path = Path(folder, name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)
    return folder


def code(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


class Listed(UserList[tuple[object, int]]):
    """A data set: a list would be taken for several."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start


def inputs_of(part: Split) -> torch.Tensor:
    return part.inputs[torch.arange(len(part))]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert not captured.out
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("lossary: ").strip()


# --- what is wrong: each line of the docs' table is what is said ---


def _unreadable() -> str:
    folder = images("photos")
    Path(folder, "cat", "3.png").write_bytes(Path(folder, "cat", "3.png").read_bytes()[:60])
    return folder


def _link() -> str:
    Path("secret.png").write_bytes(b"")
    folder = images("linked")
    Path(folder, "cat", "8.png").symlink_to("../../secret.png")
    return folder


def _masks(folder: str) -> str:
    for part in ("images", "masks"):
        images(folder, [part])
    return folder


def _unpaired() -> str:
    folder = _masks("unpaired")
    Path(folder, "masks", "3.png").unlink()
    return folder


def _sizes() -> str:
    folder = _masks("sizes")
    Image.new("L", (20, 8)).save(Path(folder, "masks", "3.png"))
    return folder


def _lossy() -> str:
    folder = _masks("lossy")
    Image.new("L", (8, 8)).save(Path(folder, "masks", "3.png"), format="JPEG")
    return folder


def _nan() -> str:
    embeddings = random.normal(size=(60, 8))
    embeddings[[17, 40], 2] = np.nan
    return arrays("nan.npz", embeddings=embeddings)


def _pickled() -> str:
    np.save("pickled.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    np.save("pickled_labels.npy", np.arange(2))
    return "pickled.npy"


def _text(path: str, text: str | bytes) -> str:
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = "".join(f"{n},{n % 7},{'ab'[n % 2]}\n" for n in range(30))
MALFORMED: dict[str, Callable[[], str]] = {
    "an empty file": lambda: _text("empty.csv", ""),
    "only a header": lambda: _text("header.csv", "size,label\n"),
    "no such column": lambda: table("shop.csv", price=[1.5] * 60) + " --target prize",
    "no target anywhere": lambda: table("untold.csv", target=[None] * 60),
    "one class": lambda: table("one.csv", target=["yes"] * 60),
    "one sample per class": lambda: table("single.csv", target=[f"class {n}" for n in range(60)]),
    "a ragged row": lambda: _text("ragged.csv", f"size,form,label\n{ROWS}7,1\n"),
    "another encoding": lambda: _text("latin.csv", f"size,form,label\n{ROWS}".encode() + b"1,2,caf\xe9\n"),
    "text among numbers": lambda: _text("odd.csv", f"size,form,label\n{ROWS}tall,2,a\n") + " --types size=number",
    "an unreadable image": _unreadable,
    "a link, even within the folder": _link,
    "an image without a mask": _unpaired,
    "a mask of another size": _sizes,
    "a mask stored as JPEG": _lossy,
    "pickled objects": _pickled,
    "more labels than embeddings": lambda: arrays("counts.npz", labels=np.arange(61) % 3),
    "NaN among the embeddings": _nan,
    "another kind of file": lambda: _text("notes.docx", "notes"),
    "half an archive": lambda: _text("half.npz", Path(arrays("whole.npz")).read_bytes()[:300]),
    "lines that are not objects": lambda: _text("lines.jsonl", '{"query": "a", "document": "b"}\n[1]\n'),
    "no such columns of texts": lambda: _text("chat.csv", "question,answer\na,b\n") + " --target question,reply",
    "pairs that all share a text": lambda: _text(
        "yes.csv", "question,answer\n" + "".join(f"is it {n}?,yes\n" for n in range(60))
    ),
    "code without model()": lambda: code("task.py", "def data(): ..."),
    "code that fails": lambda: code("fails.py", "def model(): ...\ndef data():\n    return [][0]\n"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_refused_in_the_line_that_the_docs_show(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(MALFORMED[what]())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    said = refused(["compare", *arguments], capsys)
    assert f"| {what} | `{said}` |" in PAGE
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    assert after == before


def test_the_docs_show_no_other_line() -> None:
    shown = re.findall(r"^\| ([^|]+) \| `.*` \|$", PAGE, flags=re.M)
    assert sorted(shown) == sorted(MALFORMED)


# --- the docs' examples ---


def test_the_docs_show_what_their_commands_print() -> None:
    assert transcribed(DOCS / "your_data.md") == PAGE


@pytest.mark.slow
def test_the_docs_comparisons_end_in_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(PAGE)
    (tmp_path / "train_digits.py").write_text((DOCS / "examples" / "train_digits.py").read_text())
    commands = re.findall(r"^```sh\n(.*?)\n```", PAGE, flags=re.M | re.S)
    assert len(commands) == 9
    for command in some(commands, 3, "commands"):
        other = "listnet_loss" if "--lists" in command else "focal_loss"
        of_tasks = {"chat.csv": "clip_loss,siglip_loss", "words.csv": "hinge_loss,sigmoid_focal_loss"}
        losses = next((of_tasks[file] for file in of_tasks if file in command), f"cross_entropy,{other}")
        main([*shlex.split(command)[1:], *TINY, "--losses", losses])
        report = Path(capsys.readouterr().out.split()[-1])
        assert losses.split(",")[1] in report.read_text()


def test_the_docs_call_from_python_gives_verdict_and_report(tmp_path: Path) -> None:
    text = re.findall(r"^```python\n(import lossary.lab.*?)^```", PAGE, flags=re.M | re.S)[0]
    names: dict[str, Any] = {}
    exec((DOCS / "examples" / "train_digits.py").read_text(), names)
    model, data, metric = (names[name] for name in ("model", "data", "metric"))
    budget: dict[str, Any] = {"seeds": 1, "trials": 1, "epochs": 2}
    assert "lossary.lab.compare(model, data(), metric=metric, losses=" in text
    result = lossary.lab.compare(model, data(), metric=metric, losses=["cross_entropy", "cosface_loss"], **budget)
    assert result.verdict.metric.label == "top 2 accuracy"
    # What is judged is the user's own score of each item, beside the lab's metrics.
    for record in load_all(Path("lossary-runs/own-code")):
        assert np.mean(record.units) == pytest.approx(record.metrics["top_2_accuracy"])
        assert record.metrics["top_2_accuracy"] >= record.metrics["accuracy"]
    assert "lossary.lab.compare(model, data, metric=top_2_accuracy, losses=(" in result.report.read_text().replace(
        "&#39;", "'"
    )
    with pytest.raises(Refused, match="holds a run of another plan"):
        lossary.lab.compare(model, data(), losses=["cross_entropy"], **budget)


# --- what is found ---


def test_a_table_is_encoded_by_its_training_rows_alone() -> None:
    prices = random.normal(10, 2, 60)
    amount = [None if n % 10 == 0 else float(n % 7) for n in range(60)]
    data = load(Plan(table("shop.csv", amount=amount, number=range(60), price=prices), target="price"))
    assert data.task == "regression"
    whole = torch.cat([inputs_of(part) for part in (data.train, data.valid, data.test)])
    assert whole.shape == (60, 5)  # length, two colours, amount, whether it is missing; the number counts the rows
    torch.testing.assert_close(inputs_of(data.train)[:, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert inputs_of(data.train)[:, 0].std(correction=0) == pytest.approx(1, abs=1e-5)
    assert whole[:, 4].sum() == 6
    assert (whole[whole[:, 4] == 1, 3] == 0).all()
    found = torch.cat([part.targets for part in (data.train, data.valid, data.test)]) * data.scale + data.offset
    assert sorted(found.tolist()) == pytest.approx(sorted(prices.tolist()), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "asked", "task"),
    [
        (["a", "b"] * 30, "", "classification"),
        ([True, False] * 30, "", "classification"),
        ([1, 2, 3] * 20, "", "classification"),
        ([1, 2, 3] * 20, "regression", "regression"),
        (list(range(3, 63)), "", "regression"),
        ([0.5, 1.0, 2.5] * 20, "", "regression"),
        ([f"person {n // 2}" for n in range(60)], "", "zero-shot"),
        ([f"person {n // 5}" for n in range(60)], "zero-shot", "zero-shot"),
    ],
)
def test_the_task_is_inferred_from_the_targets_unless_it_is_named(values: list[object], asked: str, task: str) -> None:
    assert load(Plan(table("t.csv", target=values), task=asked)).task == task


RARELY = ["gone", *["kept"] * 19]


@pytest.mark.parametrize(
    ("values", "asked", "names"),
    [
        (RARELY * 10, {}, ("kept", "gone")),  # rare enough to be what is looked for
        (RARELY * 10, {"yes": "kept"}, ("gone", "kept")),
        (["gone", *["kept"] * 2] * 20, {"task": "binary"}, ("kept", "gone")),
        (["No", *["Yes"] * 2] * 20, {"task": "binary"}, ("No", "Yes")),  # by its name, though commoner
        ([1, 1, 0] * 20, {"task": "binary"}, ("0", "1")),
        ([1, 1, 0] * 20, {"yes": "0"}, ("1", "0")),
        (["a", "b"] * 30, {"task": "binary"}, ("a", "b")),
    ],
)
def test_two_targets_are_a_yes_or_no_question(
    values: list[object], asked: dict[str, Any], names: tuple[str, str]
) -> None:
    data = load(Plan(table("t.csv", len(values), target=values), **asked))
    assert (data.task, data.test_names) == ("binary", names)
    answers = torch.cat([part.targets for part in (data.train, data.valid, data.test)])
    assert answers.sum() == [str(value) for value in values].count(names[1])


def test_a_rare_value_of_two_is_one_of_two_classes_where_that_is_asked_or_they_are_too_few() -> None:
    assert load(Plan(table("t.csv", 200, target=RARELY * 10), task="classification")).task == "classification"
    assert load(Plan(table("few.csv", 100, target=RARELY * 5))).task == "classification"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("t.csv --task binary", "t.csv: wanted two different targets (binary); got 3: a, b, c"),
        ("few.csv --task binary", "few.csv: wanted at least 2 classes of 6 different items or more (binary); got 2"),
        ("few.csv --yes maybe", "yes: wanted one of the targets gone and kept; got 'maybe'"),
        ("t.csv --yes a --task regression", "t.csv, line 2: wanted a number as target; got 'a'"),
        ("t.csv --yes a --task classification", "yes: wanted a yes-or-no task (binary); got classification"),
        ("digits --yes 1", "yes: wanted none for digits, a data set of the lab; got '1'"),
        ("task.py --yes 1", "yes: wanted none for code; got '1'"),
        ("task.py --task sorting", "task: wanted one of zero-shot, classification, binary, multi-label"),
    ],
)
def test_what_is_no_yes_or_no_question_is_refused(
    options: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table("t.csv", target=["a", "b", "c"] * 20)
    table("few.csv", 100, target=RARELY * 5)
    code("task.py", "def model(): ...\ndef data():\n    return [([0.0], n % 2) for n in range(40)]\n")
    assert refused(["compare", *shlex.split(options)], capsys).startswith(reason)


def test_a_yes_or_no_question_is_answered_and_what_is_yes_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table("shop.csv", 200, customer=RARELY * 10)
    main(["inspect", "shop.csv", "--target", "customer"])
    told = " ".join(capsys.readouterr().out.split())
    assert "binary: one of two values is rare, 5.0% of the rows" in told
    assert "yes gone: the rarer value (--yes kept for the other)" in told
    main(["inspect", "shop.csv", "--target", "customer", "--yes", "kept"])
    assert "--target customer --yes kept" in capsys.readouterr().out
    losses = "binary_cross_entropy_with_logits,hinge_loss"
    main(["compare", "shop.csv", "--target", "customer", "--losses", losses, *TINY, "--out", "run"])
    assert "yes: gone" in capsys.readouterr().out
    assert "Positive is gone, 4.0% of the test samples" in Path("run/report.html").read_text()


def test_parquet_and_csv_of_the_same_table_are_the_same_data() -> None:
    table("t.csv", target=["a", "b", "c"] * 20)
    pl.read_csv("t.csv").write_parquet("t.parquet")
    first, second = load(Plan("t.csv")), load(Plan("t.parquet"))
    torch.testing.assert_close(first.test.inputs, second.test.inputs)
    assert torch.equal(first.test.targets, second.test.targets)


def same_parts(a: Data, b: Data) -> bool:
    return all(torch.equal(getattr(a, p).inputs, getattr(b, p).inputs) for p in ("train", "valid", "test"))


def test_the_three_files_of_embeddings_are_the_same_data() -> None:
    embeddings, labels = random.normal(size=(60, 8)).astype(np.float32), np.arange(60) % 3
    arrays("e.npz", embeddings=embeddings, labels=labels)
    np.save("e.npy", embeddings)
    np.save("e_labels.npy", labels)
    save_file({"embeddings": torch.tensor(embeddings), "labels": torch.tensor(labels)}, "e.safetensors")
    first, *others = [load(Plan(f"e.{suffix}")) for suffix in ("npz", "npy", "safetensors")]
    assert all(same_parts(first, other) for other in others)
    # One scale for all: no cosine between embeddings changes.
    kept = torch.cat([inputs_of(part) for part in (first.train, first.valid, first.test)])
    assert sorted(kept[:, 0].tolist()) == pytest.approx(
        sorted((embeddings[:, 0] / embeddings_size(first, embeddings)).tolist())
    )


def embeddings_size(data: Data, embeddings: np.ndarray) -> float:
    whole = torch.cat([inputs_of(part) for part in (data.train, data.valid, data.test)])
    return float(np.abs(embeddings).max() / whole.abs().max())


def test_identities_are_split_by_class_and_judged_against_the_embeddings_as_they_came() -> None:
    data = load(Plan(arrays("people.npz", 200, labels=np.array([f"person {n // 5}" for n in range(200)]))))
    assert data.task == "zero-shot"
    assert data.train.classes + data.valid.classes + data.test.classes == 40
    assert len(set(data.test_names)) == data.test.classes
    main(["compare", "people.npz", "--losses", "supcon_loss", *TINY, "--out", "run"])
    assert "the embeddings as they came" in {record.loss for record in load_all(Path("run"))}


def test_images_of_any_size_become_square_and_the_report_shows_what_was_scored() -> None:
    images("photos", side=8)
    Image.new("RGBA", (40, 20), (255, 0, 0, 0)).save("photos/cat/clear.png")
    Path("photos/cat/notes.txt").touch()
    found = files.read(Plan("photos"))
    assert inputs_of(found.data.train).shape[1:] == (3, 32, 32)
    assert found.data.left_out == ("1 file that is no image of a class: cat/notes.txt",)
    assert found.source.images is not None
    clear = found.source.images[list(found.source.rows).index("cat/clear.png")]
    assert (clear == 255).all()  # transparent is white
    shown = torch.from_numpy(found.data.test_images).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(shown, found.data.test.inputs[:])


def test_a_folder_that_is_split_already_is_not_taken_for_two_classes() -> None:
    images("photos/train")
    images("photos/test")
    alone, both = load(Plan("photos/test")), load(Plan("photos"))
    assert both.test_names == alone.test_names
    assert len(both.test) == sum(len(part) for part in (alone.train, alone.valid, alone.test))


def test_between_semicolons_numbers_may_have_a_decimal_comma() -> None:
    sizes = [None if n % 10 == 0 else n / 4 for n in range(60)]
    table("point.csv", size=sizes, code=["1,5 kg", "2"] * 30, price=[n * n / 8 for n in range(60)])
    pl.read_csv("point.csv").write_csv("comma.csv", separator=";", decimal_comma=True)
    assert "0,125;" in Path("comma.csv").read_text().replace("\n", ";")
    of_point, of_comma = (files.read(Plan(path, target="price")) for path in ("point.csv", "comma.csv"))
    assert of_comma.source.facts == of_point.source.facts
    assert of_comma.data.task == "regression"
    assert same_parts(of_comma.data, of_point.data)


def test_dates_are_no_target_and_that_is_said() -> None:
    days = pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 3, 1), eager=True)
    pl.DataFrame({"size": range(60), "seen": days}).write_parquet("t.parquet")
    for path in (table("t.csv", seen=[str(day) for day in days]), "t.parquet"):
        with pytest.raises(BadData, match=r"seen: wanted numbers or strings as targets; got dates: write them as numb"):
            load(Plan(path, target="seen"))


def test_dates_are_skipped_in_a_csv_as_in_parquet() -> None:
    days = [f"2026-11-{n % 28 + 1:02d}" for n in range(60)]
    table("days.csv", day=days, moment=[f"{day} 12:30" for day in days], target=["a", "b"] * 30)
    facts = dict(files.read(Plan("days.csv")).source.facts)
    assert facts["day"] == facts["moment"] == "skip (dates)"
    asked = dict(files.read(Plan("days.csv", types="day=category")).source.facts)
    assert asked["day"] == "category (28 kinds, complete)"


def test_inspect_says_of_a_name_that_is_no_file_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["inspect", "digits"], capsys)
    assert said == "digits: wanted a folder or a file; got a data set of the lab"
    said = refused(["inspect", "nowhere"], capsys)
    assert said == "nowhere: wanted a folder or a file; got a path that does not exist"


def test_rows_with_equal_inputs_stay_together_and_are_told() -> None:
    rows = "".join(f"{n % 40},{n % 40 * 3 % 11},{'ab'[n % 2]}\n" for n in range(80))
    Path("twice.csv").write_text(f"size,form,label\n{rows}")
    found = files.read(Plan("twice.csv"))
    parts = [
        {row.numpy().tobytes() for row in inputs_of(part)}
        for part in (found.data.train, found.data.valid, found.data.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40


def test_what_is_left_out_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    target = ["a", "b"] * 28 + [None, "rare", "rare", None]
    main(["inspect", table("gaps.csv", target=target)])
    inspected = capsys.readouterr().out
    main(["compare", "gaps.csv", "--losses", "cross_entropy", *TINY, "--out", "run"])
    for told in (inspected, capsys.readouterr().out, Path("run/report.html").read_text()):
        assert "2 rows without a target: line 58, line 61" in " ".join(told.split())
        assert "1 class with too few different items: rare (2)" in " ".join(told.split())
    data = load(Plan("gaps.csv"))
    assert sum(map(len, (data.train, data.valid, data.test))) == 56


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("digits --task regression", "task: wanted none for digits, a data set of the lab; got 'regression'"),
        ("photos --target label", "target: wanted none for a folder of images; got 'label'"),
        ("e.npz --types a=skip", "types: wanted none for arrays; got 'a=skip'"),
    ],
)
def test_an_option_that_says_nothing_of_the_data_is_refused(
    options: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images("photos")
    arrays("e.npz")
    assert refused(["compare", *shlex.split(options)], capsys) == reason


def test_a_folder_named_like_a_data_set_of_the_lab_is_asked_for_by_its_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images("digits")
    said = refused(["compare", "digits"], capsys)
    assert said == "data: digits is a data set of the lab and also exists here; ./digits names the local one"
    main(["inspect", "digits"])
    assert "lossary compare ./digits" in capsys.readouterr().out
    assert load(Plan("./digits")).test_names == ("cat", "dog")


# --- safety ---


def test_a_class_name_is_text_in_the_report_and_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table("hostile.csv", target=[HOSTILE, "[bold]b[/bold]\x1b[31m"] * 30)
    main(["inspect", "hostile.csv"])
    told = capsys.readouterr().out
    assert HOSTILE in told
    assert "[bold]b[/bold]" in told
    assert "\x1b[31m" not in told
    main(["compare", "hostile.csv", "--losses", "cross_entropy", *TINY, "--out", "run"])
    page = Path("run/report.html").read_text()
    assert HOSTILE not in page
    assert "\\u003cscript\\u003ealert(1)" in page or "&lt;script&gt;alert(1)" in page


def test_a_run_does_not_go_on_with_changed_files(capsys: pytest.CaptureFixture[str]) -> None:
    table("t.csv", target=["a", "b"] * 30)
    arguments = ["compare", "t.csv", "--losses", "cross_entropy", *TINY, "--out", "run"]
    main(arguments)
    main(["compare", "--resume", "--out", "run"])  # nothing has changed
    capsys.readouterr()
    table("t.csv", target=["a", "b"] * 30)
    assert "t.csv: wanted the same contents as when the run began" in refused(
        ["compare", "--resume", "--out", "run"], capsys
    )
    assert "the contents of t.csv have changed" in refused(arguments, capsys)


def test_a_run_folder_of_someone_else_runs_no_code(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    code("run/evil.py", "open('ran', 'w')")
    save_plan(Resolved("run/evil.py", ("cross_entropy",), out="run"), Path("run"))
    said = refused(["compare", "--resume", "--out", "run"], capsys)
    assert said == "resume: the run in run is of the code in run/evil.py; name that file to run it"
    assert not Path("ran").exists()


# --- code ---


def test_code_says_what_is_wrong_with_it() -> None:
    inputs, labels = torch.randn(40, 4), torch.arange(40) % 2
    good = TensorDataset(inputs, labels)

    def compare(model: Callable[[], Any], data: object, **options: Any) -> None:
        lossary.lab.compare(model, data, losses=["cross_entropy"], seeds=1, trials=1, epochs=1, **options)

    def linear() -> torch.nn.Module:
        return torch.nn.Linear(4, 3)

    with pytest.raises(BadData, match=r"wanted a model\(\) that takes inputs \(2, 4\); got"):
        compare(lambda: torch.nn.Linear(5, 3), good)
    with pytest.raises(BadData, match=r"wanted embeddings \(N, D\) .* got shape \(2, 1, 3\)"):
        compare(lambda: torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Unflatten(1, (1, 3))), good)
    with pytest.raises(BadData, match=r"wanted embeddings \(N, D\) with D above 1 .* got shape \(2, 1\)"):
        compare(lambda: torch.nn.Linear(4, 1), good)
    with pytest.raises(BadData, match="wanted one data set, or three"):
        compare(linear, (good, good))
    with pytest.raises(BadData, match="item 0: wanted a pair of an input and a number as target"):
        compare(linear, TensorDataset(inputs))
    with pytest.raises(BadData, match="wanted every class among the training data; got 5 only elsewhere"):
        compare(linear, (good, good, TensorDataset(inputs, labels * 5)))
    with pytest.raises(BadData, match=r"own-code, metric: wanted a finite score for each of 10 items; got .*shape"):
        compare(linear, good, metric=lambda probabilities, targets: probabilities)
    with pytest.raises(Refused, match="cross_entropy does not fit own-code"):
        lossary.lab.compare(
            lambda: torch.nn.Linear(4, 1), TensorDataset(inputs, inputs[:, 0]), losses=["cross_entropy"]
        )
    assert not Path("lossary-runs").exists()


def test_training_inputs_of_code_are_read_anew_each_time() -> None:
    class Changing:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
            return torch.randn(4), item % 2

    data = from_code("changing", lambda: torch.nn.Linear(4, 3), Changing())
    batch = torch.arange(5)
    assert not torch.equal(data.train.inputs[batch], data.train.inputs[batch])
    assert torch.equal(data.test.inputs[batch], data.test.inputs[batch])


@pytest.mark.parametrize("task", ["classification", "zero-shot"])
@pytest.mark.parametrize("of", [torch.Tensor.int, torch.Tensor.numpy], ids=["tensor", "array"])
def test_a_network_gets_ids_as_whole_numbers(task: str, of: Callable[[torch.Tensor], object]) -> None:
    tokens = torch.randint(0, 20, (80, 6))
    data = [(of(row), n % 16) for n, row in enumerate(tokens)]
    bag = functools.partial(torch.nn.EmbeddingBag, 20, 8)
    budget: dict[str, Any] = {"seeds": 1, "trials": 1, "epochs": 1}
    result = lossary.lab.compare(bag, Listed(data), task=task, losses=["cosface_loss"], **budget)
    assert result.verdict.standings[0].mean >= 0
    assert from_code("ids", bag, Listed(data)).valid.inputs.dtype == torch.int64


@pytest.mark.parametrize("task", ["classification", "regression", "zero-shot"])
def test_three_data_sets_are_the_three_parts(task: str) -> None:
    sizes = (30, 8, 12)
    inputs = [torch.randn(size, 4) for size in sizes]
    targets = {
        "classification": [torch.arange(size) % 2 + 5 for size in sizes],
        "regression": [part[:, 0] for part in inputs],
        "zero-shot": [torch.arange(size) % 4 + 4 * place for place, size in enumerate(sizes)],
    }[task]
    given = [TensorDataset(*pair) for pair in zip(inputs, targets, strict=True)]
    size = 1 if task == "regression" else 2
    data = from_code("three", lambda: torch.nn.Linear(4, size), given, asked=task)
    for part, its_inputs, its_targets in zip((data.train, data.valid, data.test), inputs, targets, strict=True):
        assert torch.equal(part.inputs[torch.arange(len(part))], its_inputs)
        if task == "regression":
            torch.testing.assert_close(part.targets * data.scale + data.offset, its_targets)
        else:
            assert torch.equal(part.targets, its_targets - its_targets.min())
