"""From an utterance to its audio: speakers, takes, the two network stages, quality, and `Synthesizer` in one process.

Imports no Ray. May import `llm`, `codec`, `text`, `audio`, `manifest`, `output`, `weights`, `storage`, `config` and
`errors`.
"""
