"""The pronunciation lexicon of a run, read from wherever the config says."""

from __future__ import annotations

from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.storage import read_bytes
from pipeline.text import Lexicon, load_lexicon


def read_lexicon(config: Config) -> Lexicon:
    """Read the lexicon that the config names; an empty one if it names none.

    Raises:
        ConfigError: there is no such file, or it is no mapping of words to words.
    """
    uri = config.text.lexicon
    if uri is None:
        return Lexicon({})
    try:
        return load_lexicon(read_bytes(uri, config.storage).decode("utf-8"), uri)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{uri}: there is no such lexicon; correct text.lexicon") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{uri}: the lexicon is not UTF-8 text: {error}") from None
