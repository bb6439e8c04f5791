"""A CUDA GPU that is not there: its tensors have a place, a type and a shape, but no numbers.

torch's `FakeTensorMode` refuses what real kernels refuse: tensors of several devices in one operation, and (as an
exception of its own) a look by the host at numbers on the device. `FakeGpu` adds what it lets through: matrices of
different types, and inside a captured step everything that a CUDA graph cannot hold. Where the host may look, it reads
the same number everywhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tutortoietts.audio import mel, resample
from tutortoietts.engine.decoding import workspace
from tutortoietts.runtime import cuda_graphs, offload
from tutortoietts.weights.load import build, shapes

__all__ = ["CUDA", "FakeGpu", "Refused", "fake_gpu", "there"]

CUDA = torch.device("cuda", 0)
_CUDA_GUARD, _META_GUARD = 1, 14  # c10::DeviceType
_GUARDS = "_ZN3c104impl26device_guard_impl_registryE"
_CONSTANTS = (mel._window, mel._filterbank, resample._kernel, cuda_graphs._stream)  # kept for each device
_OF_ONE_TYPE = {
    *("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "index_copy", "index_copy_"),
    *("native_layer_norm", "native_group_norm", "_fused_rms_norm"),
}
_COPIES = {"_to_copy", "copy_", "copy"}
_LOOKS = {"_local_scalar_dense", "equal", "nonzero"}


class Refused(AssertionError):
    """What a real GPU would not do; no RuntimeError, which would only mean decoding without graphs."""


class FakeGpu(TorchDispatchMode):
    """`read`: the number that the host finds wherever it looks. `captured`, `replays`: how many steps were."""

    def __init__(self, read: int = 2) -> None:
        super().__init__()
        self.read, self.captured, self.replays = read, 0, 0
        self._capturing = False

    @contextmanager
    def capture(self) -> Iterator[None]:
        """What is done inside must fit into a CUDA graph."""
        self._capturing = True
        try:
            yield
        finally:
            self._capturing = False
            self.captured += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace != "aten":
            return func(*args, **kwargs)
        with self:
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        name = func.overloadpacket.__name__
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in _OF_ONE_TYPE and len({tensor.dtype for tensor in given if tensor.is_floating_point()}) > 1:
            raise Refused(f"{name} of {[tensor.dtype for tensor in given]}")
        if name in _LOOKS:
            if self._capturing:
                raise Refused(f"{name}: the host looks at the device")
            return self._seen(name, args[0])
        if name == "index":
            args = (args[0], self._indices(*args))
        if name == "_pin_memory":
            return _pinned(args[0])
        result = func(*args, **kwargs)
        if self._capturing:
            _check_captured(name, given, [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)])
        return result

    def _indices(self, tensor: Tensor, indices: list[Tensor | None]) -> list[Tensor | None]:
        """As places: how many of a bool index are true, the host must know."""
        known = [index for index in indices if index is not None]
        if any(index.device not in (tensor.device, torch.device("cpu")) for index in known):
            raise Refused(f"index: {tensor.device} by {[index.device for index in known]}")
        if self._capturing and any(index.dtype == torch.bool for index in known):
            raise Refused("index: the host looks at the device")
        return [None if index is None else _places(index) for index in indices]

    def _seen(self, name: str, tensor: Tensor) -> Any:
        """All tensors are equal, all are true, and every number is `read`."""
        if name == "equal":
            return True
        if name == "nonzero":
            return _places(tensor.flatten())[:, None].expand(-1, max(1, tensor.ndim))
        return tensor.dtype == torch.bool or (0.5 if tensor.is_floating_point() else self.read)


def _places(index: Tensor) -> Tensor:
    """The index (n,) as places, if all of a bool one is true."""
    return torch.arange(len(index), device=index.device) if index.dtype == torch.bool else index


def _pinned(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cpu":
        raise Refused(f"memory of {tensor.device} cannot be page-locked")
    return tensor.clone()


def _check_captured(name: str, given: list[Tensor], made: list[Tensor]) -> None:
    devices = {tensor.device for tensor in (*given, *made)}
    if any(tensor.device.type == "cpu" and tensor.ndim > 0 for tensor in (*given, *made)):
        raise Refused(f"{name}: a tensor in the CPU's memory")
    if name in _COPIES and len(devices) > 1:
        raise Refused(f"{name}: a copy between devices")


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch, read: int = 2) -> Iterator[FakeGpu]:
    """Inside, "cuda:0" is a device, in this thread; tensors made outside must not be used."""
    if torch.cuda.is_available():
        pytest.skip("there is a real one, for tests/test_gpu.py")
    gpu = FakeGpu(read)
    _stand_in(monkeypatch, gpu)
    for kept in _CONSTANTS:
        kept.cache_clear()
    try:
        with _guarded(), FakeTensorMode(allow_non_fake_inputs=True), gpu:
            yield gpu
    finally:
        for kept in _CONSTANTS:
            kept.cache_clear()


def there(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float32, device: torch.device = CUDA) -> Any:
    """The module on the fake GPU, placed as `weights.load` places it."""
    state = {key: torch.zeros(shape, dtype=torch.float16) for key, shape in shapes(make).items()}
    return build(make, state, device, dtype)


@contextmanager
def _guarded() -> Iterator[None]:
    """torch without CUDA has nothing that switches between CUDA devices: lent what does nothing, as for "meta"."""
    library = Path(torch.__file__).parent / "lib" / "libc10.so"
    if not library.is_file():
        pytest.skip("this torch has no libc10.so")
    try:
        guards = (ctypes.c_void_p * (_META_GUARD + 1)).in_dll(ctypes.CDLL(str(library)), _GUARDS)
    except ValueError:
        pytest.skip("this torch keeps its device guards elsewhere")
    before = guards[_CUDA_GUARD]
    guards[_CUDA_GUARD] = before or guards[_META_GUARD]
    try:
        yield
    finally:
        guards[_CUDA_GUARD] = before


def _moved(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """`nn.Module._apply`: torch's own wants to swap the insides of tensors, which fake ones do not let it."""
    for part in module.modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(change(tensor), tensor.requires_grad)
        part._buffers |= {name: change(tensor) for name, tensor in part._buffers.items() if tensor is not None}
    return module


def _pointed(part: Any, where: list[Tensor] | None) -> None:
    """`_Part.point`: a fake tensor keeps its device when its data are changed."""
    for tensor, data in zip(part._tensors, where or (), strict=True):
        tensor.fake_device = data.device


class _Stream:
    device = CUDA

    def wait_stream(self, other: _Stream) -> None: ...

    def synchronize(self) -> None: ...


def _stand_in(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> None:
    """For the part of torch.cuda that the package calls."""

    def replay() -> None:
        gpu.replays += 1

    for name, fake in {
        "Stream": lambda device=None: _Stream(),
        "current_stream": lambda device=None: _Stream(),
        "stream": lambda stream: nullcontext(),
        "device": lambda device: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=replay),
        "graph": lambda graph, pool, stream, capture_error_mode: gpu.capture(),
        "graph_pool_handle": lambda: (0, 1),
        "get_device_capability": lambda device=None: (8, 0),
        "mem_get_info": lambda device=None: (8 << 30, 8 << 30),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setenv("TUTORTOIETTS_TRITON", "0")  # whose kernels need tensors with numbers
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
    monkeypatch.setattr(nn.Module, "_apply", _moved)
    monkeypatch.setattr(offload._Part, "point", _pointed)
    monkeypatch.setattr(workspace, "_identity", id)  # fake tensors lie nowhere
