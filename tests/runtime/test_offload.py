"""Models come in time and go when they have worked, by a device that only writes down what it is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutortoietts.runtime.offload import Copier, CudaCopier, Offload, copier_for

CPU = torch.device("cpu")


class Diary(Copier):
    """A device with so much `room` in bytes; what is there is a copy that nobody else sees."""

    def __init__(self, room: int = 1 << 40) -> None:
        super().__init__(CPU)
        self.room, self.lines, self.there = room, list[str](), list[Tensor]()

    def send(self, tensors):
        self.lines.append(f"send {sum(tensor.numel() for tensor in tensors)}")
        sent = super().send(tensors)
        self.there += sent
        return sent

    def arrive(self) -> None:
        self.lines.append("arrive")

    def free(self) -> int:
        return self.room


def parts(copier: Diary, kept_bytes: int, **sizes: int) -> Offload:
    offload = Offload(copier, kept_bytes)
    for name, size in sizes.items():
        offload.add(name, nn.Linear(1, size, bias=False))
    return offload


def test_the_next_part_comes_while_one_works() -> None:
    diary = Diary()
    offload = parts(diary, 0, first=10, second=20)
    waiting = offload.enter("first").weight.data_ptr()  # type: ignore[union-attr,operator]
    offload.prepare("second")
    offload.prepare("second")
    module = offload.enter("first")  # again, inside: nothing moves, and the second stays prepared
    offload.leave("first")
    assert module.weight.data_ptr() == waiting == diary.there[0].data_ptr()
    offload.leave("first")
    assert module.weight.data_ptr() not in {tensor.data_ptr() for tensor in diary.there}
    assert offload.enter("second").weight.data_ptr() == diary.there[1].data_ptr()
    offload.leave("second")
    assert diary.lines == ["send 10", "arrive", "send 20", "arrive", "arrive"]
    offload.enter("first")
    assert diary.lines[-2:] == ["send 10", "arrive"]


def test_numbers_are_the_same_there_and_back() -> None:
    module, x = nn.BatchNorm1d(3).eval(), torch.randn(2, 3)
    module.running_mean = torch.randn(3)  # type: ignore[assignment]
    want = module(x)
    offload = Offload(Diary(), 0)
    offload.add("norm", module)
    with torch.inference_mode():
        assert torch.equal(offload.enter("norm")(x), want)
        offload.leave("norm")
    module.weight.data.add_(1.0)  # where it waits
    assert offload.enter("norm").weight.tolist() == [2.0, 2.0, 2.0]  # type: ignore[union-attr,operator]
    assert module.weight.requires_grad and not module.weight.is_inference()


def test_what_fits_stays() -> None:
    diary = Diary()
    offload = parts(diary, 4 * 30, first=10, second=20)
    for _ in range(2):
        for name in ("first", "second"):
            offload.enter(name)
            offload.leave(name)
    assert [line for line in diary.lines if line != "arrive"] == ["send 10", "send 20"]
    offload.add("third", nn.Linear(1, 1))  # now it does not, and all go
    for _ in range(2):
        offload.enter("first")
        offload.leave("first")
    assert diary.lines.count("send 10") == 3


def test_half_of_the_free_memory_is_the_limit() -> None:
    diary = Diary(room=4 * 60 - 1)
    offload = parts(diary, 1 << 30, first=10, second=20)
    offload.enter("first")
    offload.leave("first")
    offload.enter("first")
    assert diary.lines.count("send 10") == 2


def test_nothing_comes_early_where_there_is_no_room() -> None:
    diary = Diary(room=4 * 20)
    offload = parts(diary, 0, first=10, second=20)
    offload.enter("first")
    offload.prepare("second")
    assert diary.lines == ["send 10", "arrive"]
    offload.prepare("unknown")  # not loaded, so nothing to prepare


def test_what_was_prepared_for_nobody_goes() -> None:
    diary = Diary()
    offload = parts(diary, 0, first=10, second=20, third=30)
    offload.prepare("third")
    offload.enter("first")
    offload.enter("third")
    assert diary.lines == ["send 30", "send 10", "arrive", "send 30", "arrive"]


def test_no_room_at_all_is_an_error_that_leaves_all_in_order() -> None:
    class Full(Diary):
        def send(self, tensors):
            raise torch.OutOfMemoryError("full")

    offload = parts(Full(), 0, first=10)
    offload.prepare("first")  # only means that it does not come early
    with pytest.raises(torch.OutOfMemoryError):
        offload.enter("first")
    offload._copier = Diary()
    offload.enter("first")
    offload.leave("first")
    assert offload._parts["first"].there is None


def test_what_torch_holds_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    for name, bytes_of in (("mem_get_info", (1000, 9000)), ("memory_reserved", 300), ("memory_allocated", 100)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=bytes_of: value)
    assert CudaCopier(torch.device("cuda")).free() == 1200


def test_the_cpu_has_nowhere_to_go() -> None:
    assert copier_for(CPU) is None
    assert type(copier_for(torch.device("meta"))) is Copier
