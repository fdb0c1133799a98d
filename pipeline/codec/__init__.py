"""BiCodec: waveforms to speech tokens and back."""

from pipeline.codec.bicodec import BiCodec, SpeechTokens
from pipeline.codec.pack_decoder import DecodedItem

__all__ = ["BiCodec", "DecodedItem", "SpeechTokens"]
