"""serve_hostile.py FASHIONBERT WORK CATALOGUE - clients that stall, crowd or ask for too much.

Of WORK/m and WORK/index (served_lib.sh). No check waits for a clock: each asks whether
something happens at all, within a minute, where it once took for ever or another's place.
"""
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import zlib

FB, WORK, CATALOGUE = sys.argv[1:4]
LONG = 60
PHOTO_BYTES = 17 << 20


class Server:
    def __init__(self, *options, stall=False):
        self.log = os.path.join(WORK, "hostile.err")
        words = [FB, "serve", "--model", WORK + "/m", "--index", WORK + "/index", "--threads", "1"]
        self.port = free_port()
        self.connections = []
        words += ["--port", str(self.port), *options]
        self.pipe = os.pipe() if stall else None
        if not stall:
            words += ["--access-log", "none"]
        with open(self.log, "wb") as log:
            out = self.pipe[1] if stall else log
            self.process = subprocess.Popen(words, stdout=out, stderr=out)
        self.wait_until(lambda: self.get("/health")[0] == 200, "serving")

    def wait_until(self, holds, what):
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        raise AssertionError("not " + what)

    def get(self, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        try:
            if body is None:
                c.request("GET", path)
            else:
                c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def metric(self, name):
        found = re.search(r"^(?:fashionbert_)?%s (\d+)$" % name, self.get("/metrics")[1], re.M)
        return int(found.group(1))

    def connect(self, text=b""):
        c = socket.create_connection(("127.0.0.1", self.port), timeout=LONG)
        c.sendall(text)
        self.connections.append(c)
        return c

    def end(self, *signals):
        for number in signals or (signal.SIGTERM,):
            if self.process.poll() is None:
                self.process.send_signal(number)
            time.sleep(0.05)
        code = self.process.wait(LONG)
        for c in self.connections:
            c.close()
        if self.pipe:
            os.close(self.pipe[0])
            os.close(self.pipe[1])
        return code


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def palette_png(width, height):
    """A few kilobytes of one colour."""
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"PLTE", b"\xff\0\0\0\0\xff") +
            chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def post(path, body, length=None):
    """The bytes of a request; length: what its header says in the body's place."""
    said = len(body) if length is None else length
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {said}\r\n\r\n").encode() + body


class Hostile(unittest.TestCase):
    def test_half_request_lines_lock_nobody_out(self):
        s = Server("--connections", "40")
        half = [s.connect(b"POST /v1/sea") for _ in range(120)]
        self.assertEqual(s.get("/health")[0], 200)
        self.assertEqual(s.get("/v1/search", {"text": "red"})[0], 200)
        self.assertGreater(s.metric("crowded_out_total"), 0)
        self.assertEqual(s.end(), 0)

    def test_half_a_request_line_is_timed_out_on_a_kept_connection_too(self):
        s = Server("--receive-timeout", "0.3")
        c = s.connect(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while b'"ok"' not in got:
            got += c.recv(4096)
        c.sendall(b"GET /hea")
        got = b""
        try:
            while b"HTTP/1.1 408 " not in got:
                piece = c.recv(4096)
                self.assertTrue(piece, "closed without a word")
                got += piece
        except ConnectionResetError: # the half line was still unread when it was closed
            pass
        self.assertGreater(s.metric("timed_out_total"), 0)
        self.assertEqual(s.end(), 0)

    def test_health_is_answered_where_all_are_at_work(self):
        s = Server("--connections", "2", "--receive-timeout", "3600")
        s.wait_until(lambda: s.metric("connections") <= 1, "alone")
        taken = []
        for _ in range(100): # the asking for metrics may not have given its place back yet
            c = s.connect()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try: # whole requests, whose answers nobody takes
                c.sendall(b"GET /v1/products/p7/image HTTP/1.1\r\nHost: x\r\n\r\n")
                if c.recv(12) == b"HTTP/1.1 200":
                    taken.append(c)
            except OSError:
                pass
            if len(taken) == 2:
                break
            time.sleep(0.05)
        self.assertEqual(len(taken), 2)
        self.assertEqual(s.get("/v1/search", {"text": "red"})[0], 503)
        self.assertEqual(s.get("/health")[0], 200)
        self.assertEqual(s.get("/ready")[0], 200)
        for c in taken:
            c.close()
        s.wait_until(lambda: s.get("/v1/search", {"text": "red"})[0] == 200, "free again")
        self.assertEqual(s.end(), 0)

    def test_photos_that_nobody_reads_take_no_memory_and_no_place_for_ever(self):
        s = Server("--send-timeout", "2")
        before = s.metric("process_resident_memory_bytes")
        ask = b"GET /v1/products/p7/image HTTP/1.1\r\nHost: x\r\n\r\n"
        clients = [s.connect(ask) for _ in range(30)]
        s.wait_until(lambda: s.metric("requests_in_flight") >= 30, "asked by all")
        self.assertLess(s.metric("body_bytes"), 1 << 20)
        grown = s.metric("process_resident_memory_bytes") - before
        self.assertLess(grown, 10 * PHOTO_BYTES)
        s.wait_until(lambda: s.metric("timed_out_total") >= 30, "timed out")
        self.assertEqual(s.end(), 0)

    def test_a_photo_is_sent_whole(self):
        s = Server()
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=LONG)
        c.request("GET", "/v1/products/p7/image")
        with open(CATALOGUE + "/images/7.png", "rb") as f:
            self.assertTrue(c.getresponse().read() == f.read())
        c.close()
        self.assertEqual(s.end(), 0)

    def test_many_megapixels_in_few_bytes_are_refused_before_they_are_decoded(self):
        s = Server()
        image = base64.b64encode(palette_png(8000, 5000)).decode()
        status, answer = s.get("/v1/match", {"texts": ["a"], "images": [image] * 20})
        self.assertEqual(status, 422)
        self.assertIn("million are read for one request", answer)
        self.assertEqual(s.metric("decode_seconds_count"), 0)
        self.assertEqual(s.metric("body_bytes"), 0)
        self.assertEqual(s.end(), 0)

    def test_a_log_that_nobody_reads_stops_nothing(self):
        s = Server(stall=True)
        target = "/health?" + "x" * 3000
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=LONG)
        for _ in range(1200): # 3.6 MB of lines
            c.request("GET", target)
            answer = c.getresponse()
            answer.read()
            self.assertEqual(answer.status, 200)
        c.close()
        self.assertGreater(s.metric("access_log_dropped_total"), 0)
        self.assertEqual(s.end(), 0)

    def test_it_ends_while_it_computes_and_decodes(self):
        s = Server("--drain-timeout", "0")
        texts = [f"red thing {i}" for i in range(100)]
        with open(CATALOGUE + "/images/3.png", "rb") as f:
            image = base64.b64encode(f.read()).decode()
        wide = base64.b64encode(palette_png(8000, 5000)).decode()
        for body in ({"texts": texts, "images": [image] * 10},
                     {"texts": ["a"], "images": [wide] * 9}):
            s.connect(post("/v1/match", json.dumps(body).encode()))
        s.wait_until(lambda: s.metric("requests_in_flight") >= 3, "at work")
        self.assertEqual(s.end(), 0)

    def test_told_twice_it_ends_at_once(self):
        s = Server("--drain-timeout", "3600", "--receive-timeout", "3600")
        s.connect(post("/v1/search", b'{"te', 90)) # a request that never arrives whole
        s.wait_until(lambda: s.metric("requests_in_flight") >= 2, "begun")
        self.assertEqual(s.end(signal.SIGTERM, signal.SIGTERM, signal.SIGTERM), 0)

    def test_told_while_it_opens_its_model_it_ends(self):
        words = [FB, "serve", "--model", WORK + "/m", "--port", "0", "--workers", "64"]
        with open(os.path.join(WORK, "hostile.err"), "wb") as log:
            p = subprocess.Popen(words, stdout=log, stderr=log)
        time.sleep(0.1)
        p.send_signal(signal.SIGTERM)
        self.assertIn(p.wait(LONG), (0, -signal.SIGTERM)) # before or behind its beginning


if __name__ == "__main__":
    with open(CATALOGUE + "/images/7.png", "ab") as photo: # behind its end; still a PNG
        photo.truncate(PHOTO_BYTES)
    unittest.main(argv=sys.argv[:1])
