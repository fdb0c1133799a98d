"""The two stages with networks of the weights: text to judged semantic tokens, semantic tokens to judged audio.

Knows nothing of Ray or storage. A segment of which no take passes its checks gets another one with the next seed, up
to `quality.max_takes`. What is said in a take is judged in `listening_stage.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from pipeline.synthesis.listening import measure_similarity
from pipeline.synthesis.listening_stage import ListeningStage
from pipeline.synthesis.quality import judge_audio, judge_tokens, length_cap
from pipeline.synthesis.speakers import Speaker
from pipeline.synthesis.takes import Rejection, Script, SegmentAudio, Take, UtteranceTakes, segment_seed, write_script
from pipeline.text import TextSupport


@dataclass
class UtteranceJob:
    """An utterance on its way through the LLM stage."""

    script: Script
    prompts: dict[int, Prompt]
    wanted: dict[int, Sequence[int]]
    """Takes to make, by segment."""
    result: UtteranceTakes
    owner: Any = None
    """Whoever wants the result; never looked at here."""
    outstanding: Counter[int] = field(default_factory=Counter)
    """Takes under way, by segment."""
    failed: dict[int, tuple[int, Rejection]] = field(default_factory=dict)
    """By segment, the last take that failed, and why."""

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
            wanted: take to make, by segment; none means the first takes of all segments.

        Raises:
            UtteranceError: the row cannot be synthesized.
        """
        speaker = self._registry.get(utterance.speaker_id)
        slowness = 1.0 if speaker is None else speaker.voice.slowness
        script = write_script(utterance, self._registry, self._config, self._lexicon, self._support, slowness)
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
        first: Sequence[int] = range(self._config.quality.num_first_takes)
        takes: dict[int, Sequence[int]] = dict.fromkeys(prompts, first)
        if wanted:
            takes = {segment: (take,) for segment, take in wanted.items()}
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
        for segment, takes in job.wanted.items():
            for take in takes:
                self._request(key, segment, take)

    def _request(self, key: int, segment: int, take: int) -> None:
        job = self._jobs[key]
        prompt = job.prompts[segment]
        estimated_s = job.script.segments[segment].estimated_s
        job.outstanding[segment] += 1
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
            self._judge(job, segment, take, generation)
            job.outstanding[segment] -= 1
            if job.outstanding[segment] == 0 and all(found.segment != segment for found in job.result.takes):
                self._retake(key, job, segment)
            if job.outstanding.total() == 0:
                del self._jobs[key]
                finished.append(job)
        return finished

    def _judge(self, job: UtteranceJob, segment: int, take: int, generation: Generation) -> None:
        planned = job.script.segments[segment]
        num_tokens = len(generation.semantic_tokens)
        job.result.num_takes += 1
        rejection = judge_tokens(num_tokens, generation.hit_length_cap, planned.estimated_s, self._config.quality)
        if rejection is not None:
            if segment not in job.failed or job.failed[segment][0] < take:
                job.failed[segment] = take, rejection
            return
        voice = self._registry[job.script.utterance.speaker_id].voice
        job.result.takes.append(
            Take(
                segment,
                take,
                generation.semantic_tokens.astype(np.int32),
                voice.global_tokens or (),
                planned.boundary,
                planned.text,
                job.script.language,
                planned.estimated_s,
            )
        )

    def _retake(self, key: int, job: UtteranceJob, segment: int) -> None:
        """Make another take of a segment of which none is good, or give its utterance up."""
        take, rejection = job.failed[segment]
        if take + 1 < self._config.quality.most_takes and job.result.rejection is None:
            self._request(key, segment, take + 1)
            return
        place = f"segment {segment + 1} of {len(job.script.segments)}, " if len(job.script.segments) > 1 else ""
        job.result.rejection = Rejection(rejection.code, f"{place}take {take + 1}: {rejection.message}")


class AudioStage:
    """Semantic tokens to audio, judged by its sound.

    Args:
        config: of the run.
        codec: that decodes, and hears whose voice it is where somebody listens.
        listening: the stage that follows, where both are one; none leaves it to others.
    """

    def __init__(self, config: Config, codec: BiCodec, listening: ListeningStage | None = None) -> None:
        codec.prepare_decoding()
        self._config = config
        self._codec = codec
        self._listening = listening
        self._num_decoded = 0

    @property
    def num_takes(self) -> int:
        """A number that grows while work goes on: takes that came from the codec, and that were heard."""
        return self._num_decoded + (self._listening.num_takes if self._listening is not None else 0)

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
            self._num_decoded += 1
            audios[decoded.item] = self._measure(takes[decoded.item], decoded.waveform.numpy())
        return self._listen(takes, [audios[position] for position in range(len(takes))])

    def judge(self, take: Take, samples: np.ndarray[Any, np.dtype[np.float32]]) -> SegmentAudio:
        """Judge the sound of a take.

        Args:
            take: what was decoded.
            samples: (num_samples,) what it sounds like.
        """
        (audio,) = self._listen([take], [self._measure(take, samples)])
        return audio

    def _measure(self, take: Take, samples: np.ndarray[Any, np.dtype[np.float32]]) -> SegmentAudio:
        quality = self._config.quality
        stats = measure(samples, self.sample_rate)
        rejection, similarity = judge_audio(stats, quality), None
        if rejection is None and quality.listens:
            similarity = measure_similarity(self._codec, samples, take.global_tokens)
        num_tokens = len(take.semantic_tokens)
        return SegmentAudio(
            take.segment,
            take.take,
            num_tokens,
            take.boundary,
            samples,
            self.sample_rate,
            None if rejection is None else rejection.of_take(take.segment, take.take),
            None,
            stats,
            take.estimated_s,
            similarity,
        )

    def _listen(self, takes: Sequence[Take], audios: list[SegmentAudio]) -> list[SegmentAudio]:
        if self._listening is None:
            return audios
        heard = self._listening.listen([*zip(takes, audios, strict=True)])
        return [audio.after(verdict) for audio, verdict in zip(audios, heard, strict=True)]
