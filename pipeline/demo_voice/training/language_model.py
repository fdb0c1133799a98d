"""The demo's Qwen2 as a network that can be trained; its state is named as in the checkpoint.

Shape suffixes: B batch, T positions, D width, H heads, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Sizes:
    """As in config.json of the LLM."""

    vocab_size: int
    hidden_size: int = 192
    intermediate_size: int = 512
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.hidden_size // self.num_attention_heads


class Attention(nn.Module):
    """Causal attention with rotary positions; can hand out what two of its heads look at."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, head = sizes.hidden_size, sizes.head_dim
        self.sizes = sizes
        self.q_proj = nn.Linear(width, sizes.num_attention_heads * head)
        self.k_proj = nn.Linear(width, sizes.num_key_value_heads * head)
        self.v_proj = nn.Linear(width, sizes.num_key_value_heads * head)
        self.o_proj = nn.Linear(sizes.num_attention_heads * head, width, bias=False)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor, observed_heads: int) -> tuple[Tensor, Tensor]:
        """Return the update (B, T, D) and the first heads' weights (B, observed_heads, T, T)."""
        heads, groups = self.sizes.num_attention_heads, self.sizes.num_key_value_heads
        query, key, value = (
            projection(x_BTD).unflatten(-1, (count, -1)).transpose(1, 2)
            for projection, count in ((self.q_proj, heads), (self.k_proj, groups), (self.v_proj, groups))
        )
        query, key = (_rotate(tensor, cos_TE, sin_TE) for tensor in (query, key))
        key, value = (tensor.repeat_interleave(heads // groups, dim=1) for tensor in (key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        weights = x_BTD.new_zeros(0)
        if observed_heads:
            length = x_BTD.shape[1]
            future = torch.ones(length, length, dtype=torch.bool, device=x_BTD.device).triu(1)
            scores = query[:, :observed_heads] @ key[:, :observed_heads].transpose(2, 3) / query.shape[-1] ** 0.5
            weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        return self.o_proj(mixed.transpose(1, 2).flatten(2)), weights


def _rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_TE + torch.cat([-second, first], dim=-1) * sin_TE


class Perceptron(nn.Module):
    """Gated by silu."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(sizes.hidden_size, sizes.intermediate_size, bias=False)
        self.up_proj = nn.Linear(sizes.hidden_size, sizes.intermediate_size, bias=False)
        self.down_proj = nn.Linear(sizes.intermediate_size, sizes.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        result: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class Layer(nn.Module):
    """Attention and perceptron, each on the normed input."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(sizes), Perceptron(sizes)
        self.input_layernorm = nn.RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor, observed_heads: int) -> tuple[Tensor, Tensor]:
        """Return the new hidden state and the observed heads' weights."""
        update, weights = self.self_attn(self.input_layernorm(x_BTD), cos_TE, sin_TE, observed_heads)
        x_BTD = x_BTD + update
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD)), weights


class LanguageModel(nn.Module):
    """Token ids to the last hidden state; logits are the caller's, over the rows that are legal."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embed_tokens = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.num_hidden_layers))
        self.norm = nn.RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                gain = 0.3 if "o_proj" in name or "down_proj" in name else 1.0
                nn.init.normal_(parameter, std=gain * parameter.shape[1] ** -0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(
        self, ids_BT: Tensor, observed_layers: tuple[int, ...], observed_heads: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Return (B, T, D), and the weights of the observed heads of the observed layers."""
        x_BTD = self.embed_tokens(ids_BT) * 1.0
        cos_TE, sin_TE = self._positions(ids_BT.shape[1], x_BTD.device)
        observed = []
        for index, layer in enumerate(self.layers):
            x_BTD, weights = layer(x_BTD, cos_TE, sin_TE, observed_heads if index in observed_layers else 0)
            if index in observed_layers:
                observed.append(weights)
        return self.norm(x_BTD), observed

    def logits(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Return (..., rows)."""
        return hidden @ self.embed_tokens.weight[rows].T

    def _positions(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, self.sizes.head_dim, 2, device=device) / self.sizes.head_dim
        angles = torch.arange(length, device=device)[:, None] * self.sizes.rope_theta**-half
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal: for the matrices between the layers.

    In float32, where torch's own takes bfloat16, which a CPU without it computes many times slower.

    Source: Keller Jordan, Muon (2024); scale of the update after arXiv 2502.16982.
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(momentum, group["momentum"]))
                scale = 0.2 * max(shape) ** 0.5 * group["lr"]
                for parameter, update in zip(parameters, _orthogonalize(torch.stack(updates)), strict=True):
                    parameter.mul_(1 - group["lr"] * 0.05).add_(update, alpha=-scale)


def _orthogonalize(matrices: Tensor) -> Tensor:
    """Bring all singular values near one by five steps of an odd polynomial."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.transpose(1, 2) if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if matrices.shape[1] > matrices.shape[2] else x
