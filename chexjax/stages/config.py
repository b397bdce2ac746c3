"""The whole config of a run: one dataclass a stage, put together from the rooms' own."""

from __future__ import annotations

import dataclasses
from typing import Literal

from chexjax import losses
from chexjax.artefacts import Share
from chexjax.config import ConfigError, local, nearest
from chexjax.data.instruct.mixture import MixtureConfig
from chexjax.data.sources.registry import SourceConfig
from chexjax.engine import Sampler
from chexjax.evaluate.chexbench import ChexbenchConfig
from chexjax.evaluate.metrics import METRICS
from chexjax.evaluate.readers.drafting import DraftingConfig
from chexjax.evaluate.readers.study import ReaderConfig
from chexjax.evaluate.studies.analyses import AnalysisConfig
from chexjax.families import PolicyFamily, preset
from chexjax.judges import JudgeSettings, uncontrolled
from chexjax.losses import PreferenceLoss
from chexjax.mesh import MeshConfig
from chexjax.stages.sweeps.config import SweepConfig
from chexjax.train import Reference, TrainConfig, WatchConfig

POLICIES = ("SFT", "SFT continued", "aligned")
"""The policies of a run by the names that they have in reports."""
NEIGHBOUR = "nearest-neighbour"
"""A system that copies the report of the training study most like the one it is asked about."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Which model is trained.

    Attributes:
      preset: Name of a family preset.
      checkpoint: Hugging Face folder in the family's layout to start from; empty for random
        parameters. What it holds, not where it lies, decides the content of the policy.
      tokenizer: Folder of the tokenizer; empty for the checkpoint's own, and without one for a
        tokenizer that is trained on the training studies.
      compute_dtype: `float32`, `bfloat16`, or `auto`: bfloat16 where there is an accelerator.
      attention: What computes it: `xla`, the kernels `splash` (TPU) or `cudnn` (GPU), or `auto`:
        the kernels of the platform. What they do not take, decoding above all, is left to XLA.
    """

    preset: str = "chexagent2_tiny"
    checkpoint: str = local("")
    tokenizer: str = local("")
    compute_dtype: str = local("auto")
    attention: Literal["auto", "xla", "splash", "cudnn"] = local("auto")

    def __post_init__(self) -> None:
        """Checks the dtype's name."""
        if self.compute_dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(
                f"compute_dtype={self.compute_dtype!r} is not auto, float32 or bfloat16"
            )

    @property
    def family(self) -> PolicyFamily:
        """Its shapes and texts."""
        return preset(self.preset, PolicyFamily)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Candidates for the judge.

    Attributes:
      studies: Training studies to sample for, from the first; None for all.
      candidates: Reports a study, N.
      sampler: How tokens are drawn.
      max_new_tokens: Longest report.
      unit: Studies of one unit of work, one commit; an accelerator decodes them together.
      source: File or data set on disk of candidates made elsewhere, which the run's own judge
        scores; see `data.candidates`. Empty for the policy's. Its content counts, not its place.
    """

    studies: int | None = None
    candidates: int = 4
    sampler: Sampler = Sampler()
    max_new_tokens: int = 128
    unit: int = 64
    source: str = local("")

    def __post_init__(self) -> None:
        """A pair needs two candidates."""
        if self.candidates < 2:
            raise ValueError(f"candidates={self.candidates}: a pair needs at least 2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeConfig(JudgeSettings):
    """What scores a candidate, and the settings of all judges that have any.

    Attributes:
      name: A judge's name; see `chexjax.judges.JUDGES`. With `lc_` before it, scores are divided by
        excess words, or with `lc_characters_` or `lc_sentences_` by these, and so pairs are built
        controlled for length.
      noise: Standard deviation of what is added by chance to each score of a candidate, in the
        judge's own units: a worse judge, by a known amount. Held-out reports are scored without.
      unit: Studies judged in one unit of work.
    """

    name: str = "oracle"
    noise: float = 0.0
    unit: int = 256

    def __post_init__(self) -> None:
        """Refuses scores of candidates that would depend on the unit that a study falls into."""
        if self.noise < 0:
            raise ValueError(f"noise={self.noise} is a standard deviation; give 0 or more")
        name = uncontrolled(self.name)
        within = name.startswith("radcliq_")
        score = self.radcliq.bertscore if within else self.bertscore
        if (within or name == "bertscore") and score.idf and not score.corpus:
            raise ValueError(
                f"{'radcliq.' if within else ''}bertscore.idf=True: each unit of candidates would "
                "count words in its own references; give bertscore.corpus, a file of references to "
                "count in"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Which candidates make a pair.

    Attributes:
      tie: A study whose best and worst score are no further apart is dropped.
      source: File or data set on disk of pairs or of single reports made elsewhere, in the place of
        candidates and scores; see `data.preferences`. Empty for none. Its content counts, not its
        place.
    """

    tie: float = 1e-8
    source: str = local("")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which preference loss, with its numbers.

    Attributes:
      name: A loss's name; see `chexjax.losses.LOSSES`.
      options: Its fields, for example `{"beta": 0.1}`; what is left out takes the loss's default.
      log_all_losses: Log value and margin of every other loss, too, at its default numbers, as far
        as what it needs is there; it costs no further pass.
    """

    name: str = "dpo"
    options: dict[str, float | str] = dataclasses.field(default_factory=dict)
    log_all_losses: bool = local(False)

    def build(self) -> PreferenceLoss:
        """The loss.

        Raises:
          ConfigError: there is no such loss or option, or a value is out of range.
        """
        try:
            return losses.build(self.name, self.options)
        except ValueError as error:
            raise ConfigError(f"config.loss: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisualConfig:
    """Visual tokens of the pairs, kept on disk.

    Attributes:
      cache: Encode the images once, and let `reference` and `align` read the tokens instead of
        running tower and connector, which alignment must leave frozen. It takes disk space, and
        says how much before it does; `--dry_run` does, too.
      unit: Studies encoded together: one unit of work, one file.
    """

    cache: bool = local(False)
    unit: int = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """The policy that alignment must not stray from.

    Attributes:
      mode: `cached`, the starting policy, which scores all pairs once before alignment; or a copy
        that runs in every step: `fixed` stays the starting policy, `synchronised` becomes the
        trained one from time to time, `averaged` follows it as an exponential moving average.
      every: Steps between synchronisations.
      decay: Share of itself that an average keeps in each step, 0 to 1.
      unit: Pairs scored together where they are scored once.
    """

    mode: Literal["cached", "fixed", "synchronised", "averaged"] = "cached"
    every: int | None = None
    decay: float | None = None
    unit: int = 32

    def __post_init__(self) -> None:
        """Checks that what moves the reference is given where it moves, and only there."""
        for field, mode in (("every", "synchronised"), ("decay", "averaged")):
            value = getattr(self, field)
            if value is not None and self.mode != mode:
                raise ValueError(
                    f"reference.{field}={value} moves the reference, which mode={self.mode!r} "
                    f"does not allow; set mode={mode!r}, or leave it out"
                )
            if value is None and self.mode == mode:
                raise ValueError(f"reference.mode={mode!r} needs reference.{field}")
        if self.every is not None and self.every < 1:
            raise ValueError(f"reference.every={self.every} must be at least 1")
        if self.decay is not None and not 0 <= self.decay < 1:
            raise ValueError(f"reference.decay={self.decay} is not from 0 to below 1")

    def in_step(self) -> Reference | None:
        """The reference that a training step runs, where it runs one."""
        if self.mode == "cached":
            return None
        return Reference(every=self.every, decay=self.decay)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Held-out evaluation, greedy.

    Attributes:
      split: Which studies.
      studies: How many, from the first; None for all.
      max_new_tokens: Longest report.
      judge: Who scores the reports, where that is another than the one that scored candidates: a
        policy may please the judge that it learnt from.
      long_ratio: A report with more than this times its reference's words is over-long.
      unit: Studies of one unit of work; an accelerator decodes them together.
      labeler: Who reads the 14 labels from reports: "chexbert", with its settings in `judge`;
        "rule_labels", which needs no weights; the "grammar" of phantoms; or "none". Where it is
        empty, phantoms have their grammar, and other sources the rules.
      metrics: Judges whose means are reported beside the score, by their names.
      predictions: Anybody's reports, name of the system -> file of JSON lines, one
        `{"id": study, "report": text}` a study. What it holds counts, not its place.
      systems: Policies, `nearest-neighbour`, and names of `predictions`, the baseline first, what
        is under test last; no policy where there are only files. Empty for all policies, the files
        before the aligned one.
      elsewhere: Folder of the studies of another source, which `ingest` has made, on which the
        policies are evaluated too, to see what they keep there; empty for none.
      analysis: What is worked out of the scores beside their means.
      divergence: Studies by which a policy's divergence from SFT is measured, from the first of
        `studies`; None for all of them.
    """

    split: str = "test"
    studies: int | None = None
    max_new_tokens: int = 128
    judge: str = ""
    long_ratio: float = 1.5
    unit: int = 64
    # What follows decides the report, and not what policies write: `EVALUATE` adds it.
    labeler: str = local("")
    metrics: tuple[str, ...] = local(tuple(METRICS))
    predictions: dict[str, str] = dataclasses.field(
        default_factory=dict, metadata={"content": False}
    )
    systems: tuple[str, ...] = local(())
    elsewhere: str = local("")
    analysis: AnalysisConfig = local(AnalysisConfig())
    divergence: int | None = local(None)

    def __post_init__(self) -> None:
        """A metric has one column; a system is a policy or has a file, and a name of its own."""
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics={self.metrics}: one stands there twice; leave it in once")
        own = (*POLICIES, NEIGHBOUR)
        if taken := set(self.predictions) & set(own):
            raise ValueError(f"predictions.{min(taken)}: a system has this name; give another")
        if unknown := set(self.systems) - {*own, *self.predictions}:
            known = nearest(min(unknown), [*own, *self.predictions])
            raise ValueError(f"systems: {min(unknown)!r} has no file in predictions{known}")
        if left := set(self.predictions) - set(self.names):
            raise ValueError(f"predictions.{min(left)} is not in systems; add it, or take it out")
        if self.elsewhere and not set(POLICIES) & set(self.names):
            raise ValueError(f"elsewhere={self.elsewhere} is for policies, and systems has none")
        if len(set(self.systems)) < len(self.systems):
            raise ValueError(f"systems={self.systems}: one stands there twice; leave it in once")
        if self.divergence is not None and self.divergence < 1:
            raise ValueError(f"divergence={self.divergence} must be 1 or more, or None for all")

    @property
    def names(self) -> tuple[str, ...]:
        """All systems, the baseline first, what is under test last."""
        first, last = POLICIES[:-1], POLICIES[-1:]
        return self.systems or (*first, *sorted(self.predictions), *last)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainJudgeConfig:
    """A judge of our own, which learns from reports with known errors in them.

    Attributes:
      preset: Name of a preset of text.
      start: Folder of a judge to go on from, such as the shipped one; empty for random parameters
        and a new tokenizer. What it holds, not where it lies, decides the content of the judge.
      errors: How errors come into reports: `content`, by writing phantom reports of other content,
        whose counts the oracle knows; or `edits`, by rules on the text of the source's reports.
      lessons: References to learn from, each with `candidates` candidates.
      candidates: Of each reference, N.
      examined: References of the examination, which are others.
      run: Workdir of a run whose sampled candidates are judged too, beside the oracle; only with
        phantoms. Empty for none.
      limit: Most tokens of an answer.
      train: How it is trained; a row is a reference with its candidates.
    """

    preset: str = "green_nano"
    start: str = local("")
    errors: Literal["content", "edits"] = "content"
    lessons: int = 40_000
    candidates: int = 4
    examined: int = 256
    run: str = local("")
    limit: int = 256
    train: TrainConfig = TrainConfig(total_epochs=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The whole method.

    Attributes:
      seed: Of everything that is random after the source.
      source: Where studies come from.
      mixture: Instructions for supervised fine-tuning, where it shall learn more than reports.
      policy: The model.
      sft: Supervised fine-tuning.
      sample: Candidates.
      judge: Scores.
      pair: Pairs.
      visual: Cached visual tokens.
      reference: Cached log-probabilities.
      template: How the texts of a pair are laid out for alignment: `inference_consistent`, as the
        policy is asked and answers, or `reference_compatible`, as CheXalign's code does.
      loss: What alignment minimises.
      align: How alignment trains.
      evaluate: Held-out evaluation.
      chexbench: The alignment tax on CheXbench, or on questions like its own.
      reader: The blinded comparison by readers, which no other stage needs.
      drafting: The study of drafts, which no other stage needs either.
      mesh: Devices.
      share: Which of several processes on one workdir this is.
      watch: How training is watched.
      sweep: Which runs there are, where there are many.
      train_judge: A judge that is trained, which no other stage needs.
    """

    seed: int = 0
    source: SourceConfig = SourceConfig()
    mixture: MixtureConfig = MixtureConfig()
    policy: PolicyConfig = PolicyConfig()
    sft: TrainConfig = TrainConfig(total_epochs=1.0)
    sample: SampleConfig = SampleConfig()
    judge: JudgeConfig = JudgeConfig()
    pair: PairConfig = PairConfig()
    visual: VisualConfig = VisualConfig()
    reference: ReferenceConfig = ReferenceConfig()
    template: Literal["inference_consistent", "reference_compatible"] = "inference_consistent"
    loss: LossConfig = LossConfig()
    align: TrainConfig = TrainConfig(total_epochs=1.0, freeze=("vision/", "connector/"))
    evaluate: EvaluateConfig = EvaluateConfig()
    chexbench: ChexbenchConfig = ChexbenchConfig()
    reader: ReaderConfig = ReaderConfig()
    drafting: DraftingConfig = DraftingConfig()
    mesh: MeshConfig = local(MeshConfig())
    share: Share = local(Share())
    watch: WatchConfig = local(WatchConfig())
    sweep: SweepConfig = local(SweepConfig())
    train_judge: TrainJudgeConfig = TrainJudgeConfig()
