"""Every setting of a run and of books, how a config file is read, and which text must never be written.

Imports `errors` alone.
"""
