#!/usr/bin/env python3
"""Writes tests/formats/fixtures: messages as the serializers of Confluent's client and fastavro write them, the
schemas as a registry gives them, and what the messages hold.

    python3 -m venv v && v/bin/pip install 'confluent-kafka[avro,protobuf,json]' fastavro
    v/bin/python tests/formats/make_fixtures.py

The tests read the fixtures only: they need no Python package. The registry is the client's own stand-in
(mock://): no real one was run. Written with confluent-kafka 2.16.1, fastavro 1.13.1, protobuf 6.
"""
import base64
import datetime
import decimal
import io
import json
import os
import random
import uuid

import fastavro
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
random.seed(20260301)
client = SchemaRegistryClient.new_client({"url": "mock://fixtures"})


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def lines(name, rows):
    write(name, "".join(json.dumps(r, sort_keys=True) + "\n" for r in rows))


def context(topic):
    return SerializationContext(topic, MessageField.VALUE)


answers = {}  # path of a request to the registry: its answer


def answer(path, schema, **more):
    body = {"schema": schema.schema_str, **more}
    if schema.schema_type != "AVRO":
        body["schemaType"] = schema.schema_type
    if schema.references:
        body["references"] = [{"name": r.name, "subject": r.subject, "version": r.version} for r in schema.references]
    answers[path] = body


def number_of(message):
    return int.from_bytes(message[1:5], "big")


# ---- Avro ----

CLICK = {
    "type": "record", "name": "Click", "namespace": "shop",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["VIEW", "CLICK", "PURCHASE"]}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "user", "type": {"type": "record", "name": "User", "fields": [
            {"name": "id", "type": ["null", "long", "string"]},
            {"name": "friends", "type": {"type": "array", "items": "User"}},
        ]}},
        {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
            {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
            {"name": "sku", "type": "string"},
            {"name": "token", "type": {"type": "fixed", "name": "Token", "size": 16}},
        ]}}},
        {"name": "tags", "type": {"type": "map", "values": ["null", "string", "boolean", "double"]}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
        {"name": "weight", "type": "float"},
        {"name": "nothing", "type": "null"},
        {"name": "mobile", "type": "boolean"},
    ],
}


def user(depth):
    kind = random.randrange(3)
    ident = None if kind == 0 else random.randrange(-2**63, 2**63) if kind == 1 else "u\u00e9%d" % random.randrange(99)
    return {"id": ident, "friends": [user(depth + 1) for _ in range(random.randrange(3))] if depth < 3 else []}


def click():
    at = random.randrange(0, 4 * 10**15)
    return {
        "id": str(uuid.UUID(int=random.getrandbits(128))),
        "kind": random.choice(["VIEW", "CLICK", "PURCHASE"]),
        "at": at,
        "user": user(0),
        "items": [{"price": decimal.Decimal(random.randrange(-10**15, 10**15)) / 100, "sku": "s%d" % random.randrange(10**6),
                   "token": random.randbytes(16)} for _ in range(random.randrange(4))],
        "tags": {random.choice(["page", "ab", "x"]) + str(i): random.choice([None, "home", True, 0.25]) for i in range(random.randrange(3))}
        | ({"page": "p%d" % random.randrange(9)} if random.random() < 0.5 else {}),
        "day": None if random.random() < 0.5 else random.randrange(20000),
        "weight": random.random(),
        "nothing": None,
        "mobile": random.random() < 0.5,
    }


plain = json.loads(json.dumps(CLICK))
plain["fields"][2]["type"] = "long"  # the numbers as they are written, not datetimes
plain["fields"][6]["type"] = ["null", "int"]
parsed = fastavro.parse_schema(plain)
rows = []
for _ in range(200):
    c = click()
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, c)
    item = c["items"][1] if len(c["items"]) > 1 else None
    rows.append({"hex": out.getvalue().hex(), "user": c["user"]["id"], "kind": c["kind"], "at_ms": c["at"] // 1000,
                 "sku": item and item["sku"], "price": item and "%.2f" % item["price"],
                 "page": c["tags"].get("page"), "mobile": c["mobile"], "day": c["day"],
                 "friend": c["user"]["friends"][0]["id"] if c["user"]["friends"] else None})
lines("avro.jsonl", rows)
write("click.avsc", json.dumps(CLICK, indent=1))

serializer = AvroSerializer(client, json.dumps(plain), conf={"auto.register.schemas": True})
framed = serializer(click(), context("avro"))
write("avro_framed.bin", framed)
answer("/schemas/ids/%d" % number_of(framed), Schema(json.dumps(CLICK), "AVRO"))

# a named type of another subject
client.register_schema("shop.User2", Schema(json.dumps({"type": "record", "name": "User2", "namespace": "shop", "fields": [
    {"name": "id", "type": "string"}]}), "AVRO"))
parts = Schema(json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "user", "type": "shop.User2"}, {"name": "item", "type": "long"}, {"name": "label", "type": "double"}]}), "AVRO",
    [SchemaReference("shop.User2", "shop.User2", 1)])
referring = AvroSerializer(client, parts)({"user": {"id": "ann"}, "item": 7, "label": 1.0}, context("order"))
write("avro_reference.bin", referring)
answer("/schemas/ids/%d" % number_of(referring), parts)
known = client.get_version("shop.User2", 1)
answer("/subjects/shop.User2/versions/1", known.schema, id=known.schema_id, subject="shop.User2", version=1)
answer("/schemas/ids/%d" % known.schema_id, known.schema)

# ---- protobuf ----

F = descriptor_pb2.FieldDescriptorProto


def field(message, name, number, kind, label=F.LABEL_OPTIONAL, type_name=None, oneof=None, optional=False, default=None):
    f = message.field.add(name=name, number=number, type=kind, label=label)
    if type_name:
        f.type_name = type_name
    if oneof is not None:
        f.oneof_index = oneof
    if optional:
        f.proto3_optional = True
        f.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name="_" + name)
    if default is not None:
        f.default_value = default
    return f


common = descriptor_pb2.FileDescriptorProto(name="shop/common.proto", package="shop", syntax="proto3")
who = common.message_type.add(name="User")
field(who, "id", 1, F.TYPE_STRING)
field(who, "age", 2, F.TYPE_SINT32, optional=True)

events = descriptor_pb2.FileDescriptorProto(name="shop/events.proto", package="shop", syntax="proto3",
                                            dependency=["shop/common.proto", "google/protobuf/timestamp.proto"])
kinds = events.enum_type.add(name="Kind")
for i, name in enumerate(["KIND_UNSET", "KIND_VIEW", "KIND_CLICK"]):
    kinds.value.add(name=name, number=i)
other = events.message_type.add(name="View")
inner = other.nested_type.add(name="Deep")
field(inner, "item", 1, F.TYPE_UINT64)
m = events.message_type.add(name="Click")
entry = m.nested_type.add(name="TagsEntry")
entry.options.map_entry = True
field(entry, "key", 1, F.TYPE_STRING)
field(entry, "value", 2, F.TYPE_STRING)
m.oneof_decl.add(name="target")
field(m, "user", 1, F.TYPE_MESSAGE, type_name=".shop.User")
field(m, "item", 2, F.TYPE_UINT64)
field(m, "kind", 3, F.TYPE_ENUM, type_name=".shop.Kind")
field(m, "at", 4, F.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp")
field(m, "scores", 5, F.TYPE_INT32, label=F.LABEL_REPEATED)
field(m, "names", 6, F.TYPE_STRING, label=F.LABEL_REPEATED)
field(m, "tags", 7, F.TYPE_MESSAGE, label=F.LABEL_REPEATED, type_name=".shop.Click.TagsEntry")
field(m, "page", 8, F.TYPE_STRING, oneof=0)
field(m, "shop", 9, F.TYPE_SFIXED64, oneof=0)
field(m, "label", 10, F.TYPE_DOUBLE)
field(m, "rank", 11, F.TYPE_INT32, optional=True)
field(m, "others", 12, F.TYPE_MESSAGE, label=F.LABEL_REPEATED, type_name=".shop.User")

pool = descriptor_pool.DescriptorPool()
stamp = descriptor_pb2.FileDescriptorProto()
timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
for f in (stamp, common, events):
    pool.Add(f)
Click = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Click"))
Deep = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.View.Deep"))
write("shop.pb", descriptor_pb2.FileDescriptorSet(file=[stamp, common, events]).SerializeToString())

old = descriptor_pb2.FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
o = old.message_type.add(name="Click")
field(o, "user", 1, F.TYPE_STRING)
field(o, "item", 2, F.TYPE_INT64, default="-5")
field(o, "label", 3, F.TYPE_BOOL, default="true")
field(o, "page", 4, F.TYPE_STRING, default="home")
write("old.pb", descriptor_pb2.FileDescriptorSet(file=[old]).SerializeToString())


def shop_click():
    c = Click()
    if random.random() < 0.8:
        c.user.id = random.choice(["", "ann", "bob"])
        if random.random() < 0.5:
            c.user.age = random.randrange(-5, 5)
    c.item = random.choice([0, 7, 2**64 - 1, random.getrandbits(63)])
    c.kind = random.randrange(3)
    if random.random() < 0.8:
        c.at.FromMicroseconds(random.randrange(0, 4 * 10**15))
    c.scores.extend(random.randrange(-9, 9) for _ in range(random.randrange(4)))
    c.names.extend("n%d" % i for i in range(random.randrange(4)))
    for k in random.sample(["page", "ab", "z"], random.randrange(4)):
        c.tags[k] = random.choice(["", "v1", "v2"])
    side = random.randrange(3)
    if side == 1:
        c.page = "p%d" % random.randrange(5)
    if side == 2:
        c.shop = random.randrange(-3, 3)
    c.label = random.choice([0.0, 0.25, 1.0])
    if random.random() < 0.5:
        c.rank = random.randrange(2)
    for _ in range(random.randrange(3)):
        c.others.add(id="o%d" % random.randrange(5))
    return c


rows = []
for _ in range(200):
    c = shop_click()
    rows.append({"hex": c.SerializeToString().hex(), "user": c.user.id if c.HasField("user") else None,
                 "age": c.user.age if c.user.HasField("age") else None, "item": str(c.item),
                 "kind": ["KIND_UNSET", "KIND_VIEW", "KIND_CLICK"][c.kind],
                 "at_ms": c.at.ToMicroseconds() // 1000 if c.HasField("at") else None,
                 "score": c.scores[1] if len(c.scores) > 1 else None, "name": c.names[2] if len(c.names) > 2 else None,
                 "tag": c.tags["page"] if "page" in c.tags else None,
                 "page": c.page if c.WhichOneof("target") == "page" else None,
                 "shop": c.shop if c.WhichOneof("target") == "shop" else None,
                 "label": c.label, "rank": c.rank if c.HasField("rank") else None,
                 "other": c.others[1].id if len(c.others) > 1 else None})
lines("protobuf.jsonl", rows)

whole = Click(item=7, label=1.0, kind=2)
whole.user.id = "ann"
whole.at.FromMilliseconds(1700000000123)
framed = ProtobufSerializer(Click, client, {"use.deprecated.format": False})(whole, context("protobuf"))
write("protobuf_framed.bin", framed)
deep = ProtobufSerializer(Deep, client, {"use.deprecated.format": False})(Deep(item=9), context("deep"))
write("protobuf_deep.bin", deep)
for message in (framed, deep):
    schema = client.get_schema(number_of(message))
    answer("/schemas/ids/%d?format=serialized" % number_of(message), schema)
    answer("/schemas/ids/%d" % number_of(message), Schema('syntax = "proto3"; // as text', "PROTOBUF", schema.references))
    for r in schema.references:
        known = client.get_version(r.subject, r.version)
        answer("/subjects/%s/versions/%d" % (r.subject, r.version), Schema("// as text", "PROTOBUF"),
               id=known.schema_id, subject=r.subject, version=r.version)
        answer("/schemas/ids/%d" % known.schema_id, Schema("// as text", "PROTOBUF"))
        answer("/schemas/ids/%d?format=serialized" % known.schema_id, known.schema)

# ---- JSON Schema ----

schema = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Click", "type": "object", "properties": {
    "user": {"type": "string"}, "item": {"type": "integer"}, "label": {"type": "number"}}})
framed = JSONSerializer(schema, client, conf={"auto.register.schemas": True})({"user": "ann", "item": 7, "label": 1}, context("json"))
write("json_framed.bin", framed)
answer("/schemas/ids/%d" % number_of(framed), Schema(schema, "JSON"))

lines("registry.jsonl", [{"path": p, "answer": a} for p, a in sorted(answers.items())])
