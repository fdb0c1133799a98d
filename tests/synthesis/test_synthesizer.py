"""The Python API: one process, no Ray, the same takes as a run's."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from pipeline import Audio, Synthesizer, Utterance
from pipeline.errors import ConfigError, RejectionCode, SpeakerError, UtteranceError, WeightsError

CLIP = "tests/fixtures/reference/golden/clips/speech_short_16k.wav"
SPEAKERS = [
    {"speaker_id": "anna", "gender": "female"},
    {"speaker_id": "carl", "gender": "male", "pitch": "low"},
    {"speaker_id": "clip", "reference_audio": CLIP},
    {"speaker_id": "said", "reference_audio": CLIP, "reference_text": "What the clip says."},
    {"speaker_id": "given", "global_tokens": list(range(32))},
]
SETTINGS = {
    "llm": {"slots": 8},
    # The weights are random: they end when they like.
    "quality": {"min_pace": 0.0, "max_pace": 10_000.0, "length_cap_factor": 10.0, "length_cap_extra_s": 20.0},
}


@pytest.fixture(scope="module")
def speakers_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("speakers") / "speakers.yaml"
    path.write_text(yaml.safe_dump(SPEAKERS))
    return str(path)


@pytest.fixture(scope="module")
def synthesizer(random_weights, speakers_file):
    return Synthesizer.load(random_weights, speakers=speakers_file, settings=SETTINGS)


def test_every_kind_of_speaker_speaks_with_a_voice_of_its_own(synthesizer):
    assert synthesizer.speakers == [speaker["speaker_id"] for speaker in SPEAKERS]
    spoken = {name: synthesizer.speak("Hello there.", speaker=name, seed=7).samples for name in synthesizer.speakers}
    for samples in spoken.values():
        assert samples.dtype == np.float32
        assert len(samples) % 320 == 0
        assert 0.001 < np.sqrt(np.mean(samples**2)) < 1.0
    assert len({samples.tobytes() for name, samples in spoken.items() if name != "said"}) == 4
    # A transcript changes nothing unless `llm.use_reference_text` asks for it.
    assert np.array_equal(spoken["clip"], spoken["said"])


def test_a_transcript_is_used_where_asked(random_weights, speakers_file, synthesizer):
    settings = {**SETTINGS, "llm": {"slots": 8, "use_reference_text": True}}
    continued = Synthesizer.load(random_weights, speakers=speakers_file, settings=settings)
    assert not np.array_equal(
        continued.speak("Hello there.", speaker="said", seed=7).samples,
        synthesizer.speak("Hello there.", speaker="said", seed=7).samples,
    )


def test_voices_are_the_same_in_every_process(random_weights, speakers_file, synthesizer):
    again = Synthesizer.load(random_weights, speakers=speakers_file, settings=SETTINGS)
    for name in ("anna", "clip"):
        assert np.array_equal(
            again.speak("Hello.", speaker=name, seed=1).samples,
            synthesizer.speak("Hello.", speaker=name, seed=1).samples,
        )


def test_a_take_does_not_depend_on_its_company(synthesizer):
    rows = [
        {"utterance_id": f"u{n}", "text": f"Sentence number {n}.", "speaker_id": ["anna", "carl", "given"][n % 3]}
        for n in range(20)
    ]
    crowd = {row["utterance_id"]: audio.samples for row, audio in zip(rows, synthesizer.speak_many(rows), strict=True)}
    backwards = list(synthesizer.speak_many(reversed(rows)))[::-1]
    for row, audio in zip(rows, backwards, strict=True):
        assert np.array_equal(audio.samples, crowd[row["utterance_id"]])
    (isolated,) = synthesizer.speak_many([rows[13]])
    assert np.array_equal(isolated.samples, crowd["u13"])


def test_the_seed_decides_the_take(synthesizer):
    takes = [synthesizer.speak("Hello.", speaker="anna", seed=seed).encode() for seed in (1, 1, 2, None, None)]
    assert takes[0] == takes[1] != takes[2]
    assert takes[3] == takes[4]


def test_paragraphs_are_segments_of_their_own_with_a_pause_between(synthesizer):
    audio = synthesizer.speak("Yes.\n\nNo.", speaker="anna", seed=3)
    silent = np.flatnonzero(audio.samples == 0.0)
    longest = max(len(run) for run in np.split(silent, np.flatnonzero(np.diff(silent) != 1) + 1))
    assert longest >= round(0.6 * 16_000)


def test_many_are_yielded_in_order_and_read_lazily(synthesizer):
    pulled = []

    def endless():
        for n in range(1_000_000):
            pulled.append(n)
            yield Utterance(f"u{n}", "Yes.", "anna")

    results = synthesizer.speak_many(endless())
    assert isinstance(next(results), Audio)
    assert len(pulled) < 100


def test_a_bad_row_raises_or_takes_its_place(synthesizer):
    rows = [
        {"utterance_id": "a", "text": "Yes.", "speaker_id": "anna"},
        {"utterance_id": "b", "text": "", "speaker_id": "anna"},
        {"utterance_id": "c", "text": "No.", "speaker_id": "nobody"},
        {"utterance_id": "d", "text": "No.", "speaker_id": "carl"},
    ]
    results = list(synthesizer.speak_many(rows, on_error="return"))
    assert [type(result) for result in results] == [Audio, UtteranceError, UtteranceError, Audio]
    assert results[1].code == RejectionCode.EMPTY_TEXT
    assert results[2].code == RejectionCode.UNKNOWN_SPEAKER
    assert "anna" in results[2].message
    with pytest.raises(UtteranceError):
        list(synthesizer.speak_many(rows))


@pytest.mark.parametrize("seed", [-1, 2**63, "x"])
def test_a_seed_out_of_range_is_refused(synthesizer, seed):
    with pytest.raises(UtteranceError) as caught:
        synthesizer.speak("Hello.", speaker="anna", seed=seed)
    assert caught.value.code == RejectionCode.INVALID_SEED


def test_audio_writes_a_wav_and_shows_a_player(synthesizer, tmp_path):
    audio = synthesizer.speak("Hello.", speaker="carl", seed=1)
    audio.write(tmp_path / "hello.wav")
    samples, rate = soundfile.read(tmp_path / "hello.wav", dtype="float32")
    assert rate == audio.sample_rate == 16_000
    assert np.abs(samples - audio.samples).max() <= 1 / 32_767
    assert "<audio" in audio._repr_html_()
    assert repr(audio) == f"Audio({audio.duration_s:.2f} s at 16000 Hz)"
    assert soundfile.info(io.BytesIO(audio.encode())).subtype == "PCM_16"


def test_the_speakers_that_come_with_the_weights_are_the_default(random_weights):
    assert Synthesizer.load(random_weights, settings=SETTINGS).speakers == ["demo_female", "demo_male"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"weights": "nowhere"}, WeightsError),
        ({"speakers": "nowhere.yaml"}, SpeakerError),
        ({"settings": {"llm": {"slotz": 8}}}, ConfigError),
    ],
)
def test_what_cannot_be_loaded_is_reported(random_weights, arguments, error):
    with pytest.raises(error):
        Synthesizer.load(**{"weights": random_weights, **arguments})


def test_a_voice_is_added_from_a_path_and_what_is_wrong_is_said_in_words_of_python(random_weights, tmp_path):
    added = Synthesizer.load(Path(random_weights), settings={"llm.slots": 2})
    added.add_speaker("mine", reference_audio=Path(CLIP))
    assert "mine" in added.speakers
    with pytest.raises(SpeakerError, match=r"'gone': .*gone.wav: there is no such file; correct reference_audio"):
        added.add_speaker("gone", reference_audio=tmp_path / "gone.wav")
    with pytest.raises(SpeakerError, match=r"reference_text: input should be a valid string, got 12$"):
        added.add_speaker("texts", reference_audio=CLIP, reference_text=12)
    with pytest.raises(SpeakerError, match=r"set speakers\.unusable_recording to note"):
        soundfile.write(tmp_path / "blip.wav", 0.1 * np.ones(8_000) * (-1.0) ** np.arange(8_000), 16_000)
        added.add_speaker("blip", reference_audio=tmp_path / "blip.wav")
