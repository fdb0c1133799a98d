"""Every setting of a run, in one frozen tree; knows nothing of what the settings do.

A field declares what a change of it would alter: `audio` (the bytes of a take), `plan` (the units), or nothing.
The first two are pinned by a run's first start and refused on resume; the rest may change at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from pipeline.config.books import AudiobookConfig
from pipeline.config.config_file import apply_overrides, read_config_file
from pipeline.config.manifest import ColumnsConfig, Reading, TableConfig, accept_plain_columns
from pipeline.config.quality import QualityConfig
from pipeline.config.settings import Address, Settings, check_settings, setting
from pipeline.errors import ConfigError


class SpeakersConfig(Settings):
    """Who speaks. Written as a plain path, or as a mapping with `path`."""

    path: Address = setting()
    """Parquet or YAML file of speaker definitions, local or in object storage."""
    on_error: Literal["stop", "reject"] = setting("stop")
    """A speaker that cannot be enrolled: `stop` before work, or `reject` every row that names it."""
    unusable_recording: Literal["refuse", "note"] = setting("refuse")
    """A recording that is no model of a voice (under a second of speech, or more than a tenth cut off at the peak):
    `refuse` its speaker, or `note` it in `speakers.parquet`, as what is merely poor."""


Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class TextConfig(Settings):
    """How a row's text becomes what is spoken."""

    language: str = setting("auto", changes="audio", pattern=r"^(auto|[a-z]{2,3})$")
    """Language of rows that have none: `auto` detects it row by row."""
    normalize: bool = setting(True, changes="audio")
    """Spell out numbers, dates, money, units and abbreviations."""
    max_text_chars: int = setting(20_000, changes="audio", ge=1)
    """Longer rows are rejected as `text_too_long`."""
    max_segment_chars: int = setting(200, changes="audio", ge=20, le=1_000)
    """Upper bound for the characters of one LLM request; longer text is cut at sentence ends."""
    max_segment_s: float = setting(18.0, changes="audio", ge=2.0, le=30.0)
    """Upper bound for the estimated speaking time of one LLM request, in seconds."""
    footnote_marks: Literal["skip", "read"] = setting("skip", changes="audio", new=True)
    """`[15]` and `¹²` behind a word: printed pages have them, and nobody reads them out."""
    languages: tuple[Language, ...] | None = setting(None, changes="audio", new=True)
    """What the weights speak, where finetuning taught them more than they declare; None takes what they declare."""
    other_languages: Literal["reject", "pass"] = setting("reject", changes="audio", new=True)
    """Rows in a language that the weights do not speak: rejected as `unsupported_language`, or passed as they are."""
    lexicon: str | None = setting(None)
    """YAML file `word: how to say it`, applied to whole words before anything else;
    its content is pinned, not its path."""


class SamplingConfig(Settings):
    """How a token is drawn from the logits, in the official order: temperature, top-k, top-p."""

    temperature: float = setting(0.8, changes="audio", ge=0.0, le=5.0)
    """0 takes the most likely token (greedy)."""
    top_k: int = setting(50, changes="audio", ge=1)
    """Only so many of the most likely tokens may be drawn."""
    top_p: float = setting(0.95, changes="audio", gt=0.0, le=1.0)
    """Of those, only as many as together have this probability."""


class AudioConfig(Settings):
    """The clips."""

    format: Literal["wav", "flac"] = setting("wav", changes="audio", new=True)
    """16-bit files of either kind hold the same samples. A FLAC takes about half of the bytes, and which ones they are
    depends on the version of libFLAC."""
    layout: Literal["files", "packed"] = setting("files", changes="plan", new=True)
    """`files`: each clip is an object in `audio/`. `packed`: a unit's commit holds its clips in a column `audio`, so
    that a unit is one object and one request; what the package `datasets` plays."""
    sample_rate: int = setting(16_000, changes="audio", ge=8_000, le=96_000)
    """Hz. The model makes 16,000; other rates are resampled (soxr VHQ), which adds no detail."""
    pause_clause_s: float = setting(0.10, changes="audio", ge=0.0, le=5.0)
    """Silence between segments cut inside a sentence, in seconds."""
    pause_sentence_s: float = setting(0.25, changes="audio", ge=0.0, le=5.0)
    """Silence between segments that end a sentence, in seconds."""
    pause_paragraph_s: float = setting(0.60, changes="audio", ge=0.0, le=10.0)
    """Silence between paragraphs of one row, in seconds."""
    target_rms_dbfs: float | None = setting(None, changes="audio", ge=-60.0, le=0.0)
    """Bring each utterance to this level (limited so that its peak stays under -1 dBFS); none leaves it."""

    def pause_s(self, boundary: str) -> float:
        """Return the seconds of silence after a segment, by what follows it: clause, sentence or paragraph."""
        return float(getattr(self, f"pause_{boundary}_s"))


class LLMConfig(Settings):
    """The language model's engine."""

    device: str = setting("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` is the GPU that Ray gives the replica, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto")
    """`auto` is bfloat16 on GPU and float32 on CPU; float16 is refused, as the model breaks in it."""
    cache_dtype: Literal["auto", "float8"] = setting("auto", changes="audio", new=True)
    """What keys and values are kept in: `auto` is `dtype`. `float8` (e4m3) halves the cache's memory and reads on a GPU
    of compute capability 8.9 or later, in bfloat16, and changes every take. A CPU rounds alike, and gains nothing."""
    slots: Annotated[int, Field(ge=1, le=4_096)] | Literal["auto"] = setting(32, changes="audio")
    """Sequences decoded together, always this many, so that a neighbor never changes a take. `auto` fills the
    replica's share of its GPU's memory (on a CPU: 32) and is recorded: takes are the same under the same number."""
    max_context: int = setting(2_048, changes="audio", ge=256)
    """Tokens of prompt and answer that one sequence may have."""
    use_reference_text: bool = setting(False, changes="audio")
    """Continue from the reference's transcript and semantic tokens where a speaker has them."""


class CodecConfig(Settings):
    """BiCodec's decoder."""

    device: str = setting("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` is the GPU that Ray gives the replica, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto")
    """`auto` is bfloat16 on GPU and float32 on CPU. bfloat16 rounds only those products that bear it (audio some 53 dB
    from float32's), and pays on a CPU that multiplies it (`avx512_bf16` in /proc/cpuinfo)."""
    pack_frames: int = setting(2_048, changes="audio", ge=128, le=32_768)
    """GPU only: frames (20 ms each) decoded at once, always this many, in which segments lie one after another with
    silence between them. GPU memory grows with it."""


class ReplicaConfig(Settings):
    """One kind of Ray actor."""

    count: Annotated[int, Field(ge=1)] | Literal["auto"] = setting("auto")
    """How many; `auto` fills the cluster."""
    num_cpus: Annotated[float, Field(ge=0.0)] | Literal["auto"] = setting("auto")
    """CPUs that Ray reserves for each; also its torch threads, at least one. `auto`: 1 for those who hear or make
    tokens, a half for a codec and for a writer, and less of each where the machine would have no room for them."""
    num_gpus: Annotated[float, Field(ge=0.0)] | Literal["auto"] = setting("auto")
    """GPUs that Ray reserves for each; fractions share one card. `auto`: where the cluster has GPUs and torch is built
    for them, an LLM and a codec share a card, 0.7 and 0.3 of it, or what the other leaves; none for the others."""

    @property
    def cpus(self) -> float:
        """CPUs of each; one as long as nobody has seen the cluster, see `pipeline.cluster.replica_needs`."""
        return 1.0 if self.num_cpus == "auto" else self.num_cpus

    @property
    def gpus(self) -> float:
        """GPUs of each; none as long as nobody has seen the cluster."""
        return 0.0 if self.num_gpus == "auto" else self.num_gpus

    @property
    def num_threads(self) -> int:
        """Torch threads of each."""
        return max(1, round(self.cpus))


class ReplicasConfig(Settings):
    """The Ray actors of the stages."""

    llm: ReplicaConfig = ReplicaConfig()
    codec: ReplicaConfig = ReplicaConfig()
    listener: ReplicaConfig = ReplicaConfig()
    """Those who hear takes, between codec and writer; there are some only where `quality.asr` or `quality.naturalness`
    asks for it. With a share of a GPU the recognizer works on it, else on CPUs."""
    writer: ReplicaConfig = ReplicaConfig()
    elastic: bool = setting(False)
    """The cluster grows by itself: replicas that find no room wait for nodes, instead of the run being refused.
    Then `count` is the most there will be, so that `auto` has no meaning; an LLM's and a codec's `num_gpus` must be
    given, too, as nodes that are not there yet cannot be asked."""
    same_node: bool = setting(True)
    """An LLM, a codec and a writer share a node, so that audio stays there; False lets them lie anywhere, as where
    some nodes have GPUs and others CPUs."""
    one_process: bool = setting(False)
    """An LLM and a codec in one process, with what both reserve: a card then computes for both at the same time,
    where processes take turns. There are as many codecs as LLMs."""
    units_per_llm: int = setting(3, ge=1)
    """Units in flight for each LLM replica; more than one keeps its slots full while units end."""
    hang_timeout_s: float = setting(600.0, gt=0.0)
    """A busy replica that makes no step for so long (not one token, batch or row) is taken for hung and replaced."""
    start_timeout_s: float = setting(600.0, gt=0.0)
    """A replica that loads for so long is taken for hung and started again, twice; then the run stops. Also the limit
    of enrollment for one speaker, loading included. The wait for a place in the cluster does not count."""
    max_failed_starts: float = setting(0.5, gt=0.0, le=1.0)
    """The run stops once more than this share of a stage's replicas cannot start (three times each), or all of them.
    Until then those that fail are tried again after a while, on other nodes if they have room."""
    on_mismatch: Literal["warn", "refuse"] = setting("warn")
    """A replica with another kind of hardware, dtype, threads or library versions than the run's first of its stage
    may give other bytes for the same text: reported, or refused."""
    max_crashes: int = setting(2, ge=1)
    """Crashes of its replica after which a unit's rows are run one at a time to find the poison one."""


class LimitsConfig(Settings):
    """How large what others made may be; whatever is over it is refused by name, before it is in memory."""

    max_file_mb: float = setting(256.0, gt=0.0)
    """Megabytes of a file that is read whole: speakers, casts, a lexicon, a recording."""
    max_columns: int = setting(5_000, ge=1)
    """Columns of a table."""
    max_row_group_mb: float = setting(512.0, gt=0.0)
    """Megabytes of memory that a row group of a manifest takes, or a whole Parquet file of speakers, or a part of an
    Excel file."""


class StorageConfig(Settings):
    """How objects are reached, read and written."""

    require_conditional_put: bool = setting(False)
    """Refuse a store that ignores `If-None-Match`; otherwise the run says which promise is weaker."""
    max_attempts: int = setting(6, ge=1)
    """Tries of one request before it has failed; a unit whose request failed is written again, later."""
    give_up_after_s: float = setting(300.0, ge=0.0)
    """The run stops with exit 3 once requests have failed for so long and nothing was committed."""
    upload_threads: int = setting(8, ge=1, le=128)
    """Concurrent uploads of a writer."""
    endpoint_url: str | None = setting(None)
    """S3 endpoint for other stores than AWS, or an Azure account (`https://NAME.blob.core.windows.net`); None takes
    AWS_ENDPOINT_URL or AZURE_STORAGE_ACCOUNT, or the default."""
    region: str | None = setting(None)
    """S3 region; None takes AWS_REGION or the default."""
    allow_http: tuple[str, ...] = setting(())
    """Hosts that `http://` and `https://` addresses of speakers, recordings, casts and the lexicon may name; none by
    default. An address of this machine or of the link (127.0.0.1, 169.254.169.254) must be listed itself."""
    limits: LimitsConfig = LimitsConfig()
    lease_timeout_s: float = setting(30.0, ge=1.0)
    """A lease whose heartbeat stands still for so long is taken over."""


class ProgressConfig(Settings):
    """What a run tells while it works."""

    interval_s: float = setting(10.0, gt=0.0)
    """Seconds between progress lines."""


class Config(Settings):
    """A whole run: the YAML file's top level."""

    weights: Address = setting()
    """A model directory, an object-store URI, `hf://owner/name`, or `demo`; the content is pinned, not the path."""
    manifest: Address = setting()
    """A file, a folder of them, or a glob; local or `s3://`, `gs://`, `az://`. Parquet (Hugging Face's, too),
    CSV, TSV, JSON, JSON Lines, Excel, or text with a row in each line."""
    columns: ColumnsConfig = ColumnsConfig()
    default_speaker: Annotated[str, Field(min_length=1)] | None = setting(None)
    """Who speaks rows of the manifest that name nobody."""
    table: TableConfig = TableConfig()
    speakers: SpeakersConfig = setting()
    output: Address = setting()
    """Where audio and metadata go: a local folder or an object-store prefix."""
    seed: int = setting(0, changes="audio", ge=0, lt=2**63)
    """Seed of rows that have none of their own."""
    unit_size: int = setting(128, changes="plan", ge=1, le=100_000)
    """Consecutive rows scheduled and committed together."""
    limit: int | None = setting(None, ge=1)
    """Synthesize exactly so many rows, spread over shards and speakers, as an audition; the rest waits. A higher limit
    adds to it, and a start without one makes the rest."""
    text: TextConfig = TextConfig()
    sampling: SamplingConfig = SamplingConfig()
    quality: QualityConfig = QualityConfig()
    audio: AudioConfig = AudioConfig()
    llm: LLMConfig = LLMConfig()
    codec: CodecConfig = CodecConfig()
    replicas: ReplicasConfig = ReplicasConfig()
    storage: StorageConfig = StorageConfig()
    progress: ProgressConfig = ProgressConfig()
    audiobook: AudiobookConfig | None = setting(None)
    """Books in and chapters out, around the run: what `jobs.audiobooks` does. Then `manifest` is where the import
    writes it."""

    @model_validator(mode="before")
    @classmethod
    def _accept_plain_forms(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("speakers"), str):
            data = {**data, "speakers": {"path": data["speakers"]}}
        if isinstance(data, dict) and "columns" in data:
            data = {**data, "columns": accept_plain_columns(data["columns"])}
        return data

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Config:
        for name, dtype in (("llm", self.llm.dtype), ("codec", self.codec.dtype)):
            if dtype == "float16":
                raise ValueError(f"{name}.dtype: float16 gives garbage with this model; use bfloat16 or float32")
        if (self.quality.asr == "whisper") != (self.quality.asr_model is not None):
            raise ValueError(
                "quality.asr_model: the model of `quality.asr: whisper`, which needs one: a name such as tiny.en or "
                "large-v3, a directory or an address; set both or neither"
            )
        if self.quality.min_pace >= self.quality.max_pace:
            raise ValueError(
                f"quality.min_pace ({self.quality.min_pace:g}) must be below quality.max_pace "
                f"({self.quality.max_pace:g})"
            )
        if self.quality.choose == "best_of" and not self.quality.listens:
            raise ValueError(
                "quality.choose: best_of needs somebody who tells which take is the best; set quality.asr, "
                "quality.naturalness or both"
            )
        kinds = ("llm", "codec", *(("listener",) if self.quality.listens else ()), "writer")
        for kind in kinds:
            num_gpus = getattr(self.replicas, kind).gpus
            if num_gpus > 1 and num_gpus % 1:
                raise ValueError(f"replicas.{kind}.num_gpus: {num_gpus:g} must be a part of one GPU, or whole ones")
        self._check_one_process()
        growing = [f"replicas.{kind}.count" for kind in kinds if getattr(self.replicas, kind).count == "auto"]
        if self.replicas.elastic and growing:
            raise ValueError(f"replicas.elastic: {', '.join(growing)} must be a number, the most there shall be")
        unknown = [f"replicas.{kind}.num_gpus" for kind in kinds[:2] if getattr(self.replicas, kind).num_gpus == "auto"]
        if self.replicas.elastic and unknown:
            raise ValueError(
                f"replicas.elastic: {', '.join(unknown)} must be a number: the nodes to come cannot be asked; 0 "
                "computes on CPUs"
            )
        return self

    def _check_one_process(self) -> None:
        if not self.replicas.one_process:
            return
        llm, codec = self.replicas.llm, self.replicas.codec
        if codec.count not in ("auto", llm.count):
            raise ValueError(
                f"replicas.codec.count: {codec.count} must be as replicas.llm.count ({llm.count}) or auto with "
                "replicas.one_process"
            )
        num_gpus = round(llm.gpus + codec.gpus, 4)
        if num_gpus > 1 and num_gpus % 1:
            raise ValueError(
                f"replicas.one_process: replicas.llm.num_gpus and replicas.codec.num_gpus are {num_gpus:g} together; "
                "expected a part of one GPU, or whole ones"
            )

    @property
    def reading(self) -> Reading:
        """How the manifest is read."""
        return Reading(self.columns, self.default_speaker, self.table)

    def pinned(self) -> dict[str, Any]:
        """Return the settings that change audio or plan, by dotted name; a resume must repeat them."""
        return dict(_pinned(self, ""))


def _pinned(settings: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _pinned(value, f"{prefix}{name}.")
        elif isinstance(field.json_schema_extra, dict) and "changes" in field.json_schema_extra:
            if value != field.default or not field.json_schema_extra.get("new"):
                yield prefix + name, value


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """Read a YAML file and check every setting.

    Args:
        path: the YAML file.
        overrides: `a.b=value` strings (value in YAML), or a mapping of dotted names to values.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, missing or out of range; the message lists
            every problem with its place.
    """
    raw = read_config_file(path)
    if "dataset" in raw:
        raise ConfigError(f"{path}: is the file of a data set that grows every night; run jobs.dataset with it")
    if isinstance(raw.get("columns"), list):
        raw["columns"] = accept_plain_columns(raw["columns"])
    apply_overrides(raw, overrides)
    return parse_config(raw, source=str(path))


def parse_config(raw: Mapping[str, Any], source: str = "config") -> Config:
    """Check a mapping of settings.

    Args:
        raw: nested mapping as in the YAML file.
        source: named in error messages.

    Raises:
        ConfigError: lists every problem with its place.
    """
    return check_settings(Config, raw, source)
