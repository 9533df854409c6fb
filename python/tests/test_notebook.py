"""The notebook runs from end to end, as it lies in the repository."""

import sys
from pathlib import Path

import nbformat
from conftest import REPOSITORY
from nbclient import NotebookClient

NOTEBOOK = REPOSITORY / "examples" / "notebook.ipynb"


def test_the_notebook_runs_and_shows_its_pictures(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    kept = pictures(notebook)
    assert len(kept) >= 4, "it lies there with its pictures in it"
    folder = tmp_path / "examples"
    folder.mkdir()
    (tmp_path / "assets").symlink_to(REPOSITORY / "assets")
    # A kernel of this very environment, whatever else is installed.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert len(pictures(notebook)) == len(kept)
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "student from refined" in text and "step 8" in text
    assert (folder / "runs" / "notebook" / "refined" / "student.safetensors").exists()
    assert Path(sys.prefix, "share/jupyter/kernels/python3/kernel.json").exists()


def pictures(notebook):
    return [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind, shown in output.get("data", {}).items()
        if kind == "image/png" or (kind == "text/html" and ("<img" in shown or "<iframe" in shown))
    ]
