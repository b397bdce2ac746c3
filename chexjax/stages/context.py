"""What every stage works in: the config, the folder, and the artefacts made so far.

A stage is a value: what kind of artefact it makes in which folder, which config fields decide
its content, and what it reads. From that follows, for any config, the identity that each
artefact in the folder must have, and a stage refuses any other.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from rich.console import Console

from chexjax import artefacts
from chexjax.artefacts import ALONE, Artefact, Draft, Share, manifest
from chexjax.config import ConfigError, content
from chexjax.distributed import meet, spans_job
from chexjax.families import PolicyFamily
from chexjax.mesh import local_mesh, make_mesh
from chexjax.ops.attention import Backend, backend_for
from chexjax.perf.chips import peak_flops
from chexjax.stages.config import RunConfig
from chexjax.trackers import StageClock, StageTimer
from chexjax.train import Watch

Content = Mapping[str, Any]

_OUTSIDE = "outside"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the method.

    Attributes:
      name: Command, and name in progress lines.
      folder: Where its artefact lies in the workdir.
      kind: Kind of that artefact.
      fields: Fields of `RunConfig` that decide its content.
      reads: Stages whose artefacts it takes, or how they follow from the config.
      work: Fills a draft and finishes it.
      needed: Whether a run with this config has any use for the artefact.
      extra: Content that no field of the config holds.
      outside: What it reads that is no artefact, as content; None where that is out of reach. Only
        the stage itself looks there: who reads its artefact believes what that says of it.
      describe: Says on a console what came of it, where the stage is run alone.
      home: The workdir where none is given, with fields of the config in braces; such a stage needs
        no config file and looks at no field but its own. Empty for those that need both.
      shared: Whether several processes can share its units of work.
      together: Whether the processes of one job do it together, on all of their devices. What is
        neither, the first process does, and the others wait.
    """

    name: str
    folder: str
    kind: str
    fields: Sequence[str]
    reads: Sequence[Stage] | Callable[[RunConfig], Sequence[Stage]]
    work: Callable[[Context, Draft, StageTimer], Artefact]
    needed: Callable[[RunConfig], bool] = lambda _: True
    extra: Callable[[RunConfig], Content] = lambda _: {}
    outside: Callable[[RunConfig], Content | None] = lambda _: {}
    describe: Callable[[Artefact, Console], None] = lambda *_: None
    home: str = ""
    shared: bool = False
    together: bool = False

    def inputs(self, config: RunConfig) -> list[Stage]:
        """The stages whose artefacts it takes in a run with this config."""
        reads = self.reads(config) if callable(self.reads) else self.reads
        return [read for read in reads if read.needed(config)]

    def content(self, config: RunConfig) -> Content:
        """What decides the content of the artefact."""
        chosen = content(config)
        return {name: chosen[name] for name in self.fields} | dict(self.extra(config))


@dataclasses.dataclass(frozen=True)
class Context:
    """One run: config, folder, devices, clock, and where in the folder a stage's artefact lies.

    Attributes:
      config: The run's.
      workdir: The folder.
      clock: Times its stages.
      place: Where in the folder the artefact of a stage lies.
      together: Whether the devices are those of all processes of the job, else this one's own.
    """

    config: RunConfig
    workdir: Path
    clock: StageClock
    place: Callable[[Stage], str] = lambda stage: stage.folder
    together: bool = True

    def path(self, stage: Stage) -> Path:
        """The folder of a stage's artefact."""
        return self.workdir / self.place(stage)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices that this process computes with, alone or together with others.

        Raises:
          ConfigError: a process alone cannot have its part of the job's.
        """
        try:
            whole = make_mesh(self.config.mesh)
            if not spans_job(whole):
                return whole
            own = local_mesh(whole)  # also where it is not wanted now: it has to be there
            return whole if self.together else own
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @property
    def share(self) -> Share:
        """Which of several processes this is: of one job, or of those that share a workdir."""
        if jax.process_count() > 1:
            return Share(index=jax.process_index(), of=jax.process_count())
        return self.config.share

    def watch(self, folder: Path) -> Watch:
        """How training is watched whose artefact lies in `folder`, with what it shows outside."""
        inside = folder.relative_to(self.workdir)
        return Watch(
            config=self.config.watch,
            board=self.workdir / "tensorboard" / inside,
            traces=self.workdir / "profile" / inside,
            name="-".join([self._name, *inside.parts]),
            peak=peak_flops(self.mesh.devices.flat[0].device_kind),
        )

    @property
    def _name(self) -> str:
        """The workdir among all others: its name, and where it lies as a few letters."""
        place = self.workdir.resolve()
        return f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}"

    def within(self, stage: Stage) -> Context:
        """The same with the devices that a stage runs on."""
        if jax.process_count() == 1:
            return self
        inside = dataclasses.replace(self, together=stage.together)
        inside.__dict__["_checked"] = self._checked  # nothing is hashed twice
        return inside

    @functools.cached_property
    def family(self) -> PolicyFamily:
        """The policy's shapes and texts."""
        return self.config.policy.family

    @property
    def pair_family(self) -> PolicyFamily:
        """The same with the template that pairs are laid out by.

        Raises:
          ConfigError: the family has no such template.
        """
        if self.config.template == "inference_consistent":
            return self.family
        if self.family.reference_template is None:
            raise ConfigError(
                f"config.template='{self.config.template}', but of {self.family.name} no such "
                "template is known; set it to 'inference_consistent'"
            )
        return dataclasses.replace(self.family, template=self.family.reference_template)

    @property
    def dtype(self) -> Any:
        """Compute dtype of the policy."""
        name = self.config.policy.compute_dtype
        if name == "auto":
            on_cpu = self.mesh.devices.flat[0].platform == "cpu"
            name = "float32" if on_cpu else "bfloat16"
        return jnp.dtype(name)

    @property
    def attention(self) -> Backend:
        """What computes the policy's attention.

        Raises:
          ConfigError: the devices lack what the config asks for.
        """
        asked, platform = self.config.policy.attention, self.mesh.devices.flat[0].platform
        try:
            return backend_for(asked, platform)
        except ValueError as error:
            raise ConfigError(f"config.policy.{error}") from error

    @property
    def compute(self) -> dict[str, Any]:
        """How the policy computes: options of the model that do not change what it is."""
        return {"dtype": self.dtype, "attention": self.attention}

    def artefact(self, stage: Stage) -> Artefact:
        """The finished artefact of a stage, exactly as this config would make it.

        Raises:
          ArtefactError: it is missing, damaged, or of another config.
        """
        folder = self.place(stage)
        if folder not in self._checked:
            asked = {**stage.content(self.config), **self._said_outside(stage)}
            expected = artefacts.identity(stage.kind, asked, self._inputs(stage))
            self._checked[folder] = artefacts.load(
                self.path(stage), stage.kind, expected=expected, content=asked
            )
        return self._checked[folder]

    @functools.cached_property
    def _checked(self) -> dict[str, Artefact]:
        """Artefacts made or found sound so far, by folder: many stages read one, hashed once."""
        return {}

    def _inputs(self, stage: Stage) -> dict[str, Artefact]:
        """What a stage takes, by folder."""
        return {read.folder: self.artefact(read) for read in stage.inputs(self.config)}

    def is_finished(self, stage: Stage) -> bool:
        """Whether the stage's folder has an artefact, of whichever config."""
        return manifest.read(self.path(stage)) is not None

    def _said_outside(self, stage: Stage) -> Content:
        """What the artefact in the stage's folder says that it has read outside."""
        found = manifest.read(self.path(stage))
        said = found.content.get(_OUTSIDE) if found else None
        return {_OUTSIDE: said} if said else {}

    def _outside(self, stage: Stage) -> Content:
        found = stage.outside(self.config)
        if found is None:
            return self._said_outside(stage)
        return {_OUTSIDE: found} if found else {}

    def run(self, stage: Stage) -> Artefact:
        """Does a stage's work, or what is left of it; nothing where it is done."""
        share, together = self.share, stage.together and jax.process_count() > 1
        several = stage.shared or together
        if not (several or share.first):
            path = self.path(stage)
            done = functools.partial(self.is_finished, stage)
            share.wait(done, f"{path} to be finished", folder=path)
            return self.artefact(stage)
        with self.clock.stage(self.place(stage)) as timer:
            begun = artefacts.begin(
                self.path(stage),
                stage.kind,
                content={**stage.content(self.config), **self._outside(stage)},
                config=dataclasses.asdict(self.config),
                inputs=self._inputs(stage),
                share=share if several else ALONE,
            )
            if isinstance(begun, Artefact):
                timer.skip()
                print(f"{stage.name}: {begun.path} is finished, nothing to do", flush=True)
                made = begun
            else:
                inside = self.within(stage)
                with jax.set_mesh(inside.mesh):  # activations are placed on it
                    made = stage.work(inside, begun, timer)
                if together:  # there are checkpoints among the notes, which nobody reads now
                    meet(f"{stage.name} is finished")
                    begun.drop_notes()
        self._checked[self.place(stage)] = made
        return made
