"""Keys and values of all layers in two fixed buffers, owned by the caller.

Only `lengthen` allocates, and positions are never read back: a position may be a tensor, so that a captured CUDA graph
replays with new positions. Views (`rows`, `window`) share memory, so one buffer serves every batch and length bucket.

    cache = KVCache.allocate(layers, rows, heads, max_len, head_dim, device=..., dtype=...)
    model.hidden_states(prefix, cache.rows(0, 1), position=0)   # prefill once, at batch 1
    cache.fill_rows(0, prefix_length)                   # copied to all candidates
    model.hidden_states(step, cache, position=prefix_length)    # and on, row by row
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutortoietts.core.errors import OptionError
from tutortoietts.nn.attention import query_positions

__all__ = ["KVCache"]


class KVCache:
    """Keys and values, each (layers, rows, heads, max_len, head_dim)."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys
        self.values = values

    @classmethod
    def allocate(
        cls,
        layers: int,
        rows: int,
        heads: int,
        max_len: int,
        head_dim: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> KVCache:
        """Return zeroed buffers: masked positions must be finite."""
        shape = (layers, rows, heads, max_len, head_dim)
        return cls(torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.keys.shape[1]

    @property
    def max_len(self) -> int:
        """Number of positions."""
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        """Bytes of both buffers (of the part seen, for a view)."""
        return 2 * self.keys.numel() * self.keys.element_size()

    def clear(self) -> None:
        """Fill with zeros: masked positions must be finite, and an earlier user's numbers may not be."""
        self.keys.zero_()
        self.values.zero_()

    def rows(self, start: int, stop: int) -> KVCache:
        """Return a view of rows start..stop-1."""
        return KVCache(self.keys[:, start:stop], self.values[:, start:stop])

    def window(self, span: int) -> KVCache:
        """Return a view of the first `span` positions, so that a step at a tensor position attends no further."""
        return KVCache(self.keys[:, :, :, :span], self.values[:, :, :, :span])

    def fill_rows(self, source: int, length: int) -> None:
        """Copy the first `length` positions of one row to all rows."""
        for buffer in (self.keys, self.values):
            buffer[:, :, :, :length] = buffer[:, source : source + 1, :, :length].clone()

    def copy_start(self, other: KVCache) -> None:
        """Copy all positions of another cache, of one row, to the first positions of all rows."""
        for ours, theirs in ((self.keys, other.keys), (self.values, other.values)):
            ours[:, :, :, : other.max_len] = theirs

    def lengthen(self, positions: int) -> None:
        """Move to new buffers of `positions`, one after the other to save memory; earlier views keep the old ones."""
        for name in self.__slots__:
            before = getattr(self, name)
            after = before.new_zeros((*before.shape[:3], positions, before.shape[4]))
            after[:, :, :, : before.shape[3]] = before
            setattr(self, name, after)
            del before, after

    def keep_rows(self, index: Tensor) -> KVCache:
        """Move the rows `index` (n,) to the front, in that order, and return a view of them. The others are lost."""
        kept = self.rows(0, index.shape[0])
        for buffer in (self.keys, self.values):
            for layer in buffer:  # one layer at a time bounds the extra memory
                layer[: index.shape[0]] = layer.index_select(0, index)
        return kept

    def write(self, layer: int, position: int | Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (rows, heads, S, head_dim) at `position` and return all that may now be attended to.

        position int: returns views up to the last written position. position () or (rows,) int64 tensor: returns views
        of all `max_len` positions, to be masked; the caller makes sure that position + S <= max_len.
        Raises OptionError where an int position leaves the buffer.
        """
        steps = k.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        if isinstance(position, int):
            end = position + steps
            if end > self.max_len:
                raise OptionError(
                    f"position {end} is past the {self.max_len} positions of the KV cache: allocate a longer one"
                )
            keys[:, :, position:end] = k
            values[:, :, position:end] = v
            return keys[:, :, :end], values[:, :, :end]
        where = query_positions(position, steps, k.device)
        if position.ndim == 0:
            keys.index_copy_(2, where[0], k.to(keys.dtype))
            values.index_copy_(2, where[0], v.to(values.dtype))
        else:
            row = torch.arange(k.shape[0], device=k.device)[:, None]
            keys[row, :, where] = k.transpose(1, 2).to(keys.dtype)
            values[row, :, where] = v.transpose(1, 2).to(values.dtype)
        return keys, values
