"""The two-text tasks of the mini suite. A function makes one row: its texts and its label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.mini.world import SLOTS, Event, Voice, sentence
from bench.toml import read_entries

Row = tuple[tuple[str, ...], "int | float"]
WORDINGS = read_entries(Path(__file__).with_name("wordings.toml"))
_WEIGHTS = {slot: {"who": 2, "did": 2, "what": 2, "how": 4}.get(slot, 0.5) for slot in SLOTS}
# Share of the more frequent of two opposites in first texts; not one half for the reason of THEME_SHARES.
FREQUENT = 0.6
# Share of the "no" rows that differ in theme: the others have the opposite somewhere.
OFF_THEME = 0.5


def mrpc(voice: Voice) -> Row:
    """Paraphrase: 1 the same event said anew, 0 one of another theme, or one done slowly instead of quickly."""
    event = _paced(voice)
    label = int(voice.chance(0.6))
    other = event if label else _other(voice, event, "how")
    return (sentence(voice.clause(event)), sentence(voice.anew().clause(other))), label


def _paced(voice: Voice) -> Event:
    """Return an event that was done quickly or slowly."""
    quickly = voice.lexicon.how[0]
    how = quickly if voice.chance(FREQUENT) else voice.lexicon.opposite[quickly]
    return voice.event(("who_is", "what_is", "where", "when"), keep=0.12).having(how=how)


def _other(voice: Voice, event: Event, slot: str) -> Event:
    """Return an event of another theme with ``slot`` alike, or one that has the opposite there."""
    now = getattr(event, slot)
    if voice.chance(OFF_THEME):
        return voice.unlike(event).having(**{slot: now})
    return event.having(**{slot: voice.lexicon.opposite[now]})


def stsb(voice: Voice) -> Row:
    """Similarity 0 to 5: the share of the event's slots that both texts have alike, with a judge's noise."""
    event = other = _paced(voice)
    if voice.chance(0.5):
        # Slots of an event of another theme: what is left of the first keeps the rest alike.
        elsewhere, slots = voice.unlike(event), [slot for slot in event.present(*SLOTS) if slot != "how"]
        chosen = slots if voice.chance(0.6) else voice.rng.sample(slots, 2)
        other = other.having(**{slot: getattr(elsewhere, slot) for slot in chosen})
    if event.how and voice.chance(0.5):
        other = other.having(how=voice.lexicon.opposite[event.how])
    score = similarity(event, other) + voice.rng.gauss(0, 0.15)
    return (sentence(voice.clause(event)), sentence(voice.anew().clause(other))), round(min(5.0, max(0.0, score)), 1)


def similarity(one: Event, two: Event) -> float:
    """Return 5 for events alike in every slot, 0 for alike in none; how it was done weighs most."""
    total = alike = 0.0
    for slot, weight in _WEIGHTS.items():
        a, b = getattr(one, slot), getattr(two, slot)
        if a is not None or b is not None:
            total += weight
            alike += weight if a == b else 0
    return 5 * alike / total


def qqp(voice: Voice) -> Row:
    """Duplicate questions: 1 the same in other words, 0 another intent or another theme."""
    event = voice.event(extras=("what_is", "where"), keep=0.3, people=0.0)
    intents = sorted(WORDINGS["questions"])
    intent = intents[int(voice.chance(FREQUENT))]
    label = int(voice.chance(0.4))
    other, other_intent = event, intent
    if not label and voice.chance(OFF_THEME):
        other = voice.unlike(event)
    elif not label:
        other_intent = voice.other(intents, intent)
    return (_question(voice, event, intent), _question(voice.anew(), other, other_intent)), label


def _question(voice: Voice, event: Event, intent: str) -> str:
    place = voice.word(event.where) if event.where else ""
    thing = voice.noun(event.what, event.what_is, "a")
    wording = voice.pick(WORDINGS["questions"][intent])
    return sentence(wording.format(v=voice.word(event.did), n=thing, p=place).strip(), "?")


def mnli(voice: Voice) -> Row:
    """Inference: 0 entailment, 1 neutral, 2 contradiction; genres report, fiction, letter."""
    return _inference(voice, WORDINGS["genres"])


def mnli_mismatched(voice: Voice) -> Row:
    """Inference in genres that training has none of: telephone, guide."""
    return _inference(voice, WORDINGS["other_genres"])


def _inference(voice: Voice, genres: Mapping[str, Any]) -> Row:
    genre = genres[voice.pick(sorted(genres))]
    event = voice.event(keep=0.12)
    said, polarity, label = event, int(voice.chance(FREQUENT)), voice.rng.choices((0, 1, 2), (3, 4, 3))[0]
    # The two say the same event, as what is denied of an event is not denied of less of it.
    other = {0: polarity, 1: voice.pick((0, 1)), 2: 1 - polarity}[label]
    if label == 1:
        said = voice.unlike(event)
    premise = voice.pick(genre["wrappings"]).format(voice.clause(event, voice.pick(genre["styles"]), polarity))
    hypothesis = voice.anew().clause(said, voice.pick((0, 0, 2)), other)
    return (sentence(premise), sentence(hypothesis)), label


def rte(voice: Voice) -> Row:
    """Entailment from a text of two clauses: 0 it says the hypothesis, 1 it does not.

    What does not follow is of another theme, or calls someone sad who is happy.
    """
    mood = next(a for a in voice.lexicon.adjectives["person"] if a.key == "happy")
    if not voice.chance(FREQUENT):
        mood = voice.lexicon.opposite[mood]
    first = voice.event(("what_is", "where", "when"), keep=0.06).having(who_is=mood)
    second = voice.event(("what_is", "where", "when"), keep=0.06, theme=first.theme).having(who_is=mood)
    premise = voice.clause(first, voice.pick((0, 2)))
    premise += voice.pick((" , while ", " , and ", " , and later ")) + voice.clause(second)
    event, label = voice.pick((first, second)), int(voice.chance(0.6))
    said = _other(voice, event, "who_is") if label else event
    return (sentence(premise), sentence(voice.anew().clause(said, voice.pick((0, 2))))), label


def qnli(voice: Voice) -> Row:
    """Question and sentence: 0 the sentence answers the question, 1 it does not."""
    asked, told = voice.rng.choices(("where", "when", "who", "what"), (4, 3, 1, 1))[0], voice.pick(("where", "when"))
    label = int(voice.chance(0.6))
    if asked in ("where", "when"):
        # The other kind of phrase instead of the one asked for: each text alone is as of an answer.
        told = voice.other(("where", "when"), asked) if label else asked
    event = voice.changed(voice.event(("who_is", "what_is", "how"), keep=0.1), told)
    question = _ask(voice, event, asked)
    if label and asked in ("who", "what"):
        event = voice.unlike(event)
    return (question, sentence(voice.anew().clause(event))), label


def _ask(voice: Voice, event: Event, slot: str) -> str:
    who, what = voice.noun(event.who), voice.noun(event.what)
    base, past = voice.word(event.did), voice.word(event.did, 1)
    if slot == "who":
        text = f"who {past} {what}"
    elif slot == "what":
        text = f"{'whom' if event.what.kind == 'person' else 'what'} did {who} {base}"
    else:
        text = f"{slot} did {who} {base} {what}"
    return sentence(text, "?")


def wnli(voice: Voice) -> Row:
    """Coreference: 1 the second text means whom the first means by "he", 0 the other one."""
    verbs, doer_is, other_is = (part.strip() for part in voice.pick(voice.lexicon.because).split(">"))
    verb = voice.tailed(verbs.split("|"))
    of_doer, label = voice.chance(FREQUENT), int(voice.chance(0.57))
    people = [person for theme in voice.lexicon.themes for person in voice.lexicon.people[theme]]
    doer, other = (voice.noun(person) for person in voice.rng.sample(people, 2))
    said = voice.tailed((doer_is if of_doer else other_is).split("|"))
    reason = f"because he was {said}"
    text = voice.pick((f"{doer} {verb} {other} {reason}", f"{reason} , {doer} {verb} {other}"))
    named = f"the one who {verb} {other}" if of_doer == bool(label) else f"the one whom {doer} {verb}"
    return (sentence(text), sentence(f"he is {named}")), label
