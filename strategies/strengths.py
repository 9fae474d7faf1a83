"""What the libraries' options have to do with strength: word edit rates measured for each unit of an option.

Measured on texts of SST-2, RTE and QNLI of 17 words in the mean (300 for nlpaug, 75 for TextAttack), with a member's
options as shipped but for these. The libraries take one word at least, and nlpaug counts marks as words and rounds up,
so that short texts change more. ``most`` is what is reached when every word is drawn: the others are too short, or
nothing is known to put in their place. Members that are not here change whole texts, or what a list of theirs has, or
(CLARE) what their constraints let through.
"""

from bench.strength import Strength

_WORDS, _CHARACTERS = {"aug_max": None}, {"aug_word_max": None}
_SWAPPED = "pct_words_to_swap"

STRENGTHS = {
    "nlpaug:ocr": {"aug_word_p": Strength(0.75, most=0.7, also=_CHARACTERS)},
    "nlpaug:random-char": {"aug_word_p": Strength(1.15, most=0.6, also=_CHARACTERS)},
    "nlpaug:keyboard": {"aug_word_p": Strength(1.15, most=0.6, also=_CHARACTERS)},
    "nlpaug:random-word": {"aug_p": Strength(1.4, also=_WORDS)},
    "nlpaug:tf-idf": {"aug_p": Strength(1.15, also=_WORDS)},
    "nlpaug:spelling": {"aug_p": Strength(1.15, most=0.75, also=_WORDS)},
    "nlpaug:synonym": {"aug_p": Strength(1.0, most=0.6, also=_WORDS)},
    # Only verbs, adjectives and adverbs have antonyms.
    "nlpaug:antonym": {"aug_p": Strength(1.0, most=0.15, also=_WORDS)},
    # A split word is one replaced and one inserted.
    "nlpaug:split": {"aug_p": Strength(2.4, also=_WORDS)},
    # Beside what its tokenizer spells otherwise.
    "nlpaug:contextual": {"aug_p": Strength(1.0, also=_WORDS)},
    # By the library's word: their vectors and models were not at hand to measure it.
    "nlpaug:word-embs": {"aug_p": Strength(1.0, also=_WORDS)},
    "textattack:embedding": {_SWAPPED: Strength(1.0)},
    "textattack:eda": {_SWAPPED: Strength(0.85)},
    "textattack:swap": {_SWAPPED: Strength(1.0)},
    "textattack:synonym-insertion": {_SWAPPED: Strength(0.55, most=0.5)},
    "textattack:wordnet": {_SWAPPED: Strength(0.85)},
    "textattack:deletion": {_SWAPPED: Strength(1.0)},
    "textattack:charswap": {_SWAPPED: Strength(0.9)},
}
