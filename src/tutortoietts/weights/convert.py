"""Turn the state of a public checkpoint into the state of our module of the same kind.

A table (``weights.tables``) says, key by key, where each of our tensors comes from. Its rules are templates, the same
placeholders on both sides, so a table reads in both directions and an error can name the key as the file spells it:

    ``{i}`` ``{j}`` ``{k}``   an integer
    ``{p}``                   ``weight`` or ``bias``
    ``{a}`` ``{b}``           one name without dots
    ``{rest}``                anything, dots included

The first rule that fits a key counts. Weight norm (``weight_g`` and ``weight_v``, or torch's
``parametrizations.weight.original0`` and ``1``) is folded into ``weight`` before the rules are applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from os import PathLike
from string import Formatter

import torch
from torch import Tensor

from tutortoietts.core.components import COMPONENTS, resolve
from tutortoietts.core.errors import ModelError

__all__ = ["Drop", "Rule", "Table", "convert", "fold_weight_norm", "nested_entry", "swap_last_two"]

_NUMBER, _NAME = r"\d+", r"[^.]+"
_PLACEHOLDERS = {"i": _NUMBER, "j": _NUMBER, "k": _NUMBER, "p": "weight|bias", "a": _NAME, "b": _NAME, "rest": ".+"}
_NEW_STYLE = ".parametrizations.weight.original"
_WEIGHT_NORM = ((".weight_g", ".weight_v"), (f"{_NEW_STYLE}0", f"{_NEW_STYLE}1"))
_CONSTANT_TOLERANCE = 1e-4


def swap_last_two(tensor: Tensor) -> Tensor:
    """Swap the last two dimensions, (..., A, B) -> (..., B, A): GPT-2's Conv1D keeps (in, out), nn.Linear (out, in)."""
    return tensor.transpose(-1, -2)


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule for one of our keys, made from one of theirs or from several, joined along dimension 0 in that order.

    ``op`` is applied to each of their tensors first.
    """

    theirs: str | tuple[str, ...]
    ours: str
    op: Callable[[Tensor], Tensor] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


@dataclass(frozen=True, slots=True)
class Drop:
    """Rule for a key that is dropped. With ``constant`` it must equal what that function of its shape returns."""

    theirs: str
    constant: Callable[[torch.Size], Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All rules of one kind of model. ``nested``: the entry of the checkpoint that holds the state, if it has one.

    ``select``: takes this model's tensors, under its own keys, out of a checkpoint that may hold several models.
    """

    rules: tuple[Rule, ...]
    drop: tuple[Drop, ...] = ()
    nested: str | None = None
    select: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None


def convert(
    kind: str,
    state: Mapping[str, Tensor],
    *,
    expected: Mapping[str, torch.Size] | None = None,
    file: str | PathLike[str] | None = None,
) -> dict[str, Tensor]:
    """Return our state, made from the state of a public checkpoint.

    kind: one of ``core.components`` that has a key table; expected: our keys and shapes, to be met exactly; file: named
    in errors. Raises ModelError for an unknown key, a missing one or a wrong shape, naming the key as the file does.
    """
    table = _table_of(kind)
    if table is None:
        known = ", ".join(sorted(name for name, one in COMPONENTS.items() if one.key_table))
        raise ModelError(f"no key table for a model of kind {kind!r}; there are {known}", file=file)
    state = state if table.select is None else table.select(state)
    folded = fold_weight_norm(state, file=file)
    parts, unknown = _sort_into_rules(table, folded, file)
    if unknown:
        raise _unknown_error(kind, table, unknown, expected, file)
    result: dict[str, Tensor] = {}
    for ours, (rule, names) in parts.items():
        absent = [name for name in names if name not in folded]
        if absent:
            raise ModelError(f"{_label(file)}: {kind} checkpoint lacks {_listed(absent)}", file=file, key=absent[0])
        pieces = [_applied(rule, folded[name], name, file) for name in names]
        result[ours] = _joined(pieces, names, file)
    if expected is not None:
        _check_expected(kind, table, result, {ours: names for ours, (_, names) in parts.items()}, expected, file)
    return result


def nested_entry(kind: str) -> str | None:
    """Return the entry of a public checkpoint of this kind that holds the state; None where the file is the state."""
    table = _table_of(kind)
    return None if table is None else table.nested


def _table_of(kind: str) -> Table | None:
    name = COMPONENTS[kind].key_table if kind in COMPONENTS else None
    table: Table | None = None if name is None else resolve(name)
    return table


def fold_weight_norm(state: Mapping[str, Tensor], *, file: str | PathLike[str] | None = None) -> dict[str, Tensor]:
    """Replace each pair (g, v) by the weight g * v / ||v||, one gain and one norm for each first index."""
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        for gain_end, direction_end in _WEIGHT_NORM:
            if key.endswith(gain_end):
                stem = key.removesuffix(gain_end)
                if stem + direction_end not in state:
                    missing = stem + direction_end
                    raise ModelError(f"{_label(file)}: {key} has no {missing} beside it", file=file, key=missing)
                if stem + ".weight" in state:
                    raise ModelError(f"{_label(file)}: {stem}.weight is there beside {key}", file=file, key=key)
                result[stem + ".weight"] = _normed(tensor, state[stem + direction_end], key, file)
                break
            if key.endswith(direction_end):
                if key.removesuffix(direction_end) + gain_end not in state:
                    missing = key.removesuffix(direction_end) + gain_end
                    raise ModelError(f"{_label(file)}: {key} has no {missing} beside it", file=file, key=missing)
                break
        else:
            result[key] = tensor
    return result


def _normed(gain: Tensor, direction: Tensor, key: str, file: str | PathLike[str] | None) -> Tensor:
    fits = gain.ndim == direction.ndim and all(g in (1, d) for g, d in zip(gain.shape, direction.shape, strict=True))
    if not fits:
        raise ModelError(
            f"{_label(file)}: {key} has shape {tuple(gain.shape)}, which does not fit {tuple(direction.shape)}",
            file=file,
            key=key,
        )
    over = [d for d in range(1, gain.ndim) if gain.shape[d] != 1]
    if over or gain.shape[0] != direction.shape[0]:
        raise ModelError(f"{_label(file)}: {key} is not one gain for each first index", file=file, key=key)
    if direction.is_meta:
        return torch.empty_like(direction)
    # The very function that both of torch's weight norms call: some vocoders amplify a different rounding of their
    # weights ten-thousandfold (UnivNet: 1e-7 in the weights, 1e-3 in the waveform).
    folded: Tensor = torch._weight_norm(direction.float(), gain.float(), 0)
    return folded.to(direction.dtype)


def _sort_into_rules(
    table: Table, state: Mapping[str, Tensor], file: str | PathLike[str] | None
) -> tuple[dict[str, tuple[Rule, list[str]]], list[str]]:
    """Return {our key: (its rule, their keys that make it)} and the keys that no rule takes."""
    rules = [(_compiled(source), rule) for rule in table.rules for source in rule.sources]
    drops = [(_compiled(drop.theirs), drop) for drop in table.drop]
    parts: dict[str, tuple[Rule, list[str]]] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        dropped = next((drop for pattern, drop in drops if pattern.fullmatch(key)), None)
        if dropped is not None:
            _check_constant(dropped, key, tensor, file)
            continue
        for pattern, rule in rules:
            if match := pattern.fullmatch(key):
                fields = match.groupdict()
                ours, names = rule.ours.format(**fields), [source.format(**fields) for source in rule.sources]
                if parts.setdefault(ours, (rule, names))[1] != names:
                    raise ModelError(
                        f"{_label(file)}: {key} and {parts[ours][1][0]} are the same weight twice", file=file, key=key
                    )
                break
        else:
            unknown.append(key)
    return parts, unknown


def _applied(rule: Rule, tensor: Tensor, key: str, file: str | PathLike[str] | None) -> Tensor:
    if rule.op is None:
        return tensor
    try:
        return rule.op(tensor)
    except (IndexError, RuntimeError) as error:  # too many or too few dimensions
        raise ModelError(
            f"{_label(file)}: {key} has shape {tuple(tensor.shape)}, which no such weight has", file=file, key=key
        ) from error


@cache
def _compiled(template: str) -> re.Pattern[str]:
    out = []
    for literal, field, _, _ in Formatter().parse(template):
        out.append(re.escape(literal))
        if field is not None:
            out.append(f"(?P<{field}>{_PLACEHOLDERS[field]})")
    return re.compile("".join(out))


def _joined(pieces: list[Tensor], names: list[str], file: str | PathLike[str] | None) -> Tensor:
    if len(pieces) == 1:
        return pieces[0]
    ends = [piece.shape[1:] if piece.ndim else None for piece in pieces]
    usual = max(ends, key=ends.count)
    for piece, name, end in zip(pieces, names, ends, strict=True):
        if end is None or end != usual:
            raise ModelError(
                f"{_label(file)}: {name} has shape {tuple(piece.shape)}, which does not fit what lies beside it",
                file=file,
                key=name,
            )
    return torch.cat(pieces)


def _check_constant(drop: Drop, key: str, tensor: Tensor, file: str | PathLike[str] | None) -> None:
    if drop.constant is None or tensor.is_meta:
        return
    want = drop.constant(tensor.shape) if tensor.ndim else tensor.new_empty(0)  # a constant has dimensions
    if want.shape != tensor.shape or not torch.allclose(tensor.float(), want, rtol=0.0, atol=_CONSTANT_TOLERANCE):
        raise ModelError(
            f"{_label(file)}: {key} should hold a fixed constant of this architecture and does not", file=file, key=key
        )


def _check_expected(
    kind: str,
    table: Table,
    result: Mapping[str, Tensor],
    origins: Mapping[str, list[str]],
    expected: Mapping[str, torch.Size],
    file: str | PathLike[str] | None,
) -> None:
    extra = [name for ours, names in origins.items() if ours not in expected for name in names]
    if extra:
        raise _unknown_error(kind, table, extra, expected, file)
    absent = [name for ours in expected if ours not in result for name in _their_names(table, ours)]
    if absent:
        raise ModelError(f"{_label(file)}: {kind} checkpoint lacks {_listed(absent)}", file=file, key=absent[0])
    for ours, shape in expected.items():
        if result[ours].shape != shape:
            raise ModelError(
                f"{_label(file)}: {_listed(origins[ours])} has shape {tuple(result[ours].shape)} as we keep it, "
                f"but this {kind} model needs {tuple(shape)}: the file belongs to another configuration",
                file=file,
                key=origins[ours][0],
            )


def _their_names(table: Table, ours: str) -> list[str]:
    """Return the names of a checkpoint that make one of our keys; our own name where no rule makes it."""
    for rule in table.rules:
        if match := _compiled(rule.ours).fullmatch(ours):
            return [source.format(**match.groupdict()) for source in rule.sources]
    return [ours]


def _unknown_error(
    kind: str,
    table: Table,
    unknown: Iterable[str],
    expected: Mapping[str, torch.Size] | None,
    file: str | PathLike[str] | None,
) -> ModelError:
    keys = list(unknown)
    known = [name for ours in expected or () for name in _their_names(table, ours)]
    near = get_close_matches(keys[0], known, n=1)
    hint = f" (nearest known key: {near[0]})" if near else ""
    return ModelError(f"{_label(file)}: unknown key {_listed(keys)} for a {kind} model{hint}", file=file, key=keys[0])


def _label(file: str | PathLike[str] | None) -> str:
    return "checkpoint" if file is None else str(file)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more
