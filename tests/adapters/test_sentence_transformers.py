"""Losses in Sentence Transformers' real trainer; what they are called with where it is not installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossary
from lossary import presets
from lossary.adapters.sentence_transformers import EmbeddingLoss, InBatchLoss


class Given(nn.Module):
    """Stands for a model: its features are the embeddings."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["x"]}


def _columns(*embeddings: Tensor) -> list[dict[str, Tensor]]:
    return [{"x": x} for x in embeddings]


@pytest.mark.parametrize(
    ("loss", "columns", "labels"),
    [
        (lossary.TripletLoss(margin=0.3), 1, torch.tensor([0, 0, 1, 1])),
        (lossary.SupConLoss(), 1, torch.tensor([0, 0, 1, 1])),
        (lossary.CosFaceLoss(num_classes=2, embedding_size=3), 1, torch.tensor([0, 0, 1, 1])),
        (lossary.ContrastiveLoss(), 2, torch.tensor([0, 1, 1, 0])),
        (lossary.NTXentLoss(), 2, None),
        (lossary.TripletMarginLoss(), 3, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_loss_gets_the_columns_and_the_labels(loss: nn.Module, columns: int, labels: Tensor | None) -> None:
    embeddings = [torch.randn(4, 3) for _ in range(columns)]
    expected = loss(*embeddings) if labels is None else loss(*embeddings, labels)
    assert torch.equal(EmbeddingLoss(Given(), loss)(_columns(*embeddings), labels), expected)


def test_presets_train_as_the_migration_page_says() -> None:
    anchor, positive, negative = torch.randn(3, 4, 6).unbind()
    ranking = presets.sentence_transformers.multiple_negatives_ranking()
    columns = _columns(anchor, positive, negative)
    assert torch.equal(InBatchLoss(Given(), ranking)(columns, None), ranking(anchor, positive, negative))
    nested = InBatchLoss(Given(), lossary.Matryoshka(ranking, [6, 2]))(columns, None)
    torch.testing.assert_close(nested, sum(ranking(*(x[:, :d] for x in (anchor, positive, negative))) for d in (6, 2)))
    cosent, scores = presets.sentence_transformers.cosent(), torch.rand(4)
    assert torch.equal(
        EmbeddingLoss(Given(), cosent)(_columns(anchor, positive), scores), cosent(anchor, positive, scores)
    )


def test_rows_of_the_same_id_are_no_negatives() -> None:
    anchor = torch.eye(4)
    positive = torch.eye(4) + 0.5  # every entry counts, so that leaving one out is seen
    loss = InBatchLoss(Given(), lossary.MultipleNegativesRankingLoss())
    ids = torch.tensor([0, 1, 0, 2])
    masked = lossary.functional.multiple_negatives_ranking_loss(anchor, positive, ids=ids)
    plain = lossary.functional.multiple_negatives_ranking_loss(anchor, positive)
    assert torch.equal(loss(_columns(anchor, positive), ids), masked)
    assert torch.equal(loss(_columns(anchor, positive), None), plain)
    assert masked < plain


def test_further_columns_are_hard_negatives() -> None:
    anchor, positive, *hard = (torch.randn(4, 3) for _ in range(4))
    loss = InBatchLoss(Given(), lossary.MultipleNegativesRankingLoss())
    expected = lossary.functional.multiple_negatives_ranking_loss(anchor, positive, torch.cat(hard))
    assert torch.equal(loss(_columns(anchor, positive, *hard), None), expected)


def test_scores_are_no_ids() -> None:
    loss = InBatchLoss(Given(), lossary.MultipleNegativesRankingLoss())
    with pytest.raises(TypeError, match="ids: wanted integer labels"):
        loss(_columns(torch.randn(2, 3), torch.randn(2, 3)), torch.tensor([0.5, 0.7]))


def _model() -> Any:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "green": 2, "blue": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return sentence_transformers.SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu"
    )


def _train(tmp_path: Path, model: Any, loss: nn.Module, **columns: list[Any]) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    datasets = pytest.importorskip("datasets")
    args = sentence_transformers.SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True
    )
    data = datasets.Dataset.from_dict(columns)
    sentence_transformers.SentenceTransformerTrainer(model=model, args=args, train_dataset=data, loss=loss).train()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the library's own
@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        (lossary.TripletMarginLoss(margin=100.0), {"anchor": ["red"], "positive": ["green"], "negative": ["blue"]}),
        (lossary.ContrastiveLoss(), {"a": ["red", "red"], "b": ["green", "blue"], "label": [1, 0]}),
        (lossary.SupConLoss(), {"text": ["red", "green", "blue"], "label": [0, 0, 1]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_its_trainer_trains_the_model(tmp_path: Path, loss: nn.Module, columns: dict[str, list[Any]]) -> None:
    model = _model()
    before = [p.detach().clone() for p in model.parameters()]
    _train(tmp_path, model, EmbeddingLoss(model, loss), **columns)
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_its_trainer_trains_a_heads_class_weights(tmp_path: Path) -> None:
    model, head = _model(), lossary.ArcFaceLoss(num_classes=2, embedding_size=4)
    before = head.weight.detach().clone()
    _train(tmp_path, model, EmbeddingLoss(model, head), text=["red", "green", "blue"], label=[0, 0, 1])
    assert not torch.equal(head.weight, before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_its_trainer_gives_the_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor | None] = []
    loss = lossary.MultipleNegativesRankingLoss()
    monkeypatch.setattr(loss, "forward", lambda a, p, ids: seen.append(ids) or (a * p).sum())
    model = _model()
    _train(tmp_path, model, InBatchLoss(model, loss), a=["red", "blue"], b=["green", "red"], label=[7, 7])
    assert seen[0] is not None
    assert seen[0].tolist() == [7, 7]
