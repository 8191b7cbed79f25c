"""One version of one model: a SavedModel in a TensorFlow session, ready to run its signatures."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model import loader_impl

from serving.server.loading.freed import give_back_freed
from serving.server.loading.xla import functions_if_compiled, must_compile
from serving.server.run import tensors
from serving.server.run.runner import FOR_EVER, Patience
from serving.server.status import StatusError, from_tensorflow

MAX_PREPARED = 64


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A set of feeds and fetches as the session wants them, and the dtypes of the feeds."""

    feeds: tuple[Any, ...]
    fetches: list[Any]
    dtypes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a SavedModel is opened: the tags of its MetaGraph and the session's thread counts (0 is automatic)."""

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0


class LoadedModel:
    """The signatures of a SavedModel and a session that runs them; any number of threads may call ``run``.

    The session's own run, past the layers of Python that ``Session.run`` puts before it, costs a tenth of what calling
    the signature of ``tf.saved_model.load`` costs, fails with the texts of the ops themselves, and takes a time limit.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Loads ``path`` (a version folder).

        Raises:
            StatusError: ``NOT_FOUND`` without a SavedModel or the tags, ``DATA_LOSS`` for an unreadable one, or the
                code of the op that failed while variables were restored.
        """
        self.path = path
        meta_graph = _find_meta_graph(path, options.tags)
        self.signatures = dict(meta_graph.signature_def)
        self._compiled = functions_if_compiled(meta_graph.graph_def)
        self._graph = tf.Graph()
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=options.intra_op_threads,
            inter_op_parallelism_threads=options.inter_op_threads,
            gpu_options=config_pb2.GPUOptions(allow_growth=True),
        )
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            self._restore(options.tags)
        except tf.errors.OpError as error:
            self._session.close()
            raise from_tensorflow(error) from error
        except (ValueError, OSError, KeyError, RuntimeError) as error:
            self._session.close()
            raise StatusError("INVALID_ARGUMENT", f"Cannot load {path}: {error}") from error
        self._prepared: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], _Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def _restore(self, tags: tuple[str, ...]) -> None:
        """Graph, variables and initializers of the SavedModel into the session.

        ``tf.compat.v1.saved_model.load`` is these three steps, but fails on a model without variables.
        """
        loader = loader_impl.SavedModelLoader(str(self.path))
        with self._graph.as_default():
            saver, _ = loader.load_graph(self._graph, list(tags))
            if (self.path / "variables" / "variables.index").is_file():
                loader.restore_variables(self._session, saver)
            loader.run_init_ops(self._session, list(tags))

    def run(
        self,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        patience: Patience = FOR_EVER,
    ) -> list[np.ndarray]:
        """The tensors named ``fetches``, computed from ``arrays`` put in place of the tensors named ``feeds``.

        Raises:
            StatusError: ``INVALID_ARGUMENT`` for another dtype than the tensor's, ``DEADLINE_EXCEEDED`` where
                ``patience`` ended before the run, or the code and text of the op that failed.
        """
        prepared = self._of(tuple(feeds), tuple(fetches))
        for position, (expected, array) in enumerate(zip(prepared.dtypes, arrays, strict=True)):
            if (got := tensors.number_of(array)) != expected:
                raise StatusError(
                    "INVALID_ARGUMENT",
                    f"Expects arg[{position}] to be {tensors.dtype_name(expected)} but {tensors.dtype_name(got)} is "
                    "provided",
                )
        if patience.is_over:
            raise StatusError("DEADLINE_EXCEEDED", "The client no longer waits for this run")
        limit_ms = patience.left_ms()
        options = None
        if limit_ms:
            options = pywrap_tf_session.TF_NewBufferFromString(
                config_pb2.RunOptions(timeout_in_ms=limit_ms).SerializeToString()
            )
        try:
            made = pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session,
                options,
                dict(zip(prepared.feeds, arrays, strict=True)),
                prepared.fetches,
                [],
                None,
            )
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        finally:
            if options is not None:
                pywrap_tf_session.TF_DeleteBuffer(options)
        # A string of rank 0 comes as bare bytes.
        return [output if isinstance(output, np.ndarray) else _array(output) for output in made]

    def close(self) -> None:
        """Frees the session and its variables; nothing may run any more."""
        with self._lock:
            self._prepared.clear()
        self._session.close()
        self._graph = None
        # Graphs are full of cycles; without this the old version's memory waits for a later collection.
        gc.collect()
        give_back_freed()

    def _of(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> _Prepared:
        key = (feeds, fetches)
        with self._lock:
            prepared = self._prepared.get(key)
            if prepared is not None:
                self._prepared.move_to_end(key)
                return prepared
        made = self._prepare(feeds, fetches)
        with self._lock:
            self._prepared[key] = made
            while len(self._prepared) > MAX_PREPARED:
                self._prepared.popitem(last=False)
        return made

    def _prepare(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> _Prepared:
        self._check_fetches(fetches)
        fed = [self._graph.get_tensor_by_name(name) for name in feeds]
        return _Prepared(
            feeds=tuple(tensor._as_tf_output() for tensor in fed),
            fetches=[self._graph.get_tensor_by_name(name)._as_tf_output() for name in fetches],
            dtypes=tuple(tensor.dtype.as_datatype_enum for tensor in fed),
        )

    def _check_fetches(self, fetches: tuple[str, ...]) -> None:
        for name in fetches:
            op_name, _, index = name.partition(":")
            op = self._graph.get_operation_by_name(op_name)
            if len(op.outputs) <= int(index or 0):
                counted = f"Node '{op.name}' (type: '{op.type}', num of outputs: {len(op.outputs)})"
                raise StatusError("OUT_OF_RANGE", f"{counted} does not have output {int(index or 0)}")
            if self._compiled and (node := must_compile(op, self._compiled)):
                raise StatusError("INTERNAL", f"XLA compilation disabled\n\t [[{{{{node {node}}}}}]]")


def _array(value: object) -> np.ndarray:
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _find_meta_graph(path: Path, tags: tuple[str, ...]) -> meta_graph_pb2.MetaGraphDef:
    """The MetaGraph with exactly ``tags``, read here first so that the refusal has the server's texts."""
    file = path / "saved_model.pb"
    if not file.is_file():
        raise StatusError(
            "NOT_FOUND",
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {path}",
        )
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise StatusError("DATA_LOSS", f"Can't parse {file} as binary proto") from error
    for meta_graph in saved.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    raise StatusError(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available tag-sets "
        "in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )
