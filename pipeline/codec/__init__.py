"""BiCodec: waveforms to speech tokens and back."""
