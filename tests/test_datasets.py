"""Data sets prepared once: the digits' split, CIFAR-10's archive, folders of images, and what is refused of each."""

import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from sharpness import registry
from sharpness.arrays import Arrays, Shape
from sharpness.datasets import (
    ARRAYS,
    cifar10,
    digits,
    image_folder,
    open_arrays,
    prepare,
    prepared_digest,
    prepared_folder,
    prepared_shape,
)
from sharpness.errors import UserError

DIGITS = {"name": "digits", "title": "digits"}
ROOT = Path(__file__).parents[1]
CIFAR = {"name": "cifar10", "title": "CIFAR-10"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_digits() -> Arrays:
    return digits.Source().read(Path("downloads"), show_progress=False)


def read_image_folder(folder: Path) -> Arrays:
    return image_folder.Source(str(folder)).read(Path("downloads"), show_progress=False)


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_a_data_set_says_its_title_and_its_source(name):
    constants = registry.constants("datasets", name)
    bibliography = (ROOT / "workflow/report/references.bib").read_text(encoding="utf-8")
    assert constants["TITLE"]
    assert constants["CITATION"] is None or f"{{{constants['CITATION']}," in bibliography


def test_data_sets_need_no_torch():
    code = "import sys, sharpness.datasets.cifar10, sharpness.datasets.digits, sharpness.datasets.image_folder;"
    slow = "{'torch', 'torchvision', 'sklearn', 'PIL'}"
    subprocess.run([sys.executable, "-c", f"{code} assert not {slow} & set(sys.modules)"], check=True)


# --- digits


def test_digits_are_split_512_to_1285_each_class_in_proportion():
    arrays, bundled = read_digits(), load_digits()
    assert arrays.train_images.shape == (512, 8, 8, 1)
    assert arrays.test_images.shape == (1285, 8, 8, 1)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_labels.dtype == np.int64
    together = np.bincount(bundled.target)
    assert np.abs(np.bincount(arrays.train_labels) - together * 512 / 1797).max() < 1
    assert (np.bincount(arrays.train_labels) + np.bincount(arrays.test_labels) == together).all()
    # Every digit is on one side, once.
    shown = np.concatenate([arrays.train_images, arrays.test_images]).reshape(1797, -1) / 15
    key = lambda images, labels: sorted(map(bytes, np.column_stack([images, labels]).astype(np.uint8)))  # noqa: E731
    assert key(shown, np.concatenate([arrays.train_labels, arrays.test_labels])) == key(bundled.data, bundled.target)


def test_the_split_is_the_same_each_time():
    first, second = read_digits(), read_digits()
    assert (first.train_images == second.train_images).all()
    assert (first.train_labels == second.train_labels).all()
    # Fixed for good, whatever scikit-learn's generator does: results/ compare with those of other machines.
    assert first.train_labels[:12].tolist() == [6, 1, 2, 2, 1, 7, 1, 0, 5, 2, 8, 0]


# --- preparation


def test_arrays_are_prepared_once_and_mapped_into_memory(tmp_path, monkeypatch):
    folder = prepare(DIGITS, tmp_path / "data")
    monkeypatch.setattr(digits.Source, "read", None)  # not called again
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


def change_meta(folder: Path, **values: object) -> None:
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8")) | values
    meta.pop("seal", None)  # the digest alone has to notice
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty meta", "other meta", "mean", "std", "classes"])
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
        case "mean" | "std":
            change_meta(folder, **{damage: [72.9]})
        case "classes":
            change_meta(folder, classes=list("0123456798"))
    with pytest.raises(UserError, match=f"{folder}: prepared data damaged .*; delete this folder and run again"):
        open_arrays(folder)


def digest_of(folder: Path, meta: dict) -> str:
    """What the digest of a prepared folder is to be."""
    digests = "".join(hashlib.sha256((folder / f"{name}.npy").read_bytes()).hexdigest() for name in ARRAYS)
    described = json.dumps([meta["classes"], meta["mean"], meta["std"]])
    return hashlib.sha256((digests + described).encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train_images", lambda images: images.astype(np.int16), "train_images are not square images of bytes: int16"),
        ("train_images", lambda images: images[:, :7], r"train_images are not square .* \(512, 7, 8, 1\)"),
        ("train_images", lambda images: images[..., 0], "train_images are not square images"),
        ("train_images", lambda images: images[:100], "train_labels are not 100 integers"),
        ("test_images", lambda images: images[:, :7, :7], "the training and the test images differ in size"),
        ("test_images", lambda images: images[:0], "test_images are not square images"),
        ("train_labels", lambda labels: labels.astype(np.int32), "train_labels are not 512 integers: int32"),
        ("train_labels", lambda labels: labels + 1, "train_labels are not all from 0 to 9"),
        ("test_labels", lambda labels: labels - 1, "test_labels are not all from 0 to 9"),
        ("meta", {"classes": list("012345678")}, "train_labels are not all from 0 to 8"),
        ("meta", {"mean": [1.0, 2.0]}, "mean and std are not those of its channels"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_whatever_their_digest(tmp_path, name, change, reason):
    folder = prepare(DIGITS, tmp_path)
    if name == "meta":
        change_meta(folder, **change)
    else:
        np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))
    change_meta(folder, sha256=digest_of(folder, json.loads((folder / "meta.json").read_text())))
    with pytest.raises(UserError, match=f"prepared data damaged .{reason}.*; delete this folder") as refusal:
        open_arrays(folder)
    assert "\n" not in str(refusal.value)


def test_swapped_arrays_are_refused(tmp_path):
    folder = prepare(DIGITS, tmp_path)
    for kind in ("images", "labels"):
        (folder / f"train_{kind}.npy").rename(tmp_path / "kept")
        (folder / f"test_{kind}.npy").rename(folder / f"train_{kind}.npy")
        (tmp_path / "kept").rename(folder / f"test_{kind}.npy")
    with pytest.raises(UserError, match=r"prepared data damaged \(its content has changed\)"):
        open_arrays(folder)


def test_what_an_older_version_prepared_is_prepared_again(tmp_path):
    folder = prepare(DIGITS, tmp_path)
    before = contents(folder)
    change_meta(folder, preparation=1)
    assert contents(prepare(DIGITS, tmp_path)) == before


# --- smaller versions


def test_a_subset_keeps_the_share_of_each_class_and_is_prepared_apart(tmp_path):
    whole, _ = open_arrays(prepare(DIGITS, tmp_path))
    folder = prepare(DIGITS | {"training_images": 100}, tmp_path)
    arrays, meta = open_arrays(folder)
    assert folder == tmp_path / "digits-100-images"
    assert len(arrays.train_labels) == 100
    exact = np.bincount(whole.train_labels) * 100 / 512
    assert np.abs(np.bincount(arrays.train_labels) - exact).max() < 1
    of_whole = {image.tobytes(): label for image, label in zip(whole.train_images, whole.train_labels, strict=True)}
    assert [of_whole[image.tobytes()] for image in arrays.train_images] == arrays.train_labels.tolist()
    assert len({image.tobytes() for image in arrays.train_images}) == 100, "none is taken twice"
    assert np.array_equal(arrays.test_images, whole.test_images)
    assert meta["mean"] == [arrays.train_images.mean()]
    assert meta["sha256"] == prepared_digest(DIGITS | {"training_images": 100}, tmp_path)
    assert meta["sha256"] != prepared_digest(DIGITS, tmp_path)


def test_all_images_are_the_whole_training_set(tmp_path):
    whole, _ = open_arrays(prepare(DIGITS, tmp_path))
    arrays, _ = open_arrays(prepare(DIGITS | {"training_images": 512}, tmp_path))
    assert np.array_equal(arrays.train_images, whole.train_images)


def test_colours_are_averaged_apart(archive, tmp_path):
    whole, _ = open_arrays(prepare(CIFAR, tmp_path / "data"))
    arrays, _ = open_arrays(prepare(CIFAR | {"training_images": 18, "image_size": 16}, tmp_path / "data"))
    assert (tmp_path / "data/cifar10-18-images-16-px").exists()
    assert arrays.shape == Shape(18, 3, 16, 3, 10)
    blocks = whole.test_images.reshape(3, 16, 2, 16, 2, 3).astype(float).mean((2, 4))
    assert np.abs(arrays.test_images - blocks).max() <= 1.01


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"training_images": 513}, "dataset.training_images: 513 of the 512 images .*; choose 1 to 512, or remove"),
        ({"training_images": 0}, "dataset.training_images: 0 of the 512 images"),
        ({"training_images": 5}, "dataset.training_images: 5 leaves class '2' without an image; choose more"),
        ({"image_size": 9}, "dataset.image_size: 9 pixels, but the images have 8; choose 1 to 8, or remove"),
        ({"image_size": 0}, "dataset.image_size: 0 pixels"),
        ({"folder": "pictures"}, "unknown key 'folder' in dataset; choose from: name, title, "),
        ({"name": "digit"}, "unknown dataset 'digit'; did you mean 'digits'?"),
        ({"name": "image_folder"}, "dataset lacks the key 'folder'; add it"),
        ({"name": "image_folder", "folder": ""}, "dataset.folder is empty; give text"),
        ({"name": "image_folder", "folder": 3}, "dataset.folder is 3; give text"),
    ],
)
def test_a_setting_that_the_data_set_cannot_have_is_refused(tmp_path, setting, message):
    with pytest.raises(UserError, match=message) as refusal:
        prepare(DIGITS | setting, tmp_path / "data")
    assert "\n" not in str(refusal.value)
    assert not list((tmp_path / "data").glob("*/meta.json"))


def test_the_shape_of_cifar10_is_known_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "download", None)
    assert prepared_shape(CIFAR, tmp_path) == Shape(50_000, 10_000, 32, 3, 10)
    small = prepared_shape(CIFAR | {"training_images": 10_000, "image_size": 16}, tmp_path)
    assert small == Shape(10_000, 10_000, 16, 3, 10)
    with pytest.raises(UserError, match=r"dataset\.training_images: 50001 of the 50000 images"):
        prepared_shape(CIFAR | {"training_images": 50_001}, tmp_path)
    assert prepared_shape(DIGITS | {"image_size": 4}, tmp_path) == Shape(512, 1285, 4, 1, 10)


def prepare_and_count(data_dir: Path) -> int:
    """Prepare the digits; how often this process itself read them."""
    calls = []
    plain = digits.Source.read
    digits.Source.read = lambda *arguments: (calls.append(1), plain(*arguments))[1]
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
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_cifar10_is_read_channels_last_and_in_order(archive, tmp_path):
    arrays, _ = open_arrays(prepare(CIFAR, tmp_path / "data"))
    assert arrays.train_images.shape == (20, 32, 32, 3)
    assert arrays.test_images.shape == (3, 32, 32, 3)
    second = batch(4, 2)
    # A row of the batch has 1024 red values, row by row, then the green and the blue ones.
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
def test_nothing_is_unpickled_from_an_archive_that_is_not_the_right_one(tmp_path, monkeypatch, hidden):
    monkeypatch.chdir(tmp_path)
    cifar_archive(tmp_path / "data/downloads" / CIFAR10.filename, data_batch_1=hidden, test_batch=hidden)
    with pytest.raises(UserError, match="not CIFAR-10's archive"):
        prepare(CIFAR, tmp_path / "data")
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
    archive = cifar10.download(tmp_path / "downloads")
    assert archive.read_bytes() == Server.content
    server.shutdown()
    assert cifar10.download(tmp_path / "downloads") == archive
    assert list(contents(tmp_path / "downloads")) == [CIFAR10.filename]


def test_an_interrupted_download_leaves_nothing_and_can_be_repeated(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "sent", len(Server.content) // 2)
    with pytest.raises(UserError, match=r"CIFAR-10 could not be downloaded from http.*check the network and run again"):
        prepare(CIFAR, tmp_path / "data")
    assert list(contents(tmp_path / "data")) == ["cifar10.lock"]
    monkeypatch.setattr(Server, "sent", None)
    assert open_arrays(prepare(CIFAR, tmp_path / "data"))


def test_a_download_that_was_killed_is_started_again(server, tmp_path):
    incomplete = tmp_path / "downloads/.incomplete"
    incomplete.mkdir(parents=True)
    (incomplete / CIFAR10.filename).write_bytes(Server.content[:100])
    assert cifar10.download(tmp_path / "downloads").read_bytes() == Server.content
    assert not incomplete.exists()


def test_no_server_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(UserError, match=f"or put {CIFAR10.filename} into {tmp_path / 'downloads'}"):
        cifar10.download(tmp_path / "downloads")


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


def test_images_are_grey_if_all_are(images):
    for path in images.rglob("*.png"):
        write_image(path, value=7, mode="L")
    arrays = read_image_folder(images)
    assert arrays.train_images.shape == (6, 6, 6, 1)
    assert arrays.test_images.shape == (4, 6, 6, 1)
    assert (arrays.train_images == 7).all()


def test_a_grey_image_among_others_takes_no_colour_from_them(images):
    coloured = read_image_folder(images)
    write_image(images / "train/cat/0.png", value=7, mode="L")
    arrays = read_image_folder(images)
    assert (arrays.train_images[0] == [7, 7, 7]).all()
    assert (arrays.train_images[1:] == coloured.train_images[1:]).all()
    assert (arrays.test_images == coloured.test_images).all()


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
        (lambda folder: write_image(folder / "train/cat/tabby/0.png"), "train/cat/tabby: a folder within a class"),
        (lambda folder: os.mkfifo(folder / "train/cat/9.png"), "train/cat/9.png: no file that can be read; replace"),
        (lambda folder: (folder / "train/cat/9.png").symlink_to("/no/where"), "train/cat/9.png: no file that can be"),
        (lambda folder: (folder / "train/cat/9.png").symlink_to("9.png"), "train/cat/9.png: no file that can be"),
        (lambda folder: (folder / "train/cat/a\nb.png").write_bytes(b""), r"cat: the name 'a\\nb.png' has a char"),
        (
            lambda folder: os.rename(os.fsencode(folder / "train/cat"), os.fsencode(folder / "train") + b"/\xff"),
            r"train: the name '\\udcff' has a character that does not print; rename it",
        ),
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
    assert meta["sha256"] == digest_of(folder, meta)
    assert meta["sha256"] == prepared_digest(DIGITS, tmp_path)
