"""A book of two chapters, and a config that reads it aloud."""

import yaml

from pipeline.config.run import parse_config

TOKENS = tuple(range(32))

BOOK = """# Two Cats

## Chapter I. In

The first cat sat down. It was late.

## Chapter II. Out

The second cat went out. Nobody saw it.
"""

CAST = {"cats": {"narrator": "anna", "characters": [{"name": "Tom", "voice": "anna"}]}}


def configure(folder, **changes):
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "cats.md").write_text(BOOK)
    (folder / "speakers.yaml").write_text(f"- {{speaker_id: anna, global_tokens: {list(TOKENS)}}}\n")
    (folder / "casting.yaml").write_text(yaml.safe_dump(CAST))
    raw = {
        "weights": "demo",
        "manifest": str(folder / "manifest"),
        "speakers": str(folder / "speakers.yaml"),
        "output": str(folder / "output"),
        "unit_size": 2,
        "llm": {"slots": 4},
        "quality": {"min_pace": 0.0, "max_pace": 10_000.0},
        "replicas": {"llm": {"count": 1}, "codec": {"count": 1}, "writer": {"count": 1}},
        "audiobook": {"catalogue": str(folder / "in"), "chapters": str(folder / "chapters"),
                      "casting": str(folder / "casting.yaml")},
    }  # fmt: skip
    for name, value in changes.items():
        raw = {**raw, name: {**raw.get(name, {}), **value} if isinstance(value, dict) else value}
    (folder / "run.yaml").write_text(yaml.safe_dump(raw))
    return parse_config(raw)
