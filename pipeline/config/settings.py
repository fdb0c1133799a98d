"""What every group of settings shares: nothing changes, nothing is unknown, yes is no number, and how it is checked."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline.errors import ConfigError

Effect = Literal["audio", "plan"]
Address = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
"""A path or URI."""


def setting(default: Any = ..., *, changes: Effect | None = None, new: bool = False, **limits: Any) -> Any:
    """Declare a setting.

    Args:
        default: none makes it required.
        changes: what another value alters: the bytes of a take, or the units of the plan.
        new: outputs of earlier versions do not have it pinned: its default is left out of the pins.
        limits: as pydantic's `Field` takes them.
    """
    extra: dict[str, Any] = {"changes": changes} if changes else {}
    if new:
        extra["new"] = True
    return Field(default, json_schema_extra=extra or None, **limits)


class Settings(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_yes_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python takes true for 1.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise PydanticCustomError("yes_or_no", "Input should not be yes or no (true or false)")
        return value


_Group = TypeVar("_Group", bound=BaseModel)


def check_settings(group: type[_Group], raw: Mapping[str, Any], source: str) -> _Group:
    """Check a mapping of settings, nested as in the YAML file.

    Args:
        group: the class of the settings.
        raw: names and values, as read.
        source: named in error messages.

    Raises:
        ConfigError: lists every problem with its place.
    """
    try:
        return group.model_validate(dict(raw))
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem, group)}" for problem in error.errors())
        raise ConfigError(f"{source}: {error.error_count()} wrong setting(s):\n{problems}") from None


def _describe(problem: Any, group: type[BaseModel]) -> str:
    # Pydantic adds the branch of a union to the place, in words that are not settings.
    place = ".".join(str(part) for part in problem["loc"] if str(part).isidentifier()) or "(whole file)"
    if problem["type"] == "extra_forbidden":
        return _describe_unknown([str(part) for part in problem["loc"]], group)
    if problem["type"] == "missing":
        return f"{place}: required, but not given"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    try:
        value = repr(problem["input"])
    except ValueError:  # An integer of more digits than Python writes.
        value = type(problem["input"]).__name__
    return f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {value[:80]}"


def _describe_unknown(place: Sequence[str], group: type[BaseModel]) -> str:
    *parents, name = place
    for parent in parents:
        inner = next((field.annotation for known, field in _fields(group).items() if known == parent), None)
        if not _is_group(inner):
            return f"{'.'.join(place):.80}: unknown setting"
        group = inner
    if name in {found.name for found in list_settings(group)}:  # As `--set` and messages call it.
        first, *others = name.split(".")
        nested = ": {".join(others) + ": ..." + "}" * len(others)
        return f"{'.'.join(place):.80}: unknown setting; settings are nested in a file: {first}: {{{nested}"
    near = difflib.get_close_matches(name, _fields(group), n=1) or find_near(name, list_settings(group))
    remedy = f"did you mean {' or '.join(near)}?" if near else f"expected one of: {', '.join(_fields(group))}"
    return f"{'.'.join(place):.80}: unknown setting; {remedy}"


def _fields(group: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the settings of a group as YAML calls them."""
    return {field.alias or name: field for name, field in group.model_fields.items()}


@dataclass(frozen=True)
class SettingInfo:
    """What a person wants to know of one setting."""

    name: str
    """Dotted, as `--set` takes it."""
    kind: str
    """The type, in words: `number`, `text or none`, `wav or flac`."""
    required: bool
    default: str
    """As YAML writes it; empty where it is required."""
    description: str
    changes: Effect | None
    """What another value alters; such a setting is pinned by a run's first start."""


def list_settings(group: type[BaseModel], prefix: str = "", given: BaseModel | None = None) -> Iterator[SettingInfo]:
    """Yield every setting of a group and of the groups in it, in the order of the code.

    Args:
        group: the class of the settings.
        prefix: put before the names.
        given: a group whose values are the defaults; none takes those of the class.
    """
    for attribute, field in group.model_fields.items():
        name = field.alias or attribute
        value = field.default if given is None else getattr(given, attribute)
        inner = next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_group(kind)), None)
        if inner is not None:
            yield from list_settings(inner, f"{prefix}{name}.", value if isinstance(value, BaseModel) else None)
            continue
        required = field.is_required() and given is None
        default = "" if required else json.dumps(value, default=list)
        extra = field.json_schema_extra
        yield SettingInfo(
            name=prefix + name,
            kind=_describe_kind(field.annotation) + _describe_limits(field.metadata),
            required=required,
            default=default,
            description=field.description or "",
            changes=extra.get("changes") if isinstance(extra, dict) else None,  # type: ignore[arg-type]
        )


def find_near(name: str, settings: Iterable[SettingInfo]) -> list[str]:
    """Return the names of settings and groups, three at most, that a name may stand for: misspelled, or its end alone.

    Args:
        name: as somebody wrote it, `qualty` or `llm.slotz` or `asr`.
        settings: those that there are.
    """
    known = {}
    for found in settings:
        parts = found.name.split(".")
        known.update({".".join(parts[:end]): parts[end - 1] for end in range(1, len(parts) + 1)})
    if "." in name:
        return difflib.get_close_matches(name, known, n=3)
    ends = difflib.get_close_matches(name, set(known.values()), n=3, cutoff=0.7)
    ends = ends[:1] if name in ends else ends
    return [path for end in ends for path, last in known.items() if last == end][:3]


_KINDS: Mapping[Any, str] = {
    bool: "yes or no",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "none",
}


def _describe_kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _describe_kind(inner[0])
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (tuple, list):
        return f"list of {_describe_kind(inner[0])}"
    if inner and origin is not dict:
        return " or ".join(map(_describe_kind, inner))
    return _KINDS.get(kind, "mapping")


def _describe_limits(limits: Sequence[Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [f"{words[name]} {getattr(limit, name):,g}" for limit in limits for name in words if hasattr(limit, name)]
    return f" ({', '.join(found)})" if found else ""


def _is_group(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
