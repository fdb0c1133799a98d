"""Every Triton kernel fits every supported card: compiled ahead of time, as it is launched, without a card."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the GPU's kernels need Triton; pip install triton")

from pipeline.llm.gated_product import list_tiles
from tests.compiled_kernels import MAX_STACK_BYTES, SHARED_BYTES, CompiledKernel


@pytest.fixture(scope="module")
def compiled() -> list[CompiledKernel]:
    # Of its own, as in this process kernels are interpreted. Triton keeps what it compiled, so that a second run of the
    # tests takes a few seconds.
    command = [sys.executable, "-m", "tests.compiled_kernels", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert run.returncode == 0, run.stderr[-3_000:]
    return [CompiledKernel(**fields) for fields in json.loads(run.stdout)]


@pytest.mark.parametrize("arch", SHARED_BYTES)
def test_every_kernel_fits(arch: int, compiled: list[CompiledKernel]) -> None:
    here = [kernel for kernel in compiled if kernel.arch == arch]
    assert here
    assert [kernel for kernel in here if kernel.shared_bytes > SHARED_BYTES[arch]] == []
    assert [kernel for kernel in here if kernel.stack_bytes > MAX_STACK_BYTES] == []


@pytest.mark.parametrize("arch", SHARED_BYTES)
def test_every_use_of_the_kernels_is_among_them(arch: int, compiled: list[CompiledKernel]) -> None:
    """In both dtypes: attention of a step and of prompts, and the codec's convolutions. In bfloat16: gated products."""
    found = {(kernel.kernel, kernel.use) for kernel in compiled if kernel.arch == arch}
    for dtype in ("bfloat16", "float32"):
        expected = {
            ("_attend", f"step, {dtype}"),
            ("_attend", f"prompts, {dtype}"),
            ("_convolve", f"codec, {dtype}"),
        }
        assert expected <= found
    tiles = {f"gate of {tiles}, bfloat16" for tiles in list_tiles(SHARED_BYTES[arch])}
    assert {use for kernel, use in found if kernel == "_gated_product"} == tiles != set()
    assert {use for kernel, use in found if kernel == "_sample"} == {"step, bfloat16", "step, bfloat16 (greedy)"}


def test_every_kernel_of_the_project_is_compiled(compiled: list[CompiledKernel]) -> None:
    root = Path(__file__).parents[1] / "pipeline"
    sources = [path.read_text(encoding="utf-8") for path in root.rglob("*.py")]
    # Others are functions of kernels, compiled with those that call them.
    launched = {
        name
        for source in sources
        for name in re.findall(r"^@triton\.jit\ndef (\w+)", source, re.MULTILINE)
        if f"    {name}[" in source
    }
    assert launched == {kernel.kernel for kernel in compiled}
