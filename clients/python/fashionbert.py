"""The library libfashionbert.so from Python, with NumPy arrays.

    import fashionbert
    model = fashionbert.Model("model")
    model.match(["red dress", "blue jeans"], ["1.jpg", "2.jpg"])     # float32 [2, 2]
    vectors = model.encode(texts=["red dress"])                      # float32 [1, D]
    index = fashionbert.Index("index", model)
    for hit in index.search(text="red dress", k=5, rerank=100):
        print(hit["product_id"], hit["title"], hit["rerank_score"])
    ids, scores = index.nearest(vectors, k=10)

An image is a path, the bytes of a JPEG, PNG or WebP file, or what Model.read_image made of
one: uint8 [size, size, 3]. The library is looked for in FASHIONBERT_LIBRARY, beside this
file, in build/ of the repository, and where the system looks. What it refuses is raised as
fashionbert.Error, with its sentence. Python's lock is given up while it computes; a model
serves one thread at a time and makes the others wait.
"""

import ctypes
import math
import os
import threading
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_double, c_float, c_int32
from ctypes import c_int64, c_size_t, c_uint8, c_uint64, c_void_p

import numpy as np

__all__ = ["Error", "Index", "Model"]


class Error(Exception):
    """status: the library's code, such as "FB_E_MISSING"."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---- the header's structs, member by member (tests/cli/python_clients.py compares them) ----


class _ModelOptions(Structure):
    _name_ = "fb_model_options"
    _fields_ = [("backend", c_char_p), ("dtype", c_char_p), ("threads", c_int32)]


class _ImageInput(Structure):
    _name_ = "fb_image_input"
    _fields_ = [("file", c_char_p), ("bytes", c_void_p), ("size_bytes", c_size_t),
                ("pixels", c_void_p)]


class _Input(Structure):
    _name_ = "fb_input"
    _fields_ = [("text", c_char_p), ("image", POINTER(_ImageInput))]


class _IndexInfo(Structure):
    _name_ = "fb_index_info"
    _fields_ = [("products", c_int64), ("vector_size", c_int32), ("fingerprint", c_uint64),
                ("kind", c_char_p), ("what", c_char_p), ("catalog", c_char_p),
                ("storage", c_char_p), ("text_weight", c_double),
                ("attribute_count", c_int32),
                ("attributes", POINTER(c_char_p))]


class _Filter(Structure):
    _name_ = "fb_search_filter"
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class _SearchOptions(Structure):
    _name_ = "fb_search_options"
    _fields_ = [("k", c_int32), ("rerank", c_int32), ("rerank_margin", c_double),
                ("text_weight", c_double),
                ("by", c_char_p), ("exact", c_bool), ("effort", c_int32),
                ("ranker", c_void_p), ("filters", POINTER(_Filter)),
                ("filter_count", c_int32)]


class _Hit(Structure):
    _name_ = "fb_hit"
    _fields_ = [("product_id", c_char_p), ("title", c_char_p), ("image", c_char_p),
                ("attributes", POINTER(c_char_p)), ("attribute_count", c_int32),
                ("score", c_float), ("rerank_score", c_float), ("rank", c_int32),
                ("rerank_rank", c_int32), ("row", c_int64)]


class _Result(Structure):
    _name_ = "fb_search_result"
    _fields_ = [("hits", POINTER(_Hit)), ("hit_count", c_int32), ("retrieved", POINTER(_Hit)),
                ("retrieved_count", c_int32), ("rerank_dropped", c_int32),
                ("compared", c_int64), ("encode_ms", c_double), ("search_ms", c_double),
                ("rerank_ms", c_double), ("total_ms", c_double)]


_structs = [_ModelOptions, _ImageInput, _Input, _IndexInfo, _Filter, _SearchOptions, _Hit, _Result]


def _find_library():
    here = os.path.dirname(os.path.abspath(__file__))
    name = "libfashionbert.so"
    for path in (os.environ.get("FASHIONBERT_LIBRARY", ""), os.path.join(here, name),
                 os.path.join(here, "..", "..", "build", name)):
        if path and os.path.exists(path):
            return path
    return name


_lib = None
_local = threading.local()


def _library():
    """The library, opened when it is first needed, its functions declared."""
    global _lib
    if _lib is not None:
        return _lib
    lib = ctypes.CDLL(_find_library())
    P = c_void_p
    for name, result, arguments in [
            ("fb_context_create", P, []),
            ("fb_context_message", c_char_p, [P]),
            ("fb_status_name", c_char_p, [ctypes.c_int]),
            ("fb_model_options_defaults", None, [POINTER(_ModelOptions)]),
            ("fb_model_open", ctypes.c_int, [P, POINTER(P), c_char_p, POINTER(_ModelOptions)]),
            ("fb_model_close", None, [P]),
            ("fb_model_vector_size", c_int32, [P]),
            ("fb_model_image_size", c_int32, [P]),
            ("fb_model_encode", ctypes.c_int, [P, P, POINTER(_Input), c_int64, c_double, P]),
            ("fb_model_match", ctypes.c_int, [P, P, POINTER(_Input), c_int64, P]),
            ("fb_model_read_image", ctypes.c_int,
             [P, P, POINTER(_ImageInput), c_char_p, c_int64, P]),
            ("fb_index_open", ctypes.c_int, [P, POINTER(P), c_char_p, P]),
            ("fb_index_close", None, [P]),
            ("fb_index_get_info", POINTER(_IndexInfo), [P]),
            ("fb_search_options_defaults", None, [POINTER(_SearchOptions)]),
            ("fb_search", ctypes.c_int, [P, P, P, POINTER(_Input), POINTER(_SearchOptions),
                                         POINTER(POINTER(_Result))]),
            ("fb_index_search", ctypes.c_int, [P, P, P, POINTER(_SearchOptions),
                                               POINTER(POINTER(_Result))]),
            ("fb_search_result_free", None, [POINTER(_Result)])]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    _lib = lib
    return lib


def _call(name, *arguments):
    """Call with this thread's context; a failure becomes an Error."""
    lib = _library()
    if not hasattr(_local, "context"):
        _local.context = lib.fb_context_create()
    status = getattr(lib, name)(_local.context, *arguments)
    if status != 0:
        raise Error(lib.fb_status_name(status).decode(),
                    lib.fb_context_message(_local.context).decode(errors="replace"))


class _Images:
    """Images as the C structs; keeps alive what they point to."""

    def __init__(self, images, size):
        self.structs = (_ImageInput * len(images))()
        self._kept = []
        for struct, image in zip(self.structs, images):
            if isinstance(image, np.ndarray):
                if image.dtype != np.uint8 or image.shape != (size, size, 3):
                    raise ValueError(f"an image array must be uint8 [{size}, {size}, 3], as "
                                     f"Model.read_image gives it, not {image.dtype} "
                                     f"{list(image.shape)}")
                image = np.ascontiguousarray(image)
                struct.pixels = image.ctypes.data
            elif isinstance(image, (bytes, bytearray)):
                image = ctypes.create_string_buffer(bytes(image), len(image))
                struct.bytes = ctypes.addressof(image)
                struct.size_bytes = len(image)
            else:
                image = os.fsencode(image)
                struct.file = image
            self._kept.append(image)


class Model:
    def __init__(self, folder, threads=0, backend="cpu", dtype="auto"):
        options = _ModelOptions()
        self._lock = threading.Lock()
        self._pointer = c_void_p()
        _library().fb_model_options_defaults(byref(options))
        options.threads, options.backend, options.dtype = threads, backend.encode(), dtype.encode()
        _call("fb_model_open", byref(self._pointer), os.fsencode(folder), byref(options))

    def close(self):
        with self._lock:
            _library().fb_model_close(self._pointer)
            self._pointer = c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def vector_size(self):
        """Numbers of a vector; 0: the model gives none."""
        return _library().fb_model_vector_size(self._open())

    @property
    def image_size(self):
        return _library().fb_model_image_size(self._open())

    def _open(self):
        if not self._pointer:
            raise ValueError("the model is closed")
        return self._pointer

    def read_image(self, image):
        """Decoded, upright, fitted: uint8 [size, size, 3]."""
        size = self.image_size
        pixels = np.empty((size, size, 3), np.uint8)
        images = _Images([image], size)
        _call("fb_model_read_image", self._open(), images.structs, b"image", 0,
              pixels.ctypes.data)
        return pixels

    def encode(self, texts=None, images=None, text_weight=0.5):
        """Unit vectors float32 [n, D] of texts, of images, or of pairs of both."""
        if texts is None and images is None:
            raise ValueError("give texts, images or both")
        if texts is not None and images is not None and len(texts) != len(images):
            raise ValueError(f"{len(texts)} texts and {len(images)} images make no pairs")
        count = len(texts if texts is not None else images)
        inputs = (_Input * max(count, 1))()
        held = _Images(images or [], self.image_size)
        for i in range(count):
            if texts is not None:
                inputs[i].text = texts[i].encode()
            if images is not None:
                inputs[i].image = ctypes.pointer(held.structs[i])
        vectors = np.empty((count, self.vector_size), np.float32)
        with self._lock:
            _call("fb_model_encode", self._open(), inputs, count, text_weight,
                  vectors.ctypes.data)
        return vectors

    def match(self, texts, images):
        """Probabilities float32 [texts, images] that a text and an image show one product."""
        held = _Images(images, self.image_size)
        words = [text.encode() for text in texts]
        inputs = (_Input * max(len(words) * len(images), 1))()
        for t, text in enumerate(words):
            for i in range(len(images)):
                one = inputs[t * len(images) + i]
                one.text, one.image = text, ctypes.pointer(held.structs[i])
        scores = np.empty((len(words), len(images)), np.float32)
        with self._lock:
            _call("fb_model_match", self._open(), inputs, scores.size, scores.ctypes.data)
        return scores


def _number(value):
    return None if math.isnan(value) else value


def _hit(hit):
    text = [hit.attributes[i].decode() for i in range(2 * hit.attribute_count)]
    return {"product_id": hit.product_id.decode(), "title": hit.title.decode(),
            "image": os.fsdecode(hit.image), "score": _number(hit.score),
            "rerank_score": _number(hit.rerank_score), "rank": hit.rank,
            "attributes": dict(zip(text[::2], text[1::2]))}


class Index:
    def __init__(self, folder, model=None):
        """model: refuse an index that another one made; needed to search by text or image."""
        self._pointer = c_void_p()
        self._model = model
        _call("fb_index_open", byref(self._pointer), os.fsencode(folder),
              model._open() if model else None)

    def close(self):
        _library().fb_index_close(self._pointer)
        self._pointer = c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _open(self):
        if not self._pointer:
            raise ValueError("the index is closed")
        return self._pointer

    @property
    def info(self):
        info = _library().fb_index_get_info(self._open()).contents
        return {"products": info.products, "vector_size": info.vector_size,
                "kind": info.kind.decode(), "what": info.what.decode(),
                "storage": info.storage.decode(),
                "attributes": [info.attributes[i].decode() for i in range(info.attribute_count)]}

    def _options(self, k, rerank, filter, exact, effort, by, text_weight):
        options = _SearchOptions()
        _library().fb_search_options_defaults(byref(options))
        pairs = [(name, one) for name, value in (filter or {}).items()
                 for one in ([value] if isinstance(value, str) else value)]
        filters = (_Filter * max(len(pairs), 1))()
        for struct, (name, value) in zip(filters, pairs):
            struct.name, struct.value = name.encode(), value.encode()
        options.k, options.rerank, options.exact, options.effort = k, rerank, exact, effort
        options.filters, options.filter_count = filters, len(pairs)
        if by:
            options.by = by.encode()
        if text_weight is not None:
            options.text_weight = text_weight
        return options

    def search(self, text=None, image=None, k=10, rerank=0, filter=None, exact=False,
               effort=0, by="", text_weight=None, ranker=None, rerank_margin=2):
        """Products, best first, as dicts with the members of `search --json`. ranker: a
        Model of queries that re-ranks in the place of the index's own. rerank_margin: only
        products so much less similar than the nearest; the others' rerank_score is None."""
        if self._model is None:
            raise ValueError("to search by text or image, open the index with its model")
        options = self._options(k, rerank, filter, exact, effort, by, text_weight)
        options.rerank_margin = rerank_margin
        if ranker is not None:
            options.ranker = ranker._open()
        query = _Input()
        held = _Images([image] if image is not None else [], self._model.image_size)
        if text is not None:
            query.text = text.encode()
        if image is not None:
            query.image = ctypes.pointer(held.structs[0])
        result = POINTER(_Result)()
        with self._model._lock:
            _call("fb_search", self._model._open(), self._open(), byref(query), byref(options),
                  byref(result))
        try:
            return [_hit(result.contents.hits[i]) for i in range(result.contents.hit_count)]
        finally:
            _library().fb_search_result_free(result)

    def nearest(self, vectors, k=10, filter=None, exact=False, effort=0, by=""):
        """Of each row of vectors [n, D]: a list of product ids, and scores float32 [n, k]
        (NaN where fewer are found)."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        width = self.info["vector_size"]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise ValueError(f"vectors must be [n, {width}], not {list(vectors.shape)}")
        options = self._options(k, 0, filter, exact, effort, by, None)
        ids, scores = [], np.full((len(vectors), k), np.nan, np.float32)
        for row, vector in enumerate(vectors):
            result = POINTER(_Result)()
            _call("fb_index_search", self._open(), vector.ctypes.data, byref(options),
                  byref(result))
            found = result.contents
            ids.append([found.hits[i].product_id.decode() for i in range(found.hit_count)])
            scores[row, :found.hit_count] = [found.hits[i].score for i in range(found.hit_count)]
            _library().fb_search_result_free(result)
        return ids, scores
