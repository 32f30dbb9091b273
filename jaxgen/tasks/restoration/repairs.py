"""What a user asks a restorer to repair: the names, the default that does no harm, and which weights do which."""

from collections.abc import Sequence

from jaxgen.degradations.kinds import REPAIRS
from jaxgen.errors import reject, require

DEFAULT = ("noise", "jpeg")
"""A thin bright line may be a scratch or a wire, and a soft picture may be meant so: they are repaired when asked."""


def parse_repairs(value: str | Sequence[str] | None, accepted: Sequence[str] = REPAIRS) -> tuple[str, ...] | None:
    """Returns the repairs that a text such as "noise,jpeg" or a sequence of names asks for, in the order of `accepted`.

    Args:
      value: names, with - or _, joined by commas in a text; "all" for all that are accepted; None for None.
      accepted: names that are known.

    Raises:
      InputError: an unknown name, or none.
    """
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    words = f"{', '.join(name.replace('_', '-') for name in accepted)} joined by commas, or all"
    require(isinstance(names, Sequence) and all(isinstance(name, str) for name in names), "repair", value, words)
    asked = [name.strip().replace("-", "_") for name in names]
    require(len(asked) > 0, "repair", value, words)
    for name in asked:
        if name not in (*accepted, "all"):
            reject("repair", name, words)
    return tuple(name for name in accepted if name in asked or "all" in asked)
