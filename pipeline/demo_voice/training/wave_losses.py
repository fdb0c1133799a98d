"""What a generated waveform is judged by: spectra at several resolutions, and discriminators that learn to spot it.

Shape suffixes: B batch, S samples, C channels, F frequency bins, T frames, P period.

Source: multi-resolution STFT loss, arXiv 1910.11480; HiFi-GAN, arXiv 2010.05646; UnivNet, arXiv 2106.07889.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codec.speaker_encoder import MelSpectrogram

_RESOLUTIONS = ((1024, 256), (512, 128), (256, 64), (128, 32))
_SMALLEST = 1e-4


class SpectralLoss(nn.Module):
    """Distances of log magnitudes, of log mels, and of complex spectra: pulses locked to frames have a phase."""

    def __init__(self) -> None:
        super().__init__()
        for size, _ in _RESOLUTIONS:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
        self.mel = MelSpectrogram(16_000, 1024, 1024, 256, 0.0, None, 80)

    def forward(self, generated_BS: Tensor, target_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses of the linear spectra, of the mel spectra and of the complex spectra."""
        total = generated_BS.new_zeros(())
        phased = generated_BS.new_zeros(())
        both_2BS = torch.cat([generated_BS, target_BS])
        for size, hop in _RESOLUTIONS:
            spectra = torch.stft(both_2BS, size, hop, size, self.get_buffer(f"window_{size}"), return_complex=True)
            parts = torch.view_as_real(spectra)
            generated, target = (parts.square().sum(-1) + 1e-9).sqrt().chunk(2)
            first, second = parts.chunk(2)
            phased = phased + (first - second).abs().mean() / second.abs().mean().clamp_min(1e-3)
            distance = (generated.clamp_min(_SMALLEST).log() - target.clamp_min(_SMALLEST).log()).abs().mean()
            convergence = (generated - target).square().sum().sqrt() / target.square().sum().sqrt().clamp_min(1e-3)
            total = total + distance + 0.5 * convergence
        generated, target = self.mel(both_2BS).clamp_min(1e-5).log().chunk(2)
        count = len(_RESOLUTIONS)
        return total / count, (generated - target).abs().mean(), phased / count


class PeriodDiscriminator(nn.Module):
    """Looks at every P-th sample."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, 12, 24, 48, 64)
        self.layers = nn.ModuleList(
            nn.Conv2d(first, second, (5, 1), (3, 1), (2, 0)) for first, second in itertools.pairwise(widths)
        )
        self.output = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, waveform_BS: Tensor) -> list[Tensor]:
        """Return the features of every layer, the verdict last."""
        whole = waveform_BS.shape[1] // self.period * self.period
        x = waveform_BS[:, None, :whole].unflatten(2, (-1, self.period))
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.output(x)]


class SpectrumDiscriminator(nn.Module):
    """Looks at magnitudes of one resolution."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        widths, width = (1, 16, 16, 16), 16
        self.layers = nn.ModuleList(
            nn.Conv2d(first, second, (7, 3), (2, 1), (3, 1)) for first, second in itertools.pairwise(widths)
        )
        self.output = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, waveform_BS: Tensor) -> list[Tensor]:
        """Return the features of every layer, the verdict last."""
        window = self.get_buffer("window")
        spectrum = torch.stft(waveform_BS, self.size, self.size // 4, self.size, window, return_complex=True)
        x = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()[:, None] ** 0.5
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.output(x)]


class Discriminators(nn.Module):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            [*(PeriodDiscriminator(period) for period in (2, 3, 5, 7, 11)), SpectrumDiscriminator(1024),
             SpectrumDiscriminator(256)]
        )  # fmt: skip

    def forward(self, waveform_BS: Tensor) -> list[list[Tensor]]:
        """Return each member's features."""
        return [member(waveform_BS) for member in self.members]


def judge_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Least squares: real should give one, generated zero."""
    losses = [(1 - r[-1]).square().mean() + f[-1].square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).sum()


def deceive_losses(real: list[list[Tensor]], fake: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the loss of not passing for real, and the distance of the features."""
    passing = torch.stack([(1 - f[-1]).square().mean() for f in fake]).sum()
    matching = torch.stack(
        [
            (g - t.detach()).abs().mean() / t.detach().abs().mean().clamp_min(1e-3)
            for r, f in zip(real, fake, strict=True)
            for t, g in zip(r[:-1], f[:-1], strict=True)
        ]
    ).mean()
    return passing, matching
