"""Check every commit and clip of an output: `python -m jobs.verify OUTPUT [--repair] [--sweep]`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from jobs.outputs import find_output
from pipeline import load_config
from pipeline.config.manifest import recorded_reading
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.errors import SynthesisError
from pipeline.manifest.rows import Manifest
from pipeline.output.run_record import RunRecord
from pipeline.output.verify import Audit
from pipeline.storage import Storage, open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 intact, 1 if anything is missing or changed, or rejected in a repair."""
    parser = CommandParser(
        prog="python -m jobs.verify",
        description="Read every commit and clip of an output again; exit code 1 if anything is missing or changed.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("output", help="the run's output, or a corpus: a folder or an object-store prefix")
    parser.add_argument("--repair", action="store_true", help="synthesize what is damaged again, then check again")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="delete files of audio that no commit names, and takes that a redo replaced",
    )
    parser.add_argument("--manifest", metavar="PLACE", help="compare texts with this one; else with the run's own")
    parser.add_argument("--config", metavar="FILE", help="for --repair: the run's config, if not as in run.json")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)
    if options.config and not options.repair:
        parser.error("--config: what --repair makes again is made by it; add --repair, or leave it out")

    def verify() -> int:
        # What is wrong in a config is said before everything is read.
        config = load_config(options.config, {"output": options.output}) if options.config else None
        output = find_output(options.output, options.endpoint_url)
        storage = open_storage(output, StorageConfig(endpoint_url=options.endpoint_url))
        # The record names the manifest as the night's command did, from the folder in which that ran.
        own = None if output == options.output else f"{options.output.rstrip('/')}/manifest"
        manifest = _open_manifest(storage, options.manifest or own)
        is_intact = _audit(storage, manifest)
        if options.repair and not is_intact:
            from pipeline.run.repair import choose_config, repair_output

            counts = repair_output(choose_config(output, storage, config))
            say(f"{counts.num_rows:,} row(s) synthesized again: {counts.describe()}; checking again")
            is_intact = _audit(storage, manifest) and not counts.rejected
        if options.sweep:
            from pipeline.run.repair import sweep_output

            say(f"{sweep_output(storage):,} orphan(s) deleted")
        return EXIT_OK if is_intact else EXIT_REJECTIONS

    return run_command(verify, commits=options.repair)


def _open_manifest(storage: Storage, place: str | None) -> Manifest | None:
    """Open the manifest that is named, which must be there, or the run's own; say so where that is not at hand.

    Both are read as the run read its own.
    """
    starts = RunRecord(storage).read().starts
    config = starts[-1].get("config", {}) if starts else {}
    reading = recorded_reading(config, f"{storage.uri}/run.json")
    if place is not None:
        return Manifest.open(place, storage.settings, reading)
    recorded, problem = config.get("manifest"), "the run's record names none"
    if isinstance(recorded, str):
        try:
            return Manifest.open(recorded, storage.settings, reading)
        except SynthesisError as error:
            problem = str(error).splitlines()[0]
    say(f"texts are not compared with the manifest: {problem}; pass --manifest PLACE")
    return None


def _audit(storage: Storage, manifest: Manifest | None) -> bool:
    """Print what is wrong as it is found, then a line that counts; return whether the output is intact."""
    audit = Audit(storage, manifest=manifest)
    counts: Counter[str] = Counter()
    for finding in audit.findings():
        counts[finding.kind] += 1
        say(f"{finding.kind}\t{one_line(finding.path)}" + (f"\t{finding.detail}" if finding.detail else ""))
    orphaned = counts.pop("orphaned", 0)
    found = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "all as committed"
    say(f"{audit.num_checked:,} clip(s) checked: {found}; {orphaned:,} orphaned (harmless: cut short or replaced)")
    return not counts


if __name__ == "__main__":
    sys.exit(run_guarded(main))
