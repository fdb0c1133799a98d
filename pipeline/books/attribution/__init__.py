"""Who says each quote of a book, with a confidence; knows nothing of voices."""
