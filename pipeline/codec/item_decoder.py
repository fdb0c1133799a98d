"""Decoding on a CPU: one item at a time at its own length, and as many items side by side as there are threads.

Each item is one thread's from its first product to its last sample. Threads that share an item wait for each other at
every product, and the way in which they share it may reach the last bits of what they compute; here the number of
threads reaches nothing. Knows nothing of what tokens mean or whether they are in range.

Shape suffixes: F frames, S samples, C channels, Q residual quantizers, N global tokens of one quantizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Barrier

import torch
from torch import Tensor
from torch.profiler import record_function

from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.pack_decoder import DecodedItem
from pipeline.codec.packed_generator import PackedWaveGenerator
from pipeline.codec.vocos import pack_products


class ItemDecoder:
    """Tokens to waveforms, item by item.

    Args:
        network: in float32 on the CPU; its wide products are replaced, and its wave generator is taken away.
        config: the network's.
        dtype: of those products that bear to be rounded, the prenet's and the pointwise ones of the residual units;
            everything else is float32.
        num_threads: items that are decoded side by side.
    """

    def __init__(self, network: DecodeNetwork, config: BiCodecConfig, dtype: torch.dtype, num_threads: int) -> None:
        pack_products(network.prenet, dtype)
        self._generate = PackedWaveGenerator(network.wave_generator, dtype)
        del network.wave_generator  # The packed weights are a copy.
        self._network = network
        self._samples_per_frame = config.samples_per_frame
        self._voice_shape = (1, config.speaker_encoder.fsq_num_quantizers, config.speaker_encoder.token_num)
        self._pool = _start_threads(num_threads)

    def decode(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> Iterator[DecodedItem]:
        """Yield each item's waveform as soon as it is there.

        Args:
            semantic_tokens: (num_frames,) int64 each, one frame or more.
            global_tokens: (items, num_global_tokens) int64.
        """
        # The longest first, so that no thread ends with it long after the others.
        order = sorted(range(len(semantic_tokens)), key=lambda item: -semantic_tokens[item].numel())
        waiting = {
            self._pool.submit(self._decode_one, semantic_tokens[item], global_tokens[item]): item for item in order
        }
        try:
            for done in as_completed(waiting):
                yield DecodedItem(waiting.pop(done), done.result())
        finally:
            for future in waiting:
                future.cancel()

    @torch.no_grad()
    def _decode_one(self, tokens_F: Tensor, global_tokens: Tensor) -> Tensor:
        with record_function("codec: prenet"):
            features_1CF, _ = self._network.make_features(
                tokens_F[None].to(torch.int64), global_tokens.view(self._voice_shape)
            )
        waveform_S = self._generate(features_1CF[0].t())
        return waveform_S[: tokens_F.numel() * self._samples_per_frame]


def _start_threads(number: int) -> ThreadPoolExecutor:
    """Return threads in which torch uses no further ones."""
    everyone = Barrier(number + 1)

    def use_one_thread() -> None:
        # A thread takes over the process's number at its first look, which must not come later.
        torch.get_num_threads()
        torch.set_num_threads(1)
        everyone.wait()

    ours = torch.get_num_threads()
    pool = ThreadPoolExecutor(number, "codec", initializer=use_one_thread)
    for _ in range(number):
        pool.submit(int)
    everyone.wait()
    # What a thread says holds for itself and for every thread that starts later.
    torch.set_num_threads(ours)
    return pool
