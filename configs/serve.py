"""A model behind OpenAI's protocol, on this machine.

    chexjax serve --config=configs/serve.py:model=FOLDER,preset=smollm2_135m

`FOLDER` has `config.json`, safetensors and tokenizer, as `chexjax export` writes them. A judge that
`train_judge` wrote names its preset itself and answers `/v1/judge` as well.

Arguments: `model`, `preset`, `port`.
"""

from __future__ import annotations

import ml_collections

from chexjax.config import arguments, config_dict
from chexjax.serve import ServeConfig


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The server's config."""
    given = arguments(arg, model="", preset="", port=8000)
    return config_dict(ServeConfig(model=given.model, preset=given.preset, port=given.port))
