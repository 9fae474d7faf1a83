"""TextAttack inside a worker process: its import without network, its parts with local models, and its speed.

Importing this module imports the library, makes it faster with the same output, and changes global state (loggers,
``nltk.download``, the library's classes): only worker processes may.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import random
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from bench.errors import BenchError
from bench.models.inputs import accepted
from bench.models.load import explained, load_tokenizer, locate
from bench.models.masked_lm import gathered
from bench.strategy import Context
from strategies.textattack.requirements import HOMOGLYPHS, MINILM, Member, cache_folder
from strategies.textattack.speed import same_output_faster
from strategies.wordnet import read_fast


def _import_offline() -> None:
    """Import TextAttack without its downloads, and give other loggers back their voice, which it takes away."""
    import nltk

    # Called at every construction of a WordNet transformation, and at the first import.
    nltk.download = lambda *args, **kwargs: False
    mark = cache_folder() / "post_install_check_3"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise BenchError(f"TextAttack cannot write {mark} ({error.strerror}); set TA_CACHE_DIR to a folder") from error
    read_fast()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    disabled = [logger.disabled for logger in loggers]
    import jieba
    import textattack

    for logger, was in zip(loggers, disabled, strict=True):
        logger.disabled = was
    textattack.shared.utils.logger.setLevel(logging.WARNING)
    jieba.setLogLevel(logging.WARNING)
    # TextAttack sets it to true, and the processes beside this one have the other cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    same_output_faster()


_import_offline()

import textattack  # noqa: E402
from textattack.augmentation import Augmenter  # noqa: E402
from textattack.constraints import Constraint  # noqa: E402
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder  # noqa: E402
from textattack.goal_function_results import GoalFunctionResultStatus  # noqa: E402
from textattack.models.wrappers import ModelWrapper  # noqa: E402
from textattack.shared import AttackedText, WordEmbedding, utils  # noqa: E402
from textattack.transformations import (  # noqa: E402
    WordInsertionMaskedLM,
    WordMergeMaskedLM,
    WordSwap,
    WordSwapMaskedLM,
)
from textattack.transformations.word_merges.word_merge_masked_lm import find_merge_index  # noqa: E402


def seed(number: int) -> None:
    """Seed every random generator that TextAttack draws from."""
    random.seed(number)
    np.random.seed(number)
    # torch.manual_seed would queue a call for every device not in use, with a stack trace: slower than all else here.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)


def cut(text: str, most: int) -> tuple[str, str]:
    """Split ``text`` after its first ``most`` words, or where they are very long after 12 letters a word."""
    last = next(itertools.islice(re.finditer(r"\S+", text), most - 1, None), None)
    end = min(last.end() if last else len(text), 12 * most)
    found = words(text[:end])
    if len(found) > most:  # text without spaces between its words
        end = 0
        for word in found[:most]:
            end = text.index(word, end) + len(word)
    return text[:end], text[end:]


def words(text: str) -> list[str]:
    """Return the words of ``text`` as TextAttack sees them."""
    return utils.words_from_text(text)


@dataclass(frozen=True)
class Model:
    """A model's folder, and what identifies its contents: a student's snapshot keeps its place."""

    folder: str
    digest: str = ""


@dataclass(frozen=True)
class Local:
    """The local models that take the places of those a recipe would download."""

    generator: Model | None
    sentence_encoder: str
    vectors: str | None
    device: str

    @classmethod
    def of(cls, member: Member, context: Context) -> Local:
        """Return what ``member`` is to be made of."""
        generator = None
        if member.masked_lm():
            generator = Model(context.models["generator"], context.digests.get("generator", ""))
        vectors = getattr(member, "vectors", None)
        if vectors is None and member.word_vectors():
            vectors = str(cache_folder() / "word_embeddings" / "paragramcf")
        return cls(generator, getattr(member, "sentence_encoder", MINILM), vectors, context.device)

    def parts(self) -> dict[str, Any]:
        """Return what a recipe's code is to find under the names of the library's classes."""
        utils.device = torch.device(self.device)
        parts: dict[str, Any] = {}
        if self.sentence_encoder == "none":
            parts |= {"UniversalSentenceEncoder": _Anything, "SBERT": _Anything}
        else:
            encoder = functools.partial(_Encoder, self.sentence_encoder, self.device)
            parts |= {"UniversalSentenceEncoder": functools.partial(encoder, metric="angular"), "SBERT": encoder}
        if self.generator is not None:
            model, tokenizer = _masked_lm(self.generator, self.device)
            lm = {
                "masked_language_model": model,
                "tokenizer": tokenizer,
                "max_length": _longest(model, tokenizer),
                "batch_size": 32,
            }
            parts["WordSwapMaskedLM"] = functools.partial(_Swap, **lm)
            parts["WordInsertionMaskedLM"] = functools.partial(_Insertion, **lm)
            parts["WordMergeMaskedLM"] = functools.partial(_Merge, **lm)
            # CLARE loads its model itself.
            parts["transformers"] = types.SimpleNamespace(
                AutoModelForCausalLM=types.SimpleNamespace(from_pretrained=lambda name: model),
                AutoTokenizer=types.SimpleNamespace(from_pretrained=lambda name: tokenizer),
            )
        if not _homoglyphs().is_file():
            parts[HOMOGLYPHS] = _Nothing
        if self.vectors is not None:
            # Where the library's own parts look for vectors that are loaded already.
            utils.GLOBAL_OBJECTS["textattack_counterfitted_GLOVE_embedding"] = _vectors(self.vectors)
        return parts


def _homoglyphs() -> Path:
    return Path(textattack.__file__).parent / "shared" / "intentional_homoglyphs.txt"


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _with(function: Any, names: dict[str, Any]) -> Callable[..., Any]:
    """Return ``function``, of the library, with some of the names it uses meaning something else."""
    return types.FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__
    )


Given = tuple[tuple[str, Any], ...]
"""The options of a member that are the library's own: hashable, to be cached by."""


@functools.lru_cache(maxsize=4)
def augmenter(target: str, given: Given, local: Local) -> Augmenter:
    """Return the library's augmenter at ``target``."""
    parts = local.parts()
    if local.generator is None:
        made = _named(target)(transformations_per_example=1, **dict(given))
        # Corpora are read when first asked, which is not to be on a row's time.
        made.augment("a first text")
        return made
    # CLARE's augmenter takes no model but the hub's; its recipe has the same transformations and constraints.
    recipe = _named("textattack.attack_recipes.clare_li_2020:CLARE2020").build
    bare = {
        "UntargetedClassification": lambda wrapper: None,
        "Attack": lambda goal, constraints, transformation, search: (transformation, constraints),
    }
    transformation, constraints = _with(recipe, parts | bare)(None)
    return Augmenter(transformation, constraints, transformations_per_example=1, **dict(given))


@functools.lru_cache(maxsize=4)
def attack(target: str, given: Given, local: Local, victim: Model) -> textattack.Attack:
    """Return the library's attack that the recipe at ``target`` builds against ``victim``."""
    built = _with(_named(target).build, local.parts())(_victim(victim, local.device), **dict(given))
    constrained, goal = built.filter_transformations, built.goal_function

    def filter_transformations(texts: Sequence[AttackedText], *against: AttackedText, **kwargs: Any) -> list[Any]:
        # The victim is asked about the first that pass, in the order of their texts, as many as the budget has left:
        # whether the others would, which is most of the work of recipes with a sentence encoder, does not matter.
        left = max(1, goal.query_budget - goal.num_queries)
        texts, passed = sorted(texts, key=lambda text: text.text), []
        for start in range(0, len(texts), left):
            passed += constrained(texts[start : start + left], *against, **kwargs)
            if len(passed) >= left:
                break
        return passed

    built.filter_transformations = filter_transformations
    built.search_method.filter_transformations = filter_transformations
    return built


def attacked(
    attack: textattack.Attack, row: tuple[str, ...], side: int, head: str, tail: str, label: int, queries: int
) -> tuple[str, str, int]:
    """Attack ``head``, the beginning of text ``side`` of ``row``; return outcome, the new head and queries."""
    goal = attack.goal_function
    # Of the rest no more than the victim can read.
    tail = cut(tail, goal.model.max_length)[0]
    goal.model.frame = lambda text: (*row[:side], text + tail, *row[side + 1 :])
    goal.model.side = side
    goal.model.asked = 0
    goal.query_budget = queries
    # Answers are cached by text, and the other text of a pair is another row by row.
    attack.clear_cache()
    result = attack.attack(head, label).perturbed_result
    text = result.attacked_text.text
    outcome = {
        GoalFunctionResultStatus.SUCCEEDED: "success",
        GoalFunctionResultStatus.SKIPPED: "skipped",
        GoalFunctionResultStatus.MAXIMIZING: "success" if text != head else "failure",
    }.get(result.goal_status, "failure")
    return outcome, text if outcome == "success" else head, goal.model.asked


def _longest(model: Any, tokenizer: Any) -> int:
    """Return how many word pieces ``model`` can read."""
    config = model.config
    positions = getattr(config, "max_position_embeddings", 512)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= config.pad_token_id + 1
    return min(tokenizer.model_max_length, positions, 512)


class _Victim(ModelWrapper):
    """The model under attack: reads candidates in their row, padded to the longest of a batch, without dropout."""

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self.model = model.float().eval().requires_grad_(False).to(device)
        self.tokenizer = tokenizer
        self.max_length = _longest(model, tokenizer)
        self.frame: Callable[[str], tuple[str, ...]] = lambda text: (text,)
        self.side = 0
        self.asked = 0

    def _encoded(self, texts: Sequence[str]) -> Any:
        columns = [list(column) for column in zip(*map(self.frame, texts), strict=True)]
        self.asked += len(texts)
        encoded = self.tokenizer(
            *columns, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return encoded.to(self.model.device)

    def __call__(self, text_input_list: Sequence[str], **kwargs: Any) -> torch.Tensor:
        with torch.no_grad():
            return self.model(**accepted(self.model, self._encoded(text_input_list))).logits.double().cpu()

    def _mine(self, encoded: Any) -> list[int]:
        """Return the places of the attacked text's pieces in the first row."""
        return [place for place, side in enumerate(encoded.sequence_ids(0)) if side == self.side]

    def get_grad(self, text_input: str) -> dict[str, Any]:
        """Return the gradient of the loss at the attacked text's embeddings, without dropout (the library's has it)."""
        encoded = self._encoded([text_input])
        found: list[torch.Tensor] = []

        def keep(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
            found.append(output.detach().requires_grad_())
            return found[0]

        hook = self.model.get_input_embeddings().register_forward_hook(keep)
        try:
            with torch.enable_grad():
                logits = self.model(**accepted(self.model, encoded)).logits
                loss = torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1))
                (gradient,) = torch.autograd.grad(loss, found[0])
        finally:
            hook.remove()
        places = self._mine(encoded)
        return {"ids": encoded["input_ids"][0, places].tolist(), "gradient": gradient[0, places].cpu().numpy()}

    def _tokenize(self, inputs: Sequence[str]) -> list[list[str]]:
        rows = []
        for text in inputs:
            encoded = self.tokenizer(*([t] for t in self.frame(text)), truncation=True, max_length=self.max_length)
            pieces = self.tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
            rows.append([pieces[place] for place in self._mine(encoded)])
        return rows


@functools.lru_cache(maxsize=1)
def _victim(victim: Model, device: str) -> _Victim:
    with explained(victim.folder):
        model = transformers.AutoModelForSequenceClassification.from_pretrained(victim.folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(victim.folder)
    return _Victim(model, tokenizer, device)


@functools.lru_cache(maxsize=1)
def _masked_lm(generator: Model, device: str) -> tuple[Any, Any]:
    with explained(generator.folder):
        model = transformers.AutoModelForMaskedLM.from_pretrained(generator.folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(generator.folder)
    return model.float().eval().requires_grad_(False).to(device), tokenizer


class _TopWords:
    """What a masked LM of the library does, with less work: rows padded to the longest of a batch, the head's
    logits at the masked places alone, and no loop over the vocabulary's tensor. (Same words; where two have the same
    probability the order may differ.)"""

    _language_model: Any
    _lm_tokenizer: Any
    max_length: int
    max_candidates: int
    min_confidence: float
    batch_size: int

    def _encode_text(self, text: Any) -> Any:
        encoded = self._lm_tokenizer(
            text, max_length=self.max_length, truncation=True, padding=True, return_tensors="pt"
        )
        return encoded.to(self._language_model.device)

    @functools.cached_property
    def _kind(self) -> str:
        # The library knows few model types by name; what matters is how their word pieces are written.
        return "bert" if any(piece.startswith("##") for piece in self._lm_tokenizer.get_vocab()) else "roberta"

    @functools.cached_property
    def _words(self) -> dict[tuple[int, bool], str | None]:
        return {}

    def _word(self, piece: int, first: bool) -> str | None:
        """Return the word that the piece numbered ``piece`` is, None if it is none."""
        key = (piece, first)
        if key not in self._words:
            word = self._lm_tokenizer.convert_ids_to_tokens(piece)
            if utils.check_if_subword(word, self._kind, first):
                word = utils.strip_BPE_artifacts(word, self._kind)
            whole = utils.is_one_word(word) and not utils.check_if_punctuations(word)
            self._words[key] = word if whole else None
        return self._words[key]

    def _top_words(self, masked_texts: Sequence[str]) -> list[list[str]]:
        """Return for each text the words that the model would put at its mask, best first."""
        found: list[list[str]] = []
        for start in range(0, len(masked_texts), self.batch_size):
            inputs = self._encode_text(list(masked_texts[start : start + self.batch_size]))
            masked = inputs["input_ids"] == self._lm_tokenizer.mask_token_id
            masked &= masked.cumsum(dim=1) == 1
            places = masked.int().argmax(dim=1).tolist()
            with torch.no_grad(), gathered(self._language_model, masked):
                logits = self._language_model(**accepted(self._language_model, inputs)).logits[0]
            rows = iter(torch.softmax(logits.float(), dim=1))
            # A text whose mask was cut off has no words.
            found += [
                self._ranked(next(rows), place == 1) if there else []
                for place, there in zip(places, masked.any(dim=1).tolist(), strict=True)
            ]
        return found

    def _ranked(self, probabilities: torch.Tensor, first: bool) -> list[str]:
        count = min(8 * self.max_candidates, len(probabilities))
        while True:
            top = torch.topk(probabilities, count)
            chosen: list[str] = []
            for probability, piece in zip(top.values.tolist(), top.indices.tolist(), strict=True):
                if probability < self.min_confidence:
                    return chosen
                if (word := self._word(piece, first)) is not None:
                    chosen.append(word)
                if len(chosen) >= self.max_candidates:
                    return chosen
            if count == len(probabilities):
                return chosen
            count = len(probabilities)


class _Swap(_TopWords, WordSwapMaskedLM):
    """Replace a word by one of the local masked LM's."""

    def _bae_replacement_words(self, current_text: AttackedText, indices_to_modify: Any) -> list[list[str]]:
        mask = self._lm_tokenizer.mask_token
        return self._top_words([current_text.replace_word_at_index(i, mask).text for i in indices_to_modify])

    def _bert_attack_replacement_words(
        self, current_text: AttackedText, index: int, id_preds: torch.Tensor, masked_lm_logits: torch.Tensor
    ) -> list[str]:
        mask = current_text.replace_word_at_index(index, self._lm_tokenizer.mask_token)
        ids = self._encode_text(mask.text)["input_ids"][0].tolist()
        if self._lm_tokenizer.mask_token_id not in ids:
            return []
        start = ids.index(self._lm_tokenizer.mask_token_id)
        pieces = len(self._lm_tokenizer.encode(current_text.words[index], add_special_tokens=False))
        places = [place for place in range(start, start + pieces) if place < len(id_preds)]
        if len(places) == 1:
            tokens = self._lm_tokenizer.convert_ids_to_tokens(id_preds[places[0]].tolist())
            return [t for t in tokens if utils.is_one_word(t) and not utils.check_if_subword(t, self._kind, index == 0)]
        # The library scores every combination of pieces, drops the sorted result and takes the first: so do we.
        combinations = itertools.product(*(id_preds[place].tolist() for place in places)) if places else ()
        joined = ("".join(self._lm_tokenizer.convert_ids_to_tokens(list(c))).replace("##", "") for c in combinations)
        # Few combinations are no words, but a thousand that are none must not hold up the rest.
        whole = (word for word in itertools.islice(joined, 1000) if utils.is_one_word(word))
        return list(itertools.islice(whole, self.max_candidates))

    def _get_transformations(self, current_text: AttackedText, indices_to_modify: Any) -> list[AttackedText]:
        if self.method == "bert-attack" and len(self._lm_tokenizer) < self.max_candidates:
            raise BenchError(f"the masked LM knows fewer than {self.max_candidates} word pieces")
        return super()._get_transformations(current_text, indices_to_modify)


class _Insertion(_TopWords, WordInsertionMaskedLM):
    """Insert a word of the local masked LM's."""

    def _get_new_words(self, current_text: AttackedText, indices_to_modify: Any) -> list[list[str]]:
        masked = []
        for index in indices_to_modify:
            text = current_text.insert_text_before_word_index(index, self._lm_tokenizer.mask_token)
            masked.append(text.text_window_around_index(index, self.window_size))
        return self._top_words(masked)


class _Merge(_TopWords, WordMergeMaskedLM):
    """Replace two neighbouring words by one of the local masked LM's; which two, by NLTK's part-of-speech tags."""

    def _get_merged_words(self, current_text: AttackedText, indices_to_modify: Any) -> list[list[str]]:
        masked = []
        for index in indices_to_modify:
            text = current_text.replace_word_at_index(index, self._lm_tokenizer.mask_token)
            text = text.delete_word_at_index(index + 1)
            masked.append(text.text_window_around_index(index, self.window_size))
        return self._top_words(masked)

    def _get_transformations(self, current_text: AttackedText, indices_to_modify: Any) -> list[AttackedText]:
        import nltk

        tags = [tag for _, tag in nltk.pos_tag(current_text.words, tagset="universal")]
        places = find_merge_index(tags)
        merged = []
        for place, found in zip(places, self._get_merged_words(current_text, places), strict=True):
            shorter = current_text.delete_word_at_index(place + 1)
            for word in (word.strip("Ġ") for word in found):
                if word != current_text.words[place] and re.search("[a-zA-Z]", word):
                    merged.append(shorter.replace_word_at_index(place, word))
        return merged


class _Nothing(WordSwap):
    """In the place of a transformation that the installed library lacks a file for: proposes no word."""

    def _get_replacement_words(self, word: str) -> list[str]:
        return []


class _Anything(Constraint):
    """In the place of a sentence encoder that is left out: lets every candidate pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(compare_against_original=True)

    def _check_constraint(self, transformed_text: AttackedText, reference_text: AttackedText) -> bool:
        return True


class _Encoder(SentenceEncoder):
    """A sentence encoder from transformers: the mean of its last hidden states."""

    def __init__(self, where: str, device: str, model_name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._where, self._device = where, device
        # Some of the library's code asks it of the constraint, some of its model.
        self.model = self

    def _check_constraint_many(
        self, transformed_texts: Sequence[AttackedText], reference_text: AttackedText
    ) -> list[AttackedText]:
        """Keep the candidates that are similar enough; those too short for a window, which pass, are not encoded."""
        skip = self.window_size if self.skip_text_shorter_than_window else 0
        # A candidate that lost its word, and so has no place to compare windows at, does not pass.
        swapped = [bool(candidate.attack_attrs["newly_modified_indices"]) for candidate in transformed_texts]
        scores = [1.0 if there else -math.inf for there in swapped]
        read = [i for i, candidate in enumerate(transformed_texts) if swapped[i] and len(candidate.words) >= skip]
        if read:
            found = self._score_list(reference_text, [transformed_texts[i] for i in read])
            for i, score in zip(read, found.tolist(), strict=True):
                scores[i] = score
        for candidate, score in zip(transformed_texts, scores, strict=True):
            candidate.attack_attrs["similarity_score"] = score
        return [c for c, score in zip(transformed_texts, scores, strict=True) if score >= self.threshold]

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return [N, H] of N sentences; the library repeats many of them, which are encoded once."""
        encoder, tokenizer = _sentence_encoder(self._where, self._device)
        distinct = sorted(set(sentences), key=lambda sentence: (len(sentence), sentence))
        vectors = []
        for start in range(0, len(distinct), 32):
            inputs = tokenizer(
                distinct[start : start + 32],
                padding=True,
                truncation=True,
                max_length=_longest(encoder, tokenizer),
                return_tensors="pt",
            ).to(self._device)
            with torch.no_grad():
                hidden = encoder(**accepted(encoder, inputs)).last_hidden_state
            real = inputs["attention_mask"][:, :, None].to(hidden.dtype)
            vectors.append(((hidden * real).sum(dim=1) / real.sum(dim=1)).cpu())
        place = {sentence: number for number, sentence in enumerate(distinct)}
        return torch.cat(vectors)[[place[sentence] for sentence in sentences]]


@functools.lru_cache(maxsize=1)
def _sentence_encoder(where: str, device: str) -> tuple[Any, Any]:
    folder = locate(where)
    with explained(folder):
        model = transformers.AutoModel.from_pretrained(folder)
    return model.float().eval().requires_grad_(False).to(device), load_tokenizer(folder)


class _Vectors(WordEmbedding):
    """Word vectors whose neighbours are found when asked for (the library's own way of doing that fails)."""

    @functools.cached_property
    def _matrix(self) -> torch.Tensor:
        return torch.from_numpy(self.embedding_matrix)

    def nearest_neighbours(self, index: int, topn: int) -> list[int]:
        """Return the numbers of the ``topn`` words that are nearest by Euclidean distance, nearest first."""
        if index not in self._nn_cache:
            distance = torch.linalg.vector_norm(self._matrix - self._matrix[index], dim=1)
            distance[index] = -1.0
            self._nn_cache[index] = distance.topk(min(topn + 1, len(distance)), largest=False).indices[1:].tolist()
        return self._nn_cache[index]


@functools.lru_cache(maxsize=1)
def _vectors(path: str) -> WordEmbedding:
    """Return word vectors: a folder in TextAttack's format, or a text file with a word and its numbers a line."""
    where = Path(path).expanduser()
    if where.is_dir():
        numbered = np.load(where / "wordlist.pickle", allow_pickle=True)
        named = {number: word for word, number in numbered.items()}
        return WordEmbedding(np.load(where / "paragram.npy"), numbered, named, np.load(where / "nn.npy"))
    names: list[str] = []
    rows: list[np.ndarray] = []
    with where.open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            # What TextAttack sees as no word or as several is nothing to put in a word's place.
            if re.fullmatch(r"\w+(?:['-]\w+)*", word):
                names.append(word)
                rows.append(np.array(numbers, dtype=np.float32))
    if len({len(row) for row in rows}) != 1:
        raise BenchError(f"{where}: every line must be a word and as many numbers as the others, apart by spaces")
    return _Vectors(np.stack(rows), {word: number for number, word in enumerate(names)}, dict(enumerate(names)))
