"""Show every setting, or those whose names begin so: `python -m jobs.settings [NAME]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.config.dataset import NightlyFile
from pipeline.config.run import Config
from pipeline.config.settings import SettingInfo, find_near, list_settings
from pipeline.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.settings",
        description="Show the settings of a config file: name, type, default, and what each is for.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("name", nargs="?", default="", help="a setting or a group, such as quality or llm.slots")
    options = parser.parse_args(arguments)
    return run_command(lambda: _show(options.name))


def _show(name: str) -> int:
    kinds = _list_kinds()
    shown = {
        kind: [found for found in settings if f"{found.name}.".startswith(f"{name}." if name else "")]
        for kind, settings in kinds.items()
    }
    shown = {kind: settings for kind, settings in shown.items() if settings}
    if not shown:
        near = find_near(name, (found for settings in kinds.values() for found in settings))
        remedy = f"did you mean {' or '.join(near)}?" if near else "leave the name out to see all of them"
        raise ConfigError(f"{name}: there is no such setting; {remedy}")
    for kind, settings in shown.items():
        if len(shown) > 1:
            say(f"# {kind}\n")
        for found in settings:
            pinned = ", pinned by the first start" if found.changes else ""
            say(f"{found.name}: {found.kind}, {'required' if found.required else f'default {found.default}'}{pinned}")
            say("".join(f"    {line}\n" for line in found.description.splitlines()))
    return EXIT_OK


def _list_kinds() -> dict[str, list[SettingInfo]]:
    """Return all settings by the kind of file that has them, in the order in which people meet these."""
    of_runs = list(list_settings(Config))
    return {
        "Every run (synthesize)": [found for found in of_runs if not found.name.startswith("audiobook.")],
        "Books (audiobooks), beside those of every run": [
            found for found in of_runs if found.name.startswith("audiobook.")
        ],
        "Data sets (dataset), beside those of every run": list(list_settings(NightlyFile)),
    }


if __name__ == "__main__":
    sys.exit(run_guarded(main))
