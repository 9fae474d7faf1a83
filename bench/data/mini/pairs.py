"""The two-text tasks of the mini suite. A function makes one row: its texts and its label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.mini.world import EXTRAS, SLOTS, Event, Voice, sentence
from bench.toml import read_entries

Row = tuple[tuple[str, ...], "int | float"]
WORDINGS = read_entries(Path(__file__).with_name("wordings.toml"))
_WEIGHTS = {slot: 1 if slot in EXTRAS else 3 for slot in SLOTS}
# Share of the "no" rows that differ in theme: the others differ in one or two slots and are hard.
EASY = 0.88


def mrpc(voice: Voice) -> Row:
    """Paraphrase: 1 the same event said anew, 0 an event that differs in a slot, or in who did it to whom."""
    event = voice.event(keep=0.45)
    label = int(voice.chance(0.6))
    other = event
    if not label and voice.chance(EASY):
        other = voice.unlike(event)
    elif not label:
        if event.what.kind == "person" and voice.chance(0.5):
            other = event.having(who=event.what, what=event.who)
        else:
            for slot in voice.rng.sample(event.present(*SLOTS), voice.pick((1, 1, 2))):
                other = voice.changed(other, slot)
    elif voice.chance(0.3):
        other = event.without(voice.pick(("how", "who_is", "what_is")))
    return (sentence(voice.clause(event)), sentence(voice.clause(other))), label


def stsb(voice: Voice) -> Row:
    """Similarity 0 to 5: the share of the event's slots that both texts have alike, with a judge's noise."""
    event = voice.event(keep=0.35)
    other = event
    slots = event.present(*SLOTS)
    if not voice.chance(0.4):
        # Only some slots of an event of another theme: what is left of the first keeps the rest alike.
        elsewhere = voice.unlike(event)
        chosen = voice.rng.sample(slots, voice.rng.randint(1, len(slots)))
        other = other.having(**{slot: getattr(elsewhere, slot) for slot in chosen})
    elif voice.chance(0.6):
        slot = voice.pick(slots)
        other = other.without(slot) if slot in EXTRAS else voice.changed(other, slot)
    score = similarity(event, other) + voice.rng.gauss(0, 0.15)
    return (sentence(voice.clause(event)), sentence(voice.clause(other))), round(min(5.0, max(0.0, score)), 1)


def similarity(one: Event, two: Event) -> float:
    """Return 5 for events alike in every slot, 0 for alike in none; doer, deed and object weigh most."""
    total = alike = 0.0
    for slot, weight in _WEIGHTS.items():
        a, b = getattr(one, slot), getattr(two, slot)
        if a is not None or b is not None:
            total += weight
            alike += weight if a == b else 0
    return 5 * alike / total


def qqp(voice: Voice) -> Row:
    """Duplicate questions: 1 the same in other words, 0 another intent, deed, thing, quality or place."""
    event = voice.event(extras=("what_is", "where"), keep=0.6, people=False)
    intent = voice.pick(sorted(WORDINGS["questions"]))
    label = int(voice.chance(0.4))
    other, other_intent = event, intent
    if not label and voice.chance(EASY):
        other = voice.unlike(event)
    elif not label:
        slot = voice.pick(["intent", "intent", *event.present("did", "what", "what_is", "where")])
        if slot == "intent":
            other_intent = voice.other(sorted(WORDINGS["questions"]), intent)
        else:
            other = voice.changed(event, slot)
    return (_question(voice, event, intent), _question(voice, other, other_intent)), label


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
    event = voice.event(keep=0.5)
    while len(event.present(*EXTRAS)) in (0, len(EXTRAS)) or not _opposable(voice, event):
        event = voice.event(keep=0.5)
    label = voice.pick((0, 1, 2))
    hypothesis = (_entailed, _neutral, _contradiction)[label](voice, event)
    premise = voice.pick(genre["wrappings"]).format(voice.clause(event, voice.pick(genre["styles"])))
    return (sentence(premise), sentence(hypothesis)), label


def reduced(voice: Voice, event: Event, drop: float) -> Event:
    """Return ``event`` less some of its extras: whatever it says, ``event`` says too."""
    return event.without(*(slot for slot in EXTRAS if voice.chance(drop)))


def _entailed(voice: Voice, event: Event) -> str:
    said = reduced(voice, event, 0.6)
    if voice.chance(0.3):
        return f"someone {voice.word(said.did, 1)} {voice.noun(said.what, said.what_is)}"
    return voice.clause(said, voice.pick((0, 0, 2)))


def _neutral(voice: Voice, event: Event) -> str:
    said = reduced(voice, event, 0.6)
    if voice.chance(EASY):
        return voice.clause(voice.unlike(said), voice.pick((0, 0, 2)))
    missing = [slot for slot in EXTRAS if getattr(event, slot) is None]
    return voice.clause(voice.changed(said, voice.pick(missing)), 0)


def _contradiction(voice: Voice, event: Event) -> str:
    if voice.chance(0.6):
        return f"{voice.noun(event.who)} did not {voice.word(event.did)} {voice.noun(event.what)}"
    slot = voice.pick(_opposable(voice, event))
    opposite = voice.lexicon.opposite[getattr(event, slot)]
    return voice.clause(reduced(voice, event, 0.6).having(**{slot: opposite}), voice.pick((0, 0, 2)))


def _opposable(voice: Voice, event: Event) -> list[str]:
    return [slot for slot in ("did", "who_is", "what_is", "how") if getattr(event, slot) in voice.lexicon.opposite]


def rte(voice: Voice) -> Row:
    """Entailment from a text of two clauses: 0 it says the hypothesis, 1 it does not."""
    first = voice.event(keep=0.3)
    second = voice.event(keep=0.3, theme=first.theme)
    premise = voice.clause(first, voice.pick((0, 2)))
    premise += voice.pick((" , while ", " , and ", " , and later ")) + voice.clause(second)
    event, other = voice.rng.sample((first, second), 2)
    label = int(voice.chance(0.5))
    said = reduced(voice, event, 0.4)
    if label and voice.chance(EASY):
        said = voice.unlike(said)
    while label and (entails(first, said) or entails(second, said)):
        slot = voice.pick(["who", "did", "what", *event.present("where", "when")])
        mixed = slot == "who" and voice.chance(0.7)
        said = event.having(who=other.who) if mixed else voice.changed(event, slot)
    return (sentence(premise), sentence(voice.clause(said, voice.pick((0, 2))))), label


def entails(event: Event, said: Event) -> bool:
    """Return whether ``event`` has every slot of ``said`` alike."""
    return all(getattr(event, slot) is getattr(said, slot) for slot in said.present(*SLOTS))


def qnli(voice: Voice) -> Row:
    """Question and sentence: 0 the sentence answers the question, 1 it does not."""
    event = voice.event(keep=0.4)
    asked = voice.pick(("who", "what", "where", "where", "when", "when"))
    if getattr(event, asked) is None:
        event = voice.changed(event, asked)
    question = _ask(voice, event, asked)
    label = int(voice.chance(0.5))
    if label and voice.chance(EASY if asked in ("who", "what") else EASY / 2):
        event = voice.unlike(event)
    elif label:
        # Another deed, or the slot asked for is not told.
        wrong = [slot for slot in ("who", "did", "what") if slot != asked]
        slot = voice.pick([*wrong, asked, asked] if asked in EXTRAS else wrong)
        if slot in EXTRAS:
            event = event.without(slot)
            if voice.chance(0.7):  # the other kind of phrase instead, so that length tells nothing
                event = voice.changed(event, "when" if slot == "where" else "where")
        else:
            event = voice.changed(event, slot)
    return (question, sentence(voice.clause(event))), label


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
    """Coreference: 1 the second text says of the right one what was said of "he", 0 of the other one."""
    verbs, doer_is, other_is = (part.strip() for part in voice.pick(voice.lexicon.because).split(">"))
    verb = voice.tailed(verbs.split("|"))
    of_doer, label = voice.chance(0.7), int(voice.chance(0.5))  # uneven for the reason of THEME_SHARES
    said = doer_is if of_doer else other_is
    people = [person for theme in voice.lexicon.themes for person in voice.lexicon.people[theme]]
    doer, other = (voice.noun(person) for person in voice.rng.sample(people, 2))
    reason = f"because he was {said}"
    text = voice.pick((f"{doer} {verb} {other} {reason}", f"{reason} , {doer} {verb} {other}"))
    named = f"the one who {verb} {other}" if of_doer == bool(label) else f"the one whom {doer} {verb}"
    return (sentence(text), sentence(f"{named} was {said}")), label
