import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from pipeline.config.run import StorageConfig, parse_config
from pipeline.errors import SpeakerError, StorageError
from pipeline.llm.prompt import Voice
from pipeline.synthesis.enrollment import enroll
from pipeline.synthesis.speaker_definitions import SpeakerDefinition, make_definition, read_definitions
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry

SETTINGS = StorageConfig()
TOKENS = tuple(range(32))
SPEECH = Path(__file__).parents[1] / "fixtures/speech/slt_door.flac"


class FakeEnroller:
    def __init__(self):
        self.calls = []

    def encode_reference(self, reference, name, with_semantic):
        self.calls.append(("encode", with_semantic))
        return list(TOKENS), [1, 2, 3] if with_semantic else None

    def find_doubts(self, reference, text):
        return ["sounds like two"] if text else []

    def create_voice(self, gender, pitch, speed, language, seed):
        self.calls.append(("create", gender, pitch, speed, language, seed))
        return Voice(TOKENS, gender=gender, pitch=pitch, speed=speed, pitch_value=seed % 1000, speed_value=4)

    def check_global_tokens(self, tokens):
        if len(tokens) != 32:
            raise ValueError(f"expected 32 tokens, found {len(tokens)}")


def make_config(seed=0, **speakers):
    return parse_config(
        {"weights": "-", "manifest": "-", "output": "-", "seed": seed, "speakers": {"path": "-", **speakers}}
    )


def wav(samples):
    sink = io.BytesIO()
    soundfile.write(sink, samples, 16_000, format="WAV")
    return sink.getvalue()


def write_yaml(tmp_path, content):
    path = tmp_path / "speakers.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_yaml_and_parquet_define_the_same_speakers(tmp_path):
    rows = [
        {"speaker_id": "anna", "gender": "female", "pitch": "high"},
        {"speaker_id": "ben", "reference_audio": "ben.wav", "reference_text": "Hello."},
        {"speaker_id": "cleo", "global_tokens": list(TOKENS)},
    ]
    path = tmp_path / "speakers.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), path)
    from_yaml = read_definitions(write_yaml(tmp_path, rows), SETTINGS)
    assert read_definitions(str(path), SETTINGS) == from_yaml
    assert [definition.kind for definition in from_yaml] == ["created", "reference", "given"]
    by_id = {"anna": {"gender": "female", "pitch": "high"}}
    assert read_definitions(write_yaml(tmp_path, by_id), SETTINGS)[0] == from_yaml[0]


def _schema():
    return pa.schema(
        [
            ("speaker_id", pa.string()),
            ("gender", pa.string()),
            ("pitch", pa.string()),
            ("reference_audio", pa.string()),
            ("reference_text", pa.string()),
            ("global_tokens", pa.list_(pa.int64())),
        ]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a list"),
        ("[]", "defines no speaker"),
        ("- anna", "speaker 0"),
        ([{"speaker_id": "a"}], "expected exactly one of"),
        ([{"speaker_id": "a", "gender": "female", "reference_audio": "x.wav"}], "found reference_audio and gender"),
        ([{"speaker_id": "a", "pitch": "high"}], "needs gender"),
        ([{"speaker_id": "a", "gender": "other"}], "gender"),
        ([{"speaker_id": "a", "gender": "female", "pitch": "shrill"}], "pitch"),
        ([{"speaker_id": "a", "gender": "male", "reference_text": "x"}], "needs its recording"),
        ([{"speaker_id": "a", "gender": "male"}] * 2, "defined twice"),
        ([{"gender": "male"}], "speaker_id"),
        (
            [{"speaker_id": "a", "gender": "male", "pich": "high"}],
            "unknown field(s) pich; expected some of: speaker_id, reference_audio, ",
        ),
        ([{"speaker_id": "a", "reference_audio": ""}], "reference_audio"),
        ("a: 2026-99-99", "not YAML"),
        ("a: [", "a speakers file is Parquet or YAML"),
    ],
)
def test_wrong_definitions_are_reported_with_their_place(tmp_path, content, message):
    with pytest.raises(SpeakerError) as caught:
        read_definitions(write_yaml(tmp_path, content), SETTINGS)
    assert message in str(caught.value)
    assert "speakers.yaml" in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(SpeakerError, match=r"nowhere\.yaml: there is no such speakers file"):
        read_definitions("nowhere.yaml", SETTINGS)


def test_each_kind_is_enrolled_and_failures_are_kept_apart(tmp_path):
    (tmp_path / "good.wav").write_bytes(SPEECH.read_bytes())
    (tmp_path / "bad.wav").write_bytes(wav(np.zeros(32_000)))
    (tmp_path / "blip.wav").write_bytes(wav(0.5 * np.sin(np.arange(8_000))))
    definitions = [
        SpeakerDefinition(speaker_id="created", gender="male"),
        SpeakerDefinition(speaker_id="clip", reference_audio=str(tmp_path / "good.wav")),
        SpeakerDefinition(speaker_id="said", reference_audio=str(tmp_path / "good.wav"), reference_text="Hello."),
        SpeakerDefinition(speaker_id="given", global_tokens=TOKENS),
        SpeakerDefinition(speaker_id="silent", reference_audio=str(tmp_path / "bad.wav")),
        SpeakerDefinition(speaker_id="gone", reference_audio=str(tmp_path / "gone.wav")),
        SpeakerDefinition(speaker_id="short", global_tokens=TOKENS[:5]),
        SpeakerDefinition(speaker_id="odd", reference_audio="ftp://a/b.wav"),
        SpeakerDefinition(speaker_id="nul", reference_audio="a\0b.wav"),
        SpeakerDefinition(speaker_id="blip", reference_audio=str(tmp_path / "blip.wav")),
    ]
    fake = FakeEnroller()
    speakers, failures = enroll(definitions, lambda: fake, make_config())
    by_id = {speaker.speaker_id: speaker.voice for speaker in speakers}
    assert set(by_id) == {"created", "clip", "said", "given"}
    assert by_id["said"].reference_semantic_tokens == (1, 2, 3)
    assert by_id["clip"].reference_text is None
    assert "silent (peak 0" in failures["silent"]
    assert "blip.wav: holds 0.5 s of speech (0% of 0.5 s is silence), expected 1 s or more" in failures["blip"]
    assert "or set speakers.unusable_recording to note" in failures["blip"]
    found = {speaker.speaker_id: speaker.recording for speaker in speakers}
    assert found["created"] is None and found["given"] is None
    assert found["said"]["doubts"][-1] == "sounds like two" and found["clip"]["sample_rate"] == 16_000
    registry = SpeakerRegistry.from_parquet(SpeakerRegistry(speakers).to_parquet())
    assert {name: speaker.recording for name, speaker in registry.items()} == found
    (noted,), _ = enroll([definitions[-1]], FakeEnroller, make_config(unusable_recording="note"))
    assert noted.doubts[0].startswith("holds 0.5 s of speech")
    assert "no such file" in failures["gone"]
    assert "'odd'" in failures["odd"]
    assert "'nul'" in failures["nul"]
    assert "expected 32 tokens, found 5" in failures["short"]


def test_a_created_voice_follows_from_its_id_and_the_run_seed():
    definitions = [SpeakerDefinition(speaker_id=name, gender="female") for name in ("a", "b")]
    voices = [[s.voice for s in enroll(definitions, FakeEnroller, make_config(seed=seed))[0]] for seed in (0, 0, 1)]
    assert voices[0] == voices[1]
    assert voices[0] != voices[2]
    assert voices[0][0] != voices[0][1]


def test_nothing_is_loaded_when_nothing_is_new():
    def fail():
        raise AssertionError("loaded")

    assert enroll([], fail, make_config()) == ([], {})


def test_registry_survives_its_file_and_refuses_changed_definitions():
    old = SpeakerDefinition(speaker_id="a", gender="female")
    speakers, _ = enroll([old, SpeakerDefinition(speaker_id="g", global_tokens=TOKENS)], FakeEnroller, make_config())
    registry = SpeakerRegistry(speakers)
    again = SpeakerRegistry.from_parquet(registry.to_parquet())
    assert dict(again) == dict(registry)
    assert again.to_parquet() == registry.to_parquet()
    new = SpeakerDefinition(speaker_id="n", gender="male")
    assert again.missing([old, new]) == [new]
    # Defaults written out are no change.
    assert again.missing([SpeakerDefinition(speaker_id="a", gender="female", pitch="moderate")]) == []
    with pytest.raises(SpeakerError, match="never changes within an output"):
        again.missing([SpeakerDefinition(speaker_id="a", gender="male")])


def test_a_damaged_registry_is_named():
    with pytest.raises(SpeakerError, match="damaged"):
        SpeakerRegistry.from_parquet(b"PAR1 nonsense")


SIGNED = "https://host/anna.wav?X-Amz-Date=20261129T000000Z&X-Amz-Signature=PLANTED-wJalrXUtnFEMI"


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr("pipeline.synthesis.enrollment.read_bytes", lambda uri, settings: SPEECH.read_bytes())


def test_a_signed_address_is_stored_without_its_signature(served):
    """It was in speakers.parquet five times, for whoever reads the output; signed again it was another definition."""
    definition = SpeakerDefinition(speaker_id="anna", reference_audio=SIGNED)
    speakers, failures = enroll([definition], FakeEnroller, make_config())
    data = SpeakerRegistry(speakers).to_parquet()
    assert not failures and b"PLANTED" not in data
    registry = SpeakerRegistry.from_parquet(data)
    again = SpeakerDefinition(
        speaker_id="anna", reference_audio=SIGNED.replace("PLANTED", "OTHER").replace("29T", "30T")
    )
    assert registry.missing([again]) == []
    with pytest.raises(SpeakerError, match="was enrolled as"):
        registry.missing([SpeakerDefinition(speaker_id="anna", reference_audio=SIGNED.replace("anna.wav", "bea.wav"))])


def test_an_output_that_holds_a_signature_goes_on_and_does_not_show_it():
    stored = SpeakerDefinition(speaker_id="anna", reference_audio="https://host/anna.wav").canonical()
    voice = Voice(TOKENS)
    registry = SpeakerRegistry([Speaker("anna", voice, "reference", stored.replace("anna.wav", SIGNED[13:]))])
    assert "PLANTED" in registry["anna"].definition
    assert registry.missing([SpeakerDefinition(speaker_id="anna", reference_audio=SIGNED)]) == []
    with pytest.raises(SpeakerError) as caught:
        registry.missing([SpeakerDefinition(speaker_id="anna", reference_audio="other.wav")])
    assert "PLANTED" not in str(caught.value)


def test_a_failure_names_the_recording_without_its_signature(monkeypatch):
    def refuse(uri, settings):
        raise StorageError(f"{uri}: refused")

    for read in (refuse, lambda uri, settings: wav(np.zeros(32_000))):
        monkeypatch.setattr("pipeline.synthesis.enrollment.read_bytes", read)
        _, failures = enroll(
            [SpeakerDefinition(speaker_id="anna", reference_audio=SIGNED)], FakeEnroller, make_config()
        )
        assert "https://host/anna.wav" in failures["anna"] and "PLANTED" not in failures["anna"]


@pytest.mark.parametrize("uri", ["https://me:PLANTED@host/a.wav", "s3://PLANTED@bucket/a.wav"])
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path, uri):
    rows = [{"speaker_id": "anna", "reference_audio": uri}, {"speaker_id": "bea", "reference_audio": [uri]}]
    with pytest.raises(SpeakerError, match="credentials in an address; take them out") as caught:
        read_definitions(write_yaml(tmp_path, rows), SETTINGS)
    assert "PLANTED" not in str(caught.value)


def test_recordings_are_relative_to_the_file_that_names_them(tmp_path, monkeypatch):
    (tmp_path / "voices").mkdir()
    (tmp_path / "speakers.yaml").write_text("- {speaker_id: a, reference_audio: voices/a.wav}\n")
    (tmp_path / "voices" / "a.wav").touch()
    (definition,) = read_definitions(str(tmp_path / "speakers.yaml"), StorageConfig())
    assert definition.find_audio() == f"{tmp_path}/voices/a.wav"
    assert '"reference_audio":"voices/a.wav"' in definition.canonical()  # As outputs have it on record.
    assert pickle.loads(pickle.dumps(definition)).find_audio() == definition.find_audio()
    (tmp_path / "elsewhere" / "voices").mkdir(parents=True)
    (tmp_path / "elsewhere" / "voices" / "b.wav").touch()
    (tmp_path / "speakers.yaml").write_text("- {speaker_id: b, reference_audio: voices/b.wav}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")  # Once, paths were relative to the working folder.
    (definition,) = read_definitions(str(tmp_path / "speakers.yaml"), StorageConfig())
    assert definition.find_audio() == "voices/b.wav"


def test_a_strange_field_forges_no_line_of_a_log():
    with pytest.raises(SpeakerError, match=r"unknown field\(s\) x\\n12:00:00 all is well;"):
        make_definition({"speaker_id": "a", "gender": "female", "x\n12:00:00 all is well": 1})
