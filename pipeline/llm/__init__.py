"""Qwen2 with a fixed number of slots: prompts in, semantic tokens out."""
