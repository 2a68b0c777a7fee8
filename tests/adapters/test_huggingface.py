"""compute_loss_func in Hugging Face's real Trainer; its arithmetic by itself where the library is not installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lossary
from lossary.adapters.huggingface import causal_loss_func, compute_loss_func


def test_micro_batches_add_up_to_the_mean_over_all_labels() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, -100, 1])
    compute = compute_loss_func(lossary.CrossEntropyLoss())
    parts = [
        compute({"logits": logits[rows]}, labels[rows], num_items_in_batch=torch.tensor(4))
        for rows in (slice(0, 1), slice(1, 6))
    ]
    torch.testing.assert_close(sum(parts), lossary.functional.cross_entropy(logits, labels))


def test_without_a_number_of_items_it_is_the_loss() -> None:
    logits, labels = torch.randn(6, 3), torch.arange(6) % 3
    value = compute_loss_func(lossary.FocalLoss(), output="scores")({"scores": logits}, labels)
    assert torch.equal(value, lossary.functional.focal_loss(logits, labels))


def test_a_micro_batch_without_labels_adds_nothing() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    compute = compute_loss_func(lossary.CrossEntropyLoss())
    value = compute({"logits": logits}, torch.tensor([-100, -100]), num_items_in_batch=5)
    value.backward()
    assert value == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_the_next_token_answers_for_a_logit() -> None:
    logits, labels = torch.randn(2, 4, 5), torch.tensor([[4, 1, 2, -100], [0, 3, -100, -100]])
    expected = lossary.functional.cross_entropy(logits[[0, 0, 1], [0, 1, 0]], torch.tensor([1, 2, 3]))
    compute = causal_loss_func(lossary.CrossEntropyLoss())
    torch.testing.assert_close(compute({"logits": logits}, labels), expected)
    # of six items in the whole batch this one has three
    torch.testing.assert_close(compute({"logits": logits}, labels, num_items_in_batch=6), expected / 2)


def _train(tmp_path: Path, model: Any, data: list[dict[str, Tensor]], compute: Any, **given: Any) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    settings: dict[str, Any] = {"report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    settings |= {"max_steps": 1, "learning_rate": 0.1, "optim": "sgd", "max_grad_norm": 0.0, **given}
    args = transformers.TrainingArguments(output_dir=str(tmp_path), **settings)
    transformers.Trainer(model=model, args=args, train_dataset=data, compute_loss_func=compute).train()


def _config(cls: str, **given: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, cls)(**{"vocab_size": 20, "num_labels": 3, **given})


_BERT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the library's own
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokens = torch.randint(20, (8, 6))
    labels = tokens % 3
    labels[:5, 1:] = -100  # micro-batches have very different numbers of labels
    data = [{"input_ids": x, "labels": y} for x, y in zip(tokens, labels, strict=True)]
    start = transformers.BertForTokenClassification(_config("BertConfig", **_BERT)).state_dict()
    ended: list[Tensor] = []
    for size, steps in ((8, 1), (2, 4)):
        model = transformers.BertForTokenClassification(_config("BertConfig", **_BERT))
        model.load_state_dict(start)
        compute = compute_loss_func(lossary.CrossEntropyLoss(dim=-1))
        batches = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        _train(tmp_path, model, data, compute, **batches)
        ended.append(model.classifier.weight.detach())
    assert not torch.allclose(ended[0], start["classifier.weight"])
    torch.testing.assert_close(ended[1], ended[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_causal_model_trains_as_with_its_own_loss(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokens = torch.randint(20, (8, 6))
    data = [{"input_ids": x, "labels": x} for x in tokens]
    config = _config("GPT2Config", n_embd=8, n_layer=1, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    start = transformers.GPT2LMHeadModel(config).state_dict()
    ended: list[Tensor] = []
    for compute in (None, causal_loss_func(lossary.CrossEntropyLoss())):
        model = transformers.GPT2LMHeadModel(config)
        model.load_state_dict(start)
        _train(tmp_path, model, data, compute, per_device_train_batch_size=2, gradient_accumulation_steps=4)
        ended.append(model.transformer.wte.weight.detach())
    assert not torch.allclose(ended[0], start["transformer.wte.weight"])
    torch.testing.assert_close(ended[1], ended[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_head_that_is_part_of_the_model_learns(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokens = torch.randint(20, (8, 6))
    data = [{"input_ids": x, "labels": x[0] % 3} for x in tokens]
    model = transformers.BertModel(_config("BertConfig", **_BERT))
    model.head = lossary.ArcFaceLoss(num_classes=3, embedding_size=8)
    before = model.head.weight.detach().clone()
    compute = compute_loss_func(model.head, output="pooler_output")
    with pytest.raises(ValueError, match=r"give TrainingArguments label_names=\['labels'\]"):
        _train(tmp_path, model, data, compute)
    _train(tmp_path, model, data, compute, label_names=["labels"])
    assert not torch.allclose(model.head.weight, before)
