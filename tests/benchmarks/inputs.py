"""The training input pipeline over the prepared dataset against Keras' own over the original files."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.handoffs import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import AugmentSpec
from tests.benchmarks.data import RECIPE
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate

GOAL = 3.0


def run(setting: Setting) -> list[Row]:
    import pandas as pd

    from cxr_tasks.train.inputs import BatchPlan, LoadedSplit, load_split, training_batches

    recipe = load_recipe(RECIPE)
    prepared = prepare(setting.data_root, recipe)
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
    originals = _originals(setting, index[index["split"] == "train"], size_px, plan.batch_size)

    def first_epoch() -> int:
        load()
        return _n_images(plain)

    sides = {
        "first": lambda: rate(first_epoch, setting.seconds_each),
        "later": lambda: rate(lambda: _n_images(plain), setting.seconds_each),
        "augmented": lambda: rate(lambda: _n_images(augmented), setting.seconds_each),
        "keras": lambda: rate(lambda: _n_images(originals), setting.seconds_each),
    }
    found = in_turns(sides, setting.repetitions)
    batches = f"batches of {plan.batch_size} at {size_px} px"
    of = {
        "first": ("inputs: first epoch", f"prepared dataset read from disk and one epoch of {batches}", GOAL),
        "later": ("inputs: later epochs", f"an epoch of {batches} once it is in memory", GOAL),
        "augmented": ("inputs: later, augmented", f"the same with the augmentation of {recipe.name}", None),
    }
    return [
        compare(
            name,
            ours=found[side],
            baseline=found["keras"],
            unit="img/s",
            goal=goal,
            ours_is=ours_is,
            baseline_is="keras.utils.image_dataset_from_directory over the original files, same size, not augmented",
        )
        for side, (name, ours_is, goal) in of.items()
    ]


def prepare(root: Path, recipe: Recipe) -> PreparedDataset:
    """The files of ``root`` ingested and prepared for ``recipe``; validation is left out, as it changes no pixel."""
    from cxr_tasks.ingest.stage import ingest_source
    from cxr_tasks.prepare.stage import prepare_dataset

    paths = RunPaths.for_run("bench", "prepare")
    ingested = ingest_source(recipe, str(root), paths)
    validated = ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=ingested.manifest,
        data_docs="",
        n_expectations=0,
        n_warnings=0,
    )
    return prepare_dataset(validated, recipe, paths)


def _originals(setting: Setting, rows, size_px: int, batch_size: int):
    """Keras' dataset of the very files in ``rows``, by links in a folder per class."""
    import keras

    folder = setting.scratch / "originals"
    for image_id in rows["image_id"]:
        link = folder / Path(image_id).relative_to(Path(image_id).parts[0])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(setting.data_root / image_id)
    return keras.utils.image_dataset_from_directory(
        str(folder), color_mode="grayscale", image_size=(size_px, size_px), batch_size=batch_size, verbose=False
    )


def _n_images(batches) -> int:
    """All batches drawn and counted."""
    return sum(int(images.shape[0]) for images, _ in batches)
