"""Print the result of `tutortoietts bench` as tables of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_GIGA = 1e9


def print_tables(values: Mapping[str, Any]) -> None:
    """Print everything that was measured, on stdout."""
    print(_machine_line(values))
    if "compare" in values:
        _print_comparison(values["compare"])
        return
    _print_stages(values)
    if "profile" in values:
        _print_profile(values["profile"])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _machine_line(values: Mapping[str, Any]) -> str:
    machine = values["machine"]
    threads = f", {machine['threads']} threads" if machine["threads"] else ""
    rates = ", ".join(f"{name} {_rate(rate)}" for name, rate in machine["rates"].items())
    limits = f"{machine['bandwidth'] / _GIGA:.1f} GB/s; {rates}"
    return f"{values['date']}  {machine['device']}{threads}, torch {values['torch']}\n  machine: {limits}"


def _rate(rate: float) -> str:
    return f"{rate / 1e12:.1f} TFLOP/s" if rate >= 1e12 else f"{rate / _GIGA:.0f} GFLOP/s"


def _print_stages(values: Mapping[str, Any]) -> None:
    s = values["settings"]
    guided = f", {s['guided']} guided" if s["guided"] else ""
    steps = f", {s['forwards']} x {s['sampler']}{guided}" if s["forwards"] else ""
    forced = "" if s["codes_forced"] else "about "
    print(
        f"  {s['model']}, preset {s['preset']}, on {s['device']}: {s['candidates']} candidates of {forced}{s['codes']} "
        f"codes{steps}, {values['audio_seconds']:.2f} s of audio, median of {s['runs']}\n"
    )
    rows = [["stage", "ms", "least", "most", "real-time factor", "limit ms", "times limit"]]
    rows += [_stage_row(stage) for stage in [*values["stages"], values["total"]] if _shows(stage["seconds"])]
    print(table(rows) + "\n")
    first = values["first_audio_seconds"]
    if first is not None:
        factor = values["stream_real_time_factor"]
        overall = "" if factor is None else f", all of it at a real-time factor of {factor:.3f}"
        print(f"streamed: first sound after {1000 * first['median']:.1f} ms{overall}")
    print(f"peak memory: {values['peak_memory_bytes'] / 2**30:.2f} GiB {values['peak_memory_kind']}")


def _shows(seconds: Mapping[str, float] | None) -> bool:
    """Return whether the median is so long that it is not shown as 0.0 ms."""
    return seconds is not None and seconds["median"] >= 0.00005


def _stage_row(stage: Mapping[str, Any]) -> list[str]:
    seconds, limit, ratio = stage["seconds"], stage["limit_seconds"], stage["ratio"]
    return [
        stage["name"],
        *(f"{1000 * seconds[key]:.1f}" for key in ("median", "least", "most")),
        f"{stage['real_time_factor']:.4f}",
        "" if limit is None else f"{1000 * limit:.1f}",
        "" if ratio is None else f"{ratio:.1f}",
    ]


def _print_profile(profile: Mapping[str, Any]) -> None:
    rows = [["slowest operations", "calls", "own ms", "share"]]
    rows += [
        [one["name"][:60], str(one["calls"]), f"{1000 * one['seconds']:.2f}", f"{100 * one['share']:.1f} %"]
        for one in profile["operations"]
    ]
    print(f"\n{table(rows)}\ntrace: {profile['file']} (open it in chrome://tracing or ui.perfetto.dev)")


def _print_comparison(values: Mapping[str, Any]) -> None:
    rows = [["setting", "slow", "fast"]]
    rows += [[name, str(slow), str(fast)] for name, (slow, fast) in values["settings"].items()]
    print("\n" + table(rows) + "\n")
    rows = [["stage", "slow ms", "fast ms", "times faster"]]
    for name, fast in values["fast"].items():
        ratio, slow = values["ratios"][name], values["slow"].get(name)
        if not (_shows(fast) or _shows(slow)):
            continue
        rows.append(
            [
                name,
                "" if slow is None else f"{1000 * slow['median']:.1f}",
                f"{1000 * fast['median']:.1f}",
                "" if ratio is None else f"{ratio:.2f}",
            ]
        )
    print(table(rows))
