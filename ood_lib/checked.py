"""Values that are checked when they are given: pydantic's models, with refusals in sentences."""

import re
from typing import Annotated, Any, Self, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


def _python_number(value: Any) -> Any:
    """What NumPy has of its own; and 2e-4, which is text to YAML, since it has no point."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


_READ = BeforeValidator(_python_number)
Number = Annotated[float, _READ]
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[int, _READ, Field(ge=1)]
Seed = Annotated[int, _READ, Field(ge=0)]


class Checked(BaseModel):
    """A model that never changes and takes no names but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def checked(cls, values: dict[str, Any], place: str = "the arguments") -> Self:
        """With these values; ValueError says which of those in that place cannot be."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ValueError(_sentence(error, cls, place)) from None

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked alike."""
        return self.checked(dict(self) | values)


def _sentence(error: ValidationError, kind: type[BaseModel], place: str) -> str:
    """The first mistake. A misspelt name explains why another is missing, so that is last."""
    order = {"extra_forbidden": 0, "invalid_key": 0, "missing": 2}
    mistake = min(error.errors(), key=lambda found: order.get(found["type"], 1))
    is_unknown = order.get(mistake["type"], 1) == 0
    # Of a known one, the numbers on the way say which of its values.
    *sections, name = [part for part in mistake["loc"] if is_unknown or isinstance(part, str)]
    for section in sections:
        kind = get_args(kind.model_fields[section].annotation)[0]  # of a model, or None
        place = f"{section} of {place}"
    if is_unknown:
        names = ", ".join(kind.model_fields)
        return f"{place} set {name!r}, which is no setting; the settings are: {names}."
    if mistake["type"] == "missing":
        return f"{place} lacks {name}; add a line for it."
    demand = re.sub("^(Input should|Tuple should|Value error,) ", "", mistake["msg"])
    return f"{name}={mistake['input']!r} in {place} must {demand}; change it there."
