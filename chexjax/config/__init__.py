"""Configs: `ml_collections` at the edge, frozen dataclasses inside."""

from __future__ import annotations

from chexjax.config.schema import (
    ConfigError,
    arguments,
    config_dict,
    content,
    digest,
    freeze,
    local,
    nearest,
    own_source,
    render,
    steps,
)

__all__ = [
    "ConfigError",
    "arguments",
    "config_dict",
    "content",
    "digest",
    "freeze",
    "local",
    "nearest",
    "own_source",
    "render",
    "steps",
]
