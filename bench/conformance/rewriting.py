"""Checks of rewritten texts: a function of row and random generator alone, whole, and gentle with odd texts."""

from __future__ import annotations

from collections.abc import Sequence

from bench.conformance.subject import Failed, Skipped, Subject, cut, global_states, own_global_state, shown
from bench.conformance.tiny_tasks import TinyTask
from bench.data.tasks import Example
from bench.rewriter import Forms
from bench.rewriting.engine import rewrite_all
from bench.text_strategy import TextStrategy


def forms(subject: Subject) -> str | None:
    """The harness makes one training set of each form: every row needs as many, each with the row's texts."""
    counts = {len(found) for where in subject.rewriters() for found in subject.forms(*where)}
    return f"{'/'.join(map(str, sorted(counts)))} per row"


def odd_texts(subject: Subject) -> str | None:
    """Real data holds empty, endless and foreign texts: none may stop a run of hours or lose its words."""
    notes = set()
    for ground, number in subject.rewriters():
        crashed = subject.crashes(ground, number)
        for row, found in zip(ground.examples, subject.forms(ground, number), strict=True):
            why = crashed.get(row.id, "")
            if _out_of_time(why):
                notes.add(f"{shown(row)} stays as it is: {cut(why)}")
            elif why:
                raise Failed(
                    f"{shown(row)} cannot be rewritten: {cut(why)}; return a text that cannot be changed as it is"
                )
            for form in found:
                if any(new.strip() == "" != old.strip() for old, new in zip(row.texts, form, strict=True)):
                    raise Failed(f"nothing is left of {shown(row)}; return the text as it is instead")
    return "; ".join(sorted(notes)) or None


def seeded(subject: Subject) -> None:
    """The same seed must give the same texts, or no number can be made again."""
    for ground, number in subject.rewriters():
        if subject.has_libraries:
            raise Skipped("two worker processes are compared instead (see workers)")
        rows, maker = subject.rows(ground, number), subject.rewriter(number)
        first = _made(subject, ground, number)[0]
        with own_global_state(2):
            second = subject.rewrite(ground, maker, rows)
            third = subject.rewrite(ground, maker, rows)
        _same(first, second, "another strategy object; draw every number from the row's own generator", rows)
        _same(second, third, "a second call; keep nothing between calls that changes what is made", rows)


def varied(subject: Subject) -> str | None:
    """Other seeds should give other texts, or several seeds, copies and epochs are all the same run."""
    same = []
    for ground, number in subject.rewriters():
        maker = subject.rewriter(number)
        if subject.has_libraries:
            rows = ground.examples[:4]
            one = subject.forms(ground, number)[: len(rows)]
            other = rewrite_all(maker, rows, ground.context(maker), seed=1, workers=1).forms
        else:
            one = _made(subject, ground, number)[0]
            with own_global_state(0):
                other = subject.rewrite(ground, maker, subject.rows(ground, number), seed=1)
        if one == other:
            same.append(ground.task.title)
    return f"every seed makes the same texts of the {', '.join(dict.fromkeys(same))}" if same else None


def rows_alone(subject: Subject) -> None:
    """Rows are rewritten in groups of any size, in any order, and some come from a cache: it must not matter."""
    for ground, number in subject.rewriters():
        if subject.has_libraries:
            raise Skipped("two worker processes are given other groups in reverse order instead (see workers)")
        rows, alone = subject.rows(ground, number), subject.alone(ground, number)
        whole = _made(subject, ground, number)[0]
        with own_global_state(0):
            backwards = subject.rewrite(ground, subject.rewriter(number), rows[::-1])[::-1]
        one_by_one = [forms for row in rows if not isinstance(forms := alone[row.id], Exception)]
        _same(whole, one_by_one, "its row given alone; a row's texts may depend on nothing but the row", rows)
        _same(whole, backwards, "the rows in reverse; a row's texts may depend on nothing but the row", rows)


def rows_untouched(subject: Subject) -> None:
    """Examples are shared by all strategies of a run; and the texts of a directed pair play different parts."""
    for ground, number in subject.rewriters():
        maker = subject.rewriter(number)
        if not subject.has_libraries and (changed := _made(subject, ground, number)[2]):
            raise Failed(f"rewrite() changes an example it is given, {changed[0]}; return new texts")
        if not isinstance(maker, TextStrategy):
            continue
        fixed = set(range(len(ground.task.texts))) - set(maker.changeable(ground.task))
        for row, found in zip(ground.examples, subject.forms(ground, number), strict=True):
            for side in fixed:
                if any(form[side] != row.texts[side] for form in found):
                    raise Failed(
                        f"text {side + 1} of {shown(row)} is changed, though side={maker.side!r} leaves it as it is; "
                        f"override rewrite_texts, not rewrite"
                    )


def rewriting_keeps_global_state(subject: Subject) -> None:
    """Global random state is everybody's: drawing from it, or seeding it, changes what others draw."""
    for ground, number in subject.rewriters():
        if subject.has_libraries:
            raise Skipped("it rewrites in worker processes, whose random state is its own")
        if touched := _made(subject, ground, number)[1]:
            raise Failed(
                f"rewrite() changes the global random state of {' and '.join(touched)}: draw from the row's generator, "
                f"or name the library that does this in ``libraries`` (it is then used in worker processes only)"
            )


def workers(subject: Subject) -> None:
    """A run on eight processes, or resumed on another machine, must make the texts of a run on one."""
    for ground, number in subject.rewriters():
        if ground is not subject.grounds[-1]:
            continue  # processes take long to start, and differ by what they remake, not by task
        one = subject.engine(ground, number)
        if subject.has_libraries:
            again, what = subject.engine(ground, number, again=True), f"two processes, in reverse. {_SEEDING}"
            other, unfinished = again.forms, {row for row, why in again.failed.items() if _out_of_time(why)}
        else:
            other, what = subject.in_a_worker(ground, number), f"a worker process. {_REMADE}"
            unfinished = set()
        whole = [row for row in range(len(ground.short)) if row not in one.failed and row not in unfinished]
        rows = [ground.short[row] for row in whole]
        _same([one.forms[row] for row in whole], [other[row] for row in whole], what, rows)


def _out_of_time(why: str) -> bool:
    """Return whether a row that failed may succeed the next time: how fast the machine is says nothing of it."""
    return why.startswith(("ran out of", "hung"))


_SEEDING = (
    "Seed random, numpy and torch from each row's generator before it is rewritten, and keep nothing between rows "
    "that changes what is drawn"
)
_REMADE = "What a worker remakes from the spec must be all that rewrite() uses (no state, no order of a set)"


def _made(subject: Subject, ground: TinyTask, number: int) -> tuple[list[Forms], list[str], list[str]]:
    """Return what is made of the short rows at once, whose global random states that changed, and which rows."""

    def make() -> tuple[list[Forms], list[str], list[str]]:
        rows, maker = subject.rows(ground, number), subject.rewriter(number)
        ground.context(maker)
        with own_global_state(1):
            states = global_states()
            forms = subject.rewrite(ground, maker, rows)
            touched = [name for name, state in global_states().items() if state != states[name]]
        after = [(row.id, row.texts, row.label) for row in ground.examples]
        changed = [cut(f"{was} to {now}") for was, now in zip(ground.before, after, strict=True) if was != now]
        return forms, touched, changed

    return subject.remember(f"made {ground.task.name} {number}", make)


def _same(one: Sequence[Forms], other: Sequence[Forms], what: str, rows: Sequence[Example]) -> None:
    """Raise Failed, showing where the first row that differs does, unless both hold the same forms."""
    for row, first, second in zip(rows, one, other, strict=True):
        texts = [" | ".join(text for form in forms for text in form) for forms in (first, second)]
        if texts[0] != texts[1]:
            differs = next((i for i, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), 0)
            parts = " and then ".join(repr(cut(text[max(0, differs - 20) :], 60)) for text in texts)
            raise Failed(f"{shown(row)} became {parts} with {what}")
