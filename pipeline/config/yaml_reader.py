"""The one reader of YAML: whatever is wrong with a file becomes an error that names it, and bombs are refused."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.errors import ConfigError

_MAX_YAML_NODES = 2_000_000
# What the reader of tags and plain values lets through: text that is not UTF-8, dates that are none (2026-99-99),
# `!!int` without digits, `!!timestamp soon`, `!!bool maybe`.
_YAML_TAG_ERRORS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


def read_yaml(text: str | bytes, source: str) -> Any:
    """Parse YAML, whatever is wrong with it.

    Args:
        text: the document.
        source: named in the message.

    Raises:
        ConfigError: it is not YAML, or a bomb: a little text that stands for a lot.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_expanded(node, {}) > _MAX_YAML_NODES:
            raise ConfigError(f"{source}: more than {_MAX_YAML_NODES:,} values once aliases (*name) are followed")
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, *_YAML_TAG_ERRORS) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{source}: not YAML: {detail:.300}") from error


def _count_expanded(node: yaml.Node, counted: dict[int, int]) -> int:
    """Count the values that a node stands for, each alias as often as it is used; one inside itself has no end."""
    known = counted.get(id(node))
    if known is not None:
        return known
    counted[id(node)] = _MAX_YAML_NODES + 1  # What a node finds that is below itself.
    count = 1
    if isinstance(node, yaml.MappingNode):
        count += sum(_count_expanded(part, counted) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_count_expanded(part, counted) for part in node.value)
    counted[id(node)] = count
    return count
