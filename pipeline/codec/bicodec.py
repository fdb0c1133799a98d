"""BiCodec's interface: load a model directory, turn speech tokens into waveforms and waveforms into speech tokens.

Shape suffixes: B batch, F frames, G global tokens of a voice, Q residual quantizers, N global tokens of one quantizer,
S samples, C channels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.references import prepare_reference, reference_clip
from pipeline.codec.checkpoint import (
    BiCodecConfig,
    Checkpoint,
    ReferenceConfig,
    read_config,
    read_reference_config,
)
from pipeline.codec.fused_generator import FusedWaveGenerator
from pipeline.codec.networks import (
    UPSTREAM_NAMES,
    DecodeNetwork,
    SemanticNetwork,
    SpeakerNetwork,
    checkpoint_shapes,
)
from pipeline.codec.pack_decoder import DecodedItem, PackDecoder
from pipeline.codec.pack_queue import PackQueue
from pipeline.codec.vocos import pack_products
from pipeline.errors import ConfigError, SpeakerError, WeightsError
from pipeline.hardware.gpu import use_own_stream

if TYPE_CHECKING:
    from pipeline.codec.features import SpeechFeatures
    from pipeline.codec.item_decoder import ItemDecoder

Network = TypeVar("Network", bound=nn.Module)

PACK_FRAMES = 2_048
"""What a GPU decodes at once if nothing else is said: 41 s of audio."""
_FEATURES_FOLDER = "wav2vec2-large-xlsr-53"


@dataclass(frozen=True, eq=False)
class SpeechTokens:
    """The speech tokens of a recording.

    Attributes:
        semantic_tokens: (num_frames,) int64: what is said, and how.
        global_tokens: (num_global,) int64: whose voice it is.
    """

    semantic_tokens: Tensor
    global_tokens: Tensor


class BiCodec:
    """Speech tokens to waveforms and back.

    Decoding holds 96 million parameters (official size). What decoding or encoding needs is read at its first use.

    Attributes:
        config: sizes and rates of the networks.
        device: where the networks are.
        dtype: of those products of decoding that bear to be rounded; the others, and encoding, are always float32.
    """

    def __init__(
        self,
        config: BiCodecConfig,
        checkpoint: Checkpoint,
        reference: ReferenceConfig,
        features_dir: Path,
        device: torch.device,
        dtype: torch.dtype,
        pack_frames: int = PACK_FRAMES,
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        self._checkpoint = checkpoint
        self._reference = reference
        self._features_dir = features_dir
        self._pack_frames = pack_frames

    @classmethod
    def load(
        cls,
        weights_dir: str | os.PathLike[str],
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        pack_frames: int = PACK_FRAMES,
    ) -> BiCodec:
        """Read a model directory, or the BiCodec folder in it.

        Args:
            weights_dir: decoding needs only its BiCodec/; encoding semantic tokens also its wav2vec2 folder.
            device: for all networks.
            dtype: float32 or bfloat16.
            pack_frames: frames that are decoded at once; a CPU, which decodes items one at a time, does not look at it.

        Raises:
            WeightsError: a file is missing or cut off, or weights and configuration do not fit.
            ConfigError: another dtype.
        """
        if dtype not in (torch.float32, torch.bfloat16):
            raise ConfigError(f"codec.dtype: {dtype}: float16 gives garbage with this model; use bfloat16 or float32")
        directory = Path(weights_dir)
        folder = directory / "BiCodec"
        if not folder.is_dir() and (directory / "model.safetensors").is_file():
            folder, directory = directory, directory.parent
        if not folder.is_dir():
            raise WeightsError(
                f"{weights_dir}: no BiCodec folder; expected a Spark-TTS model directory with BiCodec/config.yaml and "
                "BiCodec/model.safetensors"
            )
        config = read_config(folder / "config.yaml")
        checkpoint = Checkpoint(folder / "model.safetensors", *checkpoint_shapes(config))
        reference = read_reference_config(directory / "config.yaml")
        return cls(
            config, checkpoint, reference, directory / _FEATURES_FOLDER, torch.device(device), dtype, pack_frames
        )

    @property
    def sample_rate(self) -> int:
        """Hz of decoded audio."""
        return self.config.mel_params.sample_rate

    @property
    def samples_per_frame(self) -> int:
        """Samples of decoded audio for one semantic token."""
        return self.config.samples_per_frame

    @property
    def num_global_tokens(self) -> int:
        """Global tokens of a voice."""
        return self.config.num_global_tokens

    @property
    def semantic_codebook_size(self) -> int:
        """Semantic tokens are below it."""
        return self.config.quantizer.codebook_size

    @property
    def global_codebook_size(self) -> int:
        """Global tokens are below it."""
        return self.config.global_codebook_size

    @property
    def global_levels(self) -> Sequence[int]:
        """Levels of the finite scalars that one global token is made of; the first one varies fastest."""
        return self.config.speaker_encoder.fsq_levels

    def prepare_decoding(self) -> None:
        """Load what decoding needs, so that the first `decode` does not wait for it.

        Raises:
            WeightsError: the decoder's weights are broken.
        """
        _ = self._decoder

    def decode(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> list[Tensor]:
        """Turn speech tokens into waveforms; each to the same bits as decoded by itself.

        Args:
            semantic_tokens: (num_frames,) int64 each, in [0, semantic_codebook_size), one frame or more.
            global_tokens: (batch, num_global_tokens) int64 in [0, global_codebook_size), a voice for each item; with
                residual quantizers, all of the first one's tokens come first.

        Returns:
            (num_frames * samples_per_frame,) float32 in [-1, 1] on the CPU, for each item.

        Raises:
            ValueError: a token lies outside its codebook, an item is empty, or numbers do not agree.
            WeightsError: the decoder's weights are broken.

        Source: Spark-TTS, arXiv 2503.01710; compared with the official code by tests/codec/test_decode_parity.py.
        """
        waveforms = {item.item: item.waveform for item in self.decode_each(semantic_tokens, global_tokens)}
        return [waveforms[index] for index in range(len(semantic_tokens))]

    @torch.no_grad()
    def decode_each(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> Iterator[DecodedItem]:
        """Yield each item of `decode` as soon as it is there, in any order.

        A CPU decodes each item at its own length, as many side by side as torch had threads when its decoder was
        loaded. A GPU decodes packs of items, and the next pack while the last one's items are taken: give it all there
        are. After `prepare_decoding` any number of threads may call; on a GPU their items share packs.

        Args:
            semantic_tokens: as for `decode`.
            global_tokens: as for `decode`.

        Raises:
            ValueError: as for `decode`; before the first item.
        """
        self._check_tokens(semantic_tokens, global_tokens)
        yield from self._decoder.decode(semantic_tokens, global_tokens.flatten(1))

    @torch.no_grad()
    def encode(self, audio: NDArray[Any] | Tensor, sample_rate: int) -> SpeechTokens:
        """Turn a recording into speech tokens.

        Args:
            audio: (num_samples,) floats in [-1, 1], or integers at their full range; of several channels, (samples,
                channels) or (channels, samples), the first is taken.
            sample_rate: Hz.

        Raises:
            SpeakerError: it is empty, silent, shorter than 25 ms, longer than ten minutes, or not finite.
            WeightsError: the encoder's weights are missing or broken.
        """
        samples = self._prepare(audio, sample_rate)
        features_1CF = self._speech_features.extract(samples)
        return SpeechTokens(self._semantic_network(features_1CF)[0].cpu(), self._encode_clip(samples))

    @torch.no_grad()
    def encode_speaker(self, audio: NDArray[Any] | Tensor, sample_rate: int) -> Tensor:
        """Return only the global tokens, (num_global_tokens,) int64; needs no wav2vec2.

        Args:
            audio: as for `encode`.
            sample_rate: Hz.

        Raises:
            SpeakerError, WeightsError: as for `encode`.
        """
        return self._encode_clip(self._prepare(audio, sample_rate))

    def _prepare(self, audio: NDArray[Any] | Tensor, sample_rate: int) -> NDArray[np.float64]:
        samples = audio.detach().cpu().numpy() if isinstance(audio, Tensor) else np.asarray(audio)
        if np.issubdtype(samples.dtype, np.signedinteger):
            samples = samples / -float(np.iinfo(samples.dtype).min)
        elif not np.issubdtype(samples.dtype, np.floating):
            raise SpeakerError(f"audio: expected floats or signed integers, got {samples.dtype}; decode it to float32")
        if samples.ndim == 2 and samples.size > 0:
            samples = samples[:, 0] if samples.shape[0] >= samples.shape[1] else samples[0]
        return prepare_reference(
            samples, sample_rate, "audio", self.sample_rate, normalize=self._reference.volume_normalize
        )

    def _encode_clip(self, samples: NDArray[np.float64]) -> Tensor:
        clip = reference_clip(samples, self._reference.clip_samples).astype(np.float32)
        tokens_1QN: Tensor = self._speaker_network(torch.from_numpy(clip)[None].to(self.device))
        return tokens_1QN.flatten().cpu()

    @cached_property
    def _decoder(self) -> ItemDecoder | PackQueue:
        network = self._load_network(DecodeNetwork)
        if self.device.type == "cpu":
            # Here, as its kernels bring in Numba, which nothing else needs.
            from pipeline.codec.item_decoder import ItemDecoder

            return ItemDecoder(network, self.config, self.dtype, torch.get_num_threads())
        # Here, as Triton comes with torch for CUDA.
        from pipeline.codec.kernels import convolve

        pack_products(network.prenet, self.dtype)
        precision = "tf32" if torch.backends.cudnn.allow_tf32 else "tf32x3"
        generate = FusedWaveGenerator(network.wave_generator, self.dtype, precision, convolve)
        del network.wave_generator  # The weights as they are laid out are a copy.

        def make_decoder() -> PackDecoder:
            use_own_stream(self.device)
            return PackDecoder(network, generate, self.config, self.device, self._pack_frames)

        return PackQueue(make_decoder)

    @cached_property
    def _semantic_network(self) -> SemanticNetwork:
        return self._load_network(SemanticNetwork)

    @cached_property
    def _speaker_network(self) -> SpeakerNetwork:
        return self._load_network(SpeakerNetwork)

    @cached_property
    def _speech_features(self) -> SpeechFeatures:
        # Here, as it brings in transformers: seconds and megabytes that a replica that decodes can do without.
        from pipeline.codec.features import SpeechFeatures

        features = SpeechFeatures.load(self._features_dir, self.device)
        found, expected = features.network.config.hidden_size, self.config.encoder.input_channels
        if found != expected:
            raise WeightsError(
                f"{self._features_dir}/config.json: hidden_size is {found}, but BiCodec's encoder.input_channels is "
                f"{expected}; use the wav2vec2 folder that belongs to this model"
            )
        return features

    def _load_network(self, network_class: Callable[[BiCodecConfig], Network]) -> Network:
        with torch.device("meta"):
            network = network_class(self.config)
        self._checkpoint.load(network, UPSTREAM_NAMES)
        return network.to(self.device)

    def _check_tokens(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> None:
        speaker = self.config.speaker_encoder
        rows = len(semantic_tokens)
        shapes = ((rows, self.num_global_tokens), (rows, speaker.fsq_num_quantizers, speaker.token_num))
        if tuple(global_tokens.shape) not in shapes:
            raise ValueError(
                f"global_tokens: expected shape {list(shapes[0])} for {rows} item(s), got {list(global_tokens.shape)}; "
                "give one row of global tokens for each item"
            )
        _check_range("global_tokens", global_tokens, self.global_codebook_size)
        for index, tokens in enumerate(semantic_tokens):
            name = f"semantic_tokens[{index}]"
            if tokens.ndim != 1 or tokens.numel() == 0:
                raise ValueError(f"{name}: expected (num_frames,) with a frame or more, got shape {list(tokens.shape)}")
            _check_range(name, tokens, self.semantic_codebook_size)


def _check_range(name: str, tokens: Tensor, codebook_size: int) -> None:
    if tokens.is_floating_point() or tokens.dtype == torch.bool or tokens.is_complex():
        raise ValueError(f"{name}: expected int64 tokens, got {tokens.dtype}")
    if tokens.numel() == 0:
        return
    lowest, highest = (int(bound) for bound in torch.aminmax(tokens))
    if lowest < 0 or highest >= codebook_size:
        raise ValueError(
            f"{name}: token {lowest if lowest < 0 else highest} lies outside its codebook; "
            f"expected 0 to {codebook_size - 1}"
        )
