"""The one reader of YAML: keys are text as written, and whatever is wrong with a file becomes an error that names it.

Plain YAML turns the keys `0012`, `no`, `12:30` and `~` into 10, False, 750 and None, the values `0100` and `1:30` into
64 and 90, and of two equal keys takes the last without a word.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError

_MAX_YAML_NODES = 1_000_000
# What the reader of tags and plain values lets through: text that is not UTF-8, dates that are none (2026-99-99),
# `!!int` without digits, `!!timestamp soon`, `!!bool maybe`.
_YAML_TAG_ERRORS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)

_WIDE = (b"\xff\xfe", b"\xfe\xff")
_SETTING = re.compile(r"(\s*(?:- )?[^\s'\"{\[#][^'\"{\[#]*?:)\s+([^'\"{\[\s].*?)\s*")
_IN_QUOTES = "put it in quotes"
_REMEDIES = (
    ("mapping values are not allowed", _IN_QUOTES),
    ("'\\t'", "indent with spaces, not with tabs"),
    ("cannot start any token", _IN_QUOTES),
    ("undefined alias", _IN_QUOTES),
    ("expected alphabetic", _IN_QUOTES),
    ("expected ',' or", "close the bracket, or put a text with a colon or a comma in it in quotes"),
    ("<block end>", "indent all lines of a group or a list alike"),
    ("could not find expected ':'", "write a name and its value as `name: value`"),
    ("a single document", "remove the line `---` and what follows"),
)
"""What parts of the parser's words mean to somebody who wrote the file."""

# Octal numbers (but not 0 itself) and those to the base of 60.
_MISREAD = re.compile(r"[-+]?(0[0-7_]*[1-7][0-7_]*|.*:.*)")


def read_yaml(text: str | bytes, source: str, *, as_text: bool = False) -> Any:
    """Parse YAML, whatever is wrong with it.

    Args:
        text: the document.
        source: named in the message.
        as_text: keep plain values as they are written, too, instead of making numbers, dates and yes or no of some.

    Returns:
        what the document holds; the keys of its mappings are text as written, whatever number or date they look like.

    Raises:
        ConfigError: it is not YAML, or a bomb (a little text that stands for a lot), or a key is there twice or is no
            text, or a number is octal or to the base of 60, or a text holds half a character; names the line where
            there is one.
    """
    text = _decode(text, source)
    try:
        loader = (_TextLoader if as_text else _Loader)(text)
        loader.source = source
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_expanded(node, {}, source) > _MAX_YAML_NODES:
            raise ConfigError(f"{source}: more than {_MAX_YAML_NODES:,} values once aliases (*name) are followed")
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, *_YAML_TAG_ERRORS) as error:
        raise ConfigError(f"{source}: not YAML: {_describe(error, text):.400}") from error


def _decode(text: str | bytes, source: str) -> str:
    if isinstance(text, str):
        return text
    try:
        if not text.startswith(_WIDE) and b"\0" not in text:
            return text.decode("utf-8-sig")
        found = "UTF-16 text, or no text at all"
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        found = f"line {line} has the byte 0x{text[error.start]:02x}, which is no UTF-8"
    raise ConfigError(f"{source}: not YAML: {found}; save it as UTF-8, as every editor can")


def _describe(error: Exception, text: str) -> str:
    """Say in which line what is wrong, and what to write instead where that is known."""
    detail = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return detail
    number = error.problem_mark.line
    detail = f"line {number + 1}: {error.problem}"
    remedy = next((remedy for words, remedy in _REMEDIES if words in detail), "")
    lines = text.splitlines()
    setting = _SETTING.fullmatch(lines[number]) if number < len(lines) else None
    if remedy == _IN_QUOTES and setting:
        quoted = setting[2].replace("'", "''")
        remedy += f": {setting[1].strip()} '{quoted}'"
    return f"{detail}; {remedy}" if remedy else detail


class _Loader(yaml.SafeLoader):
    source: str
    num_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # While the document is read: each node takes a kilobyte, whatever there is of it in the file.
        self.num_nodes += 1
        if self.num_nodes > _MAX_YAML_NODES:
            raise ConfigError(
                f"{self.source}: more than {_MAX_YAML_NODES:,} values; a Parquet file takes more speakers"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, self.source)
            self.flatten_mapping(node)
            return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}
        return super().construct_mapping(node, deep=deep)  # A tag says so of something else; this says of what.

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return the number that stands there; YAML takes `0100` for 64 and `1:30` for 90."""
        is_float = node.tag.endswith("float")
        number: int | float = (self.construct_yaml_float if is_float else self.construct_yaml_int)(node)
        if _MISREAD.fullmatch(node.value):
            raise ConfigError(
                f"{self.source}:{node.start_mark.line + 1}: YAML reads {node.value} as the number {number:g}; write "
                f"{number:g} if that is meant, {node.value!r} in quotes if it is a text"
            )
        return number


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


class _TextLoader(_Loader):
    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return "tag:yaml.org,2002:str"
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _check_keys(node: yaml.MappingNode, source: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{source}:{line}: a key is a list or a mapping; expected a text, in quotes if need be")
        if key.value in lines:
            place = f"on line {lines[key.value]} already"
            raise ConfigError(f"{source}:{line}: the key {key.value!r} is {place}; remove one of them")
        lines[key.value] = line


def _count_expanded(node: yaml.Node, counted: dict[int, int], source: str) -> int:
    """Count the values that a node stands for, each alias as often as it is used; one inside itself has no end."""
    known = counted.get(id(node))
    if known is not None:
        return known
    counted[id(node)] = _MAX_YAML_NODES + 1  # What a node finds that is below itself.
    count = 1
    if isinstance(node, yaml.MappingNode):
        count += sum(_count_expanded(part, counted, source) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_count_expanded(part, counted, source) for part in node.value)
    elif found := re.search("[\ud800-\udfff]", node.value):
        line = node.start_mark.line + 1
        raise ConfigError(f"{source}:{line}: \\u{ord(found[0]):x} is half a character; write the whole one")
    counted[id(node)] = count
    return count


def read_settings(path: Path | None, example: str) -> dict[str, Any]:
    """Read a file of settings of one group; none where there is no file.

    Args:
        path: of the file.
        example: a line that it could have.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    if path is None:
        return {}
    try:
        found = read_yaml(path.read_bytes(), str(path)) or {}
    except OSError as error:
        raise ConfigError(f"--config {path}: cannot be read: {error.strerror}; name a YAML file") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{path}: expected settings with a name each, such as `{example}`")
    return found
