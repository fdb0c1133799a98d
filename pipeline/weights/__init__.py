"""Where weights come from (a folder, a store, a hub, this package), and random ones of the official layout.

May import `llm`, `codec`, `storage`, `config` and `errors`.
"""
