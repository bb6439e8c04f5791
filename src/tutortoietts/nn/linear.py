"""Linear layer for decoding a few candidates at once in float32 on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FewRowsLinear"]

_FEWEST, _MOST = 4, 32


class FewRowsLinear(nn.Linear):
    """`nn.Linear`, transposed where that is faster: for 4 to 32 rows of float32 on a CPU, W x^T takes half the time of
    x W^T. Training and all other sizes are `nn.Linear` itself."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // self.in_features
        if _FEWEST <= rows <= _MOST and x.device.type == "cpu" and not torch.is_grad_enabled():
            if x.dtype == self.weight.dtype == torch.float32:
                y = torch.addmm(self.bias[:, None], self.weight, x.reshape(rows, -1).t())
                return y.t().contiguous().view(*x.shape[:-1], self.out_features)
        return super().forward(x)
