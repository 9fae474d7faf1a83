from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from bench import Strategy, TextStrategy, option
from bench.errors import UsageError
from bench.options import Options, build, coerce, fields_of, put


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    name: str = "x"


@dataclass(frozen=True)
class Outer:
    count: int
    inner: Inner = field(default_factory=Inner)
    shape: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("7", int, 7),
        (7, int, 7),
        (7.0, int, 7),
        ("1_000", int, 1000),
        ("-3", int, -3),
        ("inf", float, math.inf),
        ("99999999999999999999999", int, 99999999999999999999999),
        ("0.5", float, 0.5),
        ("5e-7", float, 5e-7),
        (3, float, 3.0),
        ("true", bool, True),
        ("False", bool, False),
        (True, bool, True),
        ("text, with comma", str, "text, with comma"),
        ("kl", Literal["kl", "ce"], "kl"),
        ("2", Literal[1, 2], 2),
        (2, Literal[1, 2], 2),
        ("none", int | None, None),
        ("None", str | None, None),
        ("", int | None, None),
        (None, int | None, None),
        ("4", int | None, 4),
        ("a", str | None, "a"),
        ("1,2,3", tuple[int, ...], (1, 2, 3)),
        ("(1, 2)", tuple[int, ...], (1, 2)),
        ("[1,2,]", tuple[int, ...], (1, 2)),
        ("7", tuple[int, ...], (7,)),
        ("", tuple[str, ...], ()),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
        ("3", int | tuple[int, ...], 3),
        ("0,3", int | tuple[int, ...], (0, 3)),
        ([0, 3], int | tuple[int, ...], (0, 3)),
        (
            {"a": 1, "b": "2", "c": "0.5", "d": "true", "e": "x y"},
            dict[str, Any],
            {"a": 1, "b": 2, "c": 0.5, "d": True, "e": "x y"},
        ),
        ([1], Any, [1]),
    ],
)
def test_a_value_becomes_its_field_s_type(value, kind, expected):
    made = coerce(value, kind, "x.y")
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("many", int, "x.y takes a whole number, not 'many'"),
        ("2.5", int, "a whole number"),
        (2.5, int, "a whole number"),
        (math.inf, int, "a whole number"),
        (True, int, "a whole number"),
        ("9" * 5000, int, "a whole number, not '9999"),
        (False, float, "a number"),
        ("", float, "a number"),
        ("yes", bool, "true or false"),
        (1, bool, "true or false"),
        (3, str, "text"),
        ("kll", Literal["kl", "ce"], "unknown value for x.y: 'kll'; did you mean 'kl'?"),
        (3, tuple[int, ...], "a list"),
        ("1,b", tuple[int, ...], "a whole number, not 'b'"),
        ("a", dict[str, Any], r"x.y.KEY=…"),
        ("many", int | None, "not 'many'"),
        ("here", Path, "x.y is of type Path, which no option can have: use str, int,"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_field_and_value(value, kind, words):
    with pytest.raises(UsageError) as caught:
        coerce(value, kind, "x.y")
    assert "x.y" in str(caught.value)
    assert words in str(caught.value)


def test_build_coerces_nested_dataclasses_and_keeps_defaults():
    made = build(Outer, {"count": "3", "inner": {"rate": "1e-3"}, "shape": {"a": 1}, "sizes": "1,2"}, "")
    assert made == Outer(count=3, inner=Inner(rate=0.001, name="x"), shape={"a": 1}, sizes=(1, 2))


def test_unknown_keys_get_the_nearest_match_with_the_section_s_name():
    with pytest.raises(UsageError, match=r"unknown key: 'iner'; did you mean 'inner'\?"):
        build(Outer, {"count": 1, "iner": {}}, "")
    with pytest.raises(UsageError, match=r"unknown option of inner: 'rat'; did you mean 'rate'\?"):
        build(Outer, {"count": 1, "inner": {"rat": 1}}, "")
    with pytest.raises(UsageError, match="known: name, rate"):
        build(Inner, {"zzzzzz": 1}, "inner")


def test_missing_keys_and_values_for_sections_are_errors():
    with pytest.raises(UsageError, match="the file lacks count"):
        build(Outer, {}, "")
    with pytest.raises(UsageError, match=r"inner is a section, not 3; set one of its keys: inner\.KEY"):
        build(Outer, {"count": 1, "inner": 3}, "")


def test_fields_have_resolved_types_and_made_defaults():
    assert fields_of(Inner) == {"rate": (float, 0.5), "name": (str, "x")}
    assert fields_of(Outer)["inner"] == (Inner, Inner())


def test_put_makes_sections_and_refuses_to_go_through_a_value():
    tree: dict[str, Any] = {"a": {"b": 1}, "v": 2}
    put(tree, "a.c", 3)
    put(tree, "n.e.w", 4)
    assert tree == {"a": {"b": 1, "c": 3}, "v": 2, "n": {"e": {"w": 4}}}
    with pytest.raises(UsageError, match=r"cannot set 'v\.x': 'v' is a value"):
        put(tree, "v.x", 5)


@dataclass
class Blank(Strategy):
    """Blanks words."""

    rate: float = option(0.15, "the share of the words left out; none of them twice", above=0, at_most=1)
    steps: int | None = option(None, "the number of steps", at_least=1)
    sizes: tuple[int, ...] = option((), "the size of each part", above=0, below=1000)
    plain: float = 0.0

    def __post_init__(self):
        self.kept = 1 - self.rate
        if self.plain > 9:
            raise ValueError("plain goes to 9")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rate": 1.5}, "rate is the share of the words left out: above 0 and at most 1, not 1.5"),
        ({"rate": 0}, "rate is the share of the words left out: above 0 and at most 1, not 0"),
        ({"steps": 0}, "steps is the number of steps: at least 1, not 0"),
        ({"rate": math.nan}, "rate is the share of the words left out: a finite number above 0 and at most 1, not nan"),
        ({"plain": math.inf}, "plain takes a finite number, not inf"),
        ({"sizes": (5, 1000)}, "sizes is the size of each part: above 0 and below 1,000, not (5, 1000)"),
    ],
)
def test_bounds_hold_whichever_way_an_object_is_constructed(values, sentence):
    with pytest.raises(UsageError) as caught:
        build(Blank, values, "blank")
    assert str(caught.value).replace("0.0", "0") == f"blank.{sentence}"
    with pytest.raises(UsageError) as caught:
        Blank(**values)
    assert str(caught.value) == f"Blank.{sentence}"


@pytest.mark.parametrize("rate", [-math.inf, "0.5", 10**400])
def test_what_is_no_number_within_bounds_is_refused_without_a_command_line(rate):
    with pytest.raises(UsageError, match="above 0 and at most 1, not "):
        Blank(rate=rate)


def test_a_number_may_be_infinite_where_its_default_or_its_bound_is():
    @dataclass
    class Window(Strategy):
        size: float = math.inf
        wait: float = option(1.0, "the time to wait", at_least=0, at_most=math.inf)

    assert build(Window, {"size": "inf", "wait": "inf"}, "window") == Window(math.inf, math.inf)
    with pytest.raises(UsageError, match=r"window\.wait is the time to wait: .*, not nan"):
        build(Window, {"wait": "nan"}, "window")


def test_a_class_s_own_check_runs_after_the_bounds_and_cannot_lose_them():
    assert Blank().kept == 0.85
    assert Blank(steps=None, sizes=[3]).sizes == [3]
    with pytest.raises(UsageError, match=r"blank: plain goes to 9"):
        build(Blank, {"plain": 10}, "blank")

    @dataclass(kw_only=True)
    class Careless(TextStrategy):
        def __post_init__(self):
            pass

    with pytest.raises(UsageError, match=r"Careless\.copies .*at least 1, not 0"):
        Careless(copies=0)


@pytest.mark.parametrize("call", [lambda: {}[1], lambda: sys.exit(3), lambda: 1 / 0])
def test_a_class_that_fails_on_its_options_is_an_error_in_a_line(call):
    @dataclass
    class Fails(Strategy):
        def __post_init__(self):
            call()

    with pytest.raises(UsageError, match=r"fails cannot be constructed: (KeyError: 1|SystemExit: 3|ZeroDivisionE.*)"):
        build(Fails, {}, "fails")


def test_an_option_s_type_that_is_not_imported_is_named():
    @dataclass
    class Vague(Strategy):
        size: Nowhere = 1  # noqa: F821

    with pytest.raises(UsageError, match=r"Vague: the type of an option cannot be read .*'Nowhere' is not defined"):
        build(Vague, {}, "vague")


def test_a_default_that_can_change_is_each_object_s_own():
    @dataclass
    class Shaped(Options):
        shape: dict[str, Any] = option({"a": 1}, "the shape")

    Shaped().shape["a"] = 2
    assert Shaped().shape == {"a": 1}
