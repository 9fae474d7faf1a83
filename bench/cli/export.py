"""`bench export`: a run's student as a folder of one's own, as ONNX too, or pushed to the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from bench.cli.choices import results_option
from bench.errors import BenchError, UsageError


@click.command(
    epilog="Example: bench export 0a1b2c3d my-student; in Python: transformers.pipeline('text-classification', "
    "'my-student')"
)
@click.argument("run")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--onnx", is_flag=True, help="Write model.onnx, too, and check that its answers are the student's.")
@click.option("--push", metavar="REPO", help="Upload to this repository of the hub (NAME/REPO) under your own login.")
@click.option("--public", is_flag=True, help="Make the repository a public one, if it has to be made.")
@results_option
def export(run: str, folder: Path | None, onnx: bool, push: str | None, public: bool, results: Path) -> None:
    """Copy the student of RUN, an ID (its first digits do) or a run's folder, to FOLDER.

    The folder holds weights, tokenizer and a model card with scores, teacher, data and provenance.
    """
    from bench.reporting.kept import find_run, student_of

    if folder is None and push is None:
        raise UsageError("nothing to do: name a FOLDER to copy the student to, or --push REPO")
    if public and push is None:
        raise UsageError("--public says how --push uploads: name a repository, --push NAME/REPO")
    if onnx and folder is None:
        raise UsageError("--onnx writes a file beside the copy of the student: name a FOLDER")
    student = student_of(results, find_run(results, run))
    if onnx:
        from bench.models.onnx import check_packages

        check_packages()
    if push is not None:
        _check_login(push)
    if folder is not None:
        furthest = _copy(student, folder, onnx=onnx)
        if onnx:
            click.echo(f"model.onnx gives the student's logits (furthest apart: {furthest:.1g})")
        click.echo(f"exported to {folder}; load it: transformers.pipeline('text-classification', {str(folder)!r})")
    if push is not None:
        click.echo(f"pushed to {_push(folder or student, push, private=not public)}")


def _copy(student: Path, folder: Path, *, onnx: bool) -> float:
    """Copy ``student`` to ``folder``, with ``onnx`` also as ONNX; return how far its logits are apart then, else 0."""
    from bench.files import whole_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name a folder that is not, or an empty one")
    if folder.is_dir():
        folder.rmdir()
    with whole_folder(folder, instead="FOLDER") as part:
        for file in student.iterdir():
            shutil.copyfile(file, part / file.name)
        if onnx:
            from bench.models.onnx import write_onnx

            return write_onnx(student, part / "model.onnx")
    return 0.0


def _check_login(repository: str) -> None:
    """Raise BenchError, saying what is missing, where nothing can be pushed: before anything is written."""
    from huggingface_hub import constants, get_token

    from bench.models.hub import unreachable

    if get_token() is None:
        raise BenchError("not logged in to the hub, so nothing is pushed; log in first: hf auth login")
    if constants.HF_HUB_OFFLINE:
        raise BenchError("HF_HUB_OFFLINE is set, so nothing is pushed; unset it to push")
    if (why := unreachable()) is not None:
        raise BenchError(f"cannot push to {repository}: the hub does not answer ({why})")


def _push(folder: Path, repository: str, *, private: bool) -> str:
    """Upload ``folder``; return the repository's address. BenchError where rights are missing or the hub fails."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="A student of distil-augment-bench")
    except HFValidationError as error:
        raise UsageError(f"{repository!r} is no name of a repository (NAME/REPO): {error}") from error
    except (HfHubHTTPError, OSError) as error:
        raise BenchError(f"cannot push to {repository}: {str(error).strip().partition(chr(10))[0]}") from error
    return str(address)
