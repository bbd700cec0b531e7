"""Set prediction as in DETR (Carion et al. 2020, arXiv:2005.12872): object queries, and which of them answers for which target.

As in Grounding DINO (Liu et al. 2023, arXiv:2303.05499), which VisionLLM v2 calls for [DET], text selects where queries begin:
at the cells of the image that are most like it (section 3.2, language-guided query selection). There the 900 best cells are
taken; here each query takes the mean of all cells, weighted by their likeness, so that a gradient says what to look for.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.link.pixels import cells

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss (Lin et al. 2017, section 5.1)
PRIOR = 0.05  # what an untrained query's probability is: few of them answer for an object


class ObjectQueries(nn.Module):
    """``count`` queries that begin where the image is like the text, look at each other and at the image, ``depth`` times.

    ``link``: width of the link's hidden states; ``width``: of queries and pixels.
    """

    def __init__(self, link: int, width: int, count: int, depth: int, heads: int) -> None:
        super().__init__()
        self.text = nn.Linear(link, width)
        self.queries = nn.Embedding(count, width)
        nn.init.normal_(self.queries.weight, std=0.2)  # beside the text: N(0, 1) drowns what the phrase says
        self.look = nn.Linear(width, width)
        self.shown = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width, bias=False))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The queries after each layer, (l, k, q, w), and the places where they began, (x, y) in [0, 1], (k, q, 2), from
        the link's states (k, s, link) and the maps that the calls refer to, (k, w, G, G)."""
        text = self.text(states).mean(1)  # (k, w)
        queries = self.queries.weight + text[:, None]  # (k, q, w)
        memory = pixels.flatten(2).transpose(1, 2)  # (k, P, w)
        alike = self.look(queries) @ self.shown(memory).transpose(1, 2) / memory.shape[-1] ** 0.5  # (k, q, P)
        with torch.autocast(alike.device.type, enabled=False):  # bf16 would tell 256 places apart
            chosen = alike.float().softmax(-1)
            places = chosen @ cells(pixels.shape[-1]).to(chosen.device)
        queries = queries + chosen.to(memory.dtype) @ memory
        after = []
        for layer in self.layers:
            queries = layer(queries, memory)
            after.append(self.norm(queries))
        return torch.stack(after), places


def class_cost(logits: Tensor) -> Tensor:
    """What it costs that a query with this logit answers for an object: its focal loss if it does, less if it does not.

    As in Deformable DETR (Zhu et al. 2021) and after it Grounding DINO.
    """
    p = logits.sigmoid()
    answers = -ALPHA * (1 - p) ** GAMMA * F.logsigmoid(logits)
    silent = -(1 - ALPHA) * p**GAMMA * F.logsigmoid(-logits)
    return answers - silent


def focal(logits: Tensor, answers: Tensor) -> Tensor:
    """Focal loss, summed. ``answers``: bool of the logits' shape."""
    losses = F.binary_cross_entropy_with_logits(logits, answers.to(logits.dtype), reduction="none")
    p = logits.sigmoid()
    right = torch.where(answers, p, 1 - p)
    weight = torch.where(answers, ALPHA, 1 - ALPHA)
    return (weight * (1 - right) ** GAMMA * losses).sum()


@torch.no_grad()
def assign(costs: Tensor, present: Tensor) -> Tensor:
    """Which query answers for which target at the least total cost (Hungarian algorithm): int64 (k, t), -1 for none.

    ``costs`` (k, q, t); ``present`` bool (k, t): the rest is padding. A target is left over only if there are more than
    queries. A cost that is not finite counts as very high: the loss, not the matching, is where it must show.
    """
    from scipy.optimize import linear_sum_assignment

    chosen = np.full(present.shape, -1, dtype=np.int64)
    table = costs.float().nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()
    for call, there in enumerate(present.cpu().numpy()):
        targets = np.flatnonzero(there)
        queries, which = linear_sum_assignment(table[call][:, targets])
        chosen[call, targets[which]] = queries
    return torch.from_numpy(chosen).to(costs.device)


def answering(chosen: Tensor, queries: int) -> Tensor:
    """Bool (k, queries): which queries answer for any target of ``chosen`` (k, t)."""
    marks = torch.zeros(len(chosen), queries + 1, dtype=torch.bool, device=chosen.device)
    return marks.scatter(1, torch.where(chosen < 0, queries, chosen), True)[:, :queries]


def taken(values: Tensor, chosen: Tensor) -> Tensor:
    """The values of the queries that answer: from (k, q, ...) to (matches, ...), call by call, target by target."""
    calls, targets = (chosen >= 0).nonzero(as_tuple=True)
    return values[calls, chosen[calls, targets]]
