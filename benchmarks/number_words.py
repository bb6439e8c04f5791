"""Number words of 17 languages beside the CLDR's spell-out rules: how many are the same, and what differs.

python benchmarks/number_words.py [--numbers 20000] [--show 3]        # needs PyICU

Cardinals from 0 to 10^9 (all below 1100, round ones, as many drawn of each length), ordinals to 1000 and years from
1100 to 2100 where the CLDR has rules for them. "same": but for spaces and hyphens. "agreeing": with ways of writing
that are both in use, and known faults of the CLDR, counted as the same, as in `tests/text/test_numerals.py`, which
asserts the rest. In Czech and Arabic the CLDR has faults in most numbers from 100 on ("jedna tisíc", "تسعة مائة"), so
these are also compared with num2words, where that is installed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import icu

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "text"))
from test_numerals import CARDINALS, ORDINALS, SAME, spell, squeezed


def numbers_of(count: int) -> list[int]:
    """Return all numbers below 1100, round ones, and `count` drawn from 0 to 10^9, as many of each length."""
    draw = random.Random(1)
    drawn = [draw.randrange(10 ** (digits - 1), 10**digits) for digits in range(4, 10) for _ in range(count // 6)]
    return sorted(
        {*range(1100), *(first * 10**power for power in range(3, 9) for first in range(1, 10)), 10**9, *drawn}
    )


def compared(
    language: str, numbers: Sequence[int], rule: str, ours: Callable[[int], str], show: int, what: str
) -> dict[str, float]:
    """Return the shares that are the same and that agree; print the first that do not."""
    formatter = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, icu.Locale(CARDINALS[language][0]))
    usual = SAME.get(language, lambda words: words)
    pairs = [(n, ours(n), formatter.format(n, f"%spellout-{rule}")) for n in numbers]
    same = [squeezed(mine) == squeezed(theirs) for _, mine, theirs in pairs]
    differ = [pair for pair in pairs if usual(squeezed(pair[1])) != usual(squeezed(pair[2]))]
    for n, mine, theirs in differ[:show]:
        print(f"  {language} {what} {n}: {mine!r}, CLDR {theirs!r}")
    return {"numbers": len(pairs), "same": share(sum(same), pairs), "agreeing": share(len(pairs) - len(differ), pairs)}


def second_opinion(language: str, numbers: Sequence[int]) -> dict[str, float]:
    """Return the share of cardinals that are those of num2words; empty where it is not installed."""
    if importlib.util.find_spec("num2words") is None:
        return {}
    words = importlib.import_module("num2words").num2words
    same = sum(squeezed(spell(language, n)) == squeezed(words(n, lang=language)) for n in numbers)
    return {"numbers": len(numbers), "same": share(same, numbers), "agreeing": share(same, numbers)}


def share(count: int, of: Sequence[object]) -> float:
    return round(count / len(of), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=20000)
    parser.add_argument("--show", type=int, default=3, help="differences to print of each kind")
    options = parser.parse_args()
    numbers, found = numbers_of(options.numbers), {}
    for language, (locale, rule) in CARDINALS.items():
        module = importlib.import_module(f"tutortoietts.text.numerals.{language}")
        kinds = {"cardinals": (numbers, rule, lambda n, code=language: spell(code, n))}
        if language in ORDINALS:
            ordinals = lambda n, code=language: spell(code, n, "ordinal")  # noqa: E731
            kinds["ordinals"] = (range(1, 1001), ORDINALS[language], ordinals)
        formatter = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, icu.Locale(locale))
        rules = [formatter.getRuleSetName(i) for i in range(formatter.getNumberOfRuleSetNames())]
        if hasattr(module, "year") and "%spellout-numbering-year" in rules:
            kinds["years"] = (range(1100, 2101), "numbering-year", module.year)
        found[language] = {
            what: compared(language, some, rule, ours, options.show, what) for what, (some, rule, ours) in kinds.items()
        }
        if language in ("cs", "ar") and (second := second_opinion(language, numbers)):
            found[language]["num2words"] = second
        shown = "; ".join(
            f"{what} {one['same']:.1%} same, {one['agreeing']:.1%} agreeing" for what, one in found[language].items()
        )
        print(f"{language}: {shown}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
