"""load_serve.py - three kinds of client at once, for measuring `fashionbert serve`.

    fashionbert serve --model M --index I --access-log none &
    python3 tools/load_serve.py 127.0.0.1 8080 photo.jpg [SECONDS [PLAIN [DEAR]]]

    cheap     PLAIN clients (2), each a search by words, on a connection that is kept, 20 ms
              behind the last answer; and /health ten times a second, on new connections
    dear      DEAR clients (2), one behind the other: re-rank 1,000, match 8 texts with 16
              photos, encode 64 photos, explain
    hostile   half request lines without end, bodies that arrive a byte a second, answers
              that nobody reads, 40-megapixel images of a few kilobytes, clients that hang up

SECONDS (10) of each: the cheap ones alone, beside the dear, beside the hostile, beside
both. Prints the times of plain searches and of /health in milliseconds and, by kind, the
answers by status. Threads of Python's, standard library only: on the server's own machine
they take some of its time.
"""
import base64
import collections
import http.client
import json
import os
import socket
import struct
import sys
import threading
import time
import zlib

WORDS = ["red dress", "blue shirt for men", "running shoes", "leather belt", "white socks",
         "summer top", "wrist watch", "black jeans"]


def palette_png(width, height):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * height, 9)
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)) +
            chunk(b"PLTE", b"\xff\0\0\0\0\xff") + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


class Load:
    def __init__(self, host, port, photo, seconds, plain, dear):
        self.host, self.port, self.seconds = host, port, seconds
        self.plain, self.dear = plain, dear
        with open(photo, "rb") as f:
            self.photo = base64.b64encode(f.read()).decode()
        self.wide = base64.b64encode(palette_png(8000, 5000)).decode()
        self.lock = threading.Lock()

    def begin(self):
        self.end_s = time.monotonic() + self.seconds
        self.times = collections.defaultdict(list)
        self.statuses = collections.defaultdict(collections.Counter)

    def on(self):
        return time.monotonic() < self.end_s

    def note(self, kind, status, seconds=None):
        with self.lock:
            self.statuses[kind][status] += 1
            if seconds is not None and status == 200:
                self.times[kind].append(1e3 * seconds)

    def ask(self, kind, c, path, body=None):
        began = time.monotonic()
        try:
            if body is None:
                c.request("GET", path)
            else:
                c.request("POST", path, body, {"Content-Type": "application/json"})
            answer = c.getresponse()
            answer.read()
            self.note(kind, answer.status, time.monotonic() - began)
        except (OSError, http.client.HTTPException):
            self.note(kind, "lost")
            c.close()

    def client(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    # ---- cheap -----------------------------------------------------------------------

    def search(self, number):
        c = self.client()
        while self.on():
            number += 1
            body = json.dumps({"text": WORDS[number % len(WORDS)], "k": 10})
            self.ask("search", c, "/v1/search", body)
            time.sleep(0.02)

    def health(self, _):
        while self.on():
            c = self.client()
            self.ask("health", c, "/health")
            c.close()
            time.sleep(0.1)

    # ---- dear ------------------------------------------------------------------------

    def long_work(self, number):
        bodies = [
            ("rerank 1000", "/v1/search", {"text": "red dress", "k": 1000, "rerank": 1000}),
            ("match 128", "/v1/match", {"texts": WORDS, "images": [self.photo] * 16}),
            ("encode 64", "/v1/encode", {"images": [self.photo] * 64}),
            ("explain", "/v1/explain", {"text": "red dress", "image": self.photo}),
        ]
        bodies = [(kind, path, json.dumps(body)) for kind, path, body in bodies]
        c = self.client()
        while self.on():
            self.ask(bodies[number % 4][0], c, *bodies[number % 4][1:])
            number += 1

    # ---- hostile ---------------------------------------------------------------------

    def connect(self, text):
        c = socket.create_connection((self.host, self.port), timeout=10)
        c.sendall(text)
        return c

    def crowd(self, text):
        """Hundreds of connections that have sent this, anew each second."""
        open_ones = collections.deque()
        while self.on():
            try:
                open_ones.append(self.connect(text))
                self.note("crowd", "connected")
            except OSError:
                self.note("crowd", "refused")
            while len(open_ones) > 400:
                open_ones.popleft().close()
            time.sleep(0.002)
        for c in open_ones:
            c.close()

    def half_lines(self, _):
        self.crowd(b"POST /v1/sea")

    def slow_bodies(self, _):
        head = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self.crowd(head + b"Content-Length: 16000000\r\n\r\n" + 20000 * b" ")

    def unread(self, _):
        self.crowd(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)

    def pixels(self, _):
        many = json.dumps({"texts": ["a"], "images": [self.wide] * 256})
        few = json.dumps({"texts": ["a"], "images": [self.wide] * 9})
        c = self.client()
        while self.on():
            self.ask("40 Mpx x 256", c, "/v1/match", many)
            self.ask("40 Mpx x 9", c, "/v1/match", few)

    def hang_up(self, _):
        body = json.dumps({"text": "red dress", "k": 1000, "rerank": 1000}).encode()
        head = (f"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        while self.on():
            try:
                self.connect(head + body).close()
                self.note("hung up", "asked")
            except OSError:
                self.note("hung up", "refused")
            time.sleep(0.05)

    # ---- phases ----------------------------------------------------------------------

    def phase(self, name, dear, hostile):
        self.begin()
        work = [(self.search, i) for i in range(self.plain)] + [(self.health, 0)]
        if dear:
            work += [(self.long_work, i) for i in range(self.dear)]
        if hostile:
            work += [(f, 0) for f in (self.half_lines, self.slow_bodies, self.unread,
                                      self.pixels, self.hang_up)]
        threads = [threading.Thread(target=f, args=(i,)) for f, i in work]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(f"{name}:")
        for kind in ("search", "health"):
            ms = sorted(self.times[kind]) or [float("nan")]
            at = [ms[int(q * (len(ms) - 1))] for q in (0.5, 0.9, 0.99, 1)]
            print(f"    {kind:8} {len(self.times[kind]):6} x 200; p50 {at[0]:.1f}  "
                  f"p90 {at[1]:.1f}  p99 {at[2]:.1f}  most {at[3]:.1f} ms")
        for kind, counts in sorted(self.statuses.items()):
            said = ", ".join(f"{n} x {status}" for status, n in counts.items())
            print(f"    {kind:14} {said}")
        sys.stdout.flush()


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    host, port, photo = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    numbers = [float(word) for word in sys.argv[4:7]] + [10, 2, 2][len(sys.argv) - 4:]
    load = Load(host, port, photo, numbers[0], int(numbers[1]), int(numbers[2]))
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    load.phase("alone", False, False)
    load.phase("beside dear ones", True, False)
    load.phase("beside hostile ones", False, True)
    load.phase("beside both", True, True)


if __name__ == "__main__":
    main()
