"""Broken input by the thousand, made at run time: `python -m tests.soak.bad_input [--cases 10000] [--seed 0]`.

Every case must end as designed, with an error of our own or with what was asked for, within `LONGEST_CASE_S`, without
a write outside the folder it was given, a new process, or a connection to another machine.
"""

# ruff: noqa: E501  # The lists of odd input are tables.

from __future__ import annotations

import argparse
import io
import json
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pipeline.audio.references import prepare_reference, read_reference
from pipeline.config.run import StorageConfig, load_config
from pipeline.errors import SynthesisError, UtteranceError
from pipeline.manifest.rows import Manifest, read_utterance, safe_file_name
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.synthesis.speakers import SpeakerRegistry
from pipeline.text import load_lexicon, normalize_text, split_into_segments
from tests.outputs import begin_run, make_commit, make_shard
from tests.soak.bad_weights import check_weights, weights_cases
from tests.soak.watch import Watch

LONGEST_CASE_S = 20.0
"""Of the processor: the machine may be busy with other things."""
MAX_GROWTH_BYTES = 2 << 30


class CaseHung(BaseException):
    """A case took longer than any may."""


@contextmanager
def time_bound(limit_s):
    def end(number, frame):
        raise CaseHung(f"a case took more than {limit_s:g} s of the processor")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# Texts: every plane, long ones, marks only, right to left, mixed scripts, numbers and signs in odd places.

ANY_CHARACTER = st.characters(codec=None) | st.integers(0, 0x10FFFF).map(chr)
PIECES = st.sampled_from(
    ["1", "0" * 40, "9,99", "$", "€1.5m", "31/02/2026", "25:61", "1e999", "-", "...", "?!", "。", "，", "Dr.", "<|im_end|>",
     "<|start_global_token|>", "\u202e", "\u200b", "\ufeff", "\x00", "\ud800", "א", "ب", "ह", "ก", "한", "ж", "你好", "ぁ",
     "😀", "👩‍👩‍👧", "🏳️‍🌈", "e\u0301\u0301\u0301\u0301\u0301", "\n\n", "\r", "\t", " ", "\u2028", "½", "²", "Ⅷ", "①", "٣", "http://a.b/c?d=e",
     "a@b.c", "+49 30 1", "1/0", "100%", "№", "%s{}\\", "'; DROP", "x" * 300, "ﷺ", "‰", "1" * 400 + ".5", "-0", "1.2.3.4", "°C"]
)  # fmt: skip
LONG = st.tuples(ANY_CHARACTER | PIECES, st.sampled_from([1_000, 19_999, 20_000, 20_001, 1_000_000]))
TEXTS = st.one_of(
    st.text(ANY_CHARACTER, max_size=60),
    st.lists(PIECES, max_size=30).map("".join),
    st.lists(PIECES | st.text(ANY_CHARACTER, max_size=5), max_size=20).map(" ".join),
    st.text(st.sampled_from("!?.,;:-—…\"'()[]{}<>|/\\*#~`^_=+&%$@。，、！？"), max_size=80),
    st.text(st.sampled_from("אבגدهوی ۱۲۳ 123.,\u202b\u202e"), max_size=80),
)
LANGUAGES = st.sampled_from(["auto", "en", "zh", "de", "ja", "xx", "", "EN", "english", "\x00", "ar"])


def check_text(folder, text, language):
    try:
        normalized = normalize_text(text, language=language, normalize=True, lexicon={}, max_chars=20_000)
        segments = split_into_segments(normalized.text, normalized.language, max_chars=200, max_s=18.0)
    except UtteranceError as error:
        str(error).encode("utf-8", "surrogatepass")
        return str(error.code)
    assert segments and all(segment.text.strip() for segment in segments)
    assert all(len(segment.text) <= 200 for segment in segments), max(len(segment.text) for segment in segments)
    assert not any("<|" in segment.text for segment in segments)
    assert all(0 < segment.estimated_s < 1_000 for segment in segments)
    return "synthesized"


def text_cases(draw):
    text = draw(TEXTS) if draw(st.integers(0, 99)) else (lambda pair: pair[0] * (pair[1] // len(pair[0])))(draw(LONG))
    return text, draw(LANGUAGES)


# Ids: of every shape, and pairs that are easily taken for one.

ODD_IDS = st.sampled_from(
    ["..", ".", "/", "//", "\\", "a/../b", "/etc/passwd", "C:\\x", "con", "NUL", "aux.txt", "COM1", "a" * 4_096, "ü" * 2_048,
     "b" * 4_097, "\x00", "a\x00b", " ", "", "~", "%2e%2e", "%", "-rf", "_x", ".hidden", "x.", "x ", "é", "e\u0301", "A", "a",
     "s3://b/k", "\u202e", "\ud800", "*?[", "😀", "${HOME}", "$(id)", "`id`", "{0}", "\n", "İ", "i", "ß", "SS", "K", "K"]
)  # fmt: skip
IDS = st.lists(ODD_IDS | st.text(ANY_CHARACTER, max_size=40) | st.sampled_from("aAbB"), min_size=1, max_size=6)


def check_ids(folder, ids):
    log, names, outcome = CommitLog(open_storage(str(folder))), {}, "synthesized"
    for utterance_id in ids:
        try:
            read_utterance({"utterance_id": utterance_id, "text": "Hi.", "speaker_id": "anna"})
        except UtteranceError as error:
            outcome = str(error.code)
            continue
        name = safe_file_name(utterance_id)
        assert len(name.encode()) < 220 and "/" not in name and name.isascii(), name
        assert names.setdefault(name.casefold(), utterance_id) == utterance_id, "two ids share a file"
    first = next(iter(names.values()), None)
    if first is not None:
        path, _ = log.put_audio("shard", first, b"wav", "wav")
        (folder / path).resolve().relative_to((folder / "audio" / "shard").resolve())
        (folder / path).unlink()
    return outcome


# YAML: configs, speakers and lexicons; wrong types, tags, bombs.

BOMBS = [
    "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
    "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 30)),
    "a: &a [*a]", "a: &a {<<: *a}", "[" * 20_000, "{a: " * 5_000, "- " * 5_000, "9:" * 3_000 + "9", "9" * 100_000,
]  # fmt: skip
TAGS = st.sampled_from(
    ["!!python/object/apply:os.system ['touch owned']", "!!python/name:os.system", "!!timestamp soon", "!!int ''", "!!bool maybe",
     "!!float ''", "!!binary x", "!!set {a}", "!!omap [a]", "!!pairs [a: 1]", "!!null x", "!!merge x", "!x y", "2026-99-99", "<<", "~",
     ".inf", ".nan", "0x", "1_000", "0o8", "yes", "&a *a", "? [a]", "*b", "%TAG ! x", "\u0085", "'", '"\\', "|", ">"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("x\x00y")
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(SCALARS, v, max_size=3), max_leaves=8
)
GOOD_CONFIG = {"weights": "w", "manifest": "m", "speakers": "s", "output": "o"}
SETTINGS = st.sampled_from(
    ["weights", "manifest", "speakers", "output", "seed", "unit_size", "limit", "text", "text.language", "text.max_segment_s", "sampling",
     "sampling.top_p", "quality.max_takes", "quality.min_pace", "audio.sample_rate", "audio.target_rms_dbfs", "llm.slots", "llm.dtype",
     "codec.pack_frames", "replicas.llm", "replicas.llm.count", "storage.max_attempts", "storage.endpoint_url", "nonsense", "text.nonsense"]
)  # fmt: skip
FIELDS = [
    "speaker_id",
    "reference_audio",
    "reference_text",
    "gender",
    "pitch",
    "speed",
    "language",
    "global_tokens",
    "other",
]
SPEAKERS = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), VALUES | st.sampled_from(["female", "en", "a.wav"]), max_size=4) | VALUES
)


def _dump(value):
    try:
        return yaml.safe_dump(value)
    except (yaml.YAMLError, UnicodeEncodeError):
        return repr(value)


def yaml_cases(draw):
    kind = draw(st.integers(0, 5))
    overrides = {}
    if kind == 0:
        text = draw(st.sampled_from(BOMBS))
    elif kind == 1:
        text = "{}{}".format(draw(st.sampled_from(["", "seed: ", "- ", "speakers: {path: s}\ntext: "])), draw(TAGS))
    elif kind == 2:
        text = draw(
            st.binary(max_size=60)
            | st.text(ANY_CHARACTER, max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass"))
        )
    elif kind == 3:
        text = _dump(draw(SPEAKERS))
    else:
        text, overrides = _dump(GOOD_CONFIG), {draw(SETTINGS): draw(VALUES)}
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), overrides


def check_yaml(folder, data, overrides):
    path = folder / "x.yaml"
    path.write_bytes(data)
    outcomes = []
    for read in (
        lambda: load_config(path, overrides).pinned(),
        lambda: [definition.canonical() for definition in read_definitions(str(path), StorageConfig())],
        lambda: load_lexicon(data.decode("utf-8", "replace"), "lexicon"),
    ):
        try:
            read()
            outcomes.append("accepted")
        except SynthesisError as error:
            assert len(str(error)) < 20_000
            outcomes.append(type(error).__name__)
    return outcomes[0]


# Parquet: types, sizes, compressions, damage.

TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_(), pa.null(),
         pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string()), pa.struct([("a", pa.string())]), pa.timestamp("us"), pa.date32(),
         pa.decimal128(5, 2), pa.map_(pa.string(), pa.int32()), pa.large_binary(), pa.int8(), pa.duration("s"), pa.float16()]  # fmt: skip
COMPRESSIONS = ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]


def _column(kind, num_rows, base):
    if num_rows == 0:
        return pa.array([], kind)
    texts = pa.array([None if n % 5 == 4 else f"{base}{n}" for n in range(num_rows)], pa.string())
    try:
        return texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts.cast(kind)
    except pa.ArrowException:
        try:
            return pa.array(range(num_rows)).cast(kind)
        except pa.ArrowException:
            return pa.nulls(num_rows, kind)


def manifest_cases(draw):
    num_rows = draw(st.sampled_from([0, 1, 2, 7, 40]))
    kinds = {name: draw(st.sampled_from([pa.string()] * 12 + TYPES)) for name in ("utterance_id", "text", "speaker_id")}
    for name in draw(
        st.lists(st.sampled_from(["seed", "language", "status", "shard", "x", "", "a.b", "X"]), max_size=3, unique=True)
    ):
        kinds[name] = draw(st.sampled_from(TYPES))
    if draw(st.integers(0, 9)) == 0:
        kinds.pop(draw(st.sampled_from(sorted(kinds))))
    if draw(st.integers(0, 49)) == 0:
        kinds |= {f"c{n}": pa.int64() for n in range(1_000)}
    table = pa.table({name: _column(kind, num_rows, name) for name, kind in kinds.items()})
    if kinds and draw(st.integers(0, 19)) == 0:
        table = table.append_column(table.column_names[0], table.column(0))
    sink = io.BytesIO()
    compression, group = draw(st.sampled_from(COMPRESSIONS)), draw(st.sampled_from([1, 3, 1_000]))
    try:
        pq.write_table(table, sink, compression=compression, row_group_size=group, store_schema=draw(st.booleans()))
    except (pa.ArrowException, ValueError):
        return (b"",)
    return (damage(draw, sink.getvalue()),)


def damage(draw, data):
    """Leave bytes as they are, cut them, or change some."""
    how = draw(st.integers(0, 5))
    if how == 0:
        return data[: draw(st.integers(0, len(data)))]
    if how == 1 and data:
        changed = bytearray(data)
        for place, value in draw(
            st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=8)
        ):
            changed[place] = value
        return bytes(changed)
    if how == 2:
        return data + draw(st.binary(max_size=20))
    return data


def check_manifest(folder, data):
    path = folder / "m.parquet"
    path.write_bytes(data)
    try:
        manifest = Manifest.open(str(path))
        duplicates = manifest.find_duplicates()
        codes = set()
        for unit in manifest.plan(16):
            table = manifest.read_rows(unit)
            rows = table.select(["utterance_id", "text", "speaker_id"]).to_pylist()
            for number, row in enumerate(
                manifest.read_rows(unit, ["utterance_id", "text", "speaker_id", "seed", "language"]).to_pylist()
            ):
                try:
                    read_utterance(row)
                    codes.add("synthesized")
                except UtteranceError as error:
                    codes.add(str(error.code))
                rows[number] |= {"status": "rejected", "shard": unit.shard, "row": unit.first_row + number}
            build_commit_table(rows, table)
        assert all(0 <= row < manifest.num_rows for rows in duplicates.values() for row in rows)
        return "synthesized" if "synthesized" in codes else min(codes, default="no rows")
    except SynthesisError as error:
        assert str(path) in str(error)
        return type(error).__name__


# Recordings: formats, channels, rates, contents, damage.

FORMATS = [("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"), ("FLAC", "PCM_24"),
           ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
           ("W64", "PCM_16"), ("RF64", "PCM_16"), ("VOC", "PCM_16"), ("NIST", "PCM_16")]  # fmt: skip


def audio_cases(draw):
    kind, coding = draw(st.sampled_from(FORMATS))
    rate = draw(st.sampled_from([1, 100, 4_000, 8_000, 16_000, 44_100, 48_000, 192_000]))
    num_samples = draw(st.sampled_from([0, 1, 399, 400, 8_000, 30_000]))
    if draw(st.integers(0, 99)) == 0:
        rate, num_samples = 100, 2 * 3_600 * 100  # Two hours.
    shape = (num_samples, draw(st.sampled_from([1, 1, 2, 8])))
    content = draw(st.sampled_from(["noise", "zeros", "constant", "nan", "inf", "huge", "quiet", "low"]))
    if coding not in ("FLOAT", "DOUBLE") and content in ("nan", "inf", "huge"):
        content = "noise"  # Some encoders of libsndfile crash on those; it is the readers that are tried here.
    times = np.arange(num_samples)[:, None] * np.ones(shape[1])
    samples = {
        "noise": lambda: np.random.default_rng(0).uniform(-0.5, 0.5, shape),
        "zeros": lambda: np.zeros(shape),
        "constant": lambda: np.full(shape, 0.3),
        "nan": lambda: np.full(shape, np.nan),
        "inf": lambda: np.full(shape, np.inf),
        "huge": lambda: np.full(shape, 1e300),
        "quiet": lambda: np.full(shape, 1e-7),
        "low": lambda: 0.5 * np.sin(times / 50),
    }[content]()
    sink = io.BytesIO()
    try:
        soundfile.write(sink, samples, rate, format=kind, subtype=coding)
    except (RuntimeError, ValueError, TypeError):
        return (draw(st.binary(max_size=100)),)
    return (damage(draw, sink.getvalue()),)


def check_audio(folder, data):
    try:
        reference = read_reference(data, "speaker 'x': x.wav")
        prepared = prepare_reference(reference.samples, reference.sample_rate, "x")
    except SynthesisError as error:
        assert len(str(error)) < 1_000
        return type(error).__name__
    assert np.isfinite(prepared).all() and np.abs(prepared).max() <= 1.0
    return "enrolled"


# Records of an output, as another program, a bad disk or a newer version may leave them.


def record_cases(draw):
    run = {"format_version": draw(st.sampled_from([1, 1, 1, 2, 99, "1", None, -1])), "pinned": draw(st.just({"unit_size": 3}) | VALUES),
           "shards": draw(st.just({"s": {"num_rows": 3, "fingerprint": "f"}}) | VALUES), "starts": draw(st.just([]) | VALUES), "num_rows": draw(st.just(3) | VALUES)}  # fmt: skip
    if draw(st.booleans()):
        run.pop(draw(st.sampled_from(sorted(run))))
    try:
        data = json.dumps(run, default=str).encode()
    except (TypeError, ValueError):
        data = draw(st.binary(max_size=60))
    return damage(draw, data), damage(draw, SpeakerRegistry().to_parquet())


def check_records(folder, run, speakers):
    outcome = "accepted"
    storage = open_storage(str(folder))
    (folder / "run.json").write_bytes(run)
    for read in (
        lambda: RunRecord(storage).begin({"seed": 1, "unit_size": 3}, {}),
        lambda: SpeakerRegistry.from_parquet(speakers),
    ):
        try:
            read()
        except SynthesisError as error:
            outcome = type(error).__name__
    return outcome


# Commits that a bad disk has changed.

UNIT = WorkUnit("s", 0, 2)


def make_output(folder):
    storage = open_storage(str(folder))
    log = CommitLog(storage)
    begin_run(storage, [make_shard("s", 3)])
    log.commit(UNIT, make_commit(log, UNIT))
    log.finish({})
    return folder / log.metadata_path(UNIT)


@cache
def good_commit():
    with tempfile.TemporaryDirectory() as folder:
        return make_output(Path(folder)).read_bytes()


def check_commit(folder, data):
    output = folder / "output"  # The folder itself may hold the records of another family.
    storage = open_storage(str(output))
    path = output / CommitLog.metadata_path(UNIT)
    if not path.exists():
        make_output(output)
    path.write_bytes(data)
    report = verify_output(storage)
    try:
        rows = [row for table in CommitLog(storage).iter_metadata(["utterance_id"]) for row in table.to_pylist()]
    except SynthesisError as error:
        assert not report.is_intact
        return type(error).__name__
    assert len(rows) == 3 or not report.is_intact
    return "intact" if report.is_intact else "found"


FAMILIES = {
    "texts": (0.25, text_cases, check_text),
    "ids": (0.1, lambda draw: (draw(IDS),), check_ids),
    "yaml": (0.15, yaml_cases, check_yaml),
    "manifests": (0.15, manifest_cases, check_manifest),
    "recordings": (0.15, audio_cases, check_audio),
    "records": (0.1, record_cases, check_records),
    "commits": (0.05, lambda draw: (damage(draw, good_commit()),), check_commit),
    "weights": (0.05, weights_cases, check_weights),
}


def run_family(name, num_cases, first_seed, folder):
    """Run cases of one kind; returns how often each ended how. A case that ends otherwise is shown made small."""
    _, draw_case, check = FAMILIES[name]
    outcomes, slowest_s, lost = Counter(), 0.0, []
    cases = st.composite(draw_case)()

    def judge(case):
        nonlocal slowest_s
        began = time.monotonic()
        lost.clear()
        with time_bound(LONGEST_CASE_S), Watch(folder, "/dev") as watch:
            outcome = check(folder, *case)
        assert not watch.offences, watch.offences
        assert not lost, f"printed as a traceback and forgotten: {lost}"
        outcomes[outcome] += 1
        slowest_s = max(slowest_s, time.monotonic() - began)

    sys.unraisablehook = lambda event: lost.append(f"{event.err_msg}: {event.exc_value!r}")
    round_number = 0
    while outcomes.total() < num_cases:
        options = settings(
            max_examples=num_cases - outcomes.total(),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(first_seed + round_number)(options(given(cases)(judge)))()
        round_number += 1
    sys.unraisablehook = sys.__unraisablehook__
    return outcomes, slowest_s


def check_all(num_cases, first_seed, folder):
    """Run every family; returns how many cases ran."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    total = 0
    for name, (share, _, _) in FAMILIES.items():
        began = time.monotonic()
        outcomes, slowest_s = run_family(name, round(share * num_cases), first_seed, folder)
        total += outcomes.total()
        counts = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
        print(
            f"{name}: {outcomes.total():,} cases in {time.monotonic() - began:.0f} s, slowest {slowest_s:.2f} s: {counts}",
            flush=True,
        )
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 - before
    assert growth < MAX_GROWTH_BYTES, f"the peak of memory rose by {growth / 1e6:,.0f} MB"
    print(
        f"bad_input: {total:,} cases ended as designed; the peak of memory rose by {growth / 1e6:,.0f} MB", flush=True
    )
    return total


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.bad_input", description="Feed the program what is broken."
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check_all(options.cases, options.seed, Path(folder))


if __name__ == "__main__":
    main()
