"""A client of `fashionbert serve`, of the standard library alone.

    from fashionbert_http import Client, Image
    shop = Client("http://127.0.0.1:8080")
    for hit in shop.search("red summer dress", k=5, rerank=100, filter={"gender": "Women"}):
        print(hit["product_id"], hit["title"], hit["rerank_score"])
    shop.search(image=Image("photo.jpg"))
    shop.match(["red dress", "blue jeans"], [Image("1.jpg"), Image("2.jpg")])

Connections are kept and used again; a client may be used by several threads, each has its
own connection. Where the server answers 429 or 503 a request is tried again after the time
that it names, up to `retries` times. Every other error is a ServerError.
"""

import json
import threading
import time
import urllib.parse
import uuid
from http.client import HTTPConnection, HTTPException, HTTPSConnection

__all__ = ["Client", "Image", "ServerError"]


class ServerError(Exception):
    """status: of HTTP; code: the server's word; request_id: as in its log."""

    def __init__(self, status, code, message, request_id, retry_after=None):
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message
        self.request_id, self.retry_after = request_id, retry_after


class Image:
    """A JPEG, PNG or WebP image: a path, or its bytes."""

    def __init__(self, source):
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.bytes = bytes(source)
        else:
            with open(source, "rb") as file:
                self.bytes = file.read()


def _multipart(fields):
    """fields: pairs of a name and a str, a number, an object or an Image."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, Image):
            head += '; filename="image"\r\nContent-Type: application/octet-stream'
            body = value.bytes
        else:
            body = (value if isinstance(value, str) else json.dumps(value)).encode()
        parts += [head.encode(), b"\r\n\r\n", body, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def _encode(fields):
    """As JSON; as multipart where there is an image, which base64 would make larger."""
    given = {name: value for name, value in fields.items() if value is not None}
    pairs = [(name, one) for name, value in given.items()
             for one in (value if isinstance(value, list) else [value])]
    if any(isinstance(value, Image) for _, value in pairs):
        return _multipart(pairs)
    return "application/json", json.dumps(given).encode()


class Client:
    def __init__(self, url="http://127.0.0.1:8080", api_key=None, timeout=60, retries=3):
        """timeout: seconds of one try; retries: after 429, 503 or a broken connection."""
        self._url = urllib.parse.urlsplit(url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ValueError(f"not the address of a server: {url}")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout, self._retries = timeout, retries
        self._local = threading.local()

    # ---- what the server does ----

    def search(self, text=None, image=None, k=None, rerank=None, filter=None,
               text_weight=None, exact=None, by=None, full=False, rerank_margin=None):
        """Products, best first, as dicts; with full=True the whole answer (took_ms, ...)."""
        answer = self._post("/v1/search", text=text, image=image, k=k, rerank=rerank,
                            filter=filter, text_weight=text_weight, exact=exact, by=by,
                            rerank_margin=rerank_margin)
        return answer if full else answer["results"]

    def rerank(self, product_ids, text=None, image=None, k=None):
        """The products in the order in which the model matches them with the query."""
        return self._post("/v1/rerank", product_ids=list(product_ids), text=text,
                          image=image, k=k)["results"]

    def match(self, texts, images, queries=None):
        """scores[i][j]: the probability that texts[i] and images[j] show one product; with
        queries, that product j, texts[j] and images[j], is clicked for queries[i]."""
        return self._post("/v1/match", texts=list(texts), images=list(images),
                          queries=None if queries is None else list(queries))["scores"]

    def encode(self, texts=None, images=None, text_weight=None):
        """Unit vectors of texts, of images, or, of both, of products."""
        return self._post("/v1/encode", texts=None if texts is None else list(texts),
                          images=None if images is None else list(images),
                          text_weight=text_weight)["vectors"]

    def explain(self, text, image=None, product_id=None):
        """What each word and each patch of the image adds to their match."""
        return self._post("/v1/explain", text=text, image=image, product_id=product_id)

    def product(self, product_id):
        return self._get(f"/v1/products/{urllib.parse.quote(product_id, safe='')}")

    def photo(self, product_id):
        """The bytes of the product's photo."""
        path = f"/v1/products/{urllib.parse.quote(product_id, safe='')}/image"
        return self._ask("GET", path, {}, None)

    def index(self):
        """What the index holds, and what one can filter by."""
        return self._get("/v1/index")

    def ready(self):
        try:
            return self._get("/ready")["status"] == "ready"
        except (ServerError, OSError):
            return False

    # ---- how it is asked ----

    def _get(self, path):
        return json.loads(self._ask("GET", path, {}, None))

    def _post(self, path, **fields):
        content_type, body = _encode(fields)
        return json.loads(self._ask("POST", path, {"Content-Type": content_type}, body))

    def _connection(self):
        if getattr(self._local, "connection", None) is None:
            kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
            self._local.connection = kind(self._url.hostname, self._url.port,
                                          timeout=self._timeout)
        return self._local.connection

    def close(self):
        """Of this thread's connection; the next request opens another."""
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection = None

    def _try(self, method, path, headers, body):
        connection = self._connection()
        connection.request(method, self._url.path.rstrip("/") + path, body,
                           {**self._headers, **headers})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status < 400:
            return content
        try:
            fault = json.loads(content)["error"]
        except (ValueError, KeyError, TypeError):  # a proxy's page
            fault = {"code": "error", "message": answer.reason, "request_id": ""}
        wait = answer.getheader("Retry-After")
        raise ServerError(answer.status, fault["code"], fault["message"],
                          fault["request_id"], float(wait) if wait else None)

    def _ask(self, method, path, headers, body):
        for tries_left in range(self._retries, -1, -1):
            try:
                return self._try(method, path, headers, body)
            except ServerError as error:
                if error.status not in (429, 503) or not tries_left or method != "POST":
                    raise
                time.sleep(error.retry_after or 1)
            except (ConnectionError, HTTPException):
                self.close()  # a kept connection that the server has closed meanwhile
                if not tries_left:
                    raise
        raise AssertionError("not reached")
