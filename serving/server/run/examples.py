"""``Classify``, ``Regress`` and ``MultiInference``: signatures that read serialized ``tf.train.Example``s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from serving.server.run.predict import DEFAULT_SIGNATURE, SignatureDef, run_signature
from serving.server.run.runner import FOR_EVER, Patience, Runner
from serving.server.status import StatusError

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


class _Answerable(Protocol):
    """A model that answers: its signatures and what runs them."""

    @property
    def runner(self) -> Runner: ...

    @property
    def signatures(self) -> Mapping[str, SignatureDef]: ...


def classify(
    model: _Answerable,
    signature_name: str,
    examples: input_pb2.Input,
    check_method: bool,
    patience: Patience = FOR_EVER,
) -> classification_pb2.ClassificationResult:
    """Classes and scores of each example.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` for an unknown or unfit signature, no examples, or outputs of another form
            than ``(n_examples, n_classes)``.
    """
    signature = _named(model.signatures, signature_name)
    aliases = _classification_outputs(signature, check_method)
    batch = serialized(examples)
    made = run_signature(model.runner, signature, {INPUTS: batch}, aliases, patience)
    return _classifications(dict(zip(aliases, made, strict=True)), len(batch))


def regress(
    model: _Answerable,
    signature_name: str,
    examples: input_pb2.Input,
    check_method: bool,
    patience: Patience = FOR_EVER,
) -> regression_pb2.RegressionResult:
    """One value for each example.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` for an unknown or unfit signature, no examples, or an output of another form
            than ``(n_examples,)`` or ``(n_examples, 1)``.
    """
    signature = _named(model.signatures, signature_name)
    _check_regression(signature, check_method)
    batch = serialized(examples)
    made = run_signature(model.runner, signature, {INPUTS: batch}, [OUTPUTS], patience)
    return _regressions(made[0], len(batch))


def multi_inference(
    model: _Answerable,
    tasks: Sequence[inference_pb2.InferenceTask],
    examples: input_pb2.Input,
    check_method: bool,
    response: inference_pb2.MultiInferenceResponse,
    patience: Patience = FOR_EVER,
) -> None:
    """Adds the result of each of ``tasks`` on the same examples to ``response``; all are checked before one runs.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` for tasks of several models or a repeated signature, ``UNIMPLEMENTED`` for a
            method other than classify and regress, or as ``classify`` and ``regress``.
    """
    names: list[str] = []
    for task in tasks:
        names.append(_checked_task(model.signatures, tasks[0], task, names, check_method))
    for name, task in zip(names, tasks, strict=True):
        result = response.results.add()
        result.model_spec.signature_name = name
        if task.method_name == CLASSIFY_METHOD:
            result.classification_result.CopyFrom(classify(model, name, examples, check_method, patience))
        else:
            result.regression_result.CopyFrom(regress(model, name, examples, check_method, patience))


def _checked_task(
    signatures: Mapping[str, SignatureDef],
    first: inference_pb2.InferenceTask,
    task: inference_pb2.InferenceTask,
    before: Sequence[str],
    check_method: bool,
) -> str:
    if not task.model_spec.name:
        raise StatusError("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
    if task.model_spec.name != first.model_spec.name:
        text = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        raise StatusError("INVALID_ARGUMENT", text)
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name in before:
        raise StatusError("INVALID_ARGUMENT", f"Duplicate evaluation of signature: {name}")
    if name not in signatures:
        raise StatusError("INVALID_ARGUMENT", f"Requested signature not found in model graph: {name}")
    if task.method_name == CLASSIFY_METHOD:
        _classification_outputs(signatures[name], check_method)
    elif task.method_name == REGRESS_METHOD:
        _check_regression(signatures[name], check_method)
    else:
        raise StatusError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
    return name


def serialized(examples: input_pb2.Input) -> np.ndarray:
    """The examples as an object array of bytes, shape ``(n_examples,)``, each merged with the shared context.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` without examples.
    """
    if examples.WhichOneof("kind") == "example_list_with_context":
        # Two serialized messages one after the other are their merge, the later one winning.
        context = examples.example_list_with_context.context.SerializeToString()
        held = [context + example.SerializeToString() for example in examples.example_list_with_context.examples]
    else:
        held = [example.SerializeToString() for example in examples.example_list.examples]
    if not held:
        raise StatusError("INVALID_ARGUMENT", "Input is empty.")
    batch = np.empty(len(held), object)
    batch[:] = held
    return batch


def _named(signatures: Mapping[str, SignatureDef], name: str) -> SignatureDef:
    signature = signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise StatusError("INVALID_ARGUMENT", f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    return signature


def _check_method(signature: SignatureDef, kind: str, method: str, check_method: bool) -> None:
    if check_method and signature.method_name != method:
        raise StatusError(
            "INVALID_ARGUMENT", f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise StatusError("INVALID_ARGUMENT", "Expected one input Tensor.")


def _classification_outputs(signature: SignatureDef, check_method: bool) -> list[str]:
    _check_method(signature, "classification", CLASSIFY_METHOD, check_method)
    if len(signature.outputs) not in {1, 2}:
        text = f"Expected one or two output Tensors, found {len(signature.outputs)}"
        raise StatusError("INVALID_ARGUMENT", text)
    if INPUTS not in signature.inputs:
        raise StatusError("INVALID_ARGUMENT", f"No classification inputs found in SignatureDef: {signature}")
    aliases = [alias for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not aliases:
        raise StatusError(
            "INVALID_ARGUMENT",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}",
        )
    return aliases


def _check_regression(signature: SignatureDef, check_method: bool) -> None:
    _check_method(signature, "regression", REGRESS_METHOD, check_method)
    if len(signature.outputs) != 1:
        raise StatusError("INVALID_ARGUMENT", "Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise StatusError("INVALID_ARGUMENT", f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in signature.outputs:
        raise StatusError("INVALID_ARGUMENT", f"No regression outputs found in SignatureDef: {signature}")


def _classifications(arrays: Mapping[str, np.ndarray], n_examples: int) -> classification_pb2.ClassificationResult:
    for alias, array in arrays.items():
        if array.ndim != 2:
            text = f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}"
            raise StatusError("INVALID_ARGUMENT", text)
        if array.dtype != (object if alias == CLASSES else np.float32):
            wanted = "DT_STRING" if alias == CLASSES else "DT_FLOAT"
            raise StatusError("INVALID_ARGUMENT", f"Expected {alias} Tensor of {wanted}. Got: {array.dtype}")
        if len(array) != n_examples:
            text = f"Expected {alias} output batch size of {n_examples}. Got: {len(array)}"
            raise StatusError("INVALID_ARGUMENT", text)
    widths = {alias: array.shape[1] for alias, array in arrays.items()}
    if len(set(widths.values())) > 1:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Tensors class and score should match in num_classes. Got {widths[CLASSES]} vs. {widths[SCORES]}",
        )
    result = classification_pb2.ClassificationResult()
    for row in range(n_examples):
        classes = result.classifications.add().classes
        for column in range(next(iter(widths.values()))):
            scored = classes.add()
            if CLASSES in arrays:
                scored.label = arrays[CLASSES][row, column].decode("utf-8", "replace")
            if SCORES in arrays:
                scored.score = float(arrays[SCORES][row, column])
    return result


def _regressions(values: np.ndarray, n_examples: int) -> regression_pb2.RegressionResult:
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}",
        )
    if len(values) != n_examples:
        raise StatusError("INVALID_ARGUMENT", f"Expected output batch size to be {n_examples}. Got: {len(values)}")
    if values.dtype != np.float32:
        raise StatusError("INVALID_ARGUMENT", f"Expected output Tensor of DT_FLOAT. Got: {values.dtype}")
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add().value = value
    return result


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(str(size) for size in array.shape)}]"
