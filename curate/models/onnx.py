"""ONNX models on one CPU thread, whatever image size their file was saved with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from curate.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_GRAPH, _INPUT, _OUTPUT, _VALUE_INFO = 7, 11, 12, 13
"""Field numbers of onnx.proto: ModelProto.graph; GraphProto.input, .output, .value_info."""
_NAME, _TYPE, _TENSOR, _ELEMENT = 1, 2, 1, 1
"""ValueInfoProto.name, .type; TypeProto.tensor_type; TypeProto.Tensor.elem_type."""
_BYTES: Final = 2
"""Wire type of strings and nested messages."""


def session(path: Path, *, any_size: bool = False) -> InferenceSession:
    """Open a model. One thread, so that a result does not depend on the machine's cores.

    `any_size`: forget the sizes that the file declares for inputs and outputs, which the runtime would insist on; a
    fully convolutional network needs none. Raises MissingExtra, and ModelError for a file that is no ONNX model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", extra="models") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # files list their constants as inputs too, which is noted as a warning
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    data = path.read_bytes()
    try:
        model = without_sizes(data) if any_size else data
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (ValueError, *refusals) as error:
        raise ModelError(f"{path} is no ONNX model that can be run here: {str(error)[:300]}") from error


def without_sizes(model: bytes) -> bytes:
    """An ONNX file (a protocol buffer) whose inputs and outputs keep name and element type, and lose their shapes.

    Shapes noted for values between them go as well. Raises ValueError for what is no protocol buffer.
    """
    return b"".join(
        _field(number, _graph(model[start:end])) if number == _GRAPH and kind == _BYTES else model[begin:end]
        for number, kind, begin, start, end in _fields(model)
    )


def _graph(graph: bytes) -> bytes:
    initialised = {_name(graph[s:e]) for n, k, _, s, e in _fields(graph) if n == 5 and k == _BYTES}
    kept = []
    for number, kind, begin, start, end in _fields(graph):
        if number == _VALUE_INFO and kind == _BYTES:
            continue
        value = graph[start:end]
        if number in (_INPUT, _OUTPUT) and kind == _BYTES and _first(value, _NAME) not in initialised:
            kept.append(_field(number, _without_shape(value)))
        else:
            kept.append(graph[begin:end])
    return b"".join(kept)


def _without_shape(value: bytes) -> bytes:
    """A ValueInfoProto with its name and its tensor's element type alone."""
    tensor = _first(_first(value, _TYPE), _TENSOR)
    element = b"".join(tensor[b:e] for n, _, b, _, e in _fields(tensor) if n == _ELEMENT)
    return _field(_NAME, _first(value, _NAME)) + _field(_TYPE, _field(_TENSOR, element))


def _name(tensor: bytes) -> bytes:
    """TensorProto.name is field 8."""
    return _first(tensor, 8)


def _first(message: bytes, wanted: int) -> bytes:
    return next((message[s:e] for n, k, _, s, e in _fields(message) if n == wanted and k == _BYTES), b"")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, where the field begins, where its content starts and ends."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _read(message, at)
        kind = key & 7
        if kind == 0:
            start = at
            _, at = _read(message, at)
        elif kind in (1, 5):
            start, at = at, at + (8 if kind == 1 else 4)
        elif kind == _BYTES:
            length, start = _read(message, at)
            at = start + length
        else:
            raise ValueError("not a protocol buffer")
        if at > len(message):
            raise ValueError("a protocol buffer that ends early")
        yield key >> 3, kind, begin, start, at


def _read(message: bytes, at: int) -> tuple[int, int]:
    """A varint and where the next byte is."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("not a protocol buffer")
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at
