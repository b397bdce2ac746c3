"""`export`: a trained policy as a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from flax import nnx
from rich.console import Console

from chexjax import artefacts
from chexjax.artefacts import Artefact, write_atomic
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.data.tokens import Tokens
from chexjax.families import PolicyFamily, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.stages.model_card import model_card
from chexjax.stages.policies import load_tokens, place_policy, write_checkpoint

_FORM = "chexjax export --policy=WORKDIR/aligned --to=FOLDER [--dtype=bfloat16]"
_DTYPES = ("float32", "bfloat16", "float16")


def export(argv: Sequence[str], console: Console) -> None:
    """Runs the command: shards and their index, config, generation config, tokenizer, model card.

    Args:
      argv: What stands behind `export` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag cannot be used, or the folder to write holds something.
      ArtefactError: the policy is missing or damaged.
    """
    policy, folder, dtype = _arguments(argv)
    artefact = artefacts.load(policy, "policy")
    family = preset(json.loads((policy / "policy.json").read_text())["preset"], PolicyFamily)
    tokens = load_tokens(family, artefact)
    model = place_policy(artefact, family, make_mesh(MeshConfig()))
    write_checkpoint(folder, family, nnx.state(model), policy / "tokenizer", dtype=dtype)
    _write_texts(folder, artefact, family, tokens)
    console.print(f"export: {folder} has {family.name} of {policy} in {dtype}")


def _arguments(argv: Sequence[str]) -> tuple[Path, Path, str]:
    own = flags.FlagValues()
    flags.DEFINE_string("policy", None, "Folder of a policy.", flag_values=own)
    flags.DEFINE_string("to", None, "Folder to write.", flag_values=own)
    flags.DEFINE_enum("dtype", "bfloat16", _DTYPES, "As stored.", flag_values=own)
    if rest := read_flags(own, argv, _FORM):
        raise ConfigError(f"{rest[0]} is no flag: write {_FORM}")
    for name in ("policy", "to"):
        if not own[name].value:
            raise ConfigError(f"--{name} is missing: write {_FORM}")
    folder = Path(str(own["to"].value))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--to={folder} is not an empty folder; give one that is, or a new name")
    return Path(str(own["policy"].value)), folder, str(own["dtype"].value)


def _write_texts(folder: Path, artefact: Artefact, family: PolicyFamily, tokens: Tokens) -> None:
    generation = {
        "do_sample": False,
        "eos_token_id": tokens.end,
        "pad_token_id": tokens.tokenizer.pad_token_id,
        "max_new_tokens": artefact.manifest.config["evaluate"]["max_new_tokens"],
    }
    write_atomic(folder / "generation_config.json", json.dumps(generation, indent=2) + "\n")
    write_atomic(folder / "README.md", model_card(artefact, family))
