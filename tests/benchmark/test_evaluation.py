"""The figures that papers print: intervals, lists, what one sound is like, and a short evaluation of the demo voice."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import evaluate
from pipeline.benchmark.evaluation import evaluation
from pipeline.benchmark.evaluation.figures import format_table, not_measured, summarize_mean, summarize_ratio
from pipeline.benchmark.evaluation.lists import read_list, take_some
from pipeline.benchmark.evaluation.sounds import measure_mel_distance, measure_pitch, measure_speech_s
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError
from tests.synthesis.speech import SPEECH, read_clip


def test_intervals_follow_from_the_measurements_and_hold_their_mean():
    values = np.random.default_rng(3).normal(5.0, 1.0, 400)
    figure = summarize_mean("level", list(values))
    assert figure == summarize_mean("level", list(values))
    assert figure.low < figure.value < figure.high
    assert figure.high - figure.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert figure.count == 400


def test_a_rate_is_of_all_words_and_not_of_utterances():
    figure = summarize_ratio("word error rate", [1.0, 0.0], [2.0, 8.0])
    assert (figure.value, figure.low, figure.high) == (0.1, 0.0, 0.5)


def test_what_is_not_measured_stays_in_the_table_with_its_reason():
    lines = format_table([summarize_mean("a", []), not_measured("longer", "no model")])
    assert "a       not measured: there is nothing" in lines[0]
    assert lines[1] == "longer  not measured: no model"


def test_a_list_of_seed_tts_eval_is_read(tmp_path):
    path = tmp_path / "meta.lst"
    path.write_text("a|He said so.|wavs/a.wav|Say this.\n\nb||/b.wav|And that.|wavs/b.wav\n", encoding="utf-8")
    first, second = read_list(str(path), StorageConfig())
    assert (first.name, first.text, first.prompt_text) == ("a", "Say this.", "He said so.")
    assert first.prompt_audio == f"{tmp_path}/wavs/a.wav"
    assert (second.prompt_audio, second.prompt_text) == ("/b.wav", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a|b|c\n", "meta.lst:1: expected name|text of the prompt|its recording|text to say"),
        (b"a|p|w|t\na|p|w|t\n", "meta.lst:2: the name a stands on a line before"),
        (b"x\na|p|w|t\ny\na|p|w|t\n", "meta.lst:4: the name a stands"),
        (b"x\n" * 13, "meta.lst:10: expected name"),
        (b"x\n" * 13, "meta.lst: 3 more lines are wrong"),
        (b"\n", "holds no line"),
        (b"a|p|w|\xff\n", "is not UTF-8 at byte 6"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(content, message, tmp_path):
    path = tmp_path / "meta.lst"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"meta\.lst") as error:
        read_list(str(path), StorageConfig())
    assert message in str(error.value)


def test_a_manifest_is_a_list_of_speakers(tmp_path):
    rows = {"utterance_id": ["x"], "text": ["Hello."], "speaker_id": ["ross"]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    (item,) = read_list(str(tmp_path), StorageConfig())
    assert (item.name, item.text, item.speaker_id, item.prompt_audio) == ("x", "Hello.", "ross", None)


def test_some_of_a_list_are_spread_over_it():
    assert take_some(range(10), 3) == [0, 3, 6]
    assert take_some(range(2), None) == [0, 1]


@pytest.mark.parametrize("pitch", [80.0, 120.0, 210.0, 330.0])
def test_the_pitch_of_a_pulse_train_is_found(pitch):
    phase = np.arange(16_000) * pitch / 16_000
    voice = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9)).astype(np.float32)
    assert measure_pitch(voice) == pytest.approx(pitch, rel=0.02)
    assert measure_pitch(np.zeros(16_000, np.float32)) is None


def test_speech_is_measured_without_the_silence_around_it():
    speech = read_clip("rms_door")
    silence = np.zeros(16_000, np.float32)
    assert measure_speech_s(np.concatenate([silence, speech, silence])) == pytest.approx(
        measure_speech_s(speech), abs=0.05
    )


def test_a_copy_is_nearer_the_less_is_changed():
    speech = read_clip("rms_door")
    noise = np.random.default_rng(0).normal(0, 0.01, speech.size).astype(np.float32)
    assert measure_mel_distance(speech, speech) == 0.0
    assert 0 < measure_mel_distance(speech, speech + noise) < measure_mel_distance(speech, speech + 10 * noise)


def test_the_demo_voice_is_evaluated_with_recordings_of_people(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pystoi", reason="part of the extra `evaluate`")
    monkeypatch.setattr(evaluation, "_NUM_LATENCIES", 1)
    lines = [f"{name}|The bus.|{SPEECH / name}.flac|The bus is late." for name in ("rms_door", "slt_door")]
    (tmp_path / "meta.lst").write_text("\n".join(lines), encoding="utf-8")
    arguments = ["--list", str(tmp_path / "meta.lst"), "--asr", "pocketsphinx", "--json", str(tmp_path / "table.json")]
    assert evaluate.main([*arguments, "--control-texts", "1"]) == 0
    table = {figure["name"]: figure for figure in json.loads(Path(tmp_path / "table.json").read_text())["figures"]}
    measured = {name for name, figure in table.items() if figure["value"] is not None}
    assert {"utterances without audio", "real-time factor", "word error rate", "codec: STOI", "codec: mel distance"} < (
        measured
    )
    assert {"control: gender", "control: pitch", "control: speed", "first segment's latency"} < measured
    assert table["utterances without audio"]["value"] == 0
    assert table["control: gender"]["value"] == 1.0
    assert table["control: pitch"]["value"] > 0.8
    assert table["speaker similarity, x-vector"]["reason"].startswith("no model")
    assert table["word error rate"]["published"][0]["source"].startswith("arXiv")
    assert "published, not run here: WER 1.98 %" in capsys.readouterr().out


def test_an_evaluation_that_cannot_be_is_refused_before_the_networks_are_loaded(tmp_path, capsys):
    assert evaluate.main(["--list", str(tmp_path / "none.lst")]) == 2
    assert "none.lst: cannot be read" in capsys.readouterr().err
    assert evaluate.main(["--language", "xx"]) == 2
    assert "--language xx: these weights speak en" in capsys.readouterr().err
    (tmp_path / "meta.lst").write_text(f"a||{SPEECH / 'rms_door'}.flac|The bus is late.", encoding="utf-8")
    assert evaluate.main(["--list", str(tmp_path / "meta.lst"), "--set", "llm.use_reference_text=true"]) == 2
    assert "a: has no text of its prompt, which llm.use_reference_text needs" in capsys.readouterr().err
    pytest.importorskip("transformers")
    assert evaluate.main(["--speaker-model", str(tmp_path)]) == 2
    assert "expected the directory of a WavLMForXVector model" in capsys.readouterr().err
