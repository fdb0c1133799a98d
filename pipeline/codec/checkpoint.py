"""A BiCodec folder on disk: its configuration, checked, and its tensors, each read only when a network wants it.

Knows names and shapes, nothing of what the networks compute. All names are compared with what the configuration
promises before any tensor is read, so that a file of other sizes, or half a file, never loads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.codec.decoder import FeatureDecoder, FoldedConv1d, FoldedConvTranspose1d
from pipeline.codec.speaker_encoder import NUM_ECAPA_LAYERS, TRUNK_CHANNELS
from pipeline.config.yaml_reader import read_yaml as parse_yaml
from pipeline.errors import ConfigError, WeightsError

# Bounds far above any model's: a damaged number must end as a sentence, not as a million layers being built.
Size = Annotated[int, Field(ge=1, le=1 << 20)]
Window = Annotated[int, Field(ge=1, le=1 << 16)]
Count = Annotated[int, Field(ge=1, le=256)]
Levels = Annotated[int, Field(ge=2, le=1 << 16)]
Shape = tuple[int, ...]

REMEDY = "download the model again, or point to a complete Spark-TTS model directory"
_X_VECTOR_ATTENTION = 128


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class MelConfig(_Part):
    """The spectrogram that a voice is read from."""

    sample_rate: Size
    n_fft: Window
    win_length: Window
    hop_length: Window
    mel_fmin: float = Field(ge=0)
    mel_fmax: float | None = None
    num_mels: Annotated[int, Field(ge=1, le=4_096)]


class EncoderConfig(_Part):
    """Features to semantic latents."""

    input_channels: Size
    vocos_dim: Size
    vocos_intermediate_dim: Size
    vocos_num_layers: Count
    out_channels: Size
    sample_ratios: tuple[Count, ...] = Field((1, 1), max_length=16)


class FeatureDecoderConfig(EncoderConfig):
    """Prenet and postnet."""

    condition_dim: Size | None = None
    use_tanh_at_final: bool = False


class WaveGeneratorConfig(_Part):
    """Features to samples."""

    input_channel: Size
    channels: Size
    rates: tuple[Count, ...] = Field(min_length=1, max_length=16)
    kernel_sizes: tuple[Window, ...]
    d_out: Literal[1] = 1


class QuantizerConfig(BaseModel):
    """The semantic codebook; what only training needs is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_dim: Size
    codebook_size: Size
    codebook_dim: Size


class SpeakerConfig(_Part):
    """Voices to global tokens."""

    input_dim: Size
    out_dim: Size
    latent_dim: Size
    token_num: Size
    fsq_levels: tuple[Levels, ...] = Field(min_length=1, max_length=64)
    fsq_num_quantizers: Count = 1
    trunk_channels: Annotated[int, Field(ge=8, le=1 << 20, multiple_of=8)] = TRUNK_CHANNELS


class BiCodecConfig(_Part):
    """`audio_tokenizer` of BiCodec/config.yaml."""

    mel_params: MelConfig
    encoder: EncoderConfig
    decoder: WaveGeneratorConfig
    quantizer: QuantizerConfig
    speaker_encoder: SpeakerConfig
    prenet: FeatureDecoderConfig
    postnet: FeatureDecoderConfig

    @model_validator(mode="after")
    def _refuse_parts_that_do_not_fit(self) -> BiCodecConfig:
        for upstream, width, downstream, expected in (
            ("encoder.out_channels", self.encoder.out_channels, "quantizer.input_dim", self.quantizer.input_dim),
            ("quantizer.input_dim", self.quantizer.input_dim, "prenet.input_channels", self.prenet.input_channels),
            ("prenet.out_channels", self.prenet.out_channels, "decoder.input_channel", self.decoder.input_channel),
            (
                "speaker_encoder.out_dim",
                self.speaker_encoder.out_dim,
                "decoder.input_channel",
                self.decoder.input_channel,
            ),
            (
                "mel_params.num_mels",
                self.mel_params.num_mels,
                "speaker_encoder.input_dim",
                self.speaker_encoder.input_dim,
            ),
            (
                "speaker_encoder.out_dim",
                self.speaker_encoder.out_dim,
                "prenet.condition_dim",
                self.prenet.condition_dim or self.speaker_encoder.out_dim,
            ),
        ):
            if width != expected:
                raise ValueError(f"{upstream} is {width}, but {downstream} is {expected}; they must agree")
        decoder = self.decoder
        if len(decoder.rates) != len(decoder.kernel_sizes):
            raise ValueError("decoder.rates and decoder.kernel_sizes must have the same number of entries")
        if any(kernel < rate for kernel, rate in zip(decoder.kernel_sizes, decoder.rates, strict=True)):
            raise ValueError("decoder.kernel_sizes must not be below decoder.rates")
        if decoder.channels < 2 ** len(decoder.rates):
            raise ValueError(f"decoder.channels ({decoder.channels}) cannot be halved {len(decoder.rates)} times")
        return self

    @property
    def samples_per_frame(self) -> int:
        """Samples of audio for one semantic token."""
        return math.prod(self.decoder.rates) * math.prod(self.prenet.sample_ratios)

    @property
    def num_global_tokens(self) -> int:
        """Global tokens of a voice, over all residual quantizers."""
        return self.speaker_encoder.token_num * self.speaker_encoder.fsq_num_quantizers

    @property
    def global_codebook_size(self) -> int:
        """Global tokens are below it."""
        return math.prod(self.speaker_encoder.fsq_levels)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping.

    Raises:
        WeightsError: the file is missing, not YAML, or not a mapping.
    """
    try:
        content = parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot read this file of the model: {error.strerror}; {REMEDY}") from error
    except ConfigError as error:
        raise WeightsError(f"{error}; {REMEDY}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a mapping at the top level, found {type(content).__name__}; {REMEDY}")
    return content


def read_config(path: Path) -> BiCodecConfig:
    """Read BiCodec/config.yaml.

    Raises:
        WeightsError: the file cannot be read, or describes no BiCodec; the message lists every problem.
    """
    content = read_yaml(path)
    try:
        return BiCodecConfig.model_validate(content.get("audio_tokenizer"))
    except ValidationError as error:
        problems = _list_problems(error, ("audio_tokenizer",))
        raise WeightsError(f"{path}: not a usable BiCodec configuration: {problems}; {REMEDY}") from None


class ReferenceConfig(BaseModel):
    """How a voice's recording is cut and leveled: the model's own config.yaml, or what the official one says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sample_rate: Size = 16_000
    ref_segment_duration: Annotated[float, Field(gt=0, le=600)] = 6.0
    latent_hop_length: Size = 320
    volume_normalize: bool = True

    @property
    def clip_samples(self) -> int:
        """Samples that the speaker encoder takes, whole frames."""
        hop = self.latent_hop_length
        return int(self.sample_rate * self.ref_segment_duration) // hop * hop


def read_reference_config(path: Path) -> ReferenceConfig:
    """Read the model's config.yaml; a folder without one is taken for the official model.

    Raises:
        WeightsError: the file is there, but cannot be used.
    """
    if not path.is_file():
        return ReferenceConfig()
    try:
        return ReferenceConfig.model_validate(read_yaml(path))
    except ValidationError as error:
        raise WeightsError(f"{path}: {_list_problems(error)}; {REMEDY}") from None


def _list_problems(error: ValidationError, root: tuple[str, ...] = ()) -> str:
    return "; ".join(
        f"{'.'.join((*root, *map(str, problem['loc'])))}: {problem['msg']}, found {str(problem['input'])[:80]}"
        for problem in error.errors()
    )


def name_weights(network: nn.Module, upstream_names: Mapping[str, str]) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield each tensor of a network as (its name here, its name in the checkpoint, the module that owns it).

    Args:
        network: any part of BiCodec.
        upstream_names: dotted prefix here -> dotted prefix in the checkpoint; the longest one that fits is taken.
    """
    for name in network.state_dict():
        prefix = max((prefix for prefix in upstream_names if name.startswith(prefix)), key=len)
        owner = network.get_submodule(name.rpartition(".")[0])
        yield name, upstream_names[prefix] + name[len(prefix) :], owner


def expected_shapes(network: nn.Module, upstream_names: Mapping[str, str]) -> dict[str, Shape]:
    """Return the checkpoint's names and shapes for a network, weight norm's two factors in place of their product."""
    state = network.state_dict()
    shapes: dict[str, Shape] = {}
    for name, upstream, owner in name_weights(network, upstream_names):
        shape = tuple(state[name].shape)
        if _is_folded(owner, upstream):
            shapes[f"{upstream}_g"] = (shape[0], 1, 1)
            shapes[f"{upstream}_v"] = shape
        else:
            shapes[upstream] = shape
    return shapes


def unused_shapes(config: BiCodecConfig) -> dict[str, Shape]:
    """Return names and shapes of what a complete file holds, but inference never reads."""
    postnet = config.postnet
    with torch.device("meta"):
        network = FeatureDecoder(**postnet.model_dump())
    context, trunk = NUM_ECAPA_LAYERS * config.speaker_encoder.trunk_channels, "speaker_encoder.speaker_encoder"
    pooled = 2 * context
    return {
        **expected_shapes(network, {"": "postnet."}),
        "quantizer.cluster_size": (config.quantizer.codebook_size,),
        f"{trunk}.pool.linear1.weight": (_X_VECTOR_ATTENTION, 3 * context, 1),
        f"{trunk}.pool.linear1.bias": (_X_VECTOR_ATTENTION,),
        f"{trunk}.pool.linear2.weight": (context, _X_VECTOR_ATTENTION, 1),
        f"{trunk}.pool.linear2.bias": (context,),
        **{f"{trunk}.bn.{name}": (pooled,) for name in ("weight", "bias", "running_mean", "running_var")},
        f"{trunk}.bn.num_batches_tracked": (),
        f"{trunk}.linear.weight": (config.speaker_encoder.out_dim, pooled),
        f"{trunk}.linear.bias": (config.speaker_encoder.out_dim,),
    }


def derived_shapes(config: BiCodecConfig) -> dict[str, Shape]:
    """Return names and shapes of buffers that follow from the configuration; the published file leaves them out."""
    mel = config.mel_params
    return {
        "mel_transformer.spectrogram.window": (mel.win_length,),
        "mel_transformer.mel_scale.fb": (mel.n_fft // 2 + 1, mel.num_mels),
    }


def _is_folded(owner: nn.Module, name: str) -> bool:
    return isinstance(owner, FoldedConv1d | FoldedConvTranspose1d) and name.endswith(".weight")


class Checkpoint:
    """BiCodec/model.safetensors, its header checked, its tensors still on disk.

    Args:
        path: the file.
        required: names and shapes that must be there.
        optional: names and shapes that may be there.

    Raises:
        WeightsError: a name is missing or unknown, a shape differs, or the file is no safetensors file.
    """

    def __init__(self, path: Path, required: Mapping[str, Shape], optional: Mapping[str, Shape]) -> None:
        self.path = path
        if not path.is_file():
            raise WeightsError(f"{path}: this file of the model is missing; {REMEDY}")
        try:
            with safe_open(path, framework="pt") as file:
                found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: not a complete safetensors file: {error}; {REMEDY}") from error
        known = {**optional, **required}
        problems = [
            f"{name}: missing, expected shape {list(required[name])}" for name in sorted(required.keys() - found.keys())
        ]
        problems += [f"{name}: unexpected tensor of shape {list(found[name])}" for name in sorted(found - known.keys())]
        problems += [
            f"{name}: expected shape {list(known[name])}, found {list(found[name])}"
            for name in sorted(known.keys() & found.keys())
            if known[name] != found[name]
        ]
        if problems:
            shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
            raise WeightsError(f"{path}: {len(problems)} tensor(s) do not fit config.yaml beside it: {shown}; {REMEDY}")

    def load(self, network: nn.Module, upstream_names: Mapping[str, str]) -> None:
        """Give a network built on the meta device its weights, in float32 on the CPU, weight norm folded.

        Raises:
            WeightsError: a tensor cannot be read, is not of floating point, or holds NaN or infinity.
        """
        state: dict[str, Tensor] = {}
        try:
            with safe_open(self.path, framework="pt") as file:
                for name, upstream, owner in name_weights(network, upstream_names):
                    if name.endswith("num_batches_tracked"):
                        state[name] = torch.zeros((), dtype=torch.int64)
                    elif _is_folded(owner, upstream):
                        magnitude = self._check(f"{upstream}_g", file.get_tensor(f"{upstream}_g"))
                        direction = self._check(f"{upstream}_v", file.get_tensor(f"{upstream}_v"))
                        folded = direction * (magnitude / direction.norm(dim=(1, 2), keepdim=True))
                        state[name] = self._check(f"{upstream}_v", folded)
                    else:
                        state[name] = self._check(upstream, file.get_tensor(upstream))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{self.path}: cannot be read: {error}; {REMEDY}") from error
        network.load_state_dict(state, strict=True, assign=True)
        network.eval().requires_grad_(False)

    def _check(self, name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            raise WeightsError(f"{self.path}: {name}: expected floating-point numbers, found {tensor.dtype}; {REMEDY}")
        tensor = tensor.to(torch.float32)
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{self.path}: {name}: holds NaN or infinity, expected finite numbers; {REMEDY}")
        return tensor
