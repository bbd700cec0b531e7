"""Ray Data as executor: each item travels as one row with an opaque payload, so that blocks never matter.

On a machine without GPUs all stages run in one pool of one-core actors. With GPUs the model stage gets actors of its own,
with another `num_cpus` than the CPU stage, or Ray would fuse decoding into the GPU actor.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

from curate.errors import CurateError, EnvironmentFault, MissingExtra
from curate.executors import Stage, pin_threads

CONNECT_SECONDS = 30
WINDOW = 8192
"""Items sent at a time; workers start anew for each window, which is nothing beside that many chunks."""


class _Runs:
    """A Ray Data worker: unpickles, runs stages in turn, pickles. Our own errors travel as data, so that the driver sees
    them and not Ray's wrapping."""

    makers: ClassVar[list[Callable[[], Callable[[Any], Any]]]]

    def __init__(self) -> None:
        pin_threads()
        self.functions: list[Callable[[Any], Any]] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        item, error = pickle.loads(batch["payload"][0])
        if error is None:
            try:
                self.functions = self.functions or [make() for make in self.makers]
                for function in self.functions:
                    item = function(item)
            except CurateError as raised:
                item, error = None, raised
        return {"payload": [pickle.dumps((item, error), protocol=5)]}


def _once(batch: dict[str, Any], runs: type[_Runs]) -> dict[str, list[bytes]]:
    """The same as a Ray task, in a worker process that is there already."""
    return runs()(batch)


def _answers(address: str) -> None:
    """Raise at once when nobody listens there: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # `auto` and the like are Ray's to resolve
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise EnvironmentFault(f"no Ray cluster answers at {address} ({error}); check --address") from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Nothing that native code of this process writes to standard error is seen."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class RayExecutor:
    """The executor `ray`: a private local Ray, or the cluster at `address`."""

    name = "ray"

    def __init__(self, workers: int | None, address: str | None, root: str) -> None:
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "ray") from error
        if root.startswith("memory://"):
            raise EnvironmentFault("memory:// is per process: Ray's workers would not see it; use --executor inline")
        if address and "://" not in root:
            raise EnvironmentFault(
                f"a remote cluster cannot see the local folder {root}; give --root an URL such as s3://…"
            )
        self.ray = ray
        self.owned = not ray.is_initialized()
        if self.owned:
            self._connect(workers, address)
        resources = ray.cluster_resources()
        self.gpus = int(resources.get("GPU", 0))
        self.workers = workers or max(1, int(resources.get("CPU", 1)))
        if address:
            self._same_version()

    def _connect(self, workers: int | None, address: str | None) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address:
            _answers(address)
            os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = str(CONNECT_SECONDS)  # noqa: SIM112 - Ray spells it so
            try:
                self.ray.init(address=address, **quiet)
            except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
                raise EnvironmentFault(f"no Ray cluster answers at {address} ({error}); check --address") from error
            return
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        folder = os.path.join(tempfile.gettempdir(), f"curate-ray-{os.getuid()}")
        # Ray's native log warns of each actor that its arguments might be lost (ours travel with the class); what matters
        # reaches the driver as an exception.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        with _silent_stderr():  # saying so, it announces the level
            self._start(workers, folder, quiet)

    def _start(self, workers: int | None, folder: str, quiet: dict[str, Any]) -> None:
        self.ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            _temp_dir=folder,
            configure_logging=True,
            **quiet,
        )

    def _same_version(self) -> None:
        import curate

        def version() -> str:
            import curate

            return curate.__version__

        try:
            there = self.ray.get(self.ray.remote(version).remote(), timeout=2 * CONNECT_SECONDS)
        except self.ray.exceptions.RayError as error:
            raise EnvironmentFault(f"workers of the cluster cannot import this project: {error}") from error
        if there != curate.__version__:
            raise EnvironmentFault(f"workers have version {there}, this driver {curate.__version__}: install one")

    def map(self, stages: list[Stage], items: Iterable[Any]) -> Iterator[Any]:
        """Through Ray Data, streaming, `WINDOW` items at a time: the driver never holds what is still to be sent."""
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        waiting = iter(items)
        while rows := [{"payload": pickle.dumps((item, None), protocol=5)} for item in islice(waiting, WINDOW)]:
            yield from self._stream(stages, rows)

    def _stream(self, stages: list[Stage], rows: list[dict[str, bytes]]) -> Iterator[Any]:
        from ray.data import ActorPoolStrategy

        data = self.ray.data.from_items(rows, override_num_blocks=len(rows))
        for group, size, cpus, gpus in self._groups(stages):
            # Travels by value, so that Ray can restart an actor whatever has become of its object store.
            runs = type("_Runs", (_Runs,), {"makers": [stage.make for stage in group]})
            if all(stage.stateless for stage in group):
                data = data.map_batches(_once, fn_kwargs={"runs": runs}, batch_size=1, num_cpus=cpus)
                continue
            pool = ActorPoolStrategy(size=max(1, min(size, len(rows))))
            data = data.map_batches(runs, batch_size=1, compute=pool, num_cpus=cpus, num_gpus=gpus or None)
        try:
            for row in data.iter_rows():
                item, error = pickle.loads(row["payload"])
                if error is not None:
                    raise error
                yield item
        except self.ray.exceptions.RayError as error:
            raise EnvironmentFault(f"Ray gave up: {str(error).strip().splitlines()[-1]}") from error

    def _groups(self, stages: list[Stage]) -> list[tuple[list[Stage], int, float, float]]:
        """(stages, actors, CPUs each, GPUs each)."""
        if not self.gpus or not any(stage.models for stage in stages) or len(stages) == 1:
            gpus = 1.0 if self.gpus and stages[0].models else 0.0
            return [(stages, self.gpus or 1 if gpus else self.workers, 1.0, gpus)]
        cpu = [stage for stage in stages if not stage.models]
        model = [stage for stage in stages if stage.models]
        return [(cpu, max(1, self.workers - self.gpus), 1.0, 0.0), (model, self.gpus, 0.5, 1.0)]

    def close(self) -> None:
        """Shut down the Ray that this executor started."""
        if self.owned:
            self.ray.shutdown()
