"""A policy as it stands in a file or dict: closed models, apart so that imports do not pay for pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument
from clawguard.scopes import parse_scopes

__all__ = ["ConditionModel", "GrantModel", "PolicyModel", "RoleModel", "RuleModel", "TaskModel"]

_MOST = 1_000


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _text(value: str) -> str:
    return str(_checked(check_text, value, argument="text"))


def _scopes(value: Any) -> list[str]:
    return list(_checked(parse_scopes, value))


def _checked(check: Any, value: Any, **named: str) -> Any:
    """Let pydantic say which key is at fault; the sentence is ours."""
    try:
        return check(value, **named)
    except InvalidArgument as error:
        raise ValueError(error.message.partition(": ")[2]) from None


Text = Annotated[str, AfterValidator(_text)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1, max_length=_MOST)]
ScopeList = Annotated[list[str], BeforeValidator(_scopes)]
SomeScopes = Annotated[list[str], BeforeValidator(_scopes), Field(min_length=1)]


def all_are_none(model: BaseModel) -> bool:
    """Tell whether a model says nothing at all."""
    return all(getattr(model, name) is None for name in type(model).model_fields)


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class RoleModel(_Closed):
    """Hold a role: the most it may have, and the roles that its children may have in its place."""

    scopes: ScopeList | None = None
    may_become: Texts | None = None


class TaskModel(_Closed):
    """Hold a task: the most that a session with it may have."""

    scopes: ScopeList


class ConditionModel(_Closed):
    """Hold a condition: every key that is given must hold; a list holds where one of its members does."""

    role: Texts | None = None
    task: Texts | None = None
    scope: SomeScopes | None = None
    workspace: Texts | None = None
    resource: Texts | None = None
    risk_above: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    all: Annotated[list[ConditionModel], Field(min_length=1, max_length=_MOST)] | None = None
    any: Annotated[list[ConditionModel], Field(min_length=1, max_length=_MOST)] | None = None
    none: Annotated[list[ConditionModel], Field(min_length=1, max_length=_MOST)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ConditionModel:
        if all_are_none(self):
            raise ValueError("must hold at least one condition")
        return self


class RuleModel(_Closed):
    """Hold a rule; a mask names the fields it hides and needs a condition."""

    name: Text
    effect: Literal["allow", "deny", "mask"]
    actions: SomeScopes
    when: ConditionModel | None = None
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    reason: Text | None = None
    fields: Texts | None = None

    @model_validator(mode="after")
    def _fits_its_effect(self) -> RuleModel:
        if (self.effect == "mask") != (self.fields is not None):
            raise ValueError("a mask, and only a mask, names fields")
        if self.effect == "mask" and self.when is None:
            raise ValueError("a mask needs a condition in 'when'")
        if self.reason is not None and self.effect != "deny":
            raise ValueError("only a deny has a reason")
        return self


class GrantModel(_Closed):
    """Hold a grant: who may hand which scopes to whom without having them."""

    name: Text
    scopes: SomeScopes
    from_role: Texts | None = None
    from_agent: Texts | None = None
    to_role: Texts | None = None
    to_agent: Texts | None = None

    @model_validator(mode="after")
    def _says_from_whom_to_whom(self) -> GrantModel:
        if self.from_role is None and self.from_agent is None:
            raise ValueError("needs from_role or from_agent")
        if self.to_role is None and self.to_agent is None:
            raise ValueError("needs to_role or to_agent")
        return self


class PolicyModel(_Closed):
    """Hold a whole policy."""

    roles: dict[Text, RoleModel] = {}
    tasks: dict[Text, TaskModel] = {}
    rules: Annotated[list[RuleModel], Field(max_length=_MOST)] = []
    grants: Annotated[list[GrantModel], Field(max_length=_MOST)] = []
