"""Resolves defaults, a TOML file and `key=value` words to one printable configuration.

The keys of the training and those of the model share one flat table.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from nenrin.ground import UsageError, read_toml, suggest
from nenrin.models.agecgan import AgeCGAN, AgeCGANConfig
from nenrin.models.base import AgerModel, ModelConfig
from nenrin.models.caae import CAAE, CAAEConfig
from nenrin.models.caae_change import CAAEChange, CAAEChangeConfig
from nenrin.models.condition import LABELS
from nenrin.models.guide import Guide, GuideConfig
from nenrin.models.mixed import MixedAger, MixedConfig
from nenrin.models.prototypes import Prototypes, PrototypesConfig

MODELS: dict[str, tuple[type[AgerModel], type[ModelConfig]]] = {
    "caae": (CAAE, CAAEConfig),
    "caae-change": (CAAEChange, CAAEChangeConfig),
    "age-cgan": (AgeCGAN, AgeCGANConfig),
    "prototypes": (Prototypes, PrototypesConfig),
    "guide": (Guide, GuideConfig),
    "mixed": (MixedAger, MixedConfig),
}

NARROWEST = 1 / 16  # of the published channels: the narrowest layer, of 16, keeps one


@dataclasses.dataclass(kw_only=True, slots=True)
class TrainConfig:
    """How a training runs; what is trained is in `model_config`."""

    model: str = "mixed"
    label: str = ""  # part of the run folder's name
    seed: int = 0
    pictures: int = 200_000  # faces seen, over the whole training
    batch: int = 16  # faces
    precision: str = "auto"  # `32-true`, `bf16-mixed`, or bf16 where the device has it
    threads: int = 0  # of the CPU; 0 leaves it to torch
    log_every: int = 100  # steps
    sample_every: int = 1000  # steps
    checkpoint_every: int = 1000  # steps
    keep_checkpoints: int = 3
    watch_every: int = 50  # steps between two looks of the watchdog; 0 for none
    model_config: ModelConfig = dataclasses.field(default_factory=MixedConfig)

    def as_table(self) -> dict[str, Any]:
        """Everything as one flat table, for `config.toml`, `--dry-run` and checkpoints."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "model_config"}
        table = own | dataclasses.asdict(self.model_config)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def resolve(
    model: str | None = None, file: Path | None = None, words: Sequence[str] = (), **fixed: Any
) -> TrainConfig:
    """Defaults, then the TOML file, then `key=value` words, then `fixed`; the later wins.

    Raises `UsageError` for an unknown model or key (naming the nearest) or a value of the wrong type.
    """
    given = read_toml(file) if file else {}
    said = dict(_word(word) for word in words)
    if "domains" in said:  # a file may hold them: that of a run does
        raise UsageError("domains comes from the sets: leave it out")
    given |= said
    given |= fixed
    if model is not None:
        given["model"] = model
    return from_table(given)


def from_table(table: dict[str, Any]) -> TrainConfig:
    """The configuration that a flat table describes; see `TrainConfig.as_table`."""
    name = table.get("model", TrainConfig.__dataclass_fields__["model"].default)
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r}; {suggest(str(name), MODELS)}")
    model_type = MODELS[name][1]
    own_types = {k: v for k, v in get_type_hints(TrainConfig).items() if k != "model_config"}
    model_types = get_type_hints(model_type)
    own, inner = {}, {}
    for key, value in table.items():
        if key in own_types:
            own[key] = _typed(key, value, own_types[key])
        elif key in model_types:
            inner[key] = _typed(key, value, model_types[key])
        else:
            raise UsageError(f"unknown configuration key {key!r}; {suggest(key, [*own_types, *model_types])}")
    config = TrainConfig(**own, model_config=model_type(**inner))
    _check(config)
    return config


def build(config: TrainConfig) -> AgerModel:
    """A fresh model of this configuration."""
    return MODELS[config.model][0](config.model_config)


def _check(config: TrainConfig) -> None:
    if "/" in config.label or "\0" in config.label:
        raise UsageError(f"label = {config.label!r}: it is part of a folder's name, so leave / out")
    size = config.model_config.size
    if size < 16 or size & (size - 1):
        raise UsageError(f"size = {size}: must be a power of two, 16 or more")
    for key in ("pictures", "batch", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints"):
        if getattr(config, key) < 1:
            raise UsageError(f"{key} = {getattr(config, key)}: must be at least 1")
    for key in ("width", "latent"):
        value = getattr(config.model_config, key, None)
        least = 1 if isinstance(value, int) else NARROWEST
        if value is not None and value < least:
            raise UsageError(f"{key} = {value}: must be at least {least}")
    least = MODELS[config.model][0].least_batch
    if config.batch < least:
        raise UsageError(f"batch = {config.batch}: {config.model} needs at least {least} faces at a time")
    for part in (config, config.model_config):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if not isinstance(value, float | int) or value == field.default:
                continue
            if not math.isfinite(value) or value < 0:
                raise UsageError(f"{field.name} = {value}: must be a number from 0 on")
    if config.precision not in ("auto", "32-true", "bf16-mixed"):
        raise UsageError(f"precision = {config.precision!r}: auto, 32-true or bf16-mixed")
    for label in getattr(config.model_config, "told", ()):
        if label not in LABELS:
            raise UsageError(f"told = {label!r}: unknown label; {suggest(label, LABELS)}")
    weighting = getattr(config.model_config, "weighting", "code")
    if weighting not in ("code", "paper"):
        raise UsageError(f"weighting = {weighting!r}: code or paper")


def _word(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    if not equals:
        raise UsageError(f"{word!r} is not key=value")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text  # a bare word is a string


def _typed(key: str, value: Any, wanted: Any) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == tuple[str, ...]:
        if isinstance(value, str):  # one word, or several with commas between them
            return tuple(filter(None, value.split(",")))
        if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
            return tuple(value)
    elif type(value) is wanted:
        return value
    raise UsageError(f"{key} = {value!r}: expected {getattr(wanted, '__name__', wanted)}")
