"""Books in, chapters out: a catalogue becomes a manifest with voices, and a run's clips become chapters.

In: `catalogue` reads books (`epub`, `markup`, `markdown`, `plain_text`, `fiction_book`, `word_document`, `pdf` by
format; `chapters`, `casting` and `rows` make rows of them, `account` counts what is not read), `importing` writes the
manifest. Out: `reading_order` finds the rows of each chapter, `chapter_audio` joins their clips, `assembly` writes the
files. `audiobooks` is the whole way in one call, `estimate` what it will cost.

May import everything below it; only `audiobooks` composes a run (`pipeline.run`), so that the other modules load
no Ray. Nothing but the commands imports it.
"""
