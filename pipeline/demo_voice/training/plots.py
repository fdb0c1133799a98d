"""Losses and learning rates of a training as pictures."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt  # only now, as the backend has to be chosen first


def plot_logs(folder: Path, target: Path) -> None:
    """Draw every log in a folder, a row for each network: losses on the left, learning rate on the right.

    Args:
        folder: holds the `*.jsonl` that `Training` writes.
        target: an image file.
    """
    logs = sorted(folder.glob("*.jsonl"))
    figure, rows = plt.subplots(len(logs), 2, figsize=(11, 2.8 * len(logs)), squeeze=False)
    for path, (losses, rate) in zip(logs, rows, strict=True):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for name in sorted({name for record in records for name in record} - {"step", "minutes", "rate"}):
            points = [(record["step"], record[name]) for record in records if name in record]
            losses.plot(*zip(*points, strict=True), label=name, linewidth=0.8)
        losses.set_title(path.stem)
        losses.set_yscale("log")
        losses.legend(fontsize=7)
        rate.plot([record["step"] for record in records], [record.get("rate", 0) for record in records])
        rate.set_title(f"{path.stem}: learning rate")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
