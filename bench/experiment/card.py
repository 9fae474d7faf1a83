"""The model card of a student that is kept: what it is, how well it does, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.data.tasks import Task

_HUB_METRICS = {"matthews": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr"}


def model_card(record: Mapping[str, Any], task: Task) -> str:
    """Return the card, with the hub's metadata, of the student of a run; ``record`` holds what is known of it."""
    from huggingface_hub import EvalResult, ModelCardData

    is_glue = record["data"]["source"] in ("hub", "folder")
    name = f"{task.name}-{record['strategy'].partition('[')[0]}-seed-{record['seed']}"
    scores = [
        EvalResult(
            task_type="text-classification",
            dataset_type="nyu-mll/glue" if is_glue else task.name,
            dataset_name=task.title,
            dataset_config=task.name if is_glue else None,
            dataset_split=split,
            dataset_revision=record["data"]["fingerprint"],
            metric_type=_HUB_METRICS.get(metric, metric),
            metric_value=round(value, 6),
        )
        for split, values in record["metrics"].items()
        for metric, value in values.items()
        if value is not None
    ]
    metadata = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["knowledge-distillation", "data-augmentation"],
        datasets=["nyu-mll/glue"] if is_glue else None,
        model_name=name,
        eval_results=scores,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_text(record, task, name)}"


def _text(record: Mapping[str, Any], task: Task, name: str) -> str:
    data, teacher, cost = record["data"], record["teacher"], record["cost"]
    origin, selection = record["provenance"], record["selection"]
    texts = '"a sentence"' if len(task.texts) == 1 else '{"text": "one text", "text_pair": "the other"}'
    rows = ", ".join(f"{split} {count:,}" for split, count in data["rows"].items())
    scores = "\n".join(
        f"| {split} | {metric} | {'not a number' if value is None else f'{value:.4f}'} |"
        for split, values in record["metrics"].items()
        for metric, value in values.items()
    )
    taught = (
        "It had no teacher: it learned from the labels alone."
        if teacher is None
        else f"Its teacher scores {teacher['dev']:.4f} ({teacher['metric']}) on dev; digest of its weights "
        f"`{teacher['hash']}`."
    )
    versions = ", ".join(f"{package} {version}" for package, version in origin["packages"].items())
    commit = origin["git_commit"] or "unknown"
    answers = "a score" if task.is_regression else ", ".join(task.labels)
    which = f"of update {selection['step']} of {cost['student_updates']} (`{selection['rule']}`"
    which += "; optimistic, being chosen by the rows that it is scored on)" if selection["optimistic"] else ")"
    return f"""# {name}

A student of {task.title}, trained by knowledge distillation under the augmentation strategy `{record["strategy"]}` with
seed {record["seed"]}. It answers with {answers}.

```python
from transformers import pipeline

classify = pipeline("text-classification", "FOLDER OF THIS FILE")
classify({texts}, truncation=True)
```

| split | metric | score |
|---|---|---|
{scores}

- Reported is the student {which}.
- {taught}
- Data: {data["source"]}, content `{data["fingerprint"]}`; rows: {rows}.
- Strategy's options: `{record["strategy_options"]}`.
- Training took {cost["train_seconds"]:.0f} s on {origin["hardware"]}.
- Run `{record["id"]}` of distil-augment-bench {origin["bench"]}, commit {commit}; {versions}.
"""
