"""TextAttack, imported without network and without traces in the user's folders; only worker processes import this."""

from __future__ import annotations

import itertools
import logging
import os
import random
import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from strategies.textattack.requirements import cache_folder
from strategies.textattack.speed import keep_answers
from strategies.wordnet import read_fast


def _import_offline() -> None:
    """Import TextAttack without its downloads, and give other loggers back their voice, which it takes away."""
    # Before TextAttack, which sets HF_HOME to its own cache while the variable below is set.
    import datasets  # noqa: F401
    import flair  # noqa: F401
    import transformers  # noqa: F401

    read_fast()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    disabled = [logger.disabled for logger in loggers]
    # The first import downloads NLTK's data, and then marks in the cache that it has, even if it could not. The user's
    # cache gets no such mark from us: his own first use of TextAttack still has to do that.
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"TA_CACHE_DIR": folder}):
        Path(folder, "post_install_check_3").touch()
        import jieba
        from textattack.shared import utils
    # What the user has downloaded is where it always is.
    utils.install.TEXTATTACK_CACHE_DIR = str(cache_folder())
    for logger, was in zip(loggers, disabled, strict=True):
        logger.disabled = was
    utils.logger.setLevel(logging.WARNING)
    jieba.setLogLevel(logging.WARNING)


_import_offline()
import textattack  # noqa: E402

keep_answers()


def seed(number: int) -> None:
    """Seed every random generator that TextAttack draws from."""
    random.seed(number)
    np.random.seed(number)
    # torch.manual_seed would queue a call for every device not in use, with a stack trace: slower than all else here.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)


def words(text: str) -> list[str]:
    """Return the words of ``text`` as TextAttack sees them."""
    return textattack.shared.utils.words_from_text(text)


def split_after(text: str, most: int) -> tuple[str, str]:
    """Split ``text`` after its first ``most`` words, or where they are very long after 12 letters per word."""
    last = next(itertools.islice(re.finditer(r"\S+", text), most - 1, None), None)
    end = min(last.end() if last else len(text), 12 * most)
    head = words(text[:end])
    if len(head) > most:  # text without spaces between its words
        end = 0
        for word in head[:most]:
            end = text.index(word, end) + len(word)
    return text[:end], text[end:]
