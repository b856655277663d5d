"""Events for the interactions topic: JSON with the names of your configuration, or schemas/event.proto."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from .ids import Id, encode_id, id_bytes

_INT64 = range(-(2**63), 2**63)


class MissingDependency(ImportError):
    """A package that is needed only here is not installed."""


class NotDelivered(Exception):
    """Events that Kafka did not take."""


class EventSchema:
    """How an event becomes a message; the same settings as in the pipeline's configuration.

    fields        JSON names of the IDs: user, item, then those of the further fields (fields.<f>.json)
    label_field, time_field, time_unit, id_max_bytes
                  event.label_field, event.time_field, event.time_unit, event.id_max_bytes
    form          "json", or "protobuf", which has no names and takes any bytes as an ID

    What would become a dead letter is a ValueError here.
    """

    def __init__(self, fields: Sequence[str] = ("user", "item"), label_field: str = "label",
                 time_field: str = "timestamp_ms", time_unit: str = "ms", id_max_bytes: int = 256, form: str = "json"):
        if len(fields) < 2:
            raise ValueError("fields: at least the user's and the item's name")
        names = [*fields, label_field, time_field]
        if len(set(names)) != len(names):
            raise ValueError(f"two members of one name: {names}")
        if time_unit not in ("ms", "s") or form not in ("json", "protobuf"):
            raise ValueError('time_unit: "ms" or "s"; form: "json" or "protobuf"')
        self.fields, self.label_field, self.time_field = tuple(fields), label_field, time_field
        self.time_unit, self.id_max_bytes, self.form = time_unit, id_max_bytes, form

    def encode(self, user: Id, item: Id, label: Union[float, bool], time_ms: Optional[int] = None,
               context: Sequence[Id] = ()) -> bytes:
        """One event. Without time_ms the time of its Kafka message counts."""
        ids = [user, item, *context]
        if len(ids) != len(self.fields):
            raise ValueError(f"{len(ids)} IDs, expected {len(self.fields)}: {', '.join(self.fields)}")
        for name, value in zip(self.fields, ids):
            size = len(id_bytes(value))
            if not 0 < size <= self.id_max_bytes:
                raise ValueError(f"{name}: an ID of {size} bytes; 1 to {self.id_max_bytes} are allowed")
        if not math.isfinite(label):
            raise ValueError(f"{self.label_field}: {label}")
        if time_ms is not None and time_ms not in _INT64:
            raise ValueError(f"{self.time_field}: {time_ms} is not a number of milliseconds")
        return (self._json if self.form == "json" else _protobuf)(ids, label, time_ms)

    def _json(self, ids: Sequence[Id], label: float, time_ms: Optional[int]) -> bytes:
        event: Dict[str, Any] = {}
        for name, value in zip(self.fields, ids):
            event[name] = encode_id(value)
            if isinstance(event[name], dict):
                raise ValueError(f'{name}: {value!r:.80} is not UTF-8; JSON events cannot hold it: form="protobuf"')
        event[self.label_field] = label
        if time_ms is not None:
            whole = self.time_unit == "ms" or time_ms % 1000 == 0
            event[self.time_field] = (time_ms if self.time_unit == "ms" else time_ms // 1000) if whole else time_ms / 1000
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


# ---- protobuf, by hand: seven members of three wire types ----


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _member(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _protobuf(ids: Sequence[Id], label: float, time_ms: Optional[int]) -> bytes:
    out = b""
    for number, value in zip((1, 3), ids):
        if isinstance(value, int) and value in _INT64:
            out += _varint((number + 1) << 3) + _varint(value)
        else:
            out += _member(number, id_bytes(value))
    out += _varint(5 << 3 | 1) + struct.pack("<d", label)
    if time_ms is not None:
        out += _varint(6 << 3) + _varint(time_ms)
    return out + b"".join(_member(7, id_bytes(value)) for value in ids[2:])


class Producer:
    """Sends events to the interactions topic, keyed by user, so that a user's events keep their order.

    config   properties of librdkafka: {"bootstrap.servers": "broker:9092"}. The producer is idempotent
             unless they say otherwise.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, schema: Optional[EventSchema] = None):
        try:
            import confluent_kafka  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as e:
            raise MissingDependency(
                "the producer needs confluent-kafka: pip install 'autoassign-client[kafka]'") from e
        self._producer = confluent_kafka.Producer({"enable.idempotence": True, **config})
        self._topic, self._schema = topic, schema or EventSchema()
        self._failed: List[str] = []

    def send(self, user: Id, item: Id, label: Union[float, bool], time_ms: Optional[int] = None,
             context: Sequence[Id] = (), on_delivery: Optional[Callable[[Any, Any], None]] = None) -> None:
        """Queue an event; waits while the queue is full. flush() tells what was not delivered, or on_delivery
        (error or None, message), which is called in send and flush."""
        value = self._schema.encode(user, item, label, time_ms, context)
        while True:
            try:
                self._producer.produce(self._topic, value, key=id_bytes(user), on_delivery=on_delivery or self._delivered)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all events are delivered. NotDelivered: some were not, or not yet."""
        left = self._producer.flush(timeout_s)
        failed, self._failed = self._failed, []
        if failed:
            raise NotDelivered(f"{len(failed)} events were not delivered; the first: {failed[0]}")
        if left:
            raise NotDelivered(f"{left} events are not delivered after {timeout_s} s")

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failed.append(str(error))

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.flush()
