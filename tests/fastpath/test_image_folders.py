"""Image files as a viewer shows them, and folders with what is no image in them."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fastpath.cli import main
from fastpath.data import datasets

GRAY = np.random.default_rng(0).integers(0, 255, (6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)
UNUSED = 255  # by GRAY


def folder_of(path, images, ending="png", **options):
    """Save each image, named by its class, in both splits; return the folder."""
    for split in ("train", "test"):
        for name, image in images.items():
            folder = path / split / name
            folder.mkdir(parents=True)
            image.save(folder / f"0.{ending}", **options)
    return path


def read(path, image, ending="png", **options):
    """Return an image as it is read from a folder with nothing else in it."""
    folder = folder_of(path / "set", {"a": image}, ending, **options)
    return datasets.load(folder).x_train[0]


def with_alpha(pixels, alpha):
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    return image


OPAQUE = np.full((6, 5), 255, np.uint8)
HOLE = OPAQUE.copy()
HOLE[2, 3] = 254


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (with_alpha(GRAY, OPAQUE), {}),
        (Image.fromarray(GRAY).convert("P"), {}),
        (Image.fromarray(GRAY), {"transparency": UNUSED}),
        (Image.fromarray(GRAY).convert("P"), {"transparency": UNUSED}),
        (Image.fromarray(GRAY).convert("P"), {"transparency": b"\xff" * 256}),
    ],
    ids=["alpha", "palette", "colour key", "palette index", "palette alpha"],
)
def test_gray_stays_one_channel_however_it_is_stored(tmp_path, image, options):
    np.testing.assert_array_equal(read(tmp_path, image, **options), GRAY[..., None])


def test_two_levels_are_black_and_white(tmp_path):
    bits = Image.fromarray(GRAY > 100)
    assert bits.mode == "1"
    np.testing.assert_array_equal(read(tmp_path, bits)[..., 0], 255 * (GRAY > 100))


@pytest.mark.parametrize("ending", ["png", "ppm", "bmp", "tif", "webp"])
def test_colours_are_three_channels(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(read(tmp_path, image, ending, **options), COLOUR)


def test_an_opaque_alpha_channel_says_nothing(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, with_alpha(COLOUR, OPAQUE)), COLOUR)


def test_a_palette_of_colours_is_three_channels(tmp_path):
    palette = Image.fromarray(COLOUR).quantize(7)
    shown = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read(tmp_path, palette), shown)


def test_inks_are_mixed(tmp_path):
    read_back = read(tmp_path, Image.fromarray(COLOUR).convert("CMYK"), "tif")
    np.testing.assert_array_equal(read_back, COLOUR)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (with_alpha(COLOUR, HOLE), {}),
        (with_alpha(np.zeros_like(COLOUR), GRAY), {}),  # the ink is in the alpha channel
        (with_alpha(GRAY, HOLE), {}),
        (Image.fromarray(GRAY), {"transparency": int(GRAY[2, 3])}),
        (Image.fromarray(COLOUR), {"transparency": tuple(map(int, COLOUR[0, 0]))}),
        (Image.fromarray(GRAY).convert("P"), {"transparency": int(GRAY[2, 3])}),
        (Image.fromarray(GRAY).convert("P"), {"transparency": b"\x80" * 256}),
        (Image.fromarray(GRAY > 100), {"transparency": 0}),
    ],
)
def test_what_shows_its_background_is_refused_by_name(tmp_path, image, options):
    with pytest.raises(ValueError, match=r"0\.png is transparent .* put it on a backgr"):
        read(tmp_path, image, **options)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (2, COLOUR[:, ::-1]),
        (3, COLOUR[::-1, ::-1]),
        (6, COLOUR.transpose(1, 0, 2)[:, ::-1]),  # a quarter turn, clockwise
        (8, COLOUR.transpose(1, 0, 2)[::-1]),
    ],
)
def test_photographs_are_turned_as_their_camera_was(tmp_path, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(read(tmp_path, image, exif=exif), shown)


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_of_several_frames_none_is_chosen(tmp_path, ending):
    more = {"save_all": True, "append_images": [Image.fromarray(255 - COLOUR)]}
    with pytest.raises(ValueError, match=rf"0\.{ending} cannot be .*it has 2 frames"):
        read(tmp_path, Image.fromarray(COLOUR), ending, **more)


def test_of_a_telephones_photograph_the_first_picture_is_read(tmp_path):
    image = Image.fromarray(np.full((8, 8, 3), 200, np.uint8))
    more = {"save_all": True, "append_images": [image.resize((4, 4))], "format": "MPO"}
    assert read(tmp_path, image, "jpg", **more).shape == (8, 8, 3)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused(tmp_path, kind):
    ending = "png" if kind is np.uint16 else "tif"
    with pytest.raises(ValueError, match="8 bits are needed"):
        read(tmp_path, Image.fromarray(GRAY.astype(kind)), ending)


def png_of_16_bits(pixels: np.ndarray, colour_type: int) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow reads but does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
        )

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_pngs_of_16_bits_are_not_cut_to_8(tmp_path, channels, colour_type):
    """Of gray, gray and alpha, colours, colours and alpha; all opaque."""
    pixels = np.full((6, 5, channels), 65535)
    pixels[..., :1] = 257 * GRAY[..., None].astype(int)
    folder = folder_of(tmp_path, {"a": Image.fromarray(GRAY)})
    (folder / "train/a/0.png").write_bytes(png_of_16_bits(pixels, colour_type))
    with pytest.raises(ValueError, match=r"0\.png cannot be read .*8 bits are needed"):
        datasets.load(folder)


@pytest.mark.parametrize(("most", "is_read"), [(65535, False), (255, True), (100, True)])
def test_a_ppm_of_more_than_8_bits_is_not_cut(tmp_path, most, is_read):
    folder = folder_of(tmp_path, {"a": Image.fromarray(COLOUR)}, "ppm")
    kind = ">u2" if most > 255 else "u1"
    pixels = np.minimum(COLOUR.astype(int), most).astype(kind).tobytes()
    (folder / "train/a/0.ppm").write_bytes(b"P6 5 6 %d\n" % most + pixels)
    if is_read:
        assert datasets.load(folder).x_train.shape == (1, 6, 5, 3)
    else:
        with pytest.raises(ValueError, match="8 bits are needed"):
            datasets.load(folder)


def test_gray_with_an_opaque_alpha_channel_is_gray_in_a_tiff_too(tmp_path):
    image = with_alpha(GRAY, OPAQUE)
    assert image.mode == "LA"
    np.testing.assert_array_equal(read(tmp_path, image, "tif"), GRAY[..., None])


def test_a_truncated_photograph_is_refused(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    folder = folder_of(tmp_path / "set", {"a": image}, "jpg")
    file = folder / "train" / "a" / "0.jpg"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"0\.jpg cannot be read as an image"):
        datasets.load(folder)


@pytest.fixture
def pets(tmp_path):
    dark, bright = Image.fromarray(GRAY // 2), Image.fromarray(GRAY // 2 + 120)
    return folder_of(tmp_path / "pets", {"cat": dark, "dog": bright})


LEFT_BEHIND = [
    "train/.DS_Store",
    "train/cat/.DS_Store",
    "train/cat/._0.png",
    "train/cat/.ipynb_checkpoints/0-checkpoint.png",
    "train/.ipynb_checkpoints/0-checkpoint.png",
    "train/__MACOSX/cat/._0.png",
    "train/labels.csv",
    "train/preview.png",
    "test/dog/Thumbs.db",
    "test/dog/desktop.ini",
    "test/dog/notes.txt",
]


def test_what_is_no_image_is_skipped_with_one_line(pets, capsys):
    clean = datasets.load(pets)
    assert capsys.readouterr().err == ""
    for name in LEFT_BEHIND:
        (pets / name).parent.mkdir(parents=True, exist_ok=True)
        (pets / name).write_bytes(b"no image")
    littered = datasets.load(pets)
    said = capsys.readouterr().err
    assert said.startswith(f"fastpath: skipped {len(LEFT_BEHIND)} files of {pets} ")
    assert said.endswith(": train/.DS_Store, ...\n")
    assert said.count("\n") == 1
    assert littered.classes == ("cat", "dog")
    for array in datasets.ARRAYS:
        np.testing.assert_array_equal(getattr(littered, array), getattr(clean, array))


def test_images_lie_as_deep_as_one_likes_in_the_order_of_torchvision(pets):
    from torchvision.datasets import ImageFolder

    for i, place in enumerate(["b/1.png", "b/a/2.PNG", "b c/3.png", "4.png", "a/5.png"]):
        file = pets / "train" / "cat" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRAY + i).save(file, format="PNG")
    images = datasets.load(pets)
    samples = ImageFolder(pets / "train").samples
    assert images.y_train.tolist() == [label for _, label in samples]
    for image, (file, _) in zip(images.x_train, samples, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(file)))


@pytest.mark.parametrize("file", [None, ".hidden.png", "notes.txt"])
def test_a_class_without_images_is_refused(pets, file):
    for split in ("train", "test"):
        (pets / split / "emu").mkdir()
        if file:
            (pets / split / "emu" / file).touch()
    with pytest.raises(ValueError, match=r"train has no image of the classes emu"):
        datasets.load(pets)


def test_a_split_without_classes_is_refused(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(GRAY).save(tmp_path / split / "0.png")
    with pytest.raises(ValueError, match="train has no folders of classes"):
        datasets.load(tmp_path)


def test_a_class_that_could_not_be_written_is_refused_before_it_costs_anything(
    tmp_path, capsys
):
    image = Image.fromarray(GRAY)
    folder = folder_of(tmp_path / "set", {os.fsdecode(b"caf\xe9"): image, "tea": image})
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--data", str(folder), "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(r"fastpath: 'caf\udce9' cannot be the name of a class")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
