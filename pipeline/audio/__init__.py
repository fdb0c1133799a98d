"""Sound as samples: reading recordings, levels, resampling, loudness, and the formats of audio files.

Knows nothing of networks or runs. May import `config` and `errors`.
"""
