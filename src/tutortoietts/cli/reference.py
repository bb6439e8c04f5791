"""Generate the page docs/cli.md from the commands: `python -m tutortoietts.cli.reference > docs/cli.md`.

Also the tables of presets, options and public files in other pages. Tests compare pages and code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from tutortoietts.cli.common import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_USAGE, panels
from tutortoietts.core.options import SPEECH
from tutortoietts.core.paths import ENVIRONMENT

ENVIRONMENT_ROWS = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in ENVIRONMENT.items())

PROLOGUE = f"""# Command line

Made from the commands by `python -m tutortoietts.cli.reference > docs/cli.md`; do not edit.

Data goes to stdout; progress, reports, warnings and errors go to stderr. An error is one line that names the value,
the limit and the remedy; `--debug` (or `TUTORTOIETTS_DEBUG=1`) adds the traceback.

| exit code | means |
|---|---|
| 0 | done |
| {EXIT_FAILURE} | failed: a file, a clip, a checkpoint, the disk |
| {EXIT_USAGE} | wrong usage: an option, the text, a voice's name |
| {EXIT_INTERRUPTED} | interrupted (Ctrl-C); no half-written file is left |
| {EXIT_TERMINATED} | terminated (SIGTERM); likewise |

| environment variable | means |
|---|---|
{ENVIRONMENT_ROWS}
"""


def render() -> str:
    """Return the page in Markdown."""
    from tutortoietts.cli.main import app

    root = typer.main.get_command(app)
    return "\n".join([PROLOGUE, *_pages(root, "tutortoietts")])


def preset_table() -> str:
    """Return the rows of the presets in docs/presets.md."""
    from tutortoietts.core.presets import PRESETS, preset_options

    rows = []
    for name in PRESETS:
        o = preset_options(name)
        cells = (
            f"`{name}`",
            o.num_autoregressive_samples,
            o.diffusion_iterations,
            f"`{o.sampler}`",
            "off" if o.guidance is None else f"{o.guidance:g}",
            o.temperature,
            o.top_p,
            f"{o.repetition_penalty:g}",
            f"{o.diffusion_temperature:g}",
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def option_table() -> str:
    """Return the rows of the options in docs/presets.md."""
    rows = []
    for name, one in SPEECH.items():
        limits = ", ".join(f"`{choice}`" for choice in one.choices if choice) if one.choices else one.limits_text
        rows.append(f"| `{name}` | {limits or 'True, False'} | {' '.join(filter(None, [one.help, one.details]))} |")
    return "\n".join(rows)


PURPOSES = {
    "autoregressive": "speaking",
    "diffusion": "speaking",
    "clvp": "ranking the candidates",
    "bigvgan_base": "speaking (the default vocoder)",
    "tokenizer": "speaking",
    "mel_norms": "voices from clips",
    "cvvp": "`--cvvp-amount` above 0",
    "hifigan": "`--streaming`",
    "univnet": "`--vocoder univnet`, the original one",
    "bigvgan": "`--vocoder bigvgan`",
    "bigvgan_large": '`tortoise.models.vocoder.BigVGAN("bigvgan_large")`',
    "random_latent_auto": "`--voice random`",
    "random_latent_diffusion": "`--voice random`",
}


def checkpoint_table() -> str:
    """Return the rows of docs/checkpoints.md."""
    from tutortoietts.weights.registry import REGISTRY

    rows = []
    for name, file in REGISTRY.items():
        purpose = PURPOSES.get(name, "loads; no command uses it yet")
        rows.append(f"| {name} | `{file.local_names[0]}` | {file.megabytes:g} | {purpose} |")
    return "\n".join(rows)


def _pages(command: Any, name: str) -> Iterator[str]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        yield from _page(command, name)
    for child in children:
        yield from _pages(children[child], f"{name} {child}")


def _page(command: Any, name: str) -> Iterator[str]:
    parameters = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    shown = [f"{p.name.upper()}{'...' if p.nargs == -1 else ''}" for p in arguments]
    usage = [word if p.required else f"[{word}]" for p, word in zip(arguments, shown, strict=True)]
    yield f"## {' '.join([name, *usage])}\n"
    yield f"{(command.help or '').strip()}\n"
    groups = panels(parameters)
    for title, members in groups.items():
        if len(groups) > 1:
            yield f"**{title}**\n"
        yield "| option | meaning |\n|---|---|"
        rows = (_row(p, shown[arguments.index(p)] if p in arguments else None) for p in members)
        yield "\n".join(f"| {left} | {right.replace('|', chr(92) + '|')} |" for left, right in rows) + "\n"


def _row(parameter: Any, argument: str | None) -> tuple[str, str]:
    return (f"`{argument}`", parameter.help or "") if argument else (_spelling(parameter), _meaning(parameter))


def _spelling(option: Any) -> str:
    names = [*sorted(option.opts, key=len, reverse=True), *option.secondary_opts]
    value = "" if option.is_flag or option.secondary_opts else f" {option.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _meaning(option: Any) -> str:
    text = (option.help or "").strip()
    default = option.default
    if default in (None, False, ()) or callable(default) or option.required or "[default" in text:
        return text + (" (required)" if option.required else "")
    shown = option.opts[0].lstrip("-") if default is True else default
    return f"{text} Default: {shown}."


if __name__ == "__main__":
    print(render(), end="")
