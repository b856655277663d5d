"""The client against a scripted server: requests, replies, tries, connections; encodings; and that every path and
member it uses is in scorer/api/openapi.yaml. tests/e2e/python_client.sh has the real pipeline.

    python3 clients/python/tests/test_client.py
"""

import json
import re
import socket
import sys
import threading
import time
import types
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src" / "autoassign_client"
OPENAPI = HERE.parents[2] / "scorer" / "api" / "openapi.yaml"
sys.path.insert(0, str(HERE.parent / "src"))

import autoassign_client as aa  # noqa: E402
from autoassign_client import scorer as scorer_module  # noqa: E402

LATIN1 = "M\u00fcnchen".encode("latin-1")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.path, self.headers, json.loads(body) if body else None))
        status, headers, text = self.server.replies.pop(0) if self.server.replies else (200, {}, self.server.usual)
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        if self.server.hang_up:  # without a word of it, as at the end of an idle time
            self.close_connection = True

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.replies, self.connections, self.hang_up = [], [], 0, False
        self.usual = {"scores": [0.5], "version": 7}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class Asking(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.client = aa.ScorerClient(self.url, token="secret")
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.client.close)
        self.pauses = []
        pauses = mock.patch.object(scorer_module.time, "sleep", self.pauses.append)
        pauses.start()
        self.addCleanup(pauses.stop)

    def last(self):
        return self.server.asked[-1]

    def test_a_list_is_scored(self):
        explained = {"slot": 9, "mix": 0.5, "position": 2, "unique": False, "known": True, "version": 3}
        self.server.usual = {"scores": [0.25, 1], "version": 7, "explanations": [explained] * 4}
        got = self.client.score("u", ["a", 42], context=["phone"], explain=True, deadline_ms=50)
        self.assertEqual(got, aa.Scores([0.25, 1.0], 7, [aa.Explanation(9, 0.5, 2, False, True, 3)] * 4))
        path, headers, body = self.last()
        self.assertEqual(path, "/v1/score")
        self.assertEqual(headers["Authorization"], "Bearer secret")
        self.assertEqual(body, {"user": "u", "items": ["a", 42], "context": ["phone"], "explain": True, "deadline_ms": 50})

    def test_all_known_items_are_ranked_without_the_excluded(self):
        self.server.usual = {"items": ["a", {"base64": "Tfxu"}], "scores": [0.75, 0.5], "version": 8}
        got = self.client.rank("u", top=2, exclude=[7, b"M\xfcn"])
        self.assertEqual((got.items, got.scores, got.version), (["a", b"M\xfcn"], [0.75, 0.5], 8))
        self.assertEqual(self.last()[0], "/v1/rank")
        self.assertEqual(self.last()[2], {"user": "u", "top": 2, "exclude": [7, {"base64": "Tfxu"}]})
        self.client.rank("u", items=["a", "b"])
        self.assertEqual(self.last()[2], {"user": "u", "top": 10, "items": ["a", "b"]})

    def test_a_ranking_of_nothing_is_empty(self):
        self.server.usual = {"scores": [], "version": 8}
        self.assertEqual(self.client.rank("u").items, [])

    def test_a_refusal_has_status_and_text_and_is_not_tried_again(self):
        for status in (400, 401, 413, 500):
            self.server.replies = [(status, {}, {"error": "user: empty ID", "status": status})]
            before = len(self.server.asked)
            with self.assertRaises(aa.Refused) as caught:
                self.client.score("", ["a"])
            self.assertEqual((caught.exception.status, caught.exception.text), (status, "user: empty ID"))
            self.assertEqual(len(self.server.asked) - before, 1)
        self.assertEqual(self.pauses, [])

    def test_429_and_503_are_tried_again_not_before_retry_after(self):
        self.server.replies = [(429, {"Retry-After": "1"}, {"error": "busy", "status": 429}),
                               (503, {"Retry-After": "1"}, {"error": "catching up", "status": 503})]
        self.assertEqual(self.client.score("u", ["a"]).scores, [0.5])
        self.assertEqual(len(self.server.asked), 3)
        self.assertEqual([1 <= p <= 1.2 for p in self.pauses], [True, True])

    def test_pauses_grow_without_retry_after(self):
        self.server.replies = [(503, {}, b"<html>bad gateway")] * 4
        with self.assertRaises(aa.Refused) as caught:
            self.client.score("u", ["a"])
        self.assertEqual(caught.exception.text, "<html>bad gateway")
        self.assertEqual(len(self.server.asked), 4)
        for i, pause in enumerate(self.pauses):
            self.assertTrue(0.025 * 2**i <= pause <= 0.05 * 2**i, self.pauses)

    def test_no_try_begins_after_the_time_out(self):
        self.server.replies = [(503, {"Retry-After": "60"}, {"error": "not ready", "status": 503})]
        with self.assertRaises(aa.Refused) as caught:
            self.client.score("u", ["a"])
        self.assertEqual((caught.exception.text, caught.exception.retry_after_s), ("not ready", 60))
        self.assertEqual((len(self.server.asked), self.pauses), (1, []))

    def test_one_connection_serves_many_requests(self):
        for _ in range(20):
            self.client.score("u", ["a"])
        self.assertEqual(self.server.connections, 1)

    def test_a_connection_that_was_closed_meanwhile_is_replaced_at_once(self):
        self.server.hang_up = True
        for _ in range(3):
            self.client.score("u", ["a"])
            self.wait_for_the_end_of_the_connection()
        self.assertEqual((self.server.connections, self.pauses), (3, []))

    def wait_for_the_end_of_the_connection(self):
        kept = self.client._idle[0].sock
        kept.settimeout(10)
        self.assertEqual(kept.recv(1, socket.MSG_PEEK), b"")

    def test_threads_share_a_client(self):
        with_errors = []

        def ask():
            try:
                for _ in range(20):
                    self.client.score("u", ["a"])
            except Exception as e:  # noqa: BLE001 - told below
                with_errors.append(e)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        self.assertEqual((with_errors, len(self.server.asked)), ([], 80))
        self.assertLessEqual(self.server.connections, 4)

    def test_nobody_there_is_unreachable_after_the_last_try(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            client = aa.ScorerClient(f"127.0.0.1:{s.getsockname()[1]}", retries=2)
            with self.assertRaises(aa.Unreachable):
                client.score("u", ["a"])
            self.assertEqual(len(self.pauses), 2)
            self.assertFalse(client.ready())

    def test_a_server_that_does_not_answer_is_left_in_time(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            client = aa.ScorerClient(f"127.0.0.1:{s.getsockname()[1]}", timeout_s=0.2)
            began = time.monotonic()
            with self.assertRaises(aa.Unreachable):
                client.score("u", ["a"])
            self.assertLess(time.monotonic() - began, 5)

    def test_what_is_no_reply_is_an_error(self):
        for usual in (b"hello", [], {}, {"scores": [0.5, 0.5], "version": 1}, {"scores": ["x"], "version": 1}):
            self.server.usual = usual
            with self.assertRaises(aa.ScorerError):
                aa.ScorerClient(self.url, retries=0).score("u", ["a"])
        self.server.usual = {"items": ["a"], "scores": [], "version": 1}
        with self.assertRaises(aa.ScorerError):
            self.client.rank("u")

    def test_ready_follows_readyz(self):
        self.server.replies = [(200, {}, b"ok\n"), (503, {}, b"catching up\n")]
        self.assertEqual((self.client.ready(), self.client.ready()), (True, False))
        self.assertEqual(self.last()[0], "/readyz")

    def test_an_address_may_have_a_path_and_must_be_one(self):
        aa.ScorerClient(self.url + "/scores/").score("u", ["a"])
        self.assertEqual(self.last()[0], "/scores/v1/score")
        for wrong in ("", "ftp://host", "http://"):
            self.assertRaises(ValueError, aa.ScorerClient, wrong)


class Contract(unittest.TestCase):
    """The OpenAPI file and the client name the same things."""

    @classmethod
    def setUpClass(cls):
        try:
            import yaml
        except ImportError as e:
            raise unittest.SkipTest("no python3-yaml") from e
        cls.api = yaml.safe_load(OPENAPI.read_text())
        cls.schemas = cls.api["components"]["schemas"]

    def setUp(self):
        self.asked = {}

    def remember(self, path, body):
        self.asked[path] = body
        reply = {"/v1/score": "ScoreReply", "/v1/rank": "RankReply"}[path]
        return self.reply(reply, len(body.get("items", [1])))

    def reply(self, name, n):
        """A reply with the members that the schema requires, and an explanation with all of its own."""
        made = {"scores": [0.5] * n, "version": 1, "items": ["a"] * n}
        explained = {"slot": 1, "mix": 0.5, "position": 1, "unique": False, "known": False, "version": 1}
        self.assertEqual(set(explained), set(self.schemas["Explanation"]["required"]))
        required = {m: made[m] for m in self.schemas[name]["required"]}
        self.assertIn("explanations", self.schemas[name]["properties"])
        if name == "RankReply":
            required["items"] = made["items"]
            self.assertIn("items", self.schemas[name]["properties"])
        return {**required, "explanations": [explained]}

    def test_requests_have_the_members_that_the_contract_names(self):
        client = aa.ScorerClient("localhost")
        with mock.patch.object(client, "_ask", self.remember):
            client.score("u", ["a"], context=["c"], explain=True, deadline_ms=5)
            client.rank("u", 3, ["a"], ["b"], ["c"], True, 5)
        for path, schema in (("/v1/score", "ScoreRequest"), ("/v1/rank", "RankRequest")):
            content = self.api["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            self.assertEqual(content["schema"]["$ref"], "#/components/schemas/" + schema)
            members = set(self.schemas[schema]["properties"])
            self.assertLessEqual(set(self.asked[path]), members)
            self.assertLessEqual(set(self.schemas[schema]["required"]), set(self.asked[path]))
            self.assertEqual(members - set(self.asked[path]), {"request_id"})  # one call, one answer: not needed

    def test_paths_and_members_in_the_code_are_in_the_contract(self):
        text = (SOURCES / "scorer.py").read_text()
        paths = set(re.findall(r'"(/\w[\w/]*)"', text))
        self.assertEqual(paths, {"/v1/score", "/v1/rank", "/readyz"})
        self.assertLessEqual(paths, set(self.api["paths"]))
        members = set(re.findall(r'(?:reply|body|e|json\.loads\(answer\))(?:\[|\.get\()"(\w+)"', text))
        self.assertGreater(len(members), 12)
        known = set().union(*(s.get("properties", {}) for s in self.schemas.values()))
        self.assertLessEqual(members, known)

    def test_every_status_of_the_contract_is_handled(self):
        for path in ("/v1/score", "/v1/rank"):
            for status in self.api["paths"][path]["post"]["responses"]:
                self.assertEqual(status in ("429", "503"), int(status) in scorer_module.RETRIED)
        self.assertIn("error", self.schemas["Error"]["required"])


class Ids(unittest.TestCase):
    def test_any_bytes_come_back_as_they_were(self):
        for raw in (b"abc", LATIN1, b"\0", b"a\0b", b"\xff", bytes(range(256)), "\U0001f600".encode()):
            back = aa.decode_id(json.loads(json.dumps(aa.encode_id(raw))))
            self.assertEqual(back if isinstance(back, bytes) else back.encode(), raw)

    def test_text_is_text_and_the_rest_is_base64(self):
        self.assertEqual(aa.encode_id("M\u00fcnchen"), "M\u00fcnchen")
        self.assertEqual(aa.encode_id(b"abc"), "abc")
        self.assertEqual(aa.encode_id(b"M\xfcn"), {"base64": "Tfxu"})
        self.assertEqual(aa.encode_id("a\0b"), {"base64": "YQBi"})
        self.assertEqual(aa.encode_id(b"M\xfcn".decode("utf-8", "surrogateescape")), {"base64": "Tfxu"})

    def test_integers_beyond_64_bits_are_text(self):
        self.assertEqual(aa.encode_id(-(2**63)), -(2**63))
        self.assertEqual(aa.encode_id(2**63), str(2**63))

    def test_what_is_no_id_is_an_error(self):
        for wrong in (1.5, None, True, ["a"]):
            self.assertRaises(TypeError, aa.encode_id, wrong)
        self.assertRaises(ValueError, aa.encode_id, "\ud800")
        for wrong in (1, None, {"base64": "!"}, {"base64": 1}, {"base64": "YQ==", "x": 1}):
            self.assertRaises(ValueError, aa.decode_id, wrong)


class Events(unittest.TestCase):
    def test_json_has_the_names_of_the_schema(self):
        self.assertEqual(aa.EventSchema().encode("u", 42, 1, 1700000000123),
                         b'{"user":"u","item":42,"label":1,"timestamp_ms":1700000000123}')
        schema = aa.EventSchema(("uid", "sku", "shop"), "clicked", "ts", "s")
        self.assertEqual(json.loads(schema.encode("\u00e4", b"b", True, 1700000000123, ["x"])),
                         {"uid": "\u00e4", "sku": "b", "shop": "x", "clicked": True, "ts": 1700000000.123})
        self.assertEqual(json.loads(schema.encode("a", "b", 0.5, 2000, ["x"]))["ts"], 2)
        self.assertNotIn("ts", json.loads(schema.encode("a", "b", 0.5, None, ["x"])))

    def test_protobuf_has_the_bytes_of_event_proto(self):
        schema = aa.EventSchema(("user", "item", "shop"), form="protobuf")
        got = schema.encode(b"\xff\0", 300, 0, -1, ["s"])
        self.assertEqual(got, b"\x0a\x02\xff\x00" b"\x20\xac\x02" b"\x29" + bytes(8) + b"\x30" + b"\xff" * 9 + b"\x01" b"\x3a\x01s")
        self.assertEqual(aa.EventSchema(form="protobuf").encode(-2, "i" * 200, 1.0),
                         b"\x10\xfe" + b"\xff" * 8 + b"\x01" b"\x1a\xc8\x01" + b"i" * 200 + b"\x29\0\0\0\0\0\0\xf0\x3f")

    def test_what_would_be_a_dead_letter_is_an_error(self):
        schema = aa.EventSchema()
        for wrong in (("", "i", 1), ("u", "", 1), ("u", "x" * 257, 1), ("u", "i", float("nan")), ("u", b"\xff", 1),
                      ("u", "i", 1, 2**63), ("u", "i", 1, None, ["further"])):
            self.assertRaises(ValueError, schema.encode, *wrong)
        for wrong in ({"fields": ["user"]}, {"fields": ["a", "a"]}, {"time_unit": "us"}, {"form": "xml"}):
            self.assertRaises(ValueError, aa.EventSchema, **wrong)


class FakeKafka:
    """confluent_kafka.Producer, as far as it is used: a queue of two."""

    def __init__(self, config):
        self.config, self.queue, self.sent, self.fail = config, [], [], False

    def produce(self, topic, value, key, on_delivery):
        if len(self.queue) == 2:
            raise BufferError("full")
        self.queue.append((topic, key, value, on_delivery))

    def poll(self, timeout):
        if timeout:
            self.flush(timeout)

    def flush(self, timeout):
        for topic, key, value, on_delivery in self.queue:
            on_delivery("refused" if self.fail else None, None)
            self.sent.append((topic, key, value))
        self.queue = []
        return 0


class Producing(unittest.TestCase):
    def producer(self):
        with mock.patch.dict(sys.modules, confluent_kafka=types.SimpleNamespace(Producer=FakeKafka)):
            return aa.Producer({"bootstrap.servers": "b:1"}, "clicks")

    def test_without_confluent_kafka_the_producer_says_what_is_missing(self):
        with mock.patch.dict(sys.modules, confluent_kafka=None):
            with self.assertRaisesRegex(aa.MissingDependency, "confluent-kafka"):
                aa.Producer({}, "clicks")

    def test_events_are_keyed_by_user_and_wait_for_room(self):
        producer = self.producer()
        with producer:
            for i in range(5):
                producer.send(7, f"i{i}", 1)
        fake = producer._producer
        self.assertEqual(fake.config, {"enable.idempotence": True, "bootstrap.servers": "b:1"})
        self.assertEqual([(t, k, json.loads(v)["item"]) for t, k, v in fake.sent], [("clicks", b"7", f"i{i}") for i in range(5)])

    def test_events_that_kafka_refuses_are_told_at_flush(self):
        producer = self.producer()
        producer._producer.fail = True
        producer.send("u", "i", 1)
        producer.send("u", "i", 1)
        with self.assertRaisesRegex(aa.NotDelivered, "2 events.*refused"):
            producer.flush()
        producer.flush()  # told once


class Lines(unittest.TextTestResult):
    """The lines that `make check` counts."""

    def addSuccess(self, test):
        print(f"ok {test._testMethodName}", flush=True)

    def addSkip(self, test, reason):
        print(f"skip {test}: {reason}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"not ok {test}: {err[1]!r}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"not ok {test}: {err[1]}", flush=True)


if __name__ == "__main__":
    result = unittest.TextTestRunner(resultclass=Lines).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    sys.exit(not result.wasSuccessful())
