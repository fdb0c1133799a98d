"""What every group of settings shares: nothing changes, nothing is unknown, and yes is no number."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

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


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
