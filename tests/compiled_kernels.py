"""Compile the GPU's Triton kernels ahead of time, as engine and codec launch them; no card is needed.

The engine and the codec's pack decoder run with tensors that have shapes and no data, so that what is compiled is what
a card of the architecture would be given. In a process of its own: tests otherwise run kernels in the interpreter.

What a compilation gave is kept under Triton's own key of it: the kernel's source and all that it calls, its arguments'
types and constants, the card, the options and the compiler itself. What has the same key has the same result, so only
what is new is compiled, which takes three minutes for all.

    python -m tests.compiled_kernels            # the table of docs/performance.md
    python -m tests.compiled_kernels --record   # after a change of kernels: keep what was compiled
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.benchmark import OFFICIAL_SIZES

SHARED_BYTES = {80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 120: 99 << 10}
"""What a block may have of shared memory, by architecture."""
MAX_STACK_BYTES = 64
"""Of a thread. More means registers that spill: slow, and memory of the card that nobody counts."""
RECORD = Path(__file__).parent / "fixtures" / "compiled_kernels.json"
"""What was compiled before: by key, what a `CompiledKernel` says of it."""


@dataclass(frozen=True)
class CompiledKernel:
    """One kernel as one architecture has it; `use` is who launches it, and in which dtype."""

    arch: int
    kernel: str
    use: str
    num_warps: int
    shared_bytes: int
    registers: int
    stack_bytes: int


@dataclass(frozen=True)
class _Launch:
    use: str
    function: Any
    args: tuple[Any, ...]
    options: dict[str, Any]


def compile_all(archs: list[int], known: dict[str, dict[str, Any]]) -> list[CompiledKernel]:
    """Compile every kernel for these architectures; one entry for each that differs.

    Args:
        archs: the cards' compute capabilities, such as 90.
        known: what was compiled before, by key; what is missing is compiled and added.
    """
    # Before Triton is imported: it looks at this once.
    os.environ.pop("TRITON_INTERPRET", None)
    import torch

    torch.set_num_threads(1)
    launches = list(_note_launches(_users()))
    return [
        kernel for arch in archs for kernel in _compile(arch, [*launches, *_note_launches(_users_of_card(arch))], known)
    ]


def _note_launches(users: Iterator[tuple[str, Any]]) -> Iterator[_Launch]:
    """Let them run, and yield what they launch."""
    from triton.runtime.jit import JITFunction

    launches: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def note(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        launches.append((self, args, options))

    run, JITFunction.run = JITFunction.run, note
    try:
        for use, launch in users:
            launch()
            yield from (_Launch(use, *noted) for noted in launches)
            launches.clear()
    finally:
        JITFunction.run = run


def _compile(arch: int, launches: list[_Launch], known: dict[str, dict[str, Any]]) -> Iterator[CompiledKernel]:
    import torch
    import triton.compiler
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    class Driver:
        """A card of this architecture, as far as the compiler asks."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", arch, 32)

        def get_current_device(self) -> int:
            return arch  # Triton keeps what it compiled by device.

        def get_current_stream(self, device: int = 0) -> int:
            return 0

        def get_active_torch_device(self) -> torch.device:
            return torch.device("meta")

    driver.set_active(Driver())
    triton.compiler.compile = partial(_compile_or_recall, known)
    seen = set()
    for launch in launches:
        key = launch.function.run(*launch.args, grid=(1,), warmup=True, **launch.options).key
        if key not in seen:
            seen.add(key)
            yield CompiledKernel(arch=arch, use=launch.use, **known[key])


def _compile_or_recall(known: dict[str, dict[str, Any]], source: Any, target: Any, options: dict[str, Any]) -> Any:
    """Stand for Triton's `compile`, with its key of a compilation; return what holds the key."""
    from triton._C.libtriton import get_cache_invalidating_env_vars
    from triton.compiler.compiler import compile, make_backend
    from triton.runtime.cache import get_cache_key

    backend = make_backend(target)
    parsed = backend.parse_options({**options, **source.parse_options()})
    text = get_cache_key(source, backend, parsed, env_vars=get_cache_invalidating_env_vars())
    key = hashlib.sha256(text.encode()).hexdigest()
    if key not in known:
        known[key] = _describe(compile(source, target=target, options=options))
    return SimpleNamespace(key=key, result=lambda: None)


def _describe(kernel: Any) -> dict[str, Any]:
    import triton

    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(cuobjdump), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    return {
        "kernel": kernel.metadata.name,
        "num_warps": kernel.metadata.num_warps,
        "shared_bytes": kernel.metadata.shared,
        "registers": int(found[1]),
        "stack_bytes": int(found[2]),
    }


def _users() -> Iterator[tuple[str, Any]]:
    """Yield who launches kernels on every card: the engine's step and prompts and the codec's pack, in both dtypes."""
    import torch

    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        yield from _engine(dtype, dtype, name)
        yield f"codec, {name}", partial(_decode_pack, dtype)


def _users_of_card(arch: int) -> Iterator[tuple[str, Any]]:
    """Yield who launches kernels on some cards: the gate inside its product, by what fits, and a cache in float8."""
    import torch

    from pipeline.llm.gated_product import list_tiles, multiply
    from pipeline.synthesis.load_networks import FIRST_WITH_FLOAT8

    config = _official_sizes()
    with torch.device("meta"):
        normed = torch.empty(1_024, config.hidden_size, dtype=torch.bfloat16)
        weight = torch.empty(2 * config.intermediate_size, config.hidden_size, dtype=torch.bfloat16)
    for tiles in list_tiles(SHARED_BYTES[arch]):
        yield f"gate of {tiles}, bfloat16", partial(multiply, normed, weight, tiles)
    if divmod(arch, 10) >= FIRST_WITH_FLOAT8:
        yield from _engine(torch.bfloat16, torch.float8_e4m3fn, "bfloat16, cache in float8")


def _official_sizes() -> Any:
    """Return the official sizes, of two layers: the first has no update to add before it, the second stands for all."""
    from pipeline.llm.checkpoint import Qwen2Config

    return replace(Qwen2Config.read(OFFICIAL_SIZES / "LLM" / "config.json"), num_hidden_layers=2)


def _engine(dtype: Any, cache_dtype: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the steps and prompts of an engine without data."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    from pipeline.llm.checkpoint import list_tensor_shapes
    from pipeline.llm.fused_qwen2 import FusedQwen2
    from pipeline.llm.graphed_runner import GraphedRunner
    from pipeline.llm.prompt import SpeechVocabulary
    from pipeline.llm.sampling import SamplingParams

    class Runner(GraphedRunner):
        def _warn_if_places_differ(self) -> None:
            """There are no bits to compare."""

    added = json.loads(gzip.decompress((OFFICIAL_SIZES / "LLM" / "tokenizer.json.gz").read_bytes()))["added_tokens"]
    vocabulary = SpeechVocabulary(Tokenizer(BPE()), {token["content"]: token["id"] for token in added})
    config = _official_sizes()
    shapes = list_tensor_shapes(config).items()
    tensors = {key: torch.empty(shape, dtype=dtype, device="meta") for key, shape in shapes}
    model = FusedQwen2(config, tensors, num_slots=1_024, max_context=1_536, cache_dtype=cache_dtype)
    for title, sampling in {"": SamplingParams(), " (greedy)": SamplingParams(temperature=0.0)}.items():
        runner = Runner(model, 1_024, vocabulary, sampling)
        yield f"step, {name}{title}", runner._step_all
        yield f"prompts, {name}", runner._read_pack


def _decode_pack(dtype: Any) -> None:
    import torch

    from pipeline.codec.bicodec import PACK_FRAMES
    from pipeline.codec.checkpoint import read_config
    from pipeline.codec.fused_generator import FusedWaveGenerator
    from pipeline.codec.kernels import convolve
    from pipeline.codec.networks import DecodeNetwork
    from pipeline.codec.spans import Spans

    config = read_config(OFFICIAL_SIZES / "BiCodec" / "config.yaml")
    with torch.device("meta"), torch.no_grad():
        generate = FusedWaveGenerator(DecodeNetwork(config).wave_generator, dtype, "tf32", convolve)
        items_BF = torch.zeros((1, PACK_FRAMES), dtype=torch.int64)
        generate(torch.zeros(1, config.decoder.input_channel, PACK_FRAMES), Spans.of_items(items_BF))


def to_table(kernels: list[CompiledKernel]) -> str:
    """Return registers, bytes of stack and of shared memory as Markdown, a row for each kernel and use."""
    archs = sorted({kernel.arch for kernel in kernels})
    rows: dict[tuple[str, str], dict[int, CompiledKernel]] = {}
    for kernel in kernels:
        row = rows.setdefault((kernel.kernel, kernel.use), {})
        worst = row.get(kernel.arch, kernel)
        row[kernel.arch] = max(worst, kernel, key=lambda found: found.registers)
    lines = ["| kernel | for | warps | " + " | ".join(f"sm_{arch}" for arch in archs) + " |"]
    lines.append("|---" * (3 + len(archs)) + "|")
    for (name, use), row in rows.items():
        cells = [f"{k.registers}, {k.stack_bytes}, {k.shared_bytes:,}" if (k := row.get(a)) else "" for a in archs]
        warps = sorted({kernel.num_warps for kernel in row.values()})
        lines.append(f"| `{name}` | {use} | {', '.join(map(str, warps))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or with `--json` the plain numbers, for the architectures named or all."""
    archs = [int(word) for word in sys.argv[1:] if not word.startswith("--")] or list(SHARED_BYTES)
    known: dict[str, dict[str, Any]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    before = set(known)
    kernels = compile_all(archs, known)
    print(f"compiled: {len(known) - len(before)}, known: {len(before)}", file=sys.stderr)
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n")
    print(json.dumps([asdict(kernel) for kernel in kernels]) if "--json" in sys.argv else to_table(kernels))


if __name__ == "__main__":
    main()
