"""Sound as samples and as files: clips and their formats, levels, loudness, recordings of voices, chapters' formats.

Knows nothing of networks or runs. May import `config` and `errors`.
"""
