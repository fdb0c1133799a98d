"""What every group of settings shares: nothing changes, nothing is unknown, yes is no number, and how it is checked."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline.errors import ConfigError

_FEW = 10
"""Settings of a group up to which all are named beside the likeliest."""
_OF_THE_KIND = re.compile("literal_error|_type$|_parsing$|^int_from_float$|^(?:greater|less)_than")
"""Problems of pydantic that the kind of the value and its limits say in better words."""
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
        problems = describe_problems(error, group)
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"{source}: {len(problems)} wrong setting(s):\n{listed}") from None


def describe_problems(error: ValidationError, group: type[BaseModel], above: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with a group of settings, where, and what to write instead; a line for each place.

    Args:
        error: of its check.
        group: its class.
        above: what stands above the group in its file.
    """
    found: dict[tuple[str, ...], list[Any]] = {}
    for problem in error.errors():
        place, _, _ = _locate(problem["loc"], group)
        found.setdefault((*above, *place), []).append(problem)
    # Of a value that may be this or that, the reason why it is not the other is none where its own parts are wrong.
    places = [place for place in found if not any(place == other[: len(place)] != other for other in found)]
    return [_describe(".".join(place) or "(whole file)", found[place], group) for place in places]


def _describe(place: str, problems: Sequence[Any], group: type[BaseModel]) -> str:
    problem = problems[0]
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    path, kind, limits = _locate(problem["loc"], group)
    if problem["type"] == "extra_forbidden":
        return f"{place:.80}: unknown setting; {_find_remedy(problem['loc'], group)}"
    if problem["type"] == "missing":
        return f"{place}: required, but not given" + _show_example(path[-1], problem)
    value = problem["input"]
    if problem["type"] == "string_too_short":
        return f"{place}: is empty; write a text"
    if len(problems) > 1 or _OF_THE_KIND.search(problem["type"]):
        expected = f"expected {_with_article(_describe_kind(kind))}{_describe_limits(limits)}"
    else:
        expected = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{place}: {expected}, got {_show(value)}{_find_correction(kind, value)}"


def _with_article(kind: str) -> str:
    kind = kind.replace("list of mapping", "list of mappings")
    return f"a {kind}" if kind.startswith(("list", "number", "whole", "mapping")) else kind


def _show(value: Any) -> str:
    try:
        return "nothing" if value is None else repr(value)[:80]
    except ValueError:  # An integer of more digits than Python writes.
        return type(value).__name__


def _show_example(name: str, problem: Any) -> str:
    """Show where a required setting is missing, if that is one of a list."""
    is_of_list = any(isinstance(part, int) for part in problem["loc"])
    return f"; add `{name}: ...` to {_show(problem['input'])}" if is_of_list else ""


def _find_correction(kind: Any, value: Any) -> str:
    """Return what to write instead of a value of the wrong kind; empty where nobody knows."""
    kinds = {get_origin(one) or one for one in _alternatives(kind)}
    groups = [one for one in _alternatives(kind) if _is_group(one)]
    if groups and not isinstance(value, dict):
        names = list(_fields(groups[0]))
        return f"; write settings, such as `{names[0]}: ...` (known: {', '.join(names)})"
    if dict in kinds:
        return "; write `NAME: ...` below it, a line for each"
    if kinds & {tuple, list}:
        inner = next(get_args(one)[0] for one in _alternatives(kind) if get_origin(one) in (tuple, list))
        if _is_group(inner):
            return f"; write a list, each part as `- {{{', '.join(f'{name}: ...' for name in _required(inner))}}}`"
        return f"; write [{value}]" if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if kinds & {int, float} and isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+)(?:[.,](\d+))?\s*(%?)\s*", value)
        number = float(f"{found[1]}.{found[2] or 0}") / (100 if found[3] else 1) if found else 0.0
        return f"; write {number:g}" if found and (float in kinds or number.is_integer()) else ""
    if str in kinds and isinstance(value, bool):
        return "; put it in quotes if it is a text"
    return f"; put it in quotes: '{_show(value)}'" if str in kinds and isinstance(value, int | float) else ""


def _required(group: type[BaseModel]) -> list[str]:
    return [name for name, field in _fields(group).items() if field.is_required()]


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the kinds that a value may have: of `number or text` both."""
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(one for inner in get_args(kind) for one in _alternatives(inner))
    return (kind,)


def _locate(place: Sequence[str | int], group: type[BaseModel]) -> tuple[tuple[str, ...], Any, Sequence[Any]]:
    """Return the place of a problem as the file has it, the kind of value that belongs there, and its limits.

    Pydantic adds the branch of a union to the place, in words that are not settings.
    """
    path: list[str] = []
    kind: Any = group
    limits: Sequence[Any] = ()
    for part in place:
        inner, found = _step(kind, part)
        if inner is None and sum(one is not NoneType for one in _alternatives(kind)) > 1:
            continue
        path.append(str(part))
        kind, limits = inner, found
    return tuple(path), kind, limits


def _step(kind: Any, part: str | int) -> tuple[Any, Sequence[Any]]:
    """Return the kind of a part of a value, and its limits; nothing where it has no such part."""
    for one in _alternatives(kind):
        if _is_group(one) and part in _fields(one):
            field = _fields(one)[str(part)]
            return field.annotation, field.metadata
        if get_origin(one) is dict:
            return get_args(one)[1], ()
        if get_origin(one) in (tuple, list) and isinstance(part, int):
            return get_args(one)[0], ()
    return None, ()


def _find_remedy(place: Sequence[str | int], group: type[BaseModel]) -> str:
    """Return what an unknown setting may stand for, or what else there is."""
    parents, name = place[:-1], str(place[-1])
    _, kind, _ = _locate(parents, group)
    inner = next((one for one in _alternatives(kind) if _is_group(one)), None)
    if inner is None:
        return "take it out"
    known = ", ".join(_fields(inner))
    if name in {found.name for found in list_settings(inner)}:  # As `--set` and messages call it.
        first, *others = name.split(".")
        nested = ": {".join(others) + ": ..." + "}" * len(others)
        return f"settings are nested in a file: {first}: {{{nested}"
    near = difflib.get_close_matches(name, _fields(inner), n=1) or find_near(name, list_settings(inner))
    if not near:
        return f"expected one of: {known}"
    return f"did you mean {' or '.join(near)}?" + (f" (known: {known})" if len(_fields(inner)) <= _FEW else "")


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
