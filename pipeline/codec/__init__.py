"""BiCodec: waveforms to speech tokens and back."""

from pipeline.codec.bicodec import BiCodec, SpeechTokens

__all__ = ["BiCodec", "SpeechTokens"]
