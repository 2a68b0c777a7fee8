"""Own code of every task: the docs' examples, and what is refused."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from docs_transcripts import transcribed
from torch import nn
from torch.utils.data import StackDataset, TensorDataset

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers.code import from_code
from lossary.lab.run import jobs
from lossary.lab.tasks import task_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "own_code.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)\n```", PAGE, flags=re.M | re.S)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start


def test_the_page_shows_the_examples_as_they_are() -> None:
    assert transcribed(DOCS / "own_code.md") == PAGE
    assert sorted(re.findall(r"<!-- examples/(.*) -->", PAGE)) == sorted(
        path.relative_to(DOCS / "examples").as_posix() for path in (DOCS / "examples" / "tasks").glob("*.py")
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_ends_in_a_report(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, name, *options = shlex.split(command)
    path = DOCS / "examples" / "tasks" / name
    names: dict[str, Any] = {}
    exec(path.read_text(), names)
    asked = options[1] if options else ""
    data = from_code(name, names["model"], names["data"](), asked=asked)
    losses = task_of(data.task).losses[:2]
    tiny = ("--seeds", "1", "--trials", "1", "--steps", "4", "--losses", ",".join(losses))
    main(["compare", str(path), *options, *tiny])
    report = Path(capsys.readouterr().out.split()[-1]).read_text()
    assert all(loss in report for loss in losses)


def test_lists_of_any_length_are_padded_and_what_is_behind_them_counts_nowhere() -> None:
    random = torch.Generator().manual_seed(0)
    sizes = [2, 5, 3] * 6
    lists = [torch.randn(size, 4, generator=random) for size in sizes]
    data = from_code(
        "ranked", lambda: nn.Linear(4, 1), StackDataset(lists, [x[:, 0] ** 2 for x in lists]), asked="ranking"
    )
    batch = data.train.inputs[torch.arange(len(data.train))]
    assert batch.shape == (len(data.train), 5, 4)
    padding = data.train.targets.isnan()
    assert not batch[padding].any()
    assert batch[~padding].any(dim=1).all()
    torch.testing.assert_close((~padding).sum(1), torch.tensor([sizes[row] for row in data.train.inputs.rows]))  # pyright: ignore


def test_no_text_is_in_two_parts_and_a_network_of_one_side_embeds_both() -> None:
    texts = torch.randint(0, 9, (60, 6), generator=torch.Generator().manual_seed(0))
    texts[:, 0] = torch.arange(60) // 2  # of two queries each
    pairs = TensorDataset(texts[:, :3] * torch.tensor([1, 0, 0]), texts[:, 3:])
    data = from_code("pairs", lambda: nn.EmbeddingBag(64, 8), pairs, asked="retrieval")
    queries = [
        set(part.inputs[torch.arange(len(part))][:, 0, 0].tolist()) for part in (data.train, data.valid, data.test)
    ]
    assert sum(map(len, queries)) == len(set.union(*queries))
    network = task_of("retrieval").network(data)
    assert network(data.test.inputs[:4]).shape == (4, 2, 8)


def linear(size: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(4, size)


INPUTS = torch.arange(160.0).view(40, 4)
IMAGES = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
CELLS = torch.arange(320).view(20, 4, 4) % 2
NOBODY = torch.zeros(40, 3)


@pytest.mark.parametrize(
    ("model", "data", "asked", "said"),
    [
        (linear(1), (INPUTS, torch.arange(40) % 3), "binary", "0 and 1, or of False and True (binary); got 2"),
        (linear(2), (INPUTS, torch.arange(40) % 2), "binary", "wanted one value per item from model"),
        (linear(3), (INPUTS, torch.eye(40, 3) * 2), "", "0 and 1, or of False and True (multi-label); got 2"),
        (linear(3), (INPUTS, NOBODY), "", "wanted items with a label in each part (multi-label)"),
        (linear(2), (INPUTS, torch.eye(3)[torch.arange(40) % 3]), "", "wanted a value for each of 3 labels from model"),
        (linear(2), (IMAGES, CELLS - 3), "", "wanted class numbers from 0, or -100 for none, at each pixel"),
        (linear(2), (IMAGES, CELLS), "", "wanted scores of 2 classes or more at each pixel (N, C, 4, 4) from model"),
        (linear(1), (INPUTS, torch.arange(40)), "ranking", "item 0: wanted a pair of a list's candidates"),
        (linear(1), (INPUTS[..., None], INPUTS * 0), "ranking", "item 0: wanted a list whose candidates differ in"),
        (linear(2), (INPUTS, INPUTS[:, :3]), "retrieval", "wanted a pair of a query and a document of"),
        (linear(2), (INPUTS, INPUTS[:1].expand(40, -1)), "retrieval", "wanted at least 20 groups of pairs that"),
        (linear(2), (INPUTS, INPUTS), "sorting", "task: wanted one of zero-shot, classification, binary"),
    ],
)  # fmt: skip
def test_what_is_no_item_of_the_task_is_named(
    model: Callable[[], nn.Module], data: tuple[torch.Tensor, torch.Tensor], asked: str, said: str
) -> None:
    with pytest.raises(BadData, match=re.escape(said)):
        from_code("own", model, TensorDataset(*data), asked=asked)
