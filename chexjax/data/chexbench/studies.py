"""Questions made of held-out studies: phantoms, whose scenes are known, and Open-I's MeSH terms."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageOps

from chexjax.config import nearest
from chexjax.data.chexbench.questions import Question, UnusableQuestion
from chexjax.data.chexbench.subjects import PHANTOM_VIEWS, phantom_subject, real_subject
from chexjax.data.chexbench.tasks import MAKERS, known_labels, make_question
from chexjax.data.phantom.scene import sample_scene
from chexjax.data.phantom.source import PhantomConfig, PhantomSource, png
from chexjax.data.study import Study


class StudyQuestions:
    """The questions that studies allow, task by task; images are read when they are asked for."""

    left_out: Sequence[str] = ()

    def __init__(
        self,
        studies: Sequence[Mapping[str, Any]],
        rows: Sequence[int],
        phantom: PhantomConfig | None,
        *,
        seed: int,
        tasks: Sequence[str] = (),
        count: int | None = None,
    ) -> None:
        """Makes the questions.

        Args:
          studies: Rows of the studies artefact.
          rows: Which of them.
          phantom: What phantoms they are; None for real studies.
          seed: Of the choices.
          tasks: Names out of `MAKERS`; empty for all.
          count: Questions of each task at most, from the first study; None for all.

        Raises:
          ValueError: there is no such task, or the studies allow no question.
        """
        for task in tasks:
            if task not in MAKERS:
                raise ValueError(
                    f"tasks: of studies no task {task!r} is made{nearest(task, MAKERS)}"
                )
        self._studies, self._phantom = studies, phantom
        read = (Study.from_row(studies[row]) for row in rows)
        subjects = [
            phantom_subject(study, phantom.kinds) if phantom else real_subject(study)
            for study in read
        ]
        labels = known_labels(subjects)
        self._made: list[tuple[int, Question, str]] = []
        for task in tasks or MAKERS:
            asked = (make_question(task, subject, labels, seed) for subject in subjects)
            made = [(row, *one) for row, one in zip(rows, asked, strict=True) if one is not None]
            self._made += made[:count]
        if not self._made:
            raise ValueError(
                f"questions='studies': nothing is known of {len(rows)} studies that "
                f"{', '.join(tasks or ('any task',))} could ask about; choose other tasks, or give "
                "the studies labels or views"
            )

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._made)

    def id(self, index: int) -> str:
        """Task and study."""
        return self._made[index][1].id

    def __getitem__(self, index: int) -> Question:
        """One question with its images.

        Raises:
          UnusableQuestion: the study has no images.
        """
        row, question, view = self._made[index]
        study = Study.from_row(self._studies[row])
        if not study.images:
            raise UnusableQuestion("its study has no images")
        images = study.images if not view else (self._view(study, view),)
        return dataclasses.replace(question, images=images)

    def _view(self, study: Study, view: str) -> bytes:
        if self._phantom is None:
            return study.images[study.views.index(view)]
        return study.images[0] if view == PHANTOM_VIEWS[0] else _side(self._phantom, study, view)


def _side(config: PhantomConfig, study: Study, view: str) -> bytes:
    """A phantom from its side, drawn facing left."""
    scene = sample_scene(config.seed, PhantomSource(config).index(study.id), config.kinds)
    drawn = png(scene, "lateral", config.size)
    if view == PHANTOM_VIEWS[1]:
        return drawn
    buffer = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(drawn))).save(buffer, "png")
    return buffer.getvalue()
