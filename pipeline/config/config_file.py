"""A config as it is written: the YAML file as nested mappings, and single settings put into them.

Knows nothing of what the settings are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML file of settings; a plain path of speakers becomes a mapping, so that overrides reach into it.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    try:
        raw = read_yaml(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the config file: {error.strerror}; pass --config FILE") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of settings at the top level, found {type(raw).__name__}")
    if isinstance(raw.get("speakers"), str):
        raw["speakers"] = {"path": raw["speakers"]}
    return raw


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> None:
    """Put single settings into a nested mapping of them.

    Args:
        raw: as in the YAML file; changed.
        overrides: as `load_config` takes them.

    Raises:
        ConfigError: an override is no `name=value`, or a name goes through a single value.
    """
    for name, value in _parse_overrides(overrides):
        _set_nested(raw, name, value)


def _parse_overrides(overrides: Sequence[str] | Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        yield from overrides.items()
        return
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {text}: expected name=value, for example --set sampling.temperature=0.7")
        yield name.strip(), read_yaml(value, f"--set {text}")


def _set_nested(raw: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    target = raw
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {name}: {parent} is a single value, not a group of settings")
        target = child
    if leaf == "speakers" and not parents and isinstance(value, str):
        value = {**target.get("speakers", {}), "path": value}
    target[leaf] = value
