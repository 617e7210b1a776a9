"""The public API: what `import photochrom` promises, to programs that only submit and to type checkers."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import photochrom
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store

ROOT = Path(__file__).parents[2]

CLIENT = """
import photochrom

def colorize_all(settings: photochrom.Settings) -> int:
    name = photochrom.submit("s3://in/a", "s3://out/a", priority=3, settings=settings)
    progress = photochrom.status(name, settings=settings)
    reasons: list[str] = [record.reason for record in photochrom.quarantined(name)]
    data: bytes = photochrom.colorize(b"...")
    findings = photochrom.verify(data, b"...")
    return progress.done + len(reasons) + len(findings)
"""
MISSPELT = """
import photochrom
photochrom.submit("s3://in/a", "s3://out/a", modell="champion")
"""


def mypy(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "client.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(folder / "cache"),
    ]
    environment = {"MYPYPATH": str(ROOT), "PATH": ""}
    command += ["--config-file", str(ROOT / "pyproject.toml"), "client.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_every_promised_name_is_there():
    for name in photochrom.__all__:
        assert getattr(photochrom, name) is not None
    assert set(photochrom.__all__) <= set(dir(photochrom))
    with pytest.raises(AttributeError, match="no attribute 'colorise'"):
        _ = photochrom.colorise


def test_a_program_that_submits_imports_neither_torch_nor_codecs(tmp_path):
    (tmp_path / "worker.py").write_text("raise ImportError('the service has a module of this name')")
    code = (
        "import sys, photochrom; photochrom.submit, photochrom.status, photochrom.report, photochrom.Settings\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'cv2', 'imagecodecs') if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_strict_type_checker_accepts_a_client(tmp_path):
    done = mypy(CLIENT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_strict_type_checker_finds_a_misspelt_keyword(tmp_path):
    done = mypy(MISSPELT, tmp_path)
    assert 'Unexpected keyword argument "modell"' in done.stdout


def test_a_submission_by_its_functions(store: Store, settings, photograph):
    store.put("archive", "scans/one.png", photograph())
    name = photochrom.submit("s3://archive/scans", "s3://coloured/scans", name="albums", settings=settings)
    assert name == "albums"
    assert list(photochrom.submissions(settings=settings)) == ["albums"]
    assert photochrom.status(name, settings=settings).state == "listing"
    assert list(photochrom.quarantined(name, settings=settings)) == []

    photochrom.cancel(name, settings=settings)
    assert photochrom.status(name, settings=settings).state == "cancelled"
    photochrom.resume(name, settings=settings)
    assert photochrom.status(name, settings=settings).state == "listing"
    assert photochrom.report(name, settings=settings) == [
        f"s3://{settings.state_bucket}/{state_keys.report(name, suffix)}" for suffix in ("csv", "jsonl")
    ]
    with pytest.raises(photochrom.UsageError, match="no quarantined images"):
        photochrom.redrive(name, settings=settings)
    with pytest.raises(photochrom.UsageError):
        photochrom.submit("s3://archive/scans", "s3://archive/scans/inside", settings=settings)


@pytest.fixture(scope="module")
def colorizer():
    return photochrom.Colorizer("autoencoder", settings=photochrom.Settings())


def test_a_photograph_comes_back_in_color_from_bytes_a_path_and_a_file(colorizer, photograph, tmp_path):
    gray = photograph(kind="PNG")
    path = tmp_path / "scan.png"
    path.write_bytes(gray)
    with path.open("rb") as file:
        results = [colorizer(gray), colorizer(path), colorizer(str(path)), colorizer(file)]
        assert not file.closed
    assert len(set(results)) == 1
    assert Image.open(io.BytesIO(results[0])).mode == "RGB"
    assert all(finding.ok is not False for finding in photochrom.verify(results[0], path))


def test_a_gray_jpeg_is_restored_to_the_byte(colorizer, photograph):
    gray = photograph(kind="JPEG")
    assert photochrom.restore(colorizer(gray)) == gray
    with pytest.raises(photochrom.ImageFault):
        photochrom.restore(gray)


def test_what_cannot_be_colorized_says_why(colorizer, photograph, tmp_path):
    with pytest.raises(photochrom.ImageFault) as fault:
        colorizer(b"no photograph")
    assert fault.value.reason == "not-a-photograph"
    with pytest.raises(photochrom.ImageFault) as fault:
        colorizer(colorizer(photograph()))
    assert fault.value.reason == "result"
    with pytest.raises(photochrom.UsageError, match="No such file"):
        colorizer(tmp_path / "missing.jpg")
