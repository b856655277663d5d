"""A client of the scorer's HTTP interface (scorer/api/openapi.yaml). Standard library only."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union
from urllib.parse import urlsplit

from .ids import Id, decode_id, encode_id

RETRIED = (429, 503)  # too many requests wait; not ready, or too late
FIRST_PAUSE_S = 0.05  # doubled at each further try
LONGEST_PAUSE_S = 2.0


class ScorerError(Exception):
    """No answer: either Refused or Unreachable."""


class Refused(ScorerError):
    """The scorer answered with another status than 200."""

    def __init__(self, status: int, text: str, retry_after_s: Optional[float] = None):
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s


class Unreachable(ScorerError):
    """No connection, no answer in time, or an answer that is not a scorer's."""


@dataclass(frozen=True)
class Explanation:
    """What one ID read."""

    slot: int
    mix: float
    position: int
    unique: bool
    known: bool
    version: int


@dataclass(frozen=True)
class Scores:
    """Scores in the order of the request's items."""

    scores: List[float]
    version: int
    explanations: List[Explanation] = field(default_factory=list)


@dataclass(frozen=True)
class Ranking:
    """The best items, best first, and their scores."""

    items: List[Union[str, bytes]]
    scores: List[float]
    version: int
    explanations: List[Explanation] = field(default_factory=list)


class ScorerClient:
    """Asks one scorer, or a balancer in front of several. May be shared by threads.

    url          http://host:port or https://host:port, perhaps with a path in front of /v1
    token        scorer.token, if it is set
    timeout_s    the longest that a call takes, further tries included
    retries      further tries after 429, 503 or a connection that failed; requests change nothing
                 at the scorer, so each may be sent again
    """

    def __init__(self, url: str, token: Optional[str] = None, timeout_s: float = 5.0, retries: int = 3):
        parts = urlsplit(url if "//" in url else "//" + url, scheme="http")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a scorer: {url}")
        self._kind: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = "Bearer " + token
        self._timeout_s, self._retries = timeout_s, retries
        self._idle: List[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def score(self, user: Id, items: Iterable[Id], context: Iterable[Id] = (), explain: bool = False,
              deadline_ms: Optional[int] = None) -> Scores:
        """The scores of a list of items. context: IDs of further fields, in the configuration's order."""
        body = _request(user, context, explain, deadline_ms)
        body["items"] = [encode_id(i) for i in items]
        reply = self._ask("/v1/score", body)
        try:
            result = Scores(*_scores_of(reply))
        except (KeyError, TypeError, ValueError) as e:
            raise Unreachable(f"not a reply to a score request: {e!r}") from e
        if len(result.scores) != len(body["items"]):
            raise Unreachable(f"{len(result.scores)} scores for {len(body['items'])} items")
        return result

    def rank(self, user: Id, top: int = 10, items: Optional[Iterable[Id]] = None, exclude: Iterable[Id] = (),
             context: Iterable[Id] = (), explain: bool = False, deadline_ms: Optional[int] = None) -> Ranking:
        """The best of the items, or of all known items if items is None, without the excluded ones."""
        body = _request(user, context, explain, deadline_ms)
        body["top"] = top
        if items is not None:
            body["items"] = [encode_id(i) for i in items]
        excluded = [encode_id(i) for i in exclude]
        if excluded:
            body["exclude"] = excluded
        reply = self._ask("/v1/rank", body)
        try:
            best = [decode_id(i) for i in reply.get("items", [])]
            scores, version, explanations = _scores_of(reply)
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise Unreachable(f"not a reply to a ranking: {e!r}") from e
        if len(best) != len(scores):
            raise Unreachable(f"{len(scores)} scores for {len(best)} items")
        return Ranking(best, scores, version, explanations)

    def ready(self) -> bool:
        """Scores are served. False also if nothing answers."""
        try:
            status, _, _ = self._send("GET", "/readyz", None, time.monotonic() + self._timeout_s)
        except Unreachable:
            return False
        return status == 200

    def close(self) -> None:
        """Close the idle connections. The client may still be used."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> "ScorerClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- one call: tries, and pauses between them ----

    def _ask(self, path: str, body: Dict[str, Any]) -> Any:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        end = time.monotonic() + self._timeout_s
        for attempt in range(self._retries + 1):
            failed: ScorerError
            try:
                status, retry_after_s, answer = self._send("POST", path, text, end)
                if status == 200:
                    return _parsed(answer)
                failed = Refused(status, _error_text(answer), retry_after_s)
                if status not in RETRIED:
                    raise failed
            except Unreachable as e:
                failed = e
            pause_s = _pause_s(attempt, failed)
            if attempt == self._retries or time.monotonic() + pause_s >= end:
                raise failed
            time.sleep(pause_s)
        raise AssertionError("not reached")

    def _send(self, method: str, path: str, body: Optional[bytes], end: float) -> Tuple[int, Optional[float], bytes]:
        """One request. The server may have closed a connection that was kept: then a new one is tried at once."""
        while True:
            connection, kept = self._take()
            left_s = end - time.monotonic()
            try:
                if left_s <= 0:
                    raise TimeoutError("no time left")
                connection.timeout = left_s
                if connection.sock is not None:
                    connection.sock.settimeout(left_s)
                connection.request(method, self._prefix + path, body, self._headers)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as e:
                connection.close()
                if kept and isinstance(e, (ConnectionError, http.client.BadStatusLine)):
                    continue
                raise Unreachable(f"{self._host}:{self._port or ''}: {e or type(e).__name__}") from e
            except BaseException:  # interrupted between question and answer
                connection.close()
                raise
            if response.will_close:
                connection.close()
            else:
                with self._lock:
                    self._idle.append(connection)
            return response.status, _seconds(response.getheader("Retry-After")), answer

    def _take(self) -> Tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self._kind(self._host, self._port), False


def _request(user: Id, context: Iterable[Id], explain: bool, deadline_ms: Optional[int]) -> Dict[str, Any]:
    body: Dict[str, Any] = {"user": encode_id(user)}
    further = [encode_id(i) for i in context]
    if further:
        body["context"] = further
    if explain:
        body["explain"] = True
    if deadline_ms is not None:
        body["deadline_ms"] = deadline_ms
    return body


def _scores_of(reply: Any) -> Tuple[List[float], int, List[Explanation]]:
    explanations = [
        Explanation(e["slot"], e["mix"], e["position"], e["unique"], e["known"], e["version"])
        for e in reply.get("explanations", [])
    ]
    return [float(s) for s in reply["scores"]], int(reply["version"]), explanations


def _parsed(answer: bytes) -> Any:
    try:
        reply = json.loads(answer)
    except ValueError as e:
        raise Unreachable(f"an answer that is not JSON: {answer[:100]!r}") from e
    if not isinstance(reply, dict):
        raise Unreachable(f"an answer that is no object: {answer[:100]!r}")
    return reply


def _error_text(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (KeyError, TypeError, ValueError):  # a balancer's
        return answer.decode("utf-8", "replace").strip()


def _seconds(header: Optional[str]) -> Optional[float]:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:  # a date
        return None


def _pause_s(attempt: int, failed: ScorerError) -> float:
    """As long as the server says and a random part more, so that clients do not come back all at once."""
    doubled = min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S)
    told = failed.retry_after_s if isinstance(failed, Refused) else None
    return doubled * random.uniform(0.5, 1) if told is None else told + doubled * random.random()
