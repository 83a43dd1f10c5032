"""Trains the tabular models: `wine` (a classifier) and `diabetes` (a regression).

    python triton/builders/train_tabular.py --repository model_repository

writes `model.onnx` and `card.yaml` into version 1 of `wine_logistic` and `diabetes_forest`. The
data come with scikit-learn, the seed is pinned: the same library versions give the same bytes.
Needs scikit-learn, skl2onnx, onnx, onnxruntime and PyYAML.
"""

import argparse
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import yaml
from onnx import ModelProto, TensorProto
from onnx.checker import check_model
from onnx.helper import make_opsetid, make_tensor_value_info
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.base import BaseEstimator, is_classifier
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20250115
HELD_OUT = 0.3
OPSETS = {"": 17, "ai.onnx.ml": 3}
CULTIVARS = ["barolo", "grignolino", "barbera"]

Array = npt.NDArray[Any]
Card = dict[str, Any]


def train_wine(repository: Path) -> None:
    """Trains `wine_logistic`: X FP32 [13] to PROBABILITIES FP32 [3]."""
    data = load_wine()
    split = _split(data.data, data.target, stratify=data.target)
    x_train, x_test, y_train, y_test = split
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    cross_validated = cross_val_score(model, data.data, data.target, cv=folds)
    model.fit(x_train, y_train)
    onnx_model = _export(model, 13, "PROBABILITIES", 3)
    probabilities = _run(onnx_model, x_test)
    _check_export(probabilities, model.predict_proba(x_test))
    predicted = probabilities.argmax(axis=1)
    card = {
        "model": "wine",
        "version": "v1.0.0",
        "summary": "Logistic regression on 13 standardised laboratory values of a wine.",
        "data": _data_facts("UCI Wine, as scikit-learn ships it", data.data, data.target, split),
        "metrics": {
            "held_out": {
                "accuracy": _round(accuracy_score(y_test, predicted)),
                "macro_f1": _round(f1_score(y_test, predicted, average="macro")),
                "ece": _round(expected_calibration_error(probabilities, y_test)),
                "confusion_matrix": {
                    "labels": CULTIVARS,
                    "rows_are_true": confusion_matrix(y_test, predicted).tolist(),
                },
            },
            "cross_validation": {
                "folds": 10,
                "accuracy_mean": _round(cross_validated.mean()),
                "accuracy_std": _round(cross_validated.std()),
            },
        },
        "limits": [
            "Three cultivars of one region of Italy, 178 wines: any other wine still gets one of "
            "the three names.",
            "A held-out split of 54 wines cannot tell 0.98 from 1.00: read the cross-validation.",
            "Values far outside the training data are extrapolated with high confidence.",
            "The data set numbers its classes; the names follow the class sizes (59, 71, 48) of "
            "the original publication, Forina et al., PARVUS.",
        ],
        "licences": {
            "data": "CC BY 4.0 (UCI Machine Learning Repository)",
            "weights": "as this project",
        },
    }
    _write(repository / "wine_logistic" / "1", onnx_model, card)


def train_diabetes(repository: Path) -> None:
    """Trains `diabetes_forest`: X FP32 [10] to VALUE FP32 [1]."""
    data = load_diabetes(scaled=False)
    split = _split(data.data, data.target)
    x_train, x_test, y_train, y_test = split
    model = ExtraTreesRegressor(
        n_estimators=60, min_samples_leaf=4, max_features=0.6, random_state=SEED
    )
    baseline = make_pipeline(StandardScaler(), RidgeCV())
    folds = KFold(10, shuffle=True, random_state=SEED)
    cross_validated = cross_val_score(model, data.data, data.target, cv=folds, scoring="r2")
    cross_baseline = cross_val_score(baseline, data.data, data.target, cv=folds, scoring="r2")
    model.fit(x_train, y_train)
    baseline.fit(x_train, y_train)
    onnx_model = _export(model, 10, "VALUE", 1)
    value = _run(onnx_model, x_test)
    _check_export(value[:, 0], model.predict(x_test))
    card = {
        "model": "diabetes",
        "version": "v1.0.0",
        "summary": "60 extremely randomised trees on 10 baseline values of a patient.",
        "data": _data_facts(
            "Diabetes data of Efron, Hastie, Johnstone and Tibshirani (2004), as scikit-learn "
            "ships it, in its original units",
            data.data,
            data.target,
            split,
        ),
        "metrics": {
            "held_out": _regression_metrics(y_test, value[:, 0]),
            "held_out_baselines": {
                "ridge_regression": _regression_metrics(y_test, baseline.predict(x_test)),
                "mean_of_training": _regression_metrics(
                    y_test, np.full(len(y_test), y_train.mean())
                ),
            },
            "cross_validation": {
                "folds": 10,
                "r2_mean": _round(cross_validated.mean()),
                "r2_std": _round(cross_validated.std()),
                "ridge_regression_r2_mean": _round(cross_baseline.mean()),
            },
        },
        "limits": [
            "Explains about half of the variance, no more than a linear regression does: a "
            "demonstration, not a medical device.",
            "442 patients of one study from before 2004; no other population was tested.",
            "Trees answer within the training targets (25 to 346), whatever the input.",
            "The data set codes sex as 1 and 2 and does not say which is which.",
        ],
        "licences": {
            "data": "published with the paper, no licence given; shipped by scikit-learn",
            "weights": "as this project",
        },
    }
    _write(repository / "diabetes_forest" / "1", onnx_model, card)


def expected_calibration_error(probabilities: Array, truth: Array, bins: int = 10) -> float:
    """Returns the expected calibration error of the top class (Guo et al., 2017).

    Args:
        probabilities: Float `[n, classes]`.
        truth: Integer class indices `[n]`.
        bins: Number of equally wide bins of confidence.
    """
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        np.mean(place == each) * abs(hit[place == each].mean() - confidence[place == each].mean())
        for each in np.unique(place)
    ]
    return float(sum(gaps))


def _split(x: Array, y: Array, stratify: Array | None = None) -> list[Array]:
    split: list[Array] = train_test_split(
        x, y, test_size=HELD_OUT, random_state=SEED, stratify=stratify
    )
    return split


def _export(model: BaseEstimator, columns: int, output: str, width: int) -> ModelProto:
    """Exports X FP32 `[n, columns]` to `output` FP32 `[n, width]`; a label output is dropped."""
    classifier = is_classifier(model)
    exported = convert_sklearn(
        model,
        name=output.lower(),  # a random name would change the bytes of every run
        initial_types=[("X", FloatTensorType([None, columns]))],
        final_types=[(name, None) for name in (["LABEL", output] if classifier else [output])],
        options={id(model): {"zipmap": False}} if classifier else None,
        target_opset=OPSETS,
    )
    selected: ModelProto = select_model_inputs_outputs(exported, output)
    # The selection drops the shape, and Triton's C++ backend refuses an output without one.
    described = make_tensor_value_info(output, TensorProto.FLOAT, ["N", width])
    selected.graph.output[0].CopyFrom(described)
    # The converter lowers the opsets to the oldest that would do; pin them.
    del selected.opset_import[:]
    selected.opset_import.extend(make_opsetid(*each) for each in OPSETS.items())
    check_model(selected, full_check=True)
    return selected


def _run(model: ModelProto, x: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: Array = session.run(None, {"X": x.astype(np.float32)})[0]
    return answer


def _check_export(answer: Array, expected: Array) -> None:
    # Relative to the size of the answers: FP32 keeps seven digits.
    gap = float(np.abs(answer - expected).max() / np.abs(expected).max())
    if gap > 1e-5:
        raise SystemExit(f"the ONNX file is off by {gap:.1e} from scikit-learn, expected <= 1e-5")


def _regression_metrics(truth: Array, value: Array) -> dict[str, float]:
    return {
        "mae": _round(mean_absolute_error(truth, value)),
        "rmse": _round(root_mean_squared_error(truth, value)),
        "r2": _round(r2_score(truth, value)),
    }


def _data_facts(name: str, x: Array, y: Array, split: list[Array]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for array in (x, y):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return {
        "name": name,
        "rows": len(y),
        "train_rows": len(split[0]),
        "held_out_rows": len(split[1]),
        "split_seed": SEED,
        "sha256": digest.hexdigest(),
        "sha256_of": "features, then targets, as little-endian float64 in row order",
    }


def _round(number: float) -> float:
    return round(float(number), 4)


def _write(directory: Path, model: ModelProto, card: Card) -> None:
    content = model.SerializeToString()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(content)
    libraries = {name: version(name) for name in ("scikit-learn", "skl2onnx", "onnx")}
    artefact = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    text = yaml.safe_dump(
        card | {"artefact": artefact | {"ir_version": model.ir_version, "trained_with": libraries}},
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    (directory / "card.yaml").write_text(text, encoding="utf-8")
    print(f"{directory}: {len(content):,} bytes, {card['metrics']['held_out']}")


def main() -> None:
    """Trains both models into a model repository."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    repository: Path = parser.parse_args().repository
    train_wine(repository)
    train_diabetes(repository)


if __name__ == "__main__":
    main()
