"""What tests/e2e/python_client.sh does with the Python client.

    events json|protobuf COUNT            messages, a line each; protobuf as hex
    produce BROKER TOPIC COUNT            the same through the producer
    no_producer                           it says what is missing
    ask URL TOKEN SCORE.json RANK.json    compares with what autoassign-score got; prints ok and not ok lines
    busy URL TOKEN; gone URL
"""

import json
import sys

from autoassign_client import EventSchema, MissingDependency, Producer, Refused, ScorerClient, ScorerError

BYTES = "M\u00fcnchen".encode("latin-1")  # an item that is not UTF-8
TEXT = "M\u00fcnchen"


def interactions(count, odd_items):
    for i in range(count):
        yield f"p{i % 20}", odd_items[i % len(odd_items)], i % 2, 1_700_000_000_000 + i


def events(form, count):
    items = [TEXT, 7] if form == "json" else [BYTES, b"a\0b", 7]
    schema = EventSchema(form=form)
    for event in interactions(int(count), items):
        message = schema.encode(*event)
        print(message.decode() if form == "json" else message.hex())


def produce(broker, topic, count):
    with Producer({"bootstrap.servers": broker}, topic) as producer:
        for event in interactions(int(count), [TEXT, 7]):
            producer.send(*event)


def no_producer():
    try:
        Producer({}, "topic")
    except MissingDependency as e:
        assert "confluent-kafka" in str(e), e
    else:
        raise AssertionError("confluent-kafka is installed")


def ask(url, token, score_file, rank_file):
    score, rank = json.load(open(score_file)), json.load(open(rank_file))
    scorer = ScorerClient(url, token)

    def a_list_is_scored_as_the_command_line_tool_does():
        got = scorer.score(5, ["1", 2, "nie gesehen: M\u00fcnchen"], explain=True)
        assert (got.scores, got.version) == (score["scores"], score["version"]), (got, score)
        assert [vars(e) for e in got.explanations] == score["explanations"], (got, score)
        assert [e.known for e in got.explanations] == [True, True, True, False], got

    def items_are_ranked_as_the_command_line_tool_does():
        got = scorer.rank("5", 30, exclude=[1])
        assert (got.items, got.scores) == (rank["items"], rank["scores"]), (got, rank)
        assert len(got.items) == 30 and "1" not in got.items, got

    def ids_that_are_not_text_come_back_and_can_be_asked_for():
        got = scorer.rank("p1", 1000)
        assert {BYTES, b"a\0b", TEXT, "7"} <= set(got.items), got.items
        again = scorer.score("p1", got.items, explain=True)
        assert again.scores == got.scores, (again, got)
        assert all(e.known for e in again.explanations[1:]), again
        assert not {BYTES, TEXT} & set(scorer.rank("p1", 1000, exclude=[BYTES, TEXT]).items)

    def refusals_have_status_and_text():
        for call, status, words in (
            (lambda: ScorerClient(url, "wrong").score("u", ["a"]), 401, "wrong token"),
            (lambda: scorer.score("u", ["a"] * 10001), 413, "10001 items"),
            (lambda: scorer.rank("u", items=[]), 400, "items: empty"),
            (lambda: scorer.rank("u", exclude=["a", ""]), 400, "exclude[1]: empty ID"),
        ):
            try:
                call()
            except Refused as e:
                assert e.status == status and words in e.text, e
            else:
                raise AssertionError(words)

    def the_scorer_is_ready():
        assert scorer.ready()

    for test in (the_scorer_is_ready, a_list_is_scored_as_the_command_line_tool_does,
                 items_are_ranked_as_the_command_line_tool_does, refusals_have_status_and_text,
                 ids_that_are_not_text_come_back_and_can_be_asked_for):
        try:
            test()
            print("ok", test.__name__)
        except Exception as e:  # noqa: BLE001 - told
            print(f"not ok {test.__name__}: {e!r:.500}")


def busy(url, token):
    patient, hasty = ScorerClient(url, token, timeout_s=20), ScorerClient(url, token, retries=0)
    for _ in range(3):
        assert len(patient.score("5", ["1"]).scores) == 1
    try:
        hasty.score("5", ["1"])
        hasty.score("5", ["1"])
    except Refused as e:
        assert (e.status, e.retry_after_s) == (429, 1), e
    else:
        raise AssertionError("not refused")


def gone(url):
    client = ScorerClient(url, timeout_s=1)
    assert not client.ready()
    try:
        client.score("u", ["a"])
    except ScorerError:
        return
    raise AssertionError("an answer")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
