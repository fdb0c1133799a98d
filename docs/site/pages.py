"""Pages of the site that are made from the code and the README, and links that leave the documents.

Called by mkdocs, see `.mkdocs.yml`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")
_PYTHON = """# Python

The public names; each is imported from `pipeline`.

::: pipeline.run.synthesize.synthesize_manifest
::: pipeline.config.run.load_config
::: pipeline.synthesis.synthesizer.Synthesizer
::: pipeline.audio.clips.Audio
::: pipeline.output.reader.read_output
::: pipeline.output.status.read_status
::: pipeline.output.verify.verify_output
::: pipeline.run.repair.redo_rows
::: pipeline.run.repair.repair_output
::: pipeline.run.replay.replay_rows
::: pipeline.run.enroll.enroll_speakers
::: pipeline.run.dry_run.forecast_run
::: pipeline.books.audiobooks.make_audiobooks
::: pipeline.codec.bicodec.BiCodec
::: pipeline.llm.engine.LLMEngine
::: pipeline.errors
"""


def on_files(files, config):
    """Add the pages that nobody writes."""
    for path, text in (
        ("index.md", (ROOT / "README.md").read_text()),
        ("reference/commands.md", _describe_commands()),
        ("reference/settings.md", "# Settings\n\n```text\n" + _run("settings") + "```\n"),
        ("reference/python.md", _PYTHON),
    ):
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links that lead out of the documents, to code and configs, into names."""
    folder = ROOT if page.file.src_uri == "index.md" else ROOT / "docs"

    def rewrite(match):
        text, target = match[1], match[2]
        path, _, anchor = target.partition("#")
        found = Path(os.path.normpath(folder / path))
        if found.is_relative_to(ROOT / "docs") and found.suffix in (".md", ".flac"):
            return f"[{text}]({found.relative_to(ROOT / 'docs')}{'#' + anchor if anchor else ''})"
        return text if "`" in text else f"`{text}`"

    return _LINK.sub(rewrite, markdown)


def _describe_commands():
    sys.path.insert(0, str(ROOT))
    from jobs.cli import COMMANDS

    text = "# Commands\n\n`spark-tts-batch COMMAND` is the same as `python -m jobs.COMMAND`.\n"
    for name, summary in COMMANDS.items():
        text += f"\n## {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n```text\n{_run(name, '--help')}```\n"
    return text


def _run(*arguments):
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
