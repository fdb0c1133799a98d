"""The official way, as a baseline: one utterance at a time, float32, full head, weight norm worked out at each call.

A transcription of what the official command line does, not of its code: the language model is the transformers
library's, the decoder is read from the checkpoint's tensors by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from pipeline.benchmark.workload import Task
from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.llm.checkpoint import Qwen2Config

_PAGE = 256
"""Tokens of one block of the library's cache; its default."""
SAMPLING = {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95}


class OfficialLLM:
    """The transformers library's Qwen2 with these tensors, which it shares.

    Args:
        config: its sizes.
        tensors: float32, by official name.
        stop_id: token that ends an answer.
    """

    def __init__(self, config: Qwen2Config, tensors: dict[str, Tensor], stop_id: int) -> None:
        from transformers import Qwen2Config as TheirConfig
        from transformers import Qwen2ForCausalLM

        theirs = TheirConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            max_position_embeddings=config.max_position_embeddings,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=None,
            eos_token_id=stop_id,
            pad_token_id=stop_id,
        )
        self.network: Any
        with torch.device("meta"):
            self.network = Qwen2ForCausalLM(theirs)
        self.network.load_state_dict(tensors, strict=False, assign=True)
        self.network.tie_weights()
        rotary = self.network.model.rotary_emb
        # Made on the meta device, where constants are lost.
        exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
        rotary.inv_freq = rotary.original_inv_freq = 1.0 / config.rope_theta**exponents
        self.network.train(False)
        self._stop_id = stop_id

    @torch.no_grad()
    def generate(self, tasks: list[Task]) -> list[int]:
        """Answer prompts side by side, padded on the left; return how many tokens each was given.

        The library runs all rows until the longest answer is complete.
        """
        width = max(len(task.prompt_ids) for task in tasks)
        ids = torch.full((len(tasks), width), self._stop_id, device=self.network.device)
        mask = torch.zeros_like(ids)
        for row, task in enumerate(tasks):
            ids[row, width - len(task.prompt_ids) :] = torch.tensor(task.prompt_ids, device=ids.device)
            mask[row, width - len(task.prompt_ids) :] = 1
        num_tokens = max(task.num_frames for task in tasks)
        answers = self.network.generate(
            ids, attention_mask=mask, max_new_tokens=num_tokens, min_new_tokens=num_tokens, **SAMPLING
        )
        assert answers.shape[1] == width + num_tokens
        return [task.num_frames for task in tasks]

    @torch.no_grad()
    def generate_continuously(self, tasks: list[Task], attention: str) -> list[int]:
        """Answer prompts with the library's continuous batching; return how many tokens each got.

        `generate_batch` wraps the same manager, but knows one length for all rows.

        Args:
            tasks: each answered at its own length.
            attention: the library's name of an implementation.
        """
        from transformers import ContinuousBatchingConfig, GenerationConfig
        from transformers.generation.continuous_batching.utils import WorkloadHints

        lengths = [task.num_frames for task in tasks]
        limits: dict[str, Any] = {"max_new_tokens": max(lengths), "eos_token_id": -1, "pad_token_id": self._stop_id}
        # As large as these tasks need: its own choice, memory full of caches and masks, costs more than the answers.
        sizes = ContinuousBatchingConfig(
            page_size=_PAGE,
            num_blocks=sum(-(-(len(task.prompt_ids) + task.num_frames) // _PAGE) for task in tasks),
            max_batch_tokens=min(8_192, sum(len(task.prompt_ids) for task in tasks)),
        )
        before = self.network.config._attn_implementation
        self.network.set_attn_implementation(attention)
        found: dict[str, int] = {}
        try:
            with self.network.continuous_batching_context_manager(
                generation_config=GenerationConfig(**limits, **SAMPLING),
                continuous_batching_config=sizes,
                workload_hints=WorkloadHints(max(len(task.prompt_ids) for task in tasks), max(lengths), len(tasks)),
                timeout=5,
                warmup=False,
            ) as manager:
                names = [manager.add_request(list(task.prompt_ids), max_new_tokens=task.num_frames) for task in tasks]
                while len(found) < len(tasks):
                    answer = manager.get_result(timeout=1)
                    if answer is not None and answer.is_finished():
                        found[answer.request_id] = len(answer.generated_tokens)
                    elif not manager.is_running():
                        raise RuntimeError("the library's continuous batching ended before its requests")
        finally:
            self.network.set_attn_implementation(before)
        return [found[name] for name in names]


class OfficialDecoder:
    """BiCodec's decoding of one item.

    Args:
        model_dir: its weights.
        config: its sizes.
        device: where to compute.
    """

    def __init__(self, model_dir: Path, config: BiCodecConfig, device: str = "cpu") -> None:
        self._config = config
        names = ("quantizer.", "speaker_encoder.", "prenet.", "decoder.")
        tensors = load_file(model_dir / "BiCodec" / "model.safetensors", device=device)
        self._tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(names)}

    @torch.no_grad()
    def decode(self, semantic_tokens: Tensor, global_tokens: Tensor) -> Tensor:
        """Return (samples,) for (frames,) and (global tokens,) int64, with one residual quantizer and no resampling."""
        tensors = self._tensors
        x = tensors["quantizer.codebook.weight"][semantic_tokens].T[None]
        x = self._conv("quantizer.out_project", x)
        speaker = self._find_speaker(global_tokens)
        x = self._linear("prenet.linear_pre", x.transpose(1, 2))
        for index in range(len(self._config.prenet.sample_ratios)):
            # At ratio 1 a sampling stage returns three times its input.
            x = self._run_backbone(f"prenet.downsample.{index}.1", 3 * x.transpose(1, 2), None)
        x = self._run_backbone("prenet.vocos_backbone", x.transpose(1, 2), speaker)
        x = self._linear("prenet.linear", x).transpose(1, 2) + speaker[..., None]
        return self._generate_wave(x)

    def _find_speaker(self, global_tokens: Tensor) -> Tensor:
        levels = torch.tensor(self._config.speaker_encoder.fsq_levels, device=global_tokens.device)
        basis = torch.cumprod(torch.cat([torch.ones_like(levels[:1]), levels[:-1]]), dim=0)
        digits = global_tokens[:, None] // basis % levels
        codes = self._linear("speaker_encoder.quantizer.project_out", (digits - levels // 2) / (levels // 2))
        return self._linear("speaker_encoder.project", codes.T.reshape(1, -1))

    def _generate_wave(self, x: Tensor) -> Tensor:
        sizes = self._config.decoder
        x = self._conv("decoder.model.0", x, padding=3)
        for index, (rate, kernel) in enumerate(zip(sizes.rates, sizes.kernel_sizes, strict=True), start=1):
            block = f"decoder.model.{index}.block"
            weight, bias = self._multiply_out(f"{block}.1"), self._tensors[f"{block}.1.bias"]
            x = self._snake(f"{block}.0", x)
            x = functional.conv_transpose1d(x, weight, bias, stride=rate, padding=(kernel - rate) // 2)
            for unit, dilation in ((2, 1), (3, 3), (4, 9)):
                inner = f"{block}.{unit}.block"
                y = self._conv(f"{inner}.1", self._snake(f"{inner}.0", x), padding=3 * dilation, dilation=dilation)
                x = x + self._conv(f"{inner}.3", self._snake(f"{inner}.2", y))
        last = len(sizes.rates) + 1
        return torch.tanh(
            self._conv(f"decoder.model.{last + 1}", self._snake(f"decoder.model.{last}", x), padding=3)
        ).flatten()

    def _run_backbone(self, name: str, x: Tensor, condition: Tensor | None) -> Tensor:
        tensors = self._tensors
        x = functional.conv1d(x, tensors[f"{name}.embed.weight"], tensors[f"{name}.embed.bias"], padding=3)
        x = self._norm(f"{name}.norm", x.transpose(1, 2), condition).transpose(1, 2)
        index = 0
        while f"{name}.convnext.{index}.gamma" in tensors:
            block = f"{name}.convnext.{index}"
            weight, bias = tensors[f"{block}.dwconv.weight"], tensors[f"{block}.dwconv.bias"]
            y = functional.conv1d(x, weight, bias, padding=3, groups=x.shape[1]).transpose(1, 2)
            y = functional.gelu(self._linear(f"{block}.pwconv1", self._norm(f"{block}.norm", y, condition)))
            x = x + (tensors[f"{block}.gamma"] * self._linear(f"{block}.pwconv2", y)).transpose(1, 2)
            index += 1
        return self._norm(f"{name}.final_layer_norm", x.transpose(1, 2), None)

    def _norm(self, name: str, x: Tensor, condition: Tensor | None) -> Tensor:
        normalized = functional.layer_norm(x, x.shape[-1:], eps=1e-6)
        if condition is None:
            return normalized * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return normalized * self._linear(f"{name}.scale", condition) + self._linear(f"{name}.shift", condition)

    def _snake(self, name: str, x: Tensor) -> Tensor:
        alpha = self._tensors[f"{name}.alpha"]
        return x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _conv(self, name: str, x: Tensor, padding: int = 0, dilation: int = 1) -> Tensor:
        bias = self._tensors[f"{name}.bias"]
        return functional.conv1d(x, self._multiply_out(name), bias, padding=padding, dilation=dilation)

    def _multiply_out(self, name: str) -> Tensor:
        return torch._weight_norm(self._tensors[f"{name}.weight_v"], self._tensors[f"{name}.weight_g"], 0)
