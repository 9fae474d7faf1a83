"""Strategies that each break one rule of training, and one that breaks none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bench import Strategy, View
from bench.skeletons.learned_shift import LearnedShift
from strategies.mate_kd.strategy import MateKD


@dataclass
class Noise(Strategy):
    """Noise on the embeddings, and an adversary that does little: nothing is wrong with it."""

    size: float = 0.1

    needs = ("teacher", "generator")

    def supports(self, task):
        return None if task.name == "made-sentence" else "made for sentences, to be checked quickly"

    def turn(self, step):
        return "adversary" if step.adversary <= step.student else "student"

    def setup(self, models):
        self.weight = torch.ones((), requires_grad=True)
        self.optimizer = torch.optim.SGD([self.weight], lr=0.1)

    def fit_adversary(self, batch, models):
        self.set_mode(models.student)
        models.student.requires_grad_(False)
        gap = models.logits("teacher", batch.inputs) - self.weight * models.logits("student", batch.inputs)
        loss = -gap.square().mean()
        loss.backward()
        models.student.requires_grad_(True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def set_mode(self, student):
        student.eval()

    def noisy(self, batch, models):
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        noise = torch.randn(words.shape, generator=models.rng)
        rest = {key: value for key, value in batch.inputs.items() if key != "input_ids"}
        return {**rest, "inputs_embeds": words + self.size * self.weight.detach() * noise}

    def views(self, batch, models):
        yield View(student=self.noisy(batch, models))

    def state_dict(self):
        return {"weight": self.weight.detach()}

    def load_state_dict(self, state):
        with torch.no_grad():
            self.weight.copy_(state["weight"])


@dataclass
class TrustsTheMode(Noise):
    """Asks the student in whatever mode it was left."""

    def set_mode(self, student):
        pass


@dataclass
class Relearns(Noise):
    """Changes the batch's labels."""

    def views(self, batch, models):
        batch.labels.zero_()
        yield from super().views(batch, models)


@dataclass
class ErasesInPlace(Noise):
    """Masks words of the clean batch itself."""

    def views(self, batch, models):
        batch.inputs["input_ids"][:, 1] = models.tokenizer.mask_token_id
        yield View(student=batch.inputs)


@dataclass
class TrainsTheTeacher(Noise):
    """Lets the adversary's gradient into the teacher."""

    def setup(self, models):
        super().setup(models)
        models.teacher.requires_grad_(True)


@dataclass
class RewritesTheTeacher(Noise):
    """Moves the teacher's weights."""

    def views(self, batch, models):
        with torch.no_grad():
            next(models.teacher.parameters()).mul_(0.99)
        yield from super().views(batch, models)


@dataclass
class WakesTheTeacher(Noise):
    """Puts the teacher in train mode."""

    def setup(self, models):
        super().setup(models)
        models.teacher.train()


@dataclass
class LeavesAGradient(Noise):
    """Climbs the student's loss and leaves its gradient behind."""

    def fit_adversary(self, batch, models):
        loss = models.logits("student", batch.inputs).square().mean()
        loss.backward()
        return loss.detach()


@dataclass
class LeavesItFrozen(Noise):
    """Freezes the student for good."""

    def fit_adversary(self, batch, models):
        models.student.requires_grad_(False)
        return torch.zeros(())


@dataclass
class PutsItToSleep(Noise):
    """Leaves the student in eval mode."""

    def views(self, batch, models):
        models.student.eval()
        yield from super().views(batch, models)


@dataclass
class TrainsTheStudent(Noise):
    """Makes an update of its own of the student."""

    def views(self, batch, models):
        with torch.no_grad():
            next(models.student.parameters()).mul_(0.99)
        yield from super().views(batch, models)


@dataclass
class GlobalNoise(Noise):
    """Draws from torch's global generator."""

    def noisy(self, batch, models):
        made = super().noisy(batch, models)
        return {**made, "inputs_embeds": made["inputs_embeds"] + 0.1 * torch.randn_like(made["inputs_embeds"])}


@dataclass
class Uncounted(Noise):
    """Asks the teacher behind the harness's back."""

    def views(self, batch, models):
        with torch.no_grad():
            known = models.teacher(**batch.inputs).logits
        yield View(student=self.noisy(batch, models), teacher_logits=known)


@dataclass
class Forgets(Noise):
    """Does not save what its views depend on."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@dataclass
class SavesAnything(Noise):
    """Has a state that a checkpoint does not take back."""

    def state_dict(self):
        return {"weight": self.weight.detach(), "task": Noise}


CALLS = []


@dataclass
class CountsEverywhere(Noise):
    """Depends on how many runs there were in this process."""

    def setup(self, models):
        super().setup(models)
        CALLS.append(1)
        self.size = 0.1 * len(CALLS)


@dataclass
class Hoards(Noise):
    """Keeps every batch."""

    def views(self, batch, models):
        self.__dict__.setdefault("batches", []).append(batch)
        yield from super().views(batch, models)


SEEN = []


@dataclass
class RemembersRows(Noise):
    """Keeps the rows of every batch in its module."""

    def views(self, batch, models):
        SEEN.append(batch.rows)
        yield from super().views(batch, models)


@dataclass
class KeepsTheGraph(Noise):
    """Returns a loss that holds on to its graph."""

    def fit_adversary(self, batch, models):
        return super().fit_adversary(batch, models) * self.weight


@dataclass
class HalfABatch(Noise):
    """A view of some of the rows."""

    def views(self, batch, models):
        for view in super().views(batch, models):
            yield View(student={key: value[:2] for key, value in view.student.items()})


@dataclass
class OddTargets(Noise):
    """Targets of another shape."""

    def views(self, batch, models):
        for view in super().views(batch, models):
            yield View(student=view.student, teacher_logits=batch.teacher_logits[:, :1])


@dataclass
class Explodes(Noise):
    """A loss that is no number."""

    size: float = math.inf


@dataclass
class OneByOneTooHeavy(Noise):
    """Views that are waited for, whose weights do not sum to one."""

    def views(self, batch, models):
        for view in [*super().views(batch, models), *super().views(batch, models)]:
            view.wait = True
            yield view


@dataclass
class Descends(MateKD):
    """An adversary that learns to agree."""

    def setup(self, models):
        super().setup(models)
        self.optimizer.param_groups[0]["maximize"] = True


@dataclass
class ShiftsBack(LearnedShift):
    """The skeleton's shift, towards the teacher."""

    def setup(self, models):
        super().setup(models)
        self.optimizer.param_groups[0]["maximize"] = True
