"""What a GPU gives: one command with a verdict (see `command`). Each part runs in a process of its own."""
