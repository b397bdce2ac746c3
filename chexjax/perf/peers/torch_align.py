"""The same DPO step in PyTorch, by hand: the hardest baseline on a CPU (extra `bench`).

It does what a careful engineer would do there: the frozen tower once per image and without
gradient, the prefix once per pair, the head on real response tokens alone, fused kernels where
torch has them, and `torch.compile` over the whole forward and backward.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chexjax.perf import work as work_of
from chexjax.perf.work import Work


class Layer(nn.Module):
    """A pre-norm layer: sequential as in SigLIP, or parallel with a rotation as in Phi-2."""

    def __init__(self, width: int, heads: int, *, rotary: int = 0, epsilon: float) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.norm2 = None if rotary else nn.LayerNorm(width, eps=epsilon)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def split(self, x: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, `[rows, heads, tokens, head]`."""
        rows, tokens, width = x.shape
        parts = self.qkv(x).view(rows, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        return (q, k, v) if angles is None else (_rotate(q, angles), _rotate(k, angles), v)

    def mlp(self, x: Tensor) -> Tensor:
        """Two linear layers."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))

    def forward(self, x: Tensor) -> Tensor:
        """Of an image: everything sees everything."""
        assert self.norm2 is not None
        mixed = F.scaled_dot_product_attention(*self.split(self.norm1(x), None))
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm2(x))

    def both(
        self, x: Tensor, y: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Of a prefix and its responses; in the last layer the prefix gives keys and values."""
        reads, answers = self.norm1(x), self.norm1(y)
        q, k, v = self.split(reads, angles[0])
        if not last:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape)) + self.mlp(reads)
        r, own_k, own_v = self.split(answers, angles[1])
        each = y.shape[0] // k.shape[0]
        k = torch.cat([k.repeat_interleave(each, 0), own_k], dim=2)
        v = torch.cat([v.repeat_interleave(each, 0), own_v], dim=2)
        mixed = F.scaled_dot_product_attention(r, k, v, attn_mask=mask)
        return x, y + self.out(mixed.transpose(1, 2).reshape(y.shape)) + self.mlp(answers)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Half-split rotation of a head's first dimensions by `angles: [tokens, dims / 2]`."""
    half = angles.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


class Tower(nn.Module):
    """SigLIP's image tower, read before its last norm."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        layers, width, heads, size, patch = work.vision
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.layers = nn.ModuleList(Layer(width, heads, epsilon=1e-6) for _ in range(layers))

    def forward(self, pixels: Tensor) -> Tensor:
        """`f32[B, 3, S, S] -> f32[B, T, width]`."""
        x = self.patch(pixels).flatten(2).transpose(1, 2) + self.position
        for layer in self.layers:
            x = layer(x)
        return x


class Policy(nn.Module):
    """Connector, decoder and head; gives the summed log-probability of each response."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        depth, width, heads, self.rotary = work.decoder
        self.visual = work.prefix - work_of.PROMPT
        self.connector = nn.Sequential(
            nn.Linear(work.vision[1], width), nn.GELU(), nn.Linear(width, width)
        )
        self.embed = nn.Embedding(work_of.VOCABULARY, width)
        self.layers = nn.ModuleList(
            Layer(width, heads, rotary=self.rotary, epsilon=1e-5) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, work_of.VOCABULARY, bias=False)

    def forward(self, features: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """`f32[B, N]`."""
        text = self.embed(batch["tokens"][:, self.visual :])
        x = torch.cat([self.connector(features), text], dim=1)
        pairs, responses, length = batch["inputs"].shape
        y = self.embed(batch["inputs"].view(-1, length))
        prefix = x.shape[1]
        places = torch.arange(prefix + length)
        rates = torch.pow(10_000, -torch.arange(0, self.rotary, 2) / self.rotary)
        angles = places[:, None] * rates
        seen = places <= places[prefix:, None]
        for layer in cast("list[Layer]", self.layers):
            last = layer is self.layers[-1]
            x, y = layer.both(x, y, (angles[:prefix], angles[prefix:]), seen, last=last)
        hidden = self.norm(y).view(-1, y.shape[-1])[batch["real"]]
        losses = F.cross_entropy(self.head(hidden), batch["targets"], reduction="none")
        sums = torch.zeros(pairs * responses).index_add(0, batch["owner"], -losses)
        return sums.view(pairs, responses)


def make_step(work: Work) -> Callable[[dict[str, Any]], float]:
    """The compiled step, reference computed in it: a batch of `work.batch` to its loss."""
    torch.manual_seed(0)
    tower, policy = Tower(work).requires_grad_(False), Policy(work)
    reference = copy.deepcopy(policy).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=work_of.RATE, weight_decay=0.0, fused=True
    )
    see, score, refer = (
        torch.compile(model, dynamic=False) for model in (tower, policy, reference)
    )

    def step(batch: dict[str, Any]) -> float:
        images = torch.tensor(batch["prefix"]["images"][:, 0]).permute(0, 3, 1, 2)
        given = _tensors(batch)
        with torch.no_grad():
            features = see((images.float() / 255 - 0.5) / 0.5)
            anchors = refer(features, given)
        ratios = score(features, given) - anchors
        loss = -F.logsigmoid(work_of.BETA * (ratios[:, 0] - ratios[:, 1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _tensors(batch: dict[str, Any]) -> dict[str, Tensor]:
    mask = batch["mask"].reshape(-1, batch["mask"].shape[-1])
    (real,) = np.nonzero(mask.ravel())
    return {
        "tokens": torch.tensor(batch["prefix"]["tokens"]).long(),
        "inputs": torch.tensor(batch["inputs"]).long(),
        "targets": torch.tensor(batch["targets"].ravel()[real]).long(),
        "real": torch.tensor(real),
        "owner": torch.tensor(real // mask.shape[1]),
    }
