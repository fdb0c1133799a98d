"""Show every setting, or those whose names begin so: `python -m jobs.settings [NAME]`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.config.dataset import NightlyFile
from pipeline.config.run import Config
from pipeline.config.settings import list_settings
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
    settings = {setting.name: setting for group in (NightlyFile, Config) for setting in list_settings(group)}
    shown = [found for known, found in settings.items() if f"{known}.".startswith(f"{name}." if name else "")]
    if not shown:
        near = difflib.get_close_matches(name, settings, n=3, cutoff=0.5)
        remedy = f"did you mean {' or '.join(near)}?" if near else "leave the name out to see all of them"
        raise ConfigError(f"{name}: there is no such setting; {remedy}")
    for found in shown:
        pinned = ", pinned by the first start" if found.changes else ""
        say(f"{found.name}: {found.kind}, {'required' if found.required else f'default {found.default}'}{pinned}")
        say("".join(f"    {line}\n" for line in found.description.splitlines()))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run_guarded(main))
