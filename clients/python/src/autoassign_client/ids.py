"""IDs: text, integers, or any bytes.

42 and "42" are the same ID, and so are "abc" and b"abc". What is not UTF-8, or holds a zero byte,
travels as {"base64": "..."}; it is `bytes` on this side, in both directions.
"""

from __future__ import annotations

import base64
import binascii
from typing import Dict, Union

Id = Union[str, int, bytes]
JsonId = Union[str, int, Dict[str, str]]

_INT64 = range(-(2**63), 2**63)


def id_bytes(value: Id) -> bytes:
    """The bytes that the pipeline knows the ID by. Text from `surrogateescape` gives its bytes back."""
    if isinstance(value, bool) or not isinstance(value, (str, int, bytes)):
        raise TypeError(f"an ID is str, int or bytes, not {type(value).__name__}")
    if isinstance(value, int):
        return b"%d" % value
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def encode_id(value: Id) -> JsonId:
    """The ID as a value for JSON."""
    raw = id_bytes(value)
    if isinstance(value, int):
        return value if value in _INT64 else raw.decode()
    if b"\0" not in raw:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"base64": base64.b64encode(raw).decode("ascii")}


def decode_id(value: object) -> Union[str, bytes]:
    """An ID of a reply: str, or bytes if text cannot hold it."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error:
            pass
    raise ValueError(f"not an ID: {value!r:.100}")
