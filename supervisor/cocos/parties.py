"""Who brings what: inputs paired with their providers, in both historical shapes."""

from collections.abc import Iterator

from supervisor.cocos.computation import Party
from supervisor.vm.commands import FieldViolation

Inputs = tuple[str | Party, ...]
Providers = tuple[str, ...]


def pair(inputs: Inputs, providers: Providers, owner: str) -> tuple[Party, ...]:
    """Return each input with its provider; what nobody else brings is the owner's to bring.

    ``providers`` has one for each input, or one for all, or none.
    """
    beside = providers * len(inputs) if len(providers) == 1 else providers
    beside = beside or ("",) * len(inputs)
    return tuple(
        _party(each, provider or owner) for each, provider in zip(inputs, beside, strict=False)
    )


def _party(each: str | Party, otherwise: str) -> Party:
    if isinstance(each, str):
        return Party(each, otherwise)
    return Party(each.id, each.provider or otherwise)


def pairing_violations(
    field: str, inputs: Inputs, providers_field: str, providers: Providers, owner: str
) -> Iterator[FieldViolation]:
    """Yield what is wrong with the pairing, under the names of both fields."""
    if len(providers) > 1 and len(providers) != len(inputs):
        got = f"got {len(providers)} providers for {len(inputs)} {field}"
        takes = "it takes one for each of them, one for all, or none"
        yield FieldViolation(providers_field, f"{got}; {takes}")
        return
    for index, party in enumerate(pair(inputs, providers, owner)):
        if not party.id:
            yield FieldViolation(f"{field}[{index}]", "has no id; name what is to be provided")
        if not party.provider:
            fix = f"name one there, in {providers_field}, or an owner"
            yield FieldViolation(f"{field}[{index}]", f"has no provider; {fix}")
