"""One object of JSON, as a client sends it."""

import msgspec


def read_object(document: bytes, noun: str) -> dict[str, object]:
    """Return what a document holds, which is to be ``noun``. Raises ValueError with what it is."""
    try:
        tree = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"is not {noun}: nested too deeply") from None
    if not isinstance(tree, dict):
        raise ValueError(f"is not {noun}, which is one JSON object")
    return tree
