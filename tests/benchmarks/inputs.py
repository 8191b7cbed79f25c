"""The training input pipeline over prepared datasets against Keras' own over the original files."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.train_specs import AugmentSpec
from cxr_tasks.installation.storage.files import reference_to, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from tests.benchmarks.data import RECIPE
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate

GOAL = 3.0
LARGE_GOAL = 20.0
#: Originals as archives of hospitals and NIH have them.
LARGE_PX = 1024
LARGE_FILES = 480
BASELINE = "keras.utils.image_dataset_from_directory over the original files, same size, not augmented"


def run(setting: Setting) -> list[Row]:
    recipe = load_recipe(RECIPE)
    small = _rows(setting, setting.data_root, recipe, "", GOAL)
    large_root = make_large_originals(setting)
    return small + _rows(setting, large_root, recipe, f", {LARGE_PX} px", LARGE_GOAL)


def _rows(setting: Setting, root: Path, recipe: Recipe, originals: str, goal: float) -> list[Row]:
    """Epochs of the files below ``root``, prepared, against Keras' of the same files as they are."""
    import pandas as pd

    from cxr_tasks.datasets.load import LoadedSplit, load_split
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    prepared = prepare(root, recipe)
    size_px, spec = prepared.size_px, recipe.train
    index = pd.read_parquet(prepared.index.uri)

    def load() -> LoadedSplit:
        return load_split(
            Path(prepared.folder),
            "train",
            size_px=size_px,
            n_findings=len(recipe.findings),
            n_images=prepared.n_train,
            spill_folder=setting.scratch,
        )

    split = load()
    plan = BatchPlan(len(split), min(spec.batch_size, len(split)), spec.seed)

    def epoch(augment: AugmentSpec):
        return training_batches(split, plan, augment, first_step=0, n_steps=plan.steps_per_epoch)

    plain, augmented = epoch(AugmentSpec()), epoch(spec.augment)
    keras_batches = _originals(
        setting.scratch / f"links of {root.name}", root, index[index["split"] == "train"], size_px, plan.batch_size
    )

    def first_epoch() -> int:
        load()
        return _n_images(plain)

    sides = {
        "read": lambda: rate(lambda: len(load()), setting.seconds_each),
        "first": lambda: rate(first_epoch, setting.seconds_each),
        "later": lambda: rate(lambda: _n_images(plain), setting.seconds_each),
        "augmented": lambda: rate(lambda: _n_images(augmented), setting.seconds_each),
        "keras": lambda: rate(lambda: _n_images(keras_batches), setting.seconds_each),
    }
    found = in_turns(sides, setting.repetitions)
    batches = f"batches of {plan.batch_size} at {size_px} px"
    of = {
        "read": ("read from disk", f"prepared dataset of {size_px} px read from disk into memory", goal),
        "first": ("first epoch", f"prepared dataset read from disk and one epoch of {batches}", goal),
        "later": ("later epochs", f"an epoch of {batches} once it is in memory", goal),
        "augmented": ("later, augmented", f"the same with the augmentation of {recipe.name}", None),
    }
    return [
        compare(
            f"inputs: {name}{originals}",
            ours=found[side],
            baseline=found["keras"],
            unit="img/s",
            goal=wanted,
            ours_is=ours_is,
            baseline_is=BASELINE,
        )
        for side, (name, ours_is, wanted) in of.items()
    ]


def prepare(root: Path, recipe: Recipe) -> PreparedDataset:
    """The files of ``root`` ingested and prepared for ``recipe``; validation is left out, as it changes no pixel."""
    import pandas as pd

    from cxr_tasks.prepare.stage import prepare_dataset
    from cxr_tasks.validate.profile import profile_of
    from tests.ingest.folders import ingest_source

    paths = RunPaths.for_run("bench", f"prepare {root.name}")
    ingested = ingest_source(recipe, str(root), paths)
    profile = paths.stage("validate") / "profile.json"
    manifest = pd.read_parquet(verified_path(ingested.manifest))
    write_json(profile, profile_of(manifest, recipe.dataset.name, recipe.dataset.vocabulary))
    validated = ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=ingested.manifest,
        data_docs="",
        profile=reference_to(profile),
        n_expectations=0,
        n_warnings=0,
    )
    return prepare_dataset(validated, recipe, paths)


def make_large_originals(setting: Setting) -> Path:
    """Some of the X-rays at 1024 px as PNG, with a detector's noise: smooth ones would decode faster than real ones."""
    import numpy as np
    from PIL import Image

    root = setting.scratch / "large"
    files = [one for one in sorted(setting.data_root.rglob("*")) if one.suffix.lower() in {".jpeg", ".jpg", ".png"}]
    n_wanted = min(LARGE_FILES, len(files)) // (4 if setting.is_quick else 1)
    rng = np.random.default_rng(0)
    for file in files[:: max(len(files) // n_wanted, 1)]:
        picture = Image.open(file).convert("L").resize((LARGE_PX, LARGE_PX), Image.Resampling.BICUBIC)
        grey = np.asarray(picture) + rng.normal(0, 2, (LARGE_PX, LARGE_PX))
        target = (root / file.relative_to(setting.data_root)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(target)
    return root


def _originals(folder: Path, root: Path, rows, size_px: int, batch_size: int):
    """Keras' dataset of the very files in ``rows``, by links in a folder per class."""
    import keras

    for image_id in rows["image_id"]:
        link = folder / Path(image_id).relative_to(Path(image_id).parts[0])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / image_id)
    return keras.utils.image_dataset_from_directory(
        str(folder), color_mode="grayscale", image_size=(size_px, size_px), batch_size=batch_size, verbose=False
    )


def _n_images(batches) -> int:
    """All batches drawn and counted."""
    return sum(int(images.shape[0]) for images, *_ in batches)
