"""Slots counted from memory, the order of starts, and the audio stage around a codec that answers at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.codec import DecodedItem
from pipeline.config.run import parse_config
from pipeline.errors import ConfigError
from pipeline.llm import Generation
from pipeline.llm.prompt import Voice
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.load_networks import count_slots, load_engine
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from pipeline.synthesis.stages import AudioStage, TokenStage
from pipeline.synthesis.takes import Take
from pipeline.text import TextSupport

GIB = 1 << 30


@pytest.mark.parametrize(
    "memory_gib, max_context, expected",
    # 12,304 bytes a position: 24.0 MiB a slot of 2,048, beside weights of 0.94 GiB and a reserve of 1 GiB.
    [
        (139 * 0.7, 2_048, 2_048),
        (80 * 0.7, 2_048, 2_048),
        (24 * 0.7, 2_048, 624),
        (8 * 0.7, 2_048, 152),
        (8 * 0.7, 1_024, 304),
    ],
)
def test_slots_fill_the_replicas_share_of_a_card(memory_gib: float, max_context: int, expected: int) -> None:
    assert count_slots(OFFICIAL_SIZES, int(memory_gib * GIB), torch.bfloat16, max_context) == expected


def test_a_card_without_room_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"llm\.slots: auto: 2\.0 GiB .* raise replicas\.llm\.num_gpus"):
        count_slots(OFFICIAL_SIZES, 2 * GIB, torch.float32, 2_048)


def test_a_cache_in_float8_has_nearly_twice_the_slots() -> None:
    # 6,160 bytes a position.
    args = (OFFICIAL_SIZES, int(8 * 0.7 * GIB), torch.bfloat16, 2_048)
    assert count_slots(*args, torch.float8_e4m3fn) == 304 and count_slots(*args) == 152


@pytest.mark.parametrize(
    ("dtype", "capability", "message"),
    [("auto", (8, 6), "RTX does not convert it; expected a GPU of"), ("float32", (9, 0), "found float32")],
)
def test_a_card_that_cannot_keep_float8_is_refused(
    dtype: str, capability: tuple[int, int], message: str, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o"}
    config = parse_config({**raw, "llm": {"cache_dtype": "float8", "dtype": dtype}}, source="test")
    monkeypatch.setattr("pipeline.synthesis.load_networks.find_device", lambda *others: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "RTX")
    with pytest.raises(ConfigError, match=rf"llm\.cache_dtype: float8.*{message}"):
        load_engine(config, random_weights)


def test_a_cache_in_float8_is_pinned_and_rounds_on_a_cpu(random_weights: Path) -> None:
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o"}
    llm = {"cache_dtype": "float8", "device": "cpu", "max_context": 256}
    config = parse_config({**raw, "llm": llm}, source="test")
    assert load_engine(config, random_weights).runner.model.cache_dtype == torch.float8_e4m3fn
    assert config.pinned()["llm.cache_dtype"] == "float8"
    assert "llm.cache_dtype" not in parse_config(raw, source="test").pinned()


def test_auto_is_32_slots_on_a_cpu(random_weights: Path) -> None:
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o"}
    config = parse_config({**raw, "llm": {"slots": "auto", "device": "cpu", "max_context": 256}}, source="test")
    assert load_engine(config, random_weights).num_slots == 32


def test_long_rows_start_first(random_weights: Path) -> None:
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o", "llm": {"device": "cpu"}}
    config = parse_config(raw, source="test")
    definition = SpeakerDefinition(speaker_id="anna", global_tokens=tuple(range(32)))
    speaker = Speaker("anna", Voice(global_tokens=definition.global_tokens), definition.kind, definition.canonical())
    stage = TokenStage(config, load_engine(config, random_weights), SpeakerRegistry([speaker]), {}, TextSupport())
    texts = ["Short.", "This one is a good deal longer than the others are.", "Two words."]
    jobs = [stage.prepare(row, Utterance(str(row), text, "anna")) for row, text in enumerate(texts)]
    assert [job.result.row for job in stage.longest_first(jobs)] == [1, 2, 0]
    result = stage.prepare(0, Utterance("x", "Dr. Who has 2 cats.\n\nHe likes them.", "anna"), {1: 1}).result
    assert (result.language, result.spoken_text) == ("en", "Doctor Who has two cats. He likes them.")


@pytest.mark.parametrize("wrong", [0, 4_097, "many", True])
def test_other_slots_are_refused(wrong: object) -> None:
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o", "llm": {"slots": wrong}}
    with pytest.raises(ConfigError, match=r"llm\.slots"):
        parse_config(raw, source="test")


class BackwardCodec:
    """Yields the last take first; a take's samples are as loud as its first token says."""

    sample_rate = 16_000

    def __init__(self):
        self.calls = []

    def prepare_decoding(self):
        pass

    def decode_each(self, semantic_tokens, global_tokens):
        self.calls.append(len(semantic_tokens))
        for index in reversed(range(len(semantic_tokens))):
            yield DecodedItem(index, torch.full((1_600,), float(semantic_tokens[index][0]) / 10))


def test_the_codec_gets_all_takes_at_once_and_each_that_comes_is_a_heartbeat(monkeypatch):
    codec = BackwardCodec()
    stage = AudioStage(parse_config({"weights": "w", "manifest": "m", "speakers": "s", "output": "o"}), codec)
    takes = [Take(index, 0, np.array([index], np.int32), (7,), "sentence", "", "en") for index in range(4)]
    measure, heartbeats = stage._measure, []
    monkeypatch.setattr(stage, "_measure", lambda *arguments: heartbeats.append(stage.num_takes) or measure(*arguments))
    audios = stage.decode(takes)
    assert [audio.segment for audio in audios] == [0, 1, 2, 3]
    assert [round(float(audio.samples[0]) * 10) for audio in audios] == [0, 1, 2, 3]
    assert (codec.calls, heartbeats) == ([4], [1, 2, 3, 4])
    assert stage.decode([]) == []


class ScriptedEngine:
    """Answers in the order given, with as many tokens as a test says for a segment and a take."""

    def __init__(self, engine, lengths):
        self.vocabulary, self.lengths, self.requests = engine.vocabulary, lengths, []

    def add(self, request):
        self.requests.append(request)

    def step(self):
        request = self.requests.pop()
        _, segment, take = request.request_id
        num_tokens = self.lengths[segment, take]
        return [Generation(request.request_id, np.zeros(num_tokens, np.int64), None, None, None, False, 1)]


@pytest.mark.parametrize(
    ("lengths", "max_takes", "made", "good"),
    [
        ({(0, 0): 200, (0, 1): 200, (0, 2): 200}, 3, 3, [0, 1, 2]),
        ({(0, 0): 0, (0, 1): 200, (0, 2): 0}, 3, 3, [1]),
        ({(0, 0): 0, (0, 1): 0, (0, 2): 0, (0, 3): 200}, 5, 4, [3]),
        ({(0, 0): 0, (0, 1): 0, (0, 2): 0}, 1, 3, []),
    ],
    ids=["all are good", "one is good", "none is, until the next", "none is, and no more are allowed"],
)
def test_best_of_makes_its_takes_whatever_they_are_like(random_weights, lengths, max_takes, made, good):
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o", "llm": {"device": "cpu"}}
    quality = {"choose": "best_of", "best_of": 3, "max_takes": max_takes, "naturalness": "dnsmos"}
    config = parse_config({**raw, "quality": quality}, source="test")
    speaker = Speaker("anna", Voice(global_tokens=tuple(range(32))), "tokens", "anna")
    engine = ScriptedEngine(load_engine(config, random_weights), lengths)
    stage = TokenStage(config, engine, SpeakerRegistry([speaker]), {}, TextSupport())
    stage.start(stage.prepare(0, Utterance("x", "This one is a good deal longer than others are.", "anna")))
    ended = []
    while stage.has_work:
        ended += stage.step()
    (job,) = ended
    assert job.result.num_takes == made
    assert sorted(take.take for take in job.result.takes) == good
    assert (job.result.rejection is None) == bool(good)
    if not good:
        assert job.result.rejection.message.startswith("take 3: no speech")
