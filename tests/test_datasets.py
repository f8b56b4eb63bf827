"""Data sets prepared once: the digits' split, CIFAR-10's archive, folders of images, and what is refused of each."""

import hashlib
import http.server
import io
import json
import os
import pickle
import tarfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from sharpness.errors import UserError
from sharpness.training import datasets
from sharpness.training.datasets import (
    ARRAYS,
    download_cifar10,
    open_arrays,
    prepare,
    prepared_digest,
    prepared_folder,
    read_cifar10,
    read_digits,
    read_image_folder,
)

DIGITS = {"name": "digits", "title": "digits"}
CIFAR = {"name": "cifar10", "title": "CIFAR-10"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- digits


def test_digits_are_split_512_to_1285_each_class_in_proportion():
    arrays, digits = read_digits(), load_digits()
    assert arrays.train_images.shape == (512, 8, 8, 1)
    assert arrays.test_images.shape == (1285, 8, 8, 1)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_labels.dtype == np.int64
    together = np.bincount(digits.target)
    assert np.abs(np.bincount(arrays.train_labels) - together * 512 / 1797).max() < 1
    assert (np.bincount(arrays.train_labels) + np.bincount(arrays.test_labels) == together).all()
    # Every digit is on one side, once.
    shown = np.concatenate([arrays.train_images, arrays.test_images]).reshape(1797, -1) / 15
    key = lambda images, labels: sorted(map(bytes, np.column_stack([images, labels]).astype(np.uint8)))  # noqa: E731
    assert key(shown, np.concatenate([arrays.train_labels, arrays.test_labels])) == key(digits.data, digits.target)


def test_the_split_is_the_same_each_time():
    first, second = read_digits(), read_digits()
    assert (first.train_images == second.train_images).all()
    assert (first.train_labels == second.train_labels).all()
    # Fixed for good, whatever scikit-learn's generator does: results/ compare with those of other machines.
    assert first.train_labels[:12].tolist() == [6, 1, 2, 2, 1, 7, 1, 0, 5, 2, 8, 0]


# --- preparation


def test_arrays_are_prepared_once_and_mapped_into_memory(tmp_path, monkeypatch):
    folder = prepare(DIGITS, tmp_path / "data")
    monkeypatch.setattr(datasets, "read_digits", None)  # not called again
    assert prepare(DIGITS, tmp_path / "data") == folder
    arrays, meta = open_arrays(folder)
    assert all(isinstance(getattr(arrays, name), np.memmap) for name in ARRAYS)
    pixels = arrays.train_images.reshape(-1, 1).astype(float)
    assert np.allclose(meta["mean"], pixels.mean())
    assert np.allclose(meta["std"], pixels.std())
    assert arrays.classes == tuple("0123456789")
    assert sorted(contents(tmp_path)) == sorted(
        ["data/digits.lock", "data/digits/meta.json", *(f"data/digits/{name}.npy" for name in ARRAYS)]
    )


def test_writing_into_the_mapped_arrays_leaves_the_file_alone(tmp_path):
    folder = prepare(DIGITS, tmp_path)
    before = contents(folder)
    open_arrays(folder)[0].train_images[:] = 0
    assert contents(folder) == before


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty meta", "other meta"])
def test_damaged_prepared_data_is_refused(tmp_path, damage):
    folder = prepare(DIGITS, tmp_path)
    images, meta = folder / "train_images.npy", folder / "meta.json"
    match damage:
        case "truncate":
            images.write_bytes(images.read_bytes()[:-1])
        case "flip":
            images.write_bytes(images.read_bytes()[:-1] + b"\xff")
        case "remove":
            images.unlink()
        case "empty meta":
            meta.write_text("")
        case "other meta":
            meta.write_text("[]")
    with pytest.raises(UserError, match=f"{folder}: prepared data damaged .*; delete this folder and run again"):
        open_arrays(folder)


def prepare_and_count(data_dir: Path) -> int:
    """Prepare the digits; how often this process itself read them."""
    calls = []
    plain = datasets.read_digits
    datasets.read_digits = lambda: (calls.append(1), plain())[1]
    prepare(DIGITS, data_dir)
    return len(calls)


def test_concurrent_preparations_read_the_source_once(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        assert sum(pool.map(prepare_and_count, [tmp_path] * 4)) == 1
    assert open_arrays(tmp_path / "digits")


def test_what_a_killed_preparation_left_is_replaced(tmp_path):
    leftover = tmp_path / ".digits"
    leftover.mkdir()
    (leftover / "train_images.npy").write_bytes(b"half")
    (leftover / "of_an_older_version.npy").write_bytes(b"half")
    folder = prepare(DIGITS, tmp_path)
    open_arrays(folder)
    assert sorted(contents(folder)) == sorted(["meta.json", *(f"{name}.npy" for name in ARRAYS)])
    assert not leftover.exists()


# --- CIFAR-10


def batch(images: int, seed: int) -> dict:
    generator = np.random.default_rng(seed)
    return {
        "data": generator.integers(0, 256, (images, 3072), dtype=np.uint8),
        "labels": generator.integers(0, 10, images).tolist(),
    }


def cifar_archive(path: Path, **replaced: object) -> Path:
    """A small archive of CIFAR-10's form, with some members replaced; pickled as the real one is, by protocol 2."""
    members: dict[str, object] = {f"data_batch_{index}": batch(4, index) for index in range(1, 6)}
    members |= {"test_batch": batch(3, 6), "batches.meta": {"label_names": list("abcdefghij")}} | replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, value in members.items():
            content = pickle.dumps(value, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive where the download would put it, its checksum declared the right one."""
    path = cifar_archive(tmp_path / "data/downloads" / CIFAR10.filename)
    trust(path, monkeypatch)
    return path


def trust(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "CIFAR10_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_cifar10_is_read_channels_last_and_in_order(archive, tmp_path):
    arrays, _ = open_arrays(prepare(CIFAR, tmp_path / "data"))
    assert arrays.train_images.shape == (20, 32, 32, 3)
    assert arrays.test_images.shape == (3, 32, 32, 3)
    second = batch(4, 2)
    # A row of the batch holds 1024 red values, row by row, then the green and the blue ones.
    assert arrays.train_images[4, 5, 7].tolist() == [
        second["data"][0, channel * 1024 + 5 * 32 + 7] for channel in range(3)
    ]
    assert arrays.train_labels[4:8].tolist() == second["labels"]
    assert arrays.classes == tuple("abcdefghij")
    assert not list((tmp_path / "data").rglob("data_batch_1")), "nothing is unpacked to disk"


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_archive_is_refused_and_nothing_prepared(archive, tmp_path, damage):
    content = archive.read_bytes()
    archive.write_bytes(content[:-10] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=f"{archive}: not CIFAR-10's archive .*; delete it and run again"):
        prepare(CIFAR, tmp_path / "data")
    assert not prepared_folder(CIFAR, tmp_path / "data").exists()
    assert archive.exists()


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("PWNED",)


@pytest.mark.parametrize("hidden", [Malicious(), {"data": Malicious(), "labels": []}])
def test_a_pickle_that_runs_code_is_refused_even_with_the_right_checksum(tmp_path, monkeypatch, hidden):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="mkdir, which is not data"):
        read_cifar10(cifar_archive(tmp_path / "archive.tar.gz", test_batch=hidden))
    assert not (tmp_path / "PWNED").exists()
    pickle.loads(pickle.dumps(hidden))
    assert (tmp_path / "PWNED").exists(), "the pickle is as malicious as it claims"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves the class's content, but only its first `sent` bytes, and announces it whole."""

    content = b""
    sent: int | None = None

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: self.sent])

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A local server in the place of CIFAR-10's, with an archive of the right checksums."""
    content = cifar_archive(tmp_path / "served.tar.gz").read_bytes()
    monkeypatch.setattr(Server, "content", content)
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{listener.server_port}/{CIFAR10.filename}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    trust(tmp_path / "served.tar.gz", monkeypatch)
    yield listener
    listener.shutdown()
    listener.server_close()


def test_the_archive_is_downloaded_once(server, tmp_path, monkeypatch):
    archive = download_cifar10(tmp_path / "downloads")
    assert archive.read_bytes() == Server.content
    server.shutdown()
    assert download_cifar10(tmp_path / "downloads") == archive
    assert list(contents(tmp_path / "downloads")) == [CIFAR10.filename]


def test_an_interrupted_download_leaves_nothing_and_can_be_repeated(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "sent", len(Server.content) // 2)
    with pytest.raises(UserError, match=r"CIFAR-10 could not be downloaded from http.*check the network and run again"):
        prepare(CIFAR, tmp_path / "data")
    assert list(contents(tmp_path / "data")) == ["cifar10.lock"]
    monkeypatch.setattr(Server, "sent", None)
    assert open_arrays(prepare(CIFAR, tmp_path / "data"))


def test_a_download_that_was_killed_is_begun_afresh(server, tmp_path):
    incomplete = tmp_path / "downloads/.incomplete"
    incomplete.mkdir(parents=True)
    (incomplete / CIFAR10.filename).write_bytes(Server.content[:100])
    assert download_cifar10(tmp_path / "downloads").read_bytes() == Server.content
    assert not incomplete.exists()


def test_no_server_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(UserError, match=f"or put {CIFAR10.filename} into {tmp_path / 'downloads'}"):
        download_cifar10(tmp_path / "downloads")


# --- folders of images


def write_image(path: Path, size: tuple[int, int] = (6, 6), value: int = 0, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(["cat", "dog"]):
            for index in range(count):
                write_image(folder / split / name / f"{index}.png", value=10 * label + index)
    return folder


def test_an_image_folder_is_read_in_the_order_of_its_names(images, tmp_path):
    (images / "train/cat/notes.txt").write_text("not an image")
    (images / "train/cat/._0.png").write_bytes(b"another system's metadata")
    dataset = {"name": "image_folder", "title": "My pictures", "folder": str(images)}
    arrays, _ = open_arrays(prepare(dataset, tmp_path / "data"))
    assert arrays.classes == ("cat", "dog")
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.test_labels.tolist() == [0, 0, 1, 1]
    assert arrays.train_images.shape == (6, 6, 6, 3)
    assert arrays.train_images[:, 0, 0].tolist() == [[value, 0, 255] for value in (0, 1, 2, 10, 11, 12)]


def test_the_first_image_says_whether_all_are_grey(images):
    write_image(images / "train/cat/0.png", value=7, mode="L")
    arrays = read_image_folder(images)
    assert arrays.train_images.shape == (6, 6, 6, 1)
    assert arrays.train_images[0, 0, 0] == [7]


def test_two_folders_of_one_title_are_prepared_apart(images, tmp_path):
    first = {"name": "image_folder", "title": "Pictures", "folder": str(images)}
    second = {**first, "folder": str(tmp_path / "others")}
    assert prepared_folder(first, tmp_path) != prepared_folder(second, tmp_path)


def test_changed_pictures_are_prepared_again(images, tmp_path):
    dataset = {"name": "image_folder", "title": "Pictures", "folder": str(images)}
    before = prepared_digest(dataset, tmp_path / "data")
    prepare(dataset, tmp_path / "data")
    first = prepared_digest(dataset, tmp_path / "data")
    prepare(dataset, tmp_path / "data")
    same = prepared_digest(dataset, tmp_path / "data")
    write_image(images / "train/cat/0.png", value=99)
    arrays, _ = open_arrays(prepare(dataset, tmp_path / "data"))

    assert before is None
    assert same == first != prepared_digest(dataset, tmp_path / "data")
    assert 99 in arrays.train_images


def test_prepared_pictures_outlive_their_folder(images, tmp_path):
    dataset = {"name": "image_folder", "title": "Pictures", "folder": str(images)}
    prepare(dataset, tmp_path / "data")
    images.rename(images.with_name("moved"))
    assert len(open_arrays(prepare(dataset, tmp_path / "data"))[0].train_labels) == 6


def write_deep_image(path: Path) -> None:
    Image.fromarray(np.arange(36, dtype=np.uint16).reshape(6, 6) * 1000).save(path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: cut_short(folder / "test/dog/1.png"), "test/dog/1.png: not a readable image .*; replace"),
        (lambda folder: (folder / "train/cat/0.png").write_bytes(b""), "train/cat/0.png: not a readable image"),
        (lambda folder: write_deep_image(folder / "train/cat/0.png"), "0.png: more than 8 bits a pixel; save all"),
        (lambda folder: write_image(folder / "test/wolf/0.png"), "class 'wolf' is in only one of train/ and test/"),
        (lambda folder: write_image(folder / "train/dog/1.png", (5, 5)), "train/dog/1.png: 5×5 pixels, but .* has 6×6"),
        (lambda folder: write_image(folder / "test/cat/0.png", (6, 5)), "test/cat/0.png: 6×5 pixels; .* square size"),
        (lambda folder: (folder / "train/bird").mkdir(), "class 'bird' is in only one"),
        (lambda folder: [(folder / split / "bird").mkdir() for split in ("train", "test")], "train/bird: no images"),
        (lambda folder: (folder / "test").rename(folder / "tests"), "test: cannot be read .*; an image folder has"),
        (lambda folder: folder.rename(folder.with_name("moved")), "train: cannot be read .No such file"),
        (lambda folder: [path.unlink() for path in (folder / "train/cat").iterdir()], "train/cat: no images"),
        (lambda folder: os.rename(folder / "train/cat", folder / "train/.cat"), "train: 1 classes; put each class"),
    ],
)  # fmt: skip
def test_a_faulty_image_folder_is_refused_and_nothing_prepared(images, tmp_path, spoil, message):
    spoil(images)
    dataset = {"name": "image_folder", "title": "Pictures", "folder": str(images)}
    with pytest.raises(UserError, match=message) as refusal:
        prepare(dataset, tmp_path / "data")
    assert "\n" not in str(refusal.value)
    assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".lock"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_image_folder_is_refused(images):
    (images / "train").chmod(0)
    with pytest.raises(UserError, match=r"train: cannot be read \(Permission denied\)"):
        read_image_folder(images)
    (images / "train").chmod(0o755)


def test_meta_says_what_the_arrays_are(tmp_path):
    folder = prepare({**DIGITS, "title": "digits (8×8)"}, tmp_path)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    assert meta["title"] == "digits (8×8)"
    digests = "".join(hashlib.sha256((folder / f"{name}.npy").read_bytes()).hexdigest() for name in ARRAYS)
    assert meta["sha256"] == hashlib.sha256(digests.encode()).hexdigest()
