"""A source of studies that needs no download: chest X-ray phantoms with reports."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from PIL import Image

from chexjax.data.phantom import errors, findings, grammar
from chexjax.data.phantom.draw import draw
from chexjax.data.phantom.findings import KINDS
from chexjax.data.phantom.scene import MISTAKE, REPORT, Scene, sample_scene, stream
from chexjax.data.study import SPLITS, Study

# Run lengths only: the film's grain leaves nothing else to find, and this is quickest.
_PNG = {"compress_level": 1, "compress_type": 3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """How many phantoms, and of what kind.

    Attributes:
      train: Studies for training.
      validate: Studies to choose settings by.
      test: Held-out studies.
      size: Width and height of each picture, pixels.
      lateral: Share of studies that have a lateral view too, in [0, 1].
      kinds: What the phantoms can show, names out of `findings.KINDS`.
      prior: Share of reports that compare with a prior study, in [0, 1].
      noise: Share of training reports with one error in what they say, in [0, 1]; held-out ones are
        always right.
      seed: Another seed, other people.
    """

    train: int = 8192
    validate: int = 256
    test: int = 512
    size: int = 128
    lateral: float = 0.0
    kinds: tuple[str, ...] = tuple(KINDS)
    prior: float = 0.2
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("lateral", "prior", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share; give it in [0, 1]")
        for name in (*SPLITS, "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is negative; give 0 or more")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ValueError(f"kinds: {unknown} are none of {', '.join(KINDS)}")
        if not self.kinds:
            raise ValueError(f"kinds is empty; give some of {', '.join(KINDS)}")
        if self.size < 32:
            raise ValueError(f"size={self.size} is too small to show findings; give 32 or more")


class PhantomSource:
    """A sequence of studies, each wholly determined by `config.seed` and its index.

    The splits follow each other by index: train, validate, test. What an index holds depends on
    no other field but `kinds`, `prior` and `noise` (in the report), `lateral` (in the views) and
    `size` (in the pixels), so a larger training split moves the held-out studies to other indices:
    other people, never the same ones.
    """

    def __init__(self, config: PhantomConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        """Number of studies in all splits."""
        return sum(getattr(self.config, split) for split in SPLITS)

    def id(self, index: int) -> str:
        """Name of a study."""
        return f"phantom-{self.config.seed}-{index:06d}"

    def index(self, id: str) -> int:
        """Inverse of `id`."""
        return int(id.rpartition("-")[2])

    def fingerprint(self) -> str:
        """Empty: nothing is read."""
        return ""

    def __getitem__(self, index: int) -> Study:
        """Draws one study and writes its report.

        Raises:
          IndexError: index outside of 0..len - 1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"phantom {index} does not exist; there are {len(self)}")
        seed = self.config.seed
        scene = sample_scene(seed, index, self.config.kinds)
        rng = stream(seed, index, REPORT)
        two_views = rng.random() < self.config.lateral
        content = grammar.plan(scene.findings, rng, prior=self.config.prior)
        views = ("frontal", "lateral") if two_views else ("frontal",)
        truth: dict[str, Any] = {
            "findings": [f.to_dict() for f in scene.findings],
            "comparison": content.comparison,
        }
        indication, split, said = grammar.indication(content, rng), self._split(index), content
        wrong = stream(seed, index, MISTAKE)
        if split == "train" and wrong.random() < self.config.noise:
            said, truth["mistake"] = errors.mistaken(content, self.config.kinds, wrong)
        return Study(
            id=self.id(index),
            split=split,
            images=tuple(png(scene, view, self.config.size) for view in views),
            views=views,
            indication=indication,
            findings=grammar.write(said, rng),
            impression=grammar.conclude(scene.findings),
            attributes={"exposure": _exposure(scene)},
            labels=findings.labels(f.kind for f in scene.findings),
            truth=truth,
        )

    def _split(self, index: int) -> str:
        for split in SPLITS:
            index -= getattr(self.config, split)
            if index < 0:
                return split
        raise IndexError("index is past the last split")


def _exposure(scene: Scene) -> str:
    """How dark the film is: what is known of a phantom beside its findings."""
    value = scene.body.exposure
    return "dark" if value > 1 / 3 else "light" if value < -1 / 3 else "middle"


def png(scene: Scene, view: str, size: int) -> bytes:
    """The scene as a grey PNG file of `size` x `size` pixels."""
    buffer = io.BytesIO()
    image = Image.fromarray(draw(scene, view, size))
    image.save(buffer, "png", **_PNG)
    return buffer.getvalue()
