"""CILDA: MATE-KD's generator also looks for words on which the inner layers of teacher and student part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import Batch, Models, option
from strategies.mate_kd.strategy import MateKD

if TYPE_CHECKING:
    import torch

    from bench.cost import CostModel
    from bench.models.inputs import Inputs


@dataclass
class CILDA(MateKD):
    """MATE-KD whose generator parts inner layers as well (CILDA, Haidar et al., COLING 2022, arXiv 2204.07674).

    The generator maximises D(T(X'), S(X')) + ``contrast`` * C. C is the InfoNCE loss between the models' inner layers:
    -log softmax over the batch's rows j of cos(u_i, v_j) / ``contrast_tau``, at j = i, a mean over rows i; u and v are
    the student's and the teacher's summary of X'. A summary is the mean over a row's tokens of each layer's output, all
    layers side by side, projected to ``width`` numbers, so that depths and widths may differ. The two projections go
    down C while the generator goes up: they are what finds the layers alike, else C would measure chance. All else is
    MATE-KD's.

    Of the paper only the abstract could be confirmed: a contrastive loss between intermediate layers that improves the
    masked adversary's texts. The form of C above is our reading, after CoDIR and RAIL-KD (by the same group). The
    student's own loss stays that of every strategy here, without C. With micro-batches the other rows are those of the
    micro-batch.
    """

    verified = (
        "a generator step equals MATE-KD's plain reference with a contrast written out pair by pair; the contrast "
        "itself is our reading of the abstract"
    )

    contrast: float = option(1.0, "the weight of C beside D", above=0, search=(0.03, 3.0, "log"))
    contrast_tau: float = option(0.1, "the temperature of C's softmax", above=0)
    width: int = option(128, "the size of what the layers are projected to", at_least=1)
    contrast_lr: float = option(1e-3, "the learning rate of the projections' AdamW", above=0)

    def cost_model(self) -> CostModel:
        return replace(super().cost_model(), reference=None)

    def setup(self, models: Models) -> None:
        import torch

        from bench.models.reshape import encoder_layers

        super().setup(models)
        assert models.teacher is not None
        self.projections = []
        for model in (models.student, models.teacher):
            sizes = len(encoder_layers(model)) * model.config.hidden_size
            weight = next(model.parameters()).new_empty(sizes, self.width)
            weight.normal_(std=sizes**-0.5, generator=models.rng)
            self.projections.append(weight.requires_grad_())
        # What is minimised holds -C: going up it, the projections go down C.
        self.contraster = torch.optim.AdamW(
            self.projections, lr=self.contrast_lr, weight_decay=0.0, fused=True, maximize=True
        )

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        loss = super().fit_adversary(batch, models)
        models.ranks.add_up(self.projections)
        self.contraster.step()
        self.contraster.zero_grad()
        return loss

    def climbed(self, models: Models, teacher: Inputs, student: Inputs) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        with layer_means(models.student, student) as of_student, layer_means(models.teacher, teacher) as of_teacher:
            disagreement = super().climbed(models, teacher, student)
        u, v = (
            F.normalize(torch.cat(means, dim=1).to(weight.dtype) @ weight, dim=1)
            for means, weight in zip((of_student, of_teacher), self.projections, strict=True)
        )
        rows = torch.arange(len(u), device=u.device)
        return disagreement + self.contrast * F.cross_entropy(u @ v.T / self.contrast_tau, rows)

    def state_dict(self) -> dict[str, Any]:
        projections = [weight.detach() for weight in self.projections]
        return {**super().state_dict(), "projections": projections, "contraster": self.contraster.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for weight, saved in zip(self.projections, state["projections"], strict=True):
            weight.data.copy_(saved)
        self.contraster.load_state_dict(state["contraster"])


@contextmanager
def layer_means(model: Any, inputs: Inputs) -> Iterator[list[torch.Tensor]]:
    """Inside, a forward of ``inputs`` leaves each layer's output, its mean over a row's tokens [B, H], in the list."""
    from bench.models.reshape import encoder_layers

    means: list[torch.Tensor] = []
    # In fp32: what is multiplied by it is no longer in half precision.
    tokens = inputs["attention_mask"].unsqueeze(2).float()

    def keep(module: Any, args: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        means.append((hidden * tokens).sum(dim=1) / tokens.sum(dim=1))

    hooks = [layer.register_forward_hook(keep) for layer in encoder_layers(model)]
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()
