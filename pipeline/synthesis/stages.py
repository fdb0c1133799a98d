"""The two stages that replicas run: text to judged semantic tokens, semantic tokens to judged audio.

Knows nothing of Ray or storage. Each take that fails its checks is made again with the next seed, up to
`quality.max_takes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from pipeline.audio.samples import measure
from pipeline.codec import BiCodec
from pipeline.config.run import Config
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.llm import Generation, LLMEngine, Request
from pipeline.llm.prompt import Prompt, build_prompt
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.listening import Listener
from pipeline.synthesis.quality import judge_audio, judge_hearing, judge_tokens, length_cap
from pipeline.synthesis.recognition import Recognizer
from pipeline.synthesis.speakers import Speaker
from pipeline.synthesis.takes import Rejection, Script, SegmentAudio, Take, UtteranceTakes, segment_seed, write_script
from pipeline.text import TextSupport


@dataclass
class UtteranceJob:
    """An utterance on its way through the LLM stage."""

    script: Script
    prompts: dict[int, Prompt]
    wanted: dict[int, int]
    """Take to make, by segment."""
    result: UtteranceTakes
    owner: Any = None
    """Whoever wants the result; never looked at here."""
    outstanding: int = 0

    @property
    def estimated_s(self) -> float:
        """Speaking time of the longest segment to make."""
        return max(self.script.segments[segment].estimated_s for segment in self.wanted)


class TokenStage:
    """Text to semantic tokens: utterances of any number of callers share the engine's slots."""

    def __init__(
        self,
        config: Config,
        engine: LLMEngine,
        registry: Mapping[str, Speaker],
        lexicon: Mapping[str, str],
        support: TextSupport,
    ) -> None:
        self._config = config
        self._engine = engine
        self._registry = registry
        self._lexicon = lexicon
        self._support = support
        self._jobs: dict[int, UtteranceJob] = {}
        self._next_job = 0

    @property
    def has_work(self) -> bool:
        """Whether an utterance is unfinished."""
        return bool(self._jobs)

    def prepare(self, row: int, utterance: Utterance, wanted: Mapping[int, int] | None = None) -> UtteranceJob:
        """Normalize, cut and build the prompts of an utterance; touches no shared state.

        Args:
            row: the utterance's row in its shard.
            utterance: what to say, and who says it.
            wanted: take to make, by segment; none means all segments from take 0 on.

        Raises:
            UtteranceError: the row cannot be synthesized.
        """
        script = write_script(utterance, self._registry, self._config, self._lexicon, self._support)
        prompts = {}
        voice = self._registry[utterance.speaker_id].voice
        for index, segment in enumerate(script.segments):
            prompt = build_prompt(
                self._engine.vocabulary,
                segment.text,
                voice,
                use_reference_text=self._config.llm.use_reference_text,
                language=script.language,
            )
            room = self._config.llm.max_context - len(prompt.ids) - len(prompt.grammar.steps)
            if room < length_cap(segment.estimated_s, self._config.quality):
                raise UtteranceError(
                    RejectionCode.TEXT_TOO_LONG,
                    f"segment {index} has a prompt of {len(prompt.ids)} tokens, which leaves {max(room, 0)} of "
                    f"llm.max_context {self._config.llm.max_context} for the answer; raise llm.max_context or lower "
                    "text.max_segment_chars",
                )
            prompts[index] = prompt
        takes = dict(wanted) if wanted else dict.fromkeys(range(len(script.segments)), 0)
        selected = {index: prompts[index] for index in takes}
        return UtteranceJob(script, selected, takes, UtteranceTakes.of_script(row, script))

    @staticmethod
    def longest_first(jobs: Sequence[UtteranceJob]) -> list[UtteranceJob]:
        """Return jobs in the order to start them in: what is short fills the slots that stand empty at the end."""
        return sorted(jobs, key=lambda job: -job.estimated_s)

    def start(self, job: UtteranceJob) -> None:
        """Put an utterance's segments into the engine's queue."""
        key = self._next_job
        self._next_job += 1
        self._jobs[key] = job
        job.outstanding = len(job.wanted)
        for segment, take in job.wanted.items():
            self._request(key, segment, take)

    def _request(self, key: int, segment: int, take: int) -> None:
        job = self._jobs[key]
        prompt = job.prompts[segment]
        estimated_s = job.script.segments[segment].estimated_s
        self._engine.add(
            Request(
                request_id=(key, segment, take),
                prompt_ids=prompt.ids,
                grammar=prompt.grammar,
                seed=segment_seed(job.script.seed, segment, take),
                max_semantic_tokens=length_cap(estimated_s, self._config.quality),
            )
        )

    def step(self) -> list[UtteranceJob]:
        """Advance every active sequence by one token; return the utterances that ended with it."""
        finished = []
        for generation in self._engine.step():
            key, segment, take = cast("tuple[int, int, int]", generation.request_id)
            job = self._jobs[key]
            if self._retake_if_failed(key, job, segment, take, generation):
                continue
            job.outstanding -= 1
            if job.outstanding == 0:
                del self._jobs[key]
                finished.append(job)
        return finished

    def _retake_if_failed(self, key: int, job: UtteranceJob, segment: int, take: int, generation: Generation) -> bool:
        quality = self._config.quality
        planned = job.script.segments[segment]
        num_tokens = len(generation.semantic_tokens)
        rejection = judge_tokens(num_tokens, generation.hit_length_cap, planned.estimated_s, quality)
        if rejection is None:
            voice = self._registry[job.script.utterance.speaker_id].voice
            tokens = generation.semantic_tokens.astype(np.int32)
            job.result.takes.append(
                Take(
                    segment,
                    take,
                    tokens,
                    voice.global_tokens or (),
                    planned.boundary,
                    planned.text,
                    job.script.language,
                    planned.estimated_s,
                )
            )
            return False
        if take + 1 < quality.max_takes and job.result.rejection is None:
            self._request(key, segment, take + 1)
            return True
        place = f"segment {segment + 1} of {len(job.script.segments)}, " if len(job.script.segments) > 1 else ""
        job.result.rejection = Rejection(rejection.code, f"{place}take {take + 1}: {rejection.message}")
        return False


class AudioStage:
    """Semantic tokens to audio, judged by its sound."""

    def __init__(self, config: Config, codec: BiCodec, recognizer: Recognizer | None = None) -> None:
        codec.prepare_decoding()
        self._config = config
        self._codec = codec
        self._listener = None if recognizer is None else Listener(recognizer, codec)
        self.num_takes = 0
        """Takes that came from the codec so far: what shows that a long decode moves."""

    @property
    def sample_rate(self) -> int:
        """Hz of what `decode` returns."""
        return self._codec.sample_rate

    def decode(self, takes: Sequence[Take]) -> list[SegmentAudio]:
        """Decode takes, in their order.

        The codec gets all of them at once, and sees to it that what is decoded beside a take never changes its bytes.
        """
        if not takes:
            return []
        audios: dict[int, SegmentAudio] = {}
        for decoded in self._codec.decode_each(
            [torch.tensor(take.semantic_tokens, dtype=torch.int64) for take in takes],
            torch.tensor([take.global_tokens for take in takes], dtype=torch.int64),
        ):
            self.num_takes += 1
            audios[decoded.item] = self.judge(takes[decoded.item], decoded.waveform.numpy())
        return [audios[position] for position in range(len(takes))]

    def judge(self, take: Take, samples: np.ndarray[Any, np.dtype[np.float32]]) -> SegmentAudio:
        """Judge the sound of a take.

        Args:
            take: what was decoded.
            samples: (num_samples,) what it sounds like.
        """
        quality = self._config.quality
        stats = measure(samples, self.sample_rate)
        rejection, hearing = judge_audio(stats, quality), None
        if rejection is None and self._listener is not None:
            hearing = self._listener.listen(samples, take.text, take.language, take.global_tokens)
            rejection = judge_hearing(hearing, quality)
        if rejection is not None:
            message = f"segment {take.segment + 1}, take {take.take + 1}: {rejection.message}"
            rejection = Rejection(rejection.code, message)
        num_tokens = len(take.semantic_tokens)
        return SegmentAudio(
            take.segment,
            take.take,
            num_tokens,
            take.boundary,
            samples,
            self.sample_rate,
            rejection,
            hearing,
            stats,
            take.estimated_s,
        )
