"""The audio stage around a codec that answers at once."""

import numpy as np
import torch

from pipeline.codec import DecodedItem
from pipeline.config import parse_config
from pipeline.stages import AudioStage
from pipeline.takes import Take


class BackwardCodec:
    """Yields the last take first; a take's samples are as loud as its first token says."""

    sample_rate = 16_000

    def __init__(self):
        self.calls = []

    def decode_each(self, semantic_tokens, global_tokens):
        self.calls.append(len(semantic_tokens))
        for index in reversed(range(len(semantic_tokens))):
            yield DecodedItem(index, torch.full((1_600,), float(semantic_tokens[index][0]) / 10))


def test_the_codec_gets_all_takes_at_once_and_each_that_comes_is_a_pulse(monkeypatch):
    codec = BackwardCodec()
    stage = AudioStage(parse_config({"weights": "w", "manifest": "m", "speakers": "s", "output": "o"}), codec)
    takes = [Take(index, 0, np.array([index], np.int32), (7,), "sentence", "", "en") for index in range(4)]
    judge, pulses = stage.judge, []
    monkeypatch.setattr(stage, "judge", lambda *arguments: pulses.append(stage.num_batches) or judge(*arguments))
    audios = stage.decode(takes)
    assert [audio.segment for audio in audios] == [0, 1, 2, 3]
    assert [round(float(audio.samples[0]) * 10) for audio in audios] == [0, 1, 2, 3]
    assert (codec.calls, pulses) == ([4], [1, 2, 3, 4])
    assert stage.decode([]) == []
