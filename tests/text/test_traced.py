"""Text with the places that it comes from."""

from __future__ import annotations

import re

from tutortoietts.text.traced import Traced


def test_a_replacement_comes_from_all_that_it_replaces() -> None:
    text = Traced("It costs $5.").rewrite([(9, 11, "five dollars")])
    assert text.text == "It costs five dollars."
    assert text.source(14, 21) == (9, 11) and text.source(0, 2) == (0, 2) and text.source(21, 22) == (11, 12)
    assert text.derived(9, 11) == (9, 21) and text.derived(0, 2) == (0, 2)
    assert text.words()[2:] == [("five", 9, 11), ("dollars.", 9, 12)]


def test_steps_add_up() -> None:
    text = Traced("a &amp; b").sub(re.compile("&amp;"), "&").sub(re.compile("&"), "and").sub(re.compile(" "), "")
    assert text.text == "aandb" and text.source(1, 4) == (2, 7) and text.source(4, 5) == (8, 9)
    assert text.cut(1, 4).source(0, 3) == (2, 7)


def test_what_is_inserted_lies_between_its_neighbours() -> None:
    text = Traced("ab").rewrite([(1, 1, "---"), (2, 2, "!")])
    assert text.text == "a---b!"
    assert text.source(1, 4) == (1, 1) and text.source(0, 5) == (0, 2) and text.source(5, 6) == (2, 2)


def test_no_edits_change_nothing() -> None:
    text = Traced("same")
    assert text.rewrite([]) is text and text.sub(re.compile("s"), lambda match: None) is text
    assert (text + Traced("")).text == "same" and Traced("").source(0, 0) == (0, 0)
