"""Augmentation: what is drawn, what it does to images, and who sees changed images."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from fastpath import experiment, readout
from fastpath.cli import main
from fastpath.competition import Ranking
from fastpath.data import augment as module
from fastpath.data import datasets
from fastpath.data.augment import ONE, Augment, Augmented, changed
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import cpp
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import Readout
from fastpath.runs import storage
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from tests.helpers import refused

CPU = torch.device("cpu")
SHAPES = [(28, 28), (9, 7, 3), (8, 8, 2), (1, 5, 1), (32, 32, 3)]
EVERYTHING = Augment(
    flip=0.5,
    crop=0,
    rotate=40,
    zoom=0.4,
    shear=0.3,
    affine=0.8,
    contrast=0.5,
    brightness=0.3,
    jitter=0.7,
    erase=0.5,
    erase_size=0.4,
)
needs_compiler = pytest.mark.skipif(
    cpp.why_not(CPU, torch.float32) is not None, reason="no C++ compiler"
)


def pixels(number, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (number, *shape), generator=generator).to(torch.uint8)


def drawn(policy, number, shape, seed=0):
    return policy.draw(number, shape, torch.Generator().manual_seed(seed))


def by_pytorch(x, draws):
    out = torch.empty_like(x)
    module._by_pytorch(x, draws, out)
    return out


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "policy", [EVERYTHING, Augment(flip=0.5, crop=0)], ids=["all", "flip"]
)
def test_cpp_and_pytorch_give_the_same_bits(shape, policy):
    x = pixels(200, shape)
    for seed in range(3):
        draws = drawn(policy, 200, shape, seed)
        out = torch.empty_like(x)
        cpp.augment(x, draws, out)
        assert torch.equal(out, by_pytorch(x, draws))


@needs_compiler
@pytest.mark.parametrize("shape", [(8, 8), (12, 10, 3)], ids=str)
def test_shifts_and_mirrors_are_those_of_numpy(shape):
    policy = Augment(flip=0.5, crop=4)
    x, draws = pixels(300, shape), drawn(policy, 300, shape)
    found = changed(x, draws)
    shifts = set()
    for image, result, (_, _, y, _, xx, x0, *_) in zip(
        x.numpy(), found.numpy(), draws.tolist(), strict=True
    ):
        padded = np.pad(image, [(4, 4), (4, 4), *[(0, 0)] * (image.ndim - 2)])
        row = 4 + y // ONE
        column = 4 + (x0 // ONE - (shape[1] - 1 if xx < 0 else 0))
        cut = padded[row : row + shape[0], column : column + shape[1]]
        assert np.array_equal(result, cut[:, ::-1] if xx < 0 else cut)
        shifts.add((row, column))
    assert len(shifts) > 70  # of 81


def test_an_affine_change_is_that_of_scipy():
    policy = Augment(rotate=30, zoom=0.3, shear=0.2, flip=0.5)
    smooth = ndimage.gaussian_filter(pixels(40, (28, 28)).double().numpy(), (0, 1, 1))
    x = torch.from_numpy(np.rint(smooth).astype(np.uint8))
    draws = drawn(policy, 40, (28, 28))
    found = changed(x, draws)
    for image, result, draw in zip(x.numpy(), found.numpy(), draws.numpy(), strict=True):
        yy, yx, y, xy, xx, x0 = draw[:6] / ONE
        theirs = ndimage.affine_transform(
            image.astype(float),
            [[yy, yx], [xy, xx]],
            [y, x0],
            order=1,
            mode="grid-constant",
        )
        # Coordinates are cut to 8 bits: 1.24 gray levels measured on 200 images.
        assert np.abs(theirs - result).max() < 1.6


def test_contrast_and_brightness_are_those_of_the_formula():
    policy = Augment(contrast=0.5, brightness=0.3)
    x, draws = pixels(50, (8, 8, 3)), drawn(policy, 50, (8, 8, 3))
    found = changed(x, draws).numpy()
    for image, result, draw in zip(x.numpy(), found, draws.numpy(), strict=True):
        gain, offset = draw[10] / 256, draw[11]
        mean = np.floor(image.mean())
        expected = np.clip(mean + gain * (image - mean) + offset, 0, 255)
        assert np.abs(expected - result).max() <= 0.5
    assert 128 <= draws[:, 10].min() < 140
    assert 370 < draws[:, 10].max() <= 384
    assert -77 <= draws[:, 11].min() < -60


def test_squares_are_erased_as_often_and_as_large_as_said():
    policy = Augment(erase=0.3, erase_size=0.25)
    x = torch.full((4000, 16, 16), 200, dtype=torch.uint8)
    found = changed(x, drawn(policy, 4000, (16, 16)))
    erased = (found == 0).sum(dim=(1, 2))
    assert set(found.unique().tolist()) == {0, 200}
    assert (erased > 0).double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert erased.max() == 16
    whole = (found == 0)[erased == 16].nonzero()
    assert {len(set(whole[:, i].tolist())) for i in (1, 2)} == {16}


def test_each_image_has_a_draw_of_its_own_and_a_seed_repeats_them():
    draws = drawn(EVERYTHING, 500, (28, 28))
    assert torch.equal(draws, drawn(EVERYTHING, 500, (28, 28)))
    assert not torch.equal(draws, drawn(EVERYTHING, 500, (28, 28), seed=1))
    assert len(draws.unique(dim=0)) > 480  # some are not changed at all
    flipped = (draws[:, 4] < 0).double().mean().item()
    assert flipped == pytest.approx(0.5, abs=0.07)
    matrix = draws[:, [0, 1, 3, 4]].view(-1, 2, 2).double() / ONE
    area = torch.linalg.det(matrix).abs()
    assert (area > 1 / 1.4**2 - 1e-3).all()
    assert (area < 1.4**2 + 1e-3).all()
    still = (area - 1).abs() < 1e-4
    assert still.double().mean().item() == pytest.approx(0.2, abs=0.06)


def test_a_policy_that_changes_nothing_leaves_images_as_they_are():
    x = pixels(20, (7, 9, 3))
    for policy in (Augment(), Augment(rotate=90, affine=0), Augment(erase=1, erase_size=0)):
        assert not policy.changes
        assert torch.equal(changed(x, drawn(policy, 20, (7, 9, 3))), x)
    assert Augment(flip=0.1).changes


def test_threads_change_nothing(monkeypatch):
    x, draws = pixels(300, (8, 8)), drawn(EVERYTHING, 300, (8, 8))
    one = changed(x, draws)
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(changed(x, draws), one)


DIGITS = datasets.load("digits")
X = torch.from_numpy(DIGITS.x_train)
STEPS = FittedPreprocess(Preprocess(unit_norm=True), torch.zeros(64))
POLICY = Augment(crop=1, rotate=10, use="features")


def trained(policy, folder=None, epochs=4, callbacks=()):
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(20, 64, generator=generator)
    train(
        layer,
        X,
        competition=Ranking(k=3),
        training=Training(epochs=epochs),
        preprocess=STEPS,
        generator=generator,
        augment=policy,
        progress=False,
        checkpoints=folder and Checkpoints(folder=folder, minutes=0.0),
        callbacks=callbacks,
    )
    return layer.weights


def test_the_features_learn_from_images_changed_in_each_epoch():
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(20, 64, generator=generator)
    shown = []
    for epoch in range(4):
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        order = torch.randperm(len(X), generator=generator)
        images = changed(X, drawn(POLICY, len(X), (8, 8, 1), seed))
        shown.append(images)
        for batch in order.split(100):
            v = STEPS(images[batch])
            layer.learn(v, Ranking(k=3), lr=0.04 * (1 - epoch / 4))
    # 2.4e-7 measured: images are prepared by another kernel, which rounds otherwise.
    torch.testing.assert_close(trained(POLICY), layer.weights, rtol=0, atol=2e-6)
    assert not torch.equal(shown[0], shown[1])
    assert torch.equal(trained(POLICY), trained(POLICY))
    assert not torch.equal(trained(POLICY), trained(None))
    for without in (Augment(), Augment(crop=1, use="readout")):
        assert torch.equal(trained(without), trained(None))


class Stop(Exception):
    pass


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path, monkeypatch):
    save, saved = storage.save_state, []

    def stopping(*args):
        save(*args)
        saved.append(args)
        if len(saved) == 3:
            raise Stop

    monkeypatch.setattr(storage, "save_state", stopping)
    with pytest.raises(Stop):
        trained(POLICY, tmp_path)
    assert torch.equal(trained(POLICY, tmp_path), trained(POLICY))


def learned(policy, **changes):
    generator = torch.Generator().manual_seed(0)
    settings = {"power": 2.0, "epochs": 3} | changes
    return experiment.learn(
        experiment.split(DIGITS, validation=300, generator=generator),
        layer=DenseSettings(num_units=20),
        num_classes=10,
        competition=Ranking(k=3),
        training=Training(epochs=2),
        preprocess=Preprocess(unit_norm=True),
        readout=Readout(**settings),
        augment=policy,
        generator=generator,
        progress=False,
    )


@pytest.mark.parametrize("scaling", ["image", "set", "unit"])
def test_the_readout_learns_from_changed_images_and_is_scored_on_others(
    scaling, monkeypatch
):
    plain = learned(None, scaling=scaling)
    policy = Augment(crop=1, use="readout")
    seen = []
    change = Augmented.change

    def noted(self, generator):
        seen.append(change(self, generator).clone())
        return seen[-1]

    monkeypatch.setattr(Augmented, "change", noted)
    found = learned(policy, scaling=scaling)
    assert torch.equal(found.layer.weights, plain.layer.weights)
    assert torch.equal(found.head.scale, plain.head.scale)  # of the images as they are
    assert not torch.equal(found.head.weights, plain.head.weights)
    assert len(seen) == 3
    # Errors are those of unchanged images.
    split = experiment.split(
        DIGITS, validation=300, generator=torch.Generator().manual_seed(0)
    )
    for x, y, name in (
        (split.x_eval, split.y_eval, "validation_error"),
        (split.x_train, split.y_train, "train_error"),
    ):
        v = found.preprocess(x)
        features = readout.features(found.layer, v, found.readout)
        wrong = (found.head(features).argmax(dim=1) != y).double().mean()
        assert found.metrics[name] == pytest.approx(100 * wrong.item(), abs=1e-9)


def test_the_readout_of_changed_images_is_that_of_a_loop():
    policy = Augment(flip=1.0, use="readout")  # the same in each epoch
    mirrored = learned(policy)
    assert mirrored.head is not None
    both = learned(Augment(flip=1.0, use="both"))
    assert not torch.equal(both.layer.weights, mirrored.layer.weights)
    always = readout.Changing(
        mirrored.layer, X, mirrored.preprocess, mirrored.readout, policy
    )
    rows_of = always.epoch(torch.Generator().manual_seed(3))
    batch = torch.tensor([5, 3, 1000])
    v = mirrored.preprocess(X[batch].flip(2))
    expected = readout.features(mirrored.layer, v, mirrored.readout)
    torch.testing.assert_close(rows_of(batch), expected, rtol=0, atol=1e-5)
    v = mirrored.preprocess(X[batch])
    expected = readout.features(mirrored.layer, v, mirrored.readout)
    torch.testing.assert_close(always[batch], expected, rtol=0, atol=1e-5)


QUICK = ["--data", "digits", "--units", "15", "--epochs", "2", "--head-epochs", "2"]


def test_a_run_notes_its_augmentation(tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--augment-crop", "1", "--augment-rotate", "5", "--augment-use", "features"]
    main(["train", *QUICK, *flags, "--out", str(out)])
    config = json.loads((out / "config.json").read_text())
    assert config["augment"]["crop"] == 1
    assert config["augment"]["use"] == "features"
    metrics = json.loads((out / "metrics.json").read_text())
    capsys.readouterr()
    main(["evaluate", str(out)])
    assert f"{metrics['test_error']:.2f} %" in capsys.readouterr().out


WRONG = [
    ({"flip": 1.5}, "flip is 1.5: from 0 to 1 is needed"),
    ({"flip": -0.1}, "from 0 to 1 is needed"),
    ({"crop": -1}, "crop is -1: at least 0 is needed"),
    ({"rotate": -5.0}, "rotate is -5.0: from 0 to 180 is needed"),
    ({"zoom": float("inf")}, "zoom is inf: from 0 to 3 is needed"),
    ({"shear": 2.5}, "shear is 2.5: from 0 to 2 is needed"),
    ({"contrast": 2.0}, "contrast is 2.0: from 0 to 1 is needed"),
    ({"use": "test"}, "use is 'test': give one of 'features', 'readout', 'both'"),
    ({"erase": float("nan")}, "erase is nan: from 0 to 1 is needed"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_policies_that_are_none_are_refused(settings, message, capsys, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        Augment(**settings)


WITHOUT_EFFECT = [
    (["--augment-erase-size", 0.3], "--augment-erase-size 0.3 has no effect where nothing"),
    (["--augment-affine", 0.5], "has no effect without a rotation, zoom or shear"),
    (
        ["--augment-affine", 0, "--augment-zoom", 0.1],
        "has no effect with --augment-affine 0",
    ),
    (["--augment-jitter", 0.5], "has no effect without other contrast or brightness"),
    (["--augment-use", "features"], "has no effect where no image is changed"),
    (["--augment-erase", 1, "--augment-erase-size", 0], "with --augment-erase-size 0"),
    (
        ["--control", "random", "--augment-crop", 1, "--augment-use", "features"],
        "have no effect where weights stay as they start",
    ),
]


@pytest.mark.parametrize(("flags", "message"), WITHOUT_EFFECT)
def test_settings_without_effect_are_refused(flags, message, capsys, tmp_path):
    command = ["train", "--data", "digits", "--out", tmp_path / "run"]
    assert message in refused(capsys, *command, *flags)


def test_the_largest_changes_do_not_overflow():
    side = module.MOST
    policy = Augment(
        rotate=module.MOST_DEGREES, zoom=module.MOST_ZOOM, shear=module.MOST_SHEAR
    )
    draws = drawn(policy, 2000, (side, side)).numpy().astype(np.int64)
    row, column = np.meshgrid([0, side - 1], [0, side - 1])
    for a, b, c in ((0, 1, 2), (3, 4, 5)):
        parts = draws[:, a, None, None] * row, draws[:, b, None, None] * column
        for total in (*parts, sum(parts), sum(parts) + draws[:, c, None, None]):
            assert np.abs(total).max() < 2**31


def test_images_that_cannot_be_changed_are_refused(tmp_path, capsys):
    policy = Augment(crop=3)
    for x in (torch.rand(5, 8, 8), pixels(5, (64,)), pixels(1, (5000, 2))):
        with pytest.raises(ValueError, match="the images to augment are"):
            Augmented(policy, x)
    with pytest.raises(ValueError, match="crop is 3, but images have"):
        Augmented(policy, pixels(5, (3, 9)))
    command = ["train", *QUICK, "--out", tmp_path / "run"]
    crop = ["--augment-crop", 8]
    assert "crop is 8, but images have" in refused(capsys, *command, *crop)
    flips = ["--head-flips", "--augment-flip", 0.5]
    assert "leave out flips" in refused(capsys, *command, *flips)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.gpu
def test_cuda_gives_the_same_bits():
    for shape in SHAPES:
        x, draws = pixels(500, shape), drawn(EVERYTHING, 500, shape)
        assert torch.equal(changed(x.cuda(), draws).cpu(), by_pytorch(x, draws))
        out = torch.empty_like(x.cuda())
        module._by_pytorch(x.cuda(), draws.cuda(), out)
        assert torch.equal(out.cpu(), by_pytorch(x, draws))
