"""Batch scoring of files, tables included, against the same server asked as fast as it answers."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.data import records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns
from tests.benchmarks.serving import LOAD_LIMIT_S, export, untrained_contract

#: Requests at a time of the side that only asks: as many as the benchmark of serving has clients.
N_CLIENTS, BATCH = 8, 8


def run(setting: Setting) -> list[Row]:
    from serving.check.server_process import model_server
    from serving.client import CxrClient
    from serving.client.running import wait_loaded

    contract = untrained_contract()
    folder = export(contract, setting.scratch / "served" / contract.model_name / "1")
    paths = [setting.data_root / record.image_id for record in records_below(setting.data_root)]
    n_images = 64 if setting.is_quick else 1024
    table = setting.scratch / "images.csv"
    table.write_text("file\n" + "".join(f"{path}\n" for path in itertools.islice(itertools.cycle(paths), n_images)))
    with (
        model_server(contract.model_name, folder.parent, setting.scratch / "server.log") as server,
        CxrClient(server.address) as client,
    ):
        wait_loaded(client, contract.model_name, 1, LOAD_LIMIT_S, require_alive=server.require_alive)
        found = in_turns(
            {
                "scored/s": lambda: scored(table, contract.model_name, server.address, n_images),
                "asked/s": lambda: asked(client, contract.model_name, paths, n_images),
            },
            setting.repetitions,
        )
    return [
        compare(
            "scoring: throughput",
            ours=found["scored/s"],
            baseline=found["asked/s"],
            unit="images/s",
            goal=0.9,
            ours_is=f"{n_images} files to Parquet and CSV by cxr_tasks.score, from the list of files on",
            baseline_is=f"the same images from memory, {N_CLIENTS} requests of {BATCH} at a time, answers thrown away",
        )
    ]


def scored(table: Path, model: str, address: str, n_images: int) -> float:
    """Images per second of a whole job, planning and tables included."""
    from cxr_tasks.score.stage import ScoreRequest, plan_scoring, score_all

    begun = time.perf_counter()
    batch = score_all(plan_scoring(ScoreRequest(source=table, model=model, at=1, address=address)))
    if batch.n_answered != n_images:
        raise ValueError(f"expected {n_images} answers, found {batch.n_answered}")
    return n_images / (time.perf_counter() - begun)


def asked(client, model: str, paths: list[Path], n_images: int) -> float:  # type: ignore[no-untyped-def]
    """Images per second of requests alone."""
    images = [path.read_bytes() for path in paths]
    batches = [[images[(start + one) % len(images)] for one in range(BATCH)] for start in range(0, n_images, BATCH)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        list(pool.map(lambda batch: client.outputs(model, batch, at=1, signature="lenient"), batches))
    return n_images / (time.perf_counter() - begun)
