"""The parts of the benchmark; each measures both sides in turn inside one process and returns plain numbers."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from pipeline.benchmark.machine import counted_seconds, measure_product_rate
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.workload import FRAME_RATE, Task, draw_tokens, make_llm_tensors, make_tasks
from pipeline.codec import BiCodec
from pipeline.errors import ConfigError
from pipeline.llm import LLMEngine
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2, StepShapes
from pipeline.llm.sampling import SamplingParams

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
_BOUND_STEPS = 20


@dataclass(frozen=True)
class Candidates:
    """What is measured, with the same weights on both sides."""

    model: Qwen2
    num_slots: int
    vocabulary: SpeechVocabulary
    codec: BiCodec
    official_llm: OfficialLLM
    official_decoder: OfficialDecoder

    def make_engine(self, shapes: StepShapes | None = None) -> LLMEngine:
        """Return an engine over the one model, with other shapes if given."""
        model = self.model
        if shapes is not None:
            model = copy.copy(model)
            model.shapes = shapes
            model.__dict__.pop("can_shrink", None)
        return LLMEngine(EagerRunner(model, self.num_slots, self.vocabulary, SamplingParams()))


def refuse_unlike(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Compare two descriptions of work done.

    Raises:
        ConfigError: they differ in anything but their time.
    """
    different = [name for name in sorted({*left, *right} - {"seconds"}) if left.get(name) != right.get(name)]
    if different:
        shown = ", ".join(f"{name} {left.get(name)!r} against {right.get(name)!r}" for name in different)
        raise ConfigError(f"benchmark: unlike things are not compared: {shown}; give both sides the same work")


def compare_pipeline(
    candidates: Candidates, tasks: Sequence[Task], baselines: Sequence[Task], num_rounds: int, clock: Clock
) -> dict[str, Any]:
    """Synthesize `tasks` our way and `baselines`, of the same mean length, the official way, in turn.

    The official way takes its utterances one at a time, so that its rate does not depend on their number.
    """
    means = [{"mean_frames": round(sum(t.num_frames for t in side) / len(side) / 25)} for side in (tasks, baselines)]
    refuse_unlike(*means)
    rounds = []
    for _ in range(num_rounds):
        rate = measure_product_rate(clock, candidates.model.dtype)
        llm_s, codec_s = _synthesize_officially(candidates, baselines, clock)
        our_llm_s, our_codec_s = _synthesize(candidates, tasks, clock)
        prefill_s = _read_prompts(candidates, tasks, clock)
        rate = max(rate, measure_product_rate(clock, candidates.model.dtype))
        audio, baseline_audio = (sum(task.num_frames for task in side) / FRAME_RATE for side in (tasks, baselines))
        ours, official = (our_llm_s + our_codec_s) / audio, (llm_s + codec_s) / baseline_audio
        counted = counted_seconds(sum(task.num_frames for task in tasks), rate)
        rounds.append(
            {
                "product_gflops": rate,
                "official_s_per_audio_s": official,
                "official_llm": llm_s / baseline_audio,
                "official_codec": codec_s / baseline_audio,
                "ours_s_per_audio_s": ours,
                "ours_llm": our_llm_s / audio,
                "ours_prefill": prefill_s / audio,
                "ours_codec": our_codec_s / audio,
                "ratio": official / ours,
                "llm_ratio": llm_s / baseline_audio / (our_llm_s / audio),
                "codec_ratio": codec_s / baseline_audio / (our_codec_s / audio),
                "share_of_counted_limit": counted / (our_llm_s + our_codec_s),
            }
        )
        logger.info("pipeline: %s", {name: round(value, 3) for name, value in rounds[-1].items()})
    return {"utterances": len(tasks), "official_utterances": len(baselines), "rounds": rounds}


def compare_peers(candidates: Candidates, tasks: Sequence[Task], clock: Clock) -> dict[str, Any]:
    """Answer the same prompts with our engine and with the library's batched and continuous generation.

    Each of the two has the settings tried that matter to it; the ratio is to its best one.
    """
    official = candidates.official_llm
    ordered = sorted(tasks, key=lambda task: task.num_frames)  # Rows of a batch wait for its longest.

    def in_batches(size: int) -> list[int]:
        batches = (ordered[first : first + size] for first in range(0, len(ordered), size))
        return [length for batch in batches for length in official.generate(batch)]

    begin = clock()
    _generate(candidates.make_engine(), tasks)
    ours = clock() - begin
    dtype = str(candidates.model.dtype).removeprefix("torch.")
    result: dict[str, Any] = {"utterances": len(tasks), "frames": sum(task.num_frames for task in tasks)}
    result |= {"ours_dtype": dtype, "ours_s": ours}
    sizes = sorted({-(-len(tasks) // parts) for parts in (1, 2, 4)})
    kinds: dict[str, dict[str, Callable[[], list[int]]]] = {
        "batched": {f"of {size}": partial(in_batches, size) for size in sizes},
        "continuous": {
            name: partial(official.generate_continuously, ordered[::-1], name) for name in ("sdpa", "eager")
        },
    }
    for kind, settings in kinds.items():
        taken = []
        for setting, run in settings.items():
            try:
                begin = clock()
                lengths = run()
                seconds = clock() - begin
            except Exception as error:  # A peer that does not run here is a finding, not a failure of ours.
                result[f"{kind}, {setting}"] = f"does not run here: {type(error).__name__}: {str(error)[:120]}"
                continue
            refuse_unlike({"frames": result["frames"]}, {"frames": sum(lengths)})
            result[f"{kind}, {setting}, s"] = seconds
            logger.info("peers: %s, %s: %.1f s; ours %.1f s", kind, setting, seconds, ours)
            taken.append(seconds)
        if taken:
            result[f"{kind}_ratio"] = min(taken) / ours
    return result


def compare_codec(candidates: Candidates, tasks: Sequence[Task], num_rounds: int, clock: Clock) -> dict[str, Any]:
    """Decode the same tokens both ways in turn, and compare the audio; times and ratio are the rounds' medians."""
    rounds: list[tuple[float, float]] = []
    errors: list[float] = []
    items = [draw_tokens(candidates.codec, task) for task in tasks]
    # What is compiled at the first decoding is compiled once for a whole run.
    candidates.official_decoder.decode(*items[-1])
    candidates.codec.decode([items[-1][0]], items[-1][1][None])
    for _ in range(num_rounds):
        begin = clock()
        expected = [candidates.official_decoder.decode(*item) for item in items]
        middle = clock()
        # All at once, as the pipeline does: a CPU takes them one by one all the same.
        found = candidates.codec.decode([tokens for tokens, _ in items], torch.stack([voice for _, voice in items]))
        rounds.append((middle - begin, clock() - middle))
        pairs = zip(expected, found, strict=True)
        errors = [10 * math.log10(float((a - b).square().mean() / a.square().mean()) or 1e-30) for a, b in pairs]
        logger.info("codec: official %.2f s, ours %.2f s", *rounds[-1])
    audio = sum(task.num_frames for task in tasks) / FRAME_RATE
    return {
        "items": len(items),
        "official_s_per_audio_s": median(official for official, _ in rounds) / audio,
        "ours_s_per_audio_s": median(ours for _, ours in rounds) / audio,
        "ratio": median(official / ours for official, ours in rounds),
        "error_db": max(errors),
        **_share_codec(candidates, items[0]),
    }


def _share_codec(candidates: Candidates, item: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Return each block's part of decoding one item, from 0 to 1."""
    from torch._C._profiler import _ExperimentalConfig
    from torch.profiler import ProfilerActivity, profile

    tokens, voice = item
    everywhere = _ExperimentalConfig(profile_all_threads=True)  # The codec has threads of its own.
    with profile(activities=[ProfilerActivity.CPU], experimental_config=everywhere) as record:
        candidates.codec.decode([tokens], voice[None])
    blocks = {
        event.key.removeprefix("codec: "): event.cpu_time_total
        for event in record.key_averages()
        if event.key.startswith("codec: ")
    }
    return {f"share of {name}": time / sum(blocks.values()) for name, time in blocks.items()}


def price_shapes(candidates: Candidates, tasks: Sequence[Task], num_rounds: int, clock: Clock) -> dict[str, Any]:
    """Answer the same prompts with shapes left free, fixed, and rounded as they are by default."""
    kinds = {
        "free": StepShapes(prompt_bucket=1, row_tile=1, can_shrink=True),
        "default": StepShapes(),
        "all_rows": StepShapes(can_shrink=False),
    }
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(num_rounds):
        for name, shapes in kinds.items():
            engine = candidates.make_engine(shapes)
            begin = clock()
            _generate(engine, tasks)
            best[name] = min(best[name], clock() - begin)
    return {**{f"{name}_s": value for name, value in best.items()}, "price": best["default"] / best["free"] - 1}


def share_step(candidates: Candidates, context: int, clock: Clock) -> dict[str, float]:
    """Return what each kind of work takes of a decode step over all rows, in ms; by torch's own profiler.

    The profiler slows Python down; `python_at_most` does without it, see `_bound_python`.
    """
    model = candidates.model
    step, kinds = _profile_step(model, context, clock)
    with torch.inference_mode():
        runner = EagerRunner(model, candidates.num_slots, candidates.vocabulary, SamplingParams())
        hidden_RH = torch.randn(model.num_rows, model.config.hidden_size)
        begin = clock()
        runner.draw_tokens(hidden_RH, torch.zeros(model.num_rows, dtype=torch.float64))
        head = clock() - begin
    return {
        **{name: value * 1e3 for name, value in kinds.items()},
        "python": max(step - sum(kinds.values()), 0.0) * 1e3,
        "head_and_sampling": head * 1e3,
        "total": (step + head) * 1e3,
        "python_at_most": _bound_python(candidates, clock) * 1e3,
    }


def _profile_step(model: Qwen2, context: int, clock: Clock) -> tuple[float, dict[str, float]]:
    """Return how long a decode step over all rows takes under the profiler, and its operators by kind; in seconds."""
    from torch.profiler import ProfilerActivity, profile

    ids_R, positions_R = torch.zeros(model.num_rows, dtype=torch.int64), torch.full((model.num_rows,), context)
    with torch.inference_mode():
        model.decode_step(ids_R, positions_R, context + 1)
        with profile(activities=[ProfilerActivity.CPU]) as record:
            begin = clock()
            model.decode_step(ids_R, positions_R, context + 1)
            step = clock() - begin
    kinds = {"products": 0.0, "attention": 0.0, "elementwise": 0.0}
    for event in record.key_averages():
        name = event.key
        kind = "products" if any(part in name for part in ("linear_pointwise", "addmm", "aten::mm")) else "elementwise"
        kind = "attention" if any(part in name for part in ("bmm", "softmax")) else kind
        kinds[kind] += event.self_cpu_time_total / 1e6
    return step, kinds


def _bound_python(candidates: Candidates, clock: Clock) -> float:
    """Return at most how long Python and scheduling take of an engine's step, in seconds.

    That is a whole step of the same engine over a network of as many layers, heads and slots that is so narrow that
    its elementwise work is next to nothing, less its products, its attention and its draw.
    """
    narrow = replace(candidates.model.config, hidden_size=64, intermediate_size=64, head_dim=4)
    tensors = make_llm_tensors(narrow, candidates.vocabulary.stop_ids)
    tensors = {name: tensor.to(candidates.model.dtype) for name, tensor in tensors.items()}
    model = Qwen2(narrow, tensors, candidates.num_slots, candidates.model.max_context)
    runner = EagerRunner(model, candidates.num_slots, candidates.vocabulary, SamplingParams())
    engine = LLMEngine(runner)
    tasks = make_tasks(candidates.vocabulary, [_BOUND_STEPS + 2] * candidates.num_slots)
    for task in tasks:
        engine.add(task.request)
    engine.step()  # Reads the prompts.
    hidden_RH, uniform_R = torch.randn(model.num_rows, narrow.hidden_size), torch.zeros(model.num_rows).double()
    steps: list[float] = []
    draws: list[float] = []
    for _ in range(_BOUND_STEPS):
        begin = clock()
        engine.step()
        middle = clock()
        with torch.inference_mode():
            runner.draw_tokens(hidden_RH, uniform_R)
        draws.append(clock() - middle)
        steps.append(middle - begin)
    _, kinds = _profile_step(model, len(tasks[0].prompt_ids), clock)
    return max(median(steps) - median(draws) - kinds["products"] - kinds["attention"], 0.0)


def _generate(engine: LLMEngine, tasks: Sequence[Task]) -> None:
    expected = {task.request.request_id: task.num_frames for task in tasks}
    found = {item.request_id: len(item.semantic_tokens) for item in engine.generate([task.request for task in tasks])}
    if found != expected:
        raise ConfigError("benchmark: an answer has another length than the workload; the comparison would be unlike")


def _synthesize(candidates: Candidates, tasks: Sequence[Task], clock: Clock) -> tuple[float, float]:
    engine = candidates.make_engine()
    voices = {task.request.request_id: torch.tensor(task.global_tokens) for task in tasks}
    begin = clock()
    answers = list(engine.generate([task.request for task in tasks]))
    middle = clock()
    candidates.codec.decode(
        [torch.from_numpy(answer.semantic_tokens) for answer in answers],
        torch.stack([voices[answer.request_id] for answer in answers]),
    )
    return middle - begin, clock() - middle


def _read_prompts(candidates: Candidates, tasks: Sequence[Task], clock: Clock) -> float:
    """Return what the prompts alone take, which is part of the language model's time, in seconds."""
    begin = clock()
    with torch.inference_mode():
        for task in tasks:
            candidates.model.prefill(torch.tensor(task.prompt_ids), 0)
    return clock() - begin


def _synthesize_officially(candidates: Candidates, tasks: Sequence[Task], clock: Clock) -> tuple[float, float]:
    llm = codec = 0.0
    for task in tasks:
        begin = clock()
        candidates.official_llm.generate([task])
        middle = clock()
        candidates.official_decoder.decode(*draw_tokens(candidates.codec, task))
        llm, codec = llm + middle - begin, codec + clock() - middle
    return llm, codec
