import pytest

from pipeline.audio import AudioStats
from pipeline.config import QualityConfig
from pipeline.errors import RejectionCode
from pipeline.quality import MAX_TRAINED_TOKENS, judge_audio, judge_tokens, length_cap

QUALITY = QualityConfig()


@pytest.mark.parametrize(
    ("num_tokens", "hit_cap", "estimated_s", "code"),
    [
        (200, False, 4.0, None),
        (0, False, 4.0, RejectionCode.NO_SPEECH),
        (60, False, 4.0, RejectionCode.TOO_FAST),
        (700, False, 4.0, RejectionCode.TOO_SLOW),
        (700, True, 4.0, RejectionCode.HIT_LENGTH_CAP),
        (60, False, 0.3, None),  # "Yes." with silence around it is not slow.
    ],
)
def test_takes_are_judged_by_their_length(num_tokens, hit_cap, estimated_s, code):
    rejection = judge_tokens(num_tokens, hit_cap, estimated_s, QUALITY)
    assert (rejection and rejection.code) == code
    if rejection:
        assert "s" in rejection.message


def test_the_message_tells_what_was_measured():
    rejection = judge_tokens(60, False, 4.0, QUALITY)
    assert rejection is not None
    assert rejection.message.startswith("1.20 s of speech is 3.33 times the expected pace")


def test_length_cap_follows_the_text_up_to_what_was_trained():
    assert length_cap(1.0, QUALITY) == 250
    assert length_cap(2.0, QUALITY) > length_cap(1.0, QUALITY)
    assert length_cap(1_000.0, QUALITY) == MAX_TRAINED_TOKENS


@pytest.mark.parametrize(
    ("silence", "clipped", "code"),
    [(0.1, 0.0, None), (0.95, 0.0, RejectionCode.MOSTLY_SILENCE), (0.1, 0.5, RejectionCode.CLIPPED)],
)
def test_takes_are_judged_by_their_sound(silence, clipped, code):
    stats = AudioStats(peak_dbfs=-3.0, rms_dbfs=-20.0, silence_ratio=silence, clipped_ratio=clipped)
    rejection = judge_audio(stats, QUALITY)
    assert (rejection and rejection.code) == code
