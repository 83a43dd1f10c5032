"""``config.pbtxt``: reading it, the rules that every model keeps, and what a model is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from control_plane.types import FileFault, ModelSignature, TensorSignature

CONFIG: Final = "config.pbtxt"
_VERSION: Final = re.compile(r"[1-9][0-9]*")
_QUEUE: Final = (
    "Set dynamic_batching { default_queue_policy { timeout_action: REJECT "
    "default_timeout_microseconds: N allow_timeout_override: true max_queue_size: N } }"
)


class ModelConfig:
    """One model's ``config.pbtxt``.

    Attributes:
        file: Its path within the repository.
        message: The parsed ``inference.ModelConfig``.
        versions: Triton's version numbers that lie beside it, ascending.
    """

    def __init__(self, file: str, text: str, message: Any, versions: tuple[int, ...] = ()) -> None:
        self.file = file
        self.message = message
        self.versions = versions
        self._lines = text.splitlines()

    @property
    def is_ensemble(self) -> bool:
        """True if the model is made of others."""
        return bool(self.message.HasField("ensemble_scheduling"))

    @property
    def steps(self) -> frozenset[str]:
        """The models that an ensemble is made of; empty for any other model."""
        return frozenset(step.model_name for step in self.message.ensemble_scheduling.step)

    def unserved(self) -> tuple[int, ...]:
        """The versions that Triton leaves out, or takes out when it loads a later one.

        Without a ``version_policy`` that is every version but the highest.
        """
        policy = self.message.version_policy
        if policy.HasField("all"):
            return ()
        if policy.HasField("specific"):
            return tuple(sorted(set(self.versions) - set(policy.specific.versions)))
        return self.versions[: -max(1, policy.latest.num_versions)]

    def signature(self) -> ModelSignature:
        """The tensors as the file declares them."""
        return ModelSignature(
            inputs=tuple(_tensor(tensor) for tensor in self.message.input),
            outputs=tuple(_tensor(tensor) for tensor in self.message.output),
            max_batch_size=self.message.max_batch_size,
        )

    def fault(self, word: str, message: str, remedy: str) -> FileFault:
        """A fault on the first line that has a word, or on the whole file."""
        pattern = re.compile(rf"\b{re.escape(word)}\b")
        lines = (n for n, line in enumerate(self._lines, 1) if pattern.search(line.split("#")[0]))
        return FileFault(self.file, next(lines, 0), message, remedy)


def read_configs(root: Path) -> tuple[dict[str, ModelConfig], list[FileFault]]:
    """Read the ``config.pbtxt`` of every model of a repository.

    Returns:
        The configurations by directory name, and the faults of files that cannot be read.
    """
    configs: dict[str, ModelConfig] = {}
    faults: list[FileFault] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        name = f"{folder.name}/{CONFIG}"
        try:
            if not (folder / CONFIG).is_file():
                raise FileNotFoundError
            text = (folder / CONFIG).read_text(encoding="utf-8")
            message = text_format.Parse(text, model_config_pb2.ModelConfig())
            configs[folder.name] = ModelConfig(name, text, message, _versions(folder))
        except text_format.ParseError as error:
            line = error.GetLine() or 0
            faults.append(FileFault(name, line, f"cannot be parsed: {error}", "Correct the syntax"))
        except (OSError, UnicodeDecodeError):
            faults.append(FileFault(name, 0, "is missing or no UTF-8 text", "Write it"))
    return configs, faults


def with_steps(models: Iterable[str], configs: Mapping[str, ModelConfig]) -> frozenset[str]:
    """Some models and, through any number of ensembles, all models that they are made of.

    Args:
        models: Names of Triton models; of one without a configuration no steps are known.
        configs: The repository's configurations, by name.
    """
    found: set[str] = set()
    left = set(models)
    while left:
        name = left.pop()
        found.add(name)
        if name in configs:
            left |= configs[name].steps - found
    return frozenset(found)


def config_faults(configs: dict[str, ModelConfig]) -> list[FileFault]:
    """Every breach of the repository's rules."""
    faults: list[FileFault] = []
    for name, config in configs.items():
        faults += _general(name, config)
        faults += _policy(config)
        faults += _steps(config, configs) if config.is_ensemble else _queue(config)
    return faults


def _general(name: str, config: ModelConfig) -> Iterator[FileFault]:
    message = config.message
    if message.name and message.name != name:
        yield config.fault("name", f"the name is {message.name}, the folder {name}", "Use one name")
    if message.max_batch_size < 1:
        remedy = "Set it to 1 or more: requests are batched"
        yield config.fault("max_batch_size", "max_batch_size is 0", remedy)
    if message.response_cache.enable:
        remedy = "Turn it off: it tells one tenant, by its speed, what another has asked"
        yield config.fault("response_cache", "the response cache is on", remedy)
    for group in message.instance_group:
        if group.kind in {group.KIND_CPU, group.KIND_GPU} and message.backend == "onnxruntime":
            remedy = "Leave kind out: a GPU is then used where there is one"
            yield config.fault("kind", "the instance kind is fixed", remedy)
    if not message.backend and not message.platform:
        yield config.fault("backend", "names no backend", 'Add backend: "onnxruntime"')


def _policy(config: ModelConfig) -> Iterator[FileFault]:
    left_out = config.unserved()
    if left_out:
        reason = f"Triton serves not all versions: it leaves out {', '.join(map(str, left_out))}"
        yield config.fault("version_policy", reason, "Set version_policy { all {} }")


def _queue(config: ModelConfig) -> Iterator[FileFault]:
    message = config.message
    if not message.HasField("dynamic_batching"):
        yield config.fault("dynamic_batching", "has no dynamic_batching", _QUEUE)
        return
    batching = message.dynamic_batching
    policy = batching.default_queue_policy
    if batching.priority_levels:
        remedy = "Leave it out: it stalls HTTP traffic; the control plane has priorities"
        yield config.fault("priority_levels", "has priority levels", remedy)
    if policy.max_queue_size == 0:
        yield config.fault("max_queue_size", "the queue has no bound", _QUEUE)
    if policy.default_timeout_microseconds == 0:
        reason = "the default timeout is 0, and so a request's own is ignored"
        yield config.fault("default_timeout_microseconds", reason, _QUEUE)
    if not policy.allow_timeout_override:
        yield config.fault("allow_timeout_override", "a request's own timeout is ignored", _QUEUE)
    if sum(max(1, group.count) for group in message.instance_group) < 2:
        reason = "one instance: with queue bounds Triton may leave a request lying for 500 ms"
        yield config.fault("instance_group", reason, "Set instance_group [ { count: 2 } ]")
    if policy.timeout_action != policy.REJECT:
        yield config.fault("timeout_action", "expired requests run all the same", _QUEUE)


def _steps(config: ModelConfig, configs: dict[str, ModelConfig]) -> Iterator[FileFault]:
    for step in config.message.ensemble_scheduling.step:
        if step.model_name not in configs:
            reason = f"the step {step.model_name} is no model of the repository"
            yield config.fault(step.model_name, reason, "Add it or correct the name")


def _versions(folder: Path) -> tuple[int, ...]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(int(name) for name in names if _VERSION.fullmatch(name)))


def _tensor(tensor: Any) -> TensorSignature:
    known = model_config_pb2.DataType.DESCRIPTOR.values_by_number.get(tensor.data_type)
    name = known.name.removeprefix("TYPE_") if known is not None else "INVALID"
    return TensorSignature(tensor.name, "BYTES" if name == "STRING" else name, tuple(tensor.dims))
