"""Token classification with Hugging Face's Trainer and a focal loss; labels of -100 do not count."""

import torch
from transformers import BertConfig, BertForTokenClassification, Trainer, TrainingArguments

import lossary
from lossary.adapters.huggingface import compute_loss_func

config = BertConfig(
    vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=3
)
model = BertForTokenClassification(config)

tokens = torch.randint(5, 100, (64, 12))
labels = tokens % 3
labels[:, 8:] = -100
data = [{"input_ids": x, "labels": y} for x, y in zip(tokens, labels, strict=True)]

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir="run",
        num_train_epochs=30,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,  # the loss is the mean over both micro-batches' labels
        learning_rate=5e-3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=data,
    compute_loss_func=compute_loss_func(lossary.FocalLoss(gamma=1.0, dim=-1)),  # logits are (B, L, C)
)
trainer.train()

predicted = model(input_ids=tokens).logits.argmax(-1)
counted = labels != -100
print("accuracy", (predicted == labels)[counted].float().mean().item())
