"""Parts shared by the teachers that are ONNX graphs: a session on few threads, and further outputs."""

from __future__ import annotations

from typing import Any


def with_outputs(model: Any, names: list[str]) -> Any:
    """Return the ONNX ``model`` with the inner values ``names`` as further outputs."""
    import onnx

    for name in names:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    return model


def session(model: Any, threads: int) -> Any:
    """Open an onnxruntime session of an ONNX ``model`` on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
