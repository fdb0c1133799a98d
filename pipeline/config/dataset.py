"""The settings of a data set that grows every night: which texts, who reads them, what is split, judged and published.

A night's file is that of an ordinary run, with `texts` and `dataset` in the place of `manifest`; `output` names the
corpus, in which manifest and output of the run lie.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import model_validator

from pipeline.config.config_file import apply_overrides, read_config_file
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.run import Config, Language, parse_config
from pipeline.config.settings import Address, Settings, check_settings, setting
from pipeline.errors import ConfigError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NIGHT_COLUMNS = ("text_id", "version", "night", "split", "license", "source")
"""Of a night's manifest, beside those of every manifest; the metadata passes them through."""
_SOURCE = r"^[A-Za-z0-9_]+$"
_REPOSITORY = re.compile(r"hf://[\w.-]+/[\w.-]+")


class TextSource(Settings):
    """Where texts come from. Written as a plain path, or as a mapping with `path`."""

    path: Address = setting()
    """A file, a folder or a glob: Parquet, CSV, TSV, JSON Lines or plain text with a text in each line."""
    name: str = setting("", max_length=100)
    """Letters, digits and `_`; begins the ids of its rows. Empty takes the last word of the path: `news` of
    `texts/news/*.parquet`."""
    license: str | None = setting(None, min_length=1)
    """Of texts that have no column `license`; none takes that of the data set."""
    language: Language | None = setting(None)
    """Of texts that have no column `language`; none leaves it to `text.language`."""
    id_column: str | None = setting(None, min_length=1)
    """Column that names a text for ever, so that a changed text is a correction; none takes the first of `text_id`,
    `utterance_id`, `id` that is there. Rows without one are told apart by what they say."""
    text_column: str = setting("text", min_length=1)
    """Column of the text."""

    @model_validator(mode="before")
    @classmethod
    def _accept_plain_path(cls, data: Any) -> Any:
        data = {"path": data} if isinstance(data, str) else data
        if isinstance(data, dict) and isinstance(data.get("path"), str) and not data.get("name"):
            return {**data, "name": _name_of(data["path"])}
        return data

    @model_validator(mode="after")
    def _check_name(self) -> TextSource:
        if not re.fullmatch(_SOURCE, self.name):
            raise ValueError(f"texts.name: {self.name!r}: expected letters, digits and _ only, such as news")
        return self


def _name_of(path: str) -> str:
    """Return the last part of a path that is no pattern, without its suffix."""
    parts = [part for part in path.rpartition("://")[2].split("/") if part and not re.search(r"[*?\[]", part)]
    stem = parts[-1].partition(".")[0] if parts else ""
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_") or "texts"


class PlanConfig(Settings):
    """How much is spoken in a night, and by whom."""

    hours: float | None = setting(None, gt=0.0)
    """Hours of audio that a night plans, by the expected length of its texts; what is left over waits for the next."""
    rows: int | None = setting(None, ge=1)
    """Rows that a night plans; none of both takes every new text."""
    voices_per_text: int = setting(1, ge=1)
    """By how many voices a text is read."""
    balance: Literal["hours", "rows"] = setting("hours")
    """What is equal among the voices of a night: their hours, or their rows."""


class DedupConfig(Settings):
    """Which texts are left out."""

    normalized: bool = setting(True)
    """Texts that differ only in case, punctuation or spelled-out numbers are the same text; False compares them as they
    are written."""
    never: tuple[Address, ...] = setting(())
    """Files, folders or globs of texts that must never be spoken, such as benchmarks: neither as they are, nor any
    `never_words` words of them in a row."""
    never_words: int = setting(13, ge=3, le=100)
    """Consecutive words that make a text too much like one that must never be spoken."""


class SplitConfig(Settings):
    """Who is in which part, for ever: a hash of the normalized text, with a salt that the corpus keeps, decides."""

    by: Literal["text"] = setting("text")
    """What is never in two splits."""
    validation: float = setting(0.01, ge=0.0, lt=1.0)
    """Share of the texts."""
    test: float = setting(0.01, ge=0.0, lt=1.0)
    """Share of the texts."""
    test_speakers: tuple[str, ...] = setting(())
    """Voices that read the test texts and nothing else; also those with `split: test` in the speakers file. None lets
    all voices read them."""

    @model_validator(mode="after")
    def _leave_some_to_train(self) -> SplitConfig:
        if self.validation + self.test >= 1.0:
            raise ValueError(
                f"dataset.split: validation ({self.validation:g}) and test ({self.test:g}) leave nothing to train"
            )
        if self.test_speakers and not self.test:
            raise ValueError("dataset.split.test_speakers: they read test texts, of which `test: 0` makes none")
        return self


class GateConfig(Settings):
    """What a night must reach to be published; limits that are left out are not judged."""

    min_accepted: float | None = setting(None, ge=0.0, le=1.0)
    """Least share of the night's rows that were accepted."""
    min_hours: float | None = setting(None, ge=0.0)
    """Least hours of accepted audio of the night."""
    max_wer_p95: float | None = setting(None, ge=0.0)
    """Most word errors in 95 of 100 accepted rows, as a share of the text's words; needs `quality.asr`."""
    max_cer_p95: float | None = setting(None, ge=0.0)
    """The same of letters."""
    min_similarity_p05: float | None = setting(None, ge=-2.0, le=1.0)
    """Least likeness of the voice in 95 of 100 accepted rows; needs `quality.asr`."""
    min_speaker_accepted: float | None = setting(None, ge=0.0, le=1.0)
    """Least share of accepted rows of each voice."""

    def limits(self) -> dict[str, float]:
        """Return the limits that are set."""
        return {name: float(value) for name, value in self if value is not None}


class PublishConfig(Settings):
    """In which form a night is published, and where to."""

    format: Literal["parquet", "webdataset"] = setting("parquet")
    """`parquet`: what `datasets` loads and plays. `webdataset`: tar files, with a NeMo manifest."""
    to: Address | None = setting(None)
    """Where a copy goes: a folder, a store's prefix, or `hf://owner/name`; none leaves it in the corpus alone."""
    shard_mb: float = setting(400.0, gt=0.0, le=2_000.0)
    """Megabytes of a file, about."""

    @model_validator(mode="after")
    def _check_repository(self) -> PublishConfig:
        if self.to is not None and self.to.startswith("hf://") and not _REPOSITORY.fullmatch(self.to):
            raise ValueError(f"dataset.publish.to: {self.to}: expected hf://owner/name")
        return self


class DatasetConfig(Settings):
    """A data set: what is planned, split, judged and published around a run."""

    name: str = setting(pattern=r"^[\w.-]{1,96}(/[\w.-]{1,96})?$")
    """As others call it: `owner/name`."""
    license: str = setting(min_length=1)
    """Of the data set, in the words of its card: `cc-by-4.0`."""
    plan: PlanConfig = PlanConfig()
    """How much is spoken in a night, and by whom."""
    dedup: DedupConfig = DedupConfig()
    """Which texts are left out."""
    split: SplitConfig = SplitConfig()
    """Train, validation, test."""
    gate: GateConfig = GateConfig()
    """What a night must reach to be published."""
    max_corrected: float = setting(0.1, ge=0.0, le=1.0)
    """Share of the texts of earlier nights that a night may correct, all of which are spoken anew; a night that would
    correct more, and more than 20, stops before it is planned: ids may have moved, or a source's settings changed."""
    publish: PublishConfig = PublishConfig()
    """In which form, and where to."""


class NightlyFile(Settings):
    """What the file of a nightly data set has beside the settings of a run."""

    texts: tuple[TextSource, ...] = setting(min_length=1)
    """Where texts come from; rows are compared, not files."""
    output: Address = setting()
    """Of a nightly data set: the corpus, a folder or an object-store prefix with manifest, output and snapshots."""
    dataset: DatasetConfig = setting()
    """A speech data set that grows every night: what `jobs.dataset` does."""

    @model_validator(mode="after")
    def _refuse_equal_names(self) -> NightlyFile:
        for name in _find_twice(source.name for source in self.texts):
            raise ValueError(f"texts: two have the name {name!r}, by which their ids begin; give one another `name`")
        return self


def _find_twice(names: Iterable[str]) -> Iterator[str]:
    seen = set[str]()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


class NightConfig(Settings):
    """All that a night needs."""

    texts: tuple[TextSource, ...]
    corpus: Address
    dataset: DatasetConfig
    run: Config
    """Of the night's run: its manifest and output lie in the corpus."""
    extra_columns: tuple[str, ...] = ()
    """Of the texts, kept as text beside `NIGHT_COLUMNS`: what `columns` names."""

    @model_validator(mode="after")
    def _refuse_what_cannot_be_judged(self) -> NightConfig:
        listened = {"max_wer_p95", "max_cer_p95", "min_similarity_p05"}
        unjudged = sorted(listened.intersection(self.dataset.gate.limits()))
        if unjudged and self.run.quality.asr == "none":
            raise ValueError(f"dataset.gate.{unjudged[0]}: nobody listens; set quality.asr, or leave the limit out")
        return self


_OWN = ("texts", "dataset")
_REFUSED = {
    "manifest": "a nightly data set has `texts`, which are planned into the corpus's manifest",
    "audiobook": "a nightly data set has no books",
    "default_speaker": "the plan gives every text to a voice of the speakers file, by dataset.plan and dataset.split",
    "limit": "a night is whole; for less of it, set dataset.plan.rows",
}


def load_night_config(path: str | os.PathLike[str], overrides: Sequence[str] | Mapping[str, Any] = ()) -> NightConfig:
    """Read the YAML file of a nightly data set and check every setting.

    Args:
        path: the YAML file.
        overrides: as `load_config` takes them.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, missing or out of range; the message lists
            every problem with its place.
    """
    raw = read_config_file(path)
    apply_overrides(raw, overrides)
    return parse_night_config(raw, str(path))


def parse_night_config(raw: Mapping[str, Any], source: str = "config") -> NightConfig:
    """Check the settings of a nightly data set; raises as `load_night_config`."""
    if "dataset" not in raw:
        raise ConfigError(f"{source}: dataset: required, but not given; for an ordinary run use jobs.synthesize")
    for name, why in _REFUSED.items():
        if name in raw:
            raise ConfigError(f"{source}: {name}: {why}; take {name} out")
    own = check_settings(NightlyFile, {name: raw[name] for name in (*_OWN, "output") if name in raw}, source)
    corpus = own.output.rstrip("/") or "/"
    audio = {"format": "flac", "layout": "packed", **_group(raw, "audio")}
    quality = {"stop_above_rejected": 1.0, **_group(raw, "quality")}  # The gate judges the night.
    extra = raw.get("columns") or ()
    if not isinstance(extra, list | tuple) or not all(isinstance(name, str) for name in extra):
        raise ConfigError(f"{source}: columns: expected a list of columns of the texts, got {extra!r:.80}")
    extra = [name for name in extra if name not in (*NIGHT_COLUMNS, *OWN_COLUMNS)]
    run = parse_config(
        {
            **{name: value for name, value in raw.items() if name not in _OWN},
            "manifest": f"{corpus}/manifest",
            "output": f"{corpus}/output",
            "columns": [*NIGHT_COLUMNS, *extra],
            "audio": audio,
            "quality": quality,
        },
        source,
    )
    fields = {"texts": own.texts, "corpus": corpus, "dataset": own.dataset, "run": run, "extra_columns": extra}
    return check_settings(NightConfig, fields, source)


def _group(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return dict(found) if isinstance(found, dict) else {}
