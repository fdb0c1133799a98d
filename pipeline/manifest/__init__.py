"""What is to be synthesized: the manifest's Parquet shards, its rows, and the units they are scheduled in.

Imports no torch and no Ray. May import `storage`, `config` and `errors`.
"""
