"""Checks of rewritten texts: a function of row and random generator alone, whole, and gentle with odd texts."""

from __future__ import annotations

from collections.abc import Sequence

from bench.conformance import Failed, Skipped, shortened
from bench.conformance.subject import Subject, TaskRewriter, row_name
from bench.data.tasks import Example
from bench.rewriter import Forms
from bench.text_strategy import TextStrategy


def forms(subject: Subject) -> str | None:
    """Every row is rewritten in equally many forms, each with all its texts. Each form is a training set of its own."""
    counts = {len(one) for rewriter in subject.rewriters() for one in rewriter.forms}
    return f"{'/'.join(map(str, sorted(counts)))} per row"


def odd_texts(subject: Subject) -> str | None:
    """Empty, endless and foreign texts raise no error and keep a word. Real data holds them, in the midst of a run."""
    remarks = set()
    for rewriter in subject.rewriters():
        for row, own in zip(rewriter.tiny.examples, rewriter.forms, strict=True):
            why = rewriter.crashes.get(row.id, "")
            if _out_of_time(why):
                remarks.add(f"{row_name(row)} stays as it is: {shortened(why)}")
            elif why:
                remedy = "return a text that cannot be changed as it is"
                raise Failed(f"{row_name(row)} cannot be rewritten: {shortened(why)}; {remedy}")
            if any(new.strip() == "" != old.strip() for form in own for old, new in zip(row.texts, form, strict=True)):
                raise Failed(f"nothing is left of {row_name(row)}; return the text as it is instead")
    return "; ".join(sorted(remarks)) or None


def seeded(subject: Subject) -> None:
    """One seed gives the same texts in every object and every call. Otherwise no number can be reproduced."""
    for one in _in_this_process(subject, "two worker processes are compared instead"):
        rewriter = one.fresh()
        first, second = one.together, one.rewrite(one.rows, rewriter)
        third = one.rewrite(one.rows, rewriter)
        _same(first, second, "another strategy object; draw every number from the row's own generator", one.rows)
        _same(second, third, "a second call; keep nothing between calls that changes what is made", one.rows)


def varied(subject: Subject) -> str | None:
    """Another seed should give other texts. If not, several seeds, copies and epochs are the same run again."""
    same = []
    for one in subject.rewriters():
        if subject.has_libraries:
            rows = one.tiny.examples[:4]
            first, other = one.forms[: len(rows)], one.by_engine(rows, seed=1).forms
        else:
            first, other = one.together, one.rewrite(one.rows, seed=1)
        if first == other:
            same.append(one.tiny.task.title)
    return f"every seed makes the same texts of the {', '.join(dict.fromkeys(same))}" if same else None


def rows_alone(subject: Subject) -> None:
    """A row's texts depend on no other row. Rows are rewritten in groups of any size, and some come from a cache."""
    for one in _in_this_process(subject, "two worker processes are given other groups in reverse order instead"):
        alone = [forms for row in one.rows if not isinstance(forms := one.results[row.id], str)]
        backwards = one.rewrite(one.rows[::-1])[::-1]
        rule = "a row's texts may depend on nothing but the row"
        _same(one.together, alone, f"its row given alone; {rule}", one.rows)
        _same(one.together, backwards, f"the rows in reverse; {rule}", one.rows)


def rows_untouched(subject: Subject) -> None:
    """Examples stay as they are, as do texts that `side` excludes. All strategies of a run share the examples."""
    for one in subject.rewriters():
        assert subject.has_libraries or one.together  # they are rewritten before they are looked at
        after = [(row.id, row.texts, row.label) for row in one.tiny.examples]
        for was, now in zip(one.tiny.before, after, strict=True):
            if was != now:
                example = shortened(f"{was} to {now}")
                raise Failed(f"rewrite() changes an example it is given, {example}; return new texts")
        rewriter = one.fresh()
        if not isinstance(rewriter, TextStrategy) or len(one.tiny.task.texts) < 2:
            continue
        rewriter.side, rows = "second", one.tiny.examples[:4]
        forms = one.by_engine(rows, rewriter=rewriter).forms if subject.has_libraries else one.rewrite(rows, rewriter)
        for row, own in zip(rows, forms, strict=True):
            if any(form[0] != row.texts[0] for form in own):
                raise Failed(
                    f"text 1 of {row_name(row)} is changed, though side='second' leaves it as it is; override "
                    f"rewrite_texts, not rewrite"
                )


def rewriting_keeps_global_state(subject: Subject) -> None:
    """Random numbers come from the row's own generator. Global random state is shared with everything else."""
    for one in _in_this_process(subject, "it rewrites in worker processes, whose random state is their own"):
        if one.together and one.global_changes:
            raise Failed(
                f"rewrite() changes the global random state of {' and '.join(dict.fromkeys(one.global_changes))}: draw "
                f"from the row's generator, or name the library that does this in ``libraries`` (it is then used in "
                f"worker processes only)"
            )


def workers(subject: Subject) -> None:
    """Two worker processes make the texts that one makes. A run may go on with other processes on another machine."""
    # Processes take long to start, and differ by what they remake, not by task.
    for one in subject.rewriters_on(subject.tasks[-1]) if subject.rewriters() else ():
        other = one.by_workers()
        unfinished = {row for row, result in enumerate(other) if _out_of_time(result.failed or "")}
        rows = [row for row in range(len(other)) if row not in one.engine.failed.keys() | unfinished]
        examples = [one.tiny.short[row] for row in rows]
        again = [other[row].forms or [one.tiny.short[row].texts] for row in rows]
        hint = _SEEDING if subject.has_libraries else _REMADE
        _same([one.engine.forms[row] for row in rows], again, f"two worker processes, in reverse. {hint}", examples)


def _in_this_process(subject: Subject, instead: str) -> list[TaskRewriter]:
    """Return every rewriter on every tiny task; Skipped, saying what is done ``instead``, if it has libraries."""
    rewriters = subject.rewriters()
    if subject.has_libraries:
        raise Skipped(instead)
    return rewriters


def _out_of_time(why: str) -> bool:
    """Return whether a row that failed may succeed the next time: how fast the machine is says nothing of it."""
    return why.startswith(("ran out of", "hung"))


_SEEDING = (
    "Seed random, numpy and torch from each row's generator before it is rewritten, and keep nothing between rows "
    "that changes what is drawn"
)
_REMADE = "What a worker remakes from the spec must be all that rewrite() uses (no state, no order of a set)"


def _same(one: Sequence[Forms], other: Sequence[Forms], what: str, rows: Sequence[Example]) -> None:
    """Raise Failed, quoting the first row that differs from there on, unless both hold the same forms."""
    for row, first, second in zip(rows, one, other, strict=True):
        texts = [" | ".join(text for form in forms for text in form) for forms in (first, second)]
        if texts[0] != texts[1]:
            differs = next((i for i, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), 0)
            parts = " and then ".join(repr(shortened(text[max(0, differs - 20) :], 60)) for text in texts)
            raise Failed(f"{row_name(row)} became {parts} with {what}")
