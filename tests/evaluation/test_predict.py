from __future__ import annotations

import numpy as np
import pytest
import torch
from families import every_family
from tiny import make_models, rows

from bench.evaluation.predict import predict
from bench.models.inputs import accepted


@every_family
def test_logits_come_in_the_rows_order_whatever_the_batches(family):
    models = make_models(family, dropout=0.5)
    data = rows(11)
    student = models.student.train()
    counts: list[tuple[int, int]] = []
    logits = predict(student, data, models.accelerator, batch_size=4, progress=lambda *done: counts.append(done))
    assert counts == [(4, 11), (8, 11), (11, 11)]
    assert student.training
    assert logits.shape == (11, 3)
    assert logits.dtype == np.float32
    student.eval()
    with torch.no_grad():
        alone = [student(**accepted(student, data.inputs(np.array([i])))).logits[0].numpy() for i in range(11)]
    np.testing.assert_allclose(logits, alone, rtol=1e-4, atol=1e-5)
    assert predict(student, data, models.accelerator)[0] != pytest.approx(logits[1])
    assert not student.training
