"""Questions and answers with Sentence Transformers' trainer; questions of the same answer are no negatives."""

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

import lossary
from lossary.adapters.sentence_transformers import InBatchLoss

questions = ["how tall is it", "what is its height", "how heavy is it", "what does it weigh", "how old is it"]
answers = ["ten metres tall", "ten metres tall", "two tons of weight", "two tons of weight", "a hundred years of age"]

words = sorted({word for text in (*questions, *answers) for word in text.split()})
tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=32)], device="cpu")

data = Dataset.from_dict(
    {
        "question": questions,
        "answer": answers,
        "label": [answers.index(answer) for answer in answers],  # the ids: equal answers share one
    }
)
trainer = SentenceTransformerTrainer(
    model=model,
    args=SentenceTransformerTrainingArguments(
        output_dir="run",
        num_train_epochs=60,
        per_device_train_batch_size=5,
        learning_rate=0.05,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=data,
    loss=InBatchLoss(model, lossary.MultipleNegativesRankingLoss()),
)
trainer.train()

similarity = model.similarity(model.encode(questions), model.encode(answers))
found = [answers[k] for k in similarity.argmax(1).tolist()]
print("accuracy", sum(f == a for f, a in zip(found, answers, strict=True)) / len(answers))
