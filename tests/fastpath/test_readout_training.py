"""Training of the head: the same as ever by default, with dropout, with mirror images."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from fastpath import experiment, readout
from fastpath.competition import Ranking
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import FEATURE_SUM, LOSSES, Held, Mirrored, Readout, Streamed
from fastpath.readout.dropout import Dropout
from fastpath.readout.schedules import HALVED_AT, share
from fastpath.training.loop import Training


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=250, features=9):
    y = torch.arange(n) % 3
    noise = 0.3 * torch.randn(n, features, generator=seeded(1))
    return (torch.eye(3, features)[y] + noise).abs(), y


def fitted(x, y, seed=0, **settings):
    generator = seeded(seed)
    settings = {"epochs": 3, "lr": 0.02} | settings
    head = readout.fit(
        x,
        y,
        num_classes=3,
        readout=Readout(**settings),
        generator=generator,
        progress=False,
    )
    return head, generator


def loop(x, y, settings, generator, drop=lambda rows: rows, rows_of=None):
    """Train a head by a plain loop; return its weights and bias."""
    if settings.scaling == "unit":
        sd, offset = torch.std_mean(x, dim=0, correction=0)
        scale = 1 / sd.clamp(min=1e-8)
    else:
        offset, scale = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    if settings.scaling == "set":
        scale = scale * (FEATURE_SUM * len(x) / x.sum().item())
    w = torch.zeros(3, x.shape[1], requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([w, b])
    steps = settings.epochs * math.ceil(len(x) / settings.batch_size)
    step = 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(x), generator=generator)
        for batch in order.split(settings.batch_size):
            rate = settings.lr * share(settings.schedule, step, steps)
            optimizer.param_groups[0]["lr"] = rate
            rows = drop((x[batch] - offset) * scale)
            output = functional.linear(rows, w, b)
            optimizer.zero_grad()
            LOSSES[settings.loss].of(output, y[batch], settings).backward()
            optimizer.step()
            step += 1
    return w.detach(), b.detach()


@pytest.mark.parametrize("scaling", ["image", "set", "unit", "none"])
@pytest.mark.parametrize("loss", ["tanh", "cross-entropy"])
@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_without_dropout_and_flips_a_head_is_that_of_a_plain_loop(scaling, loss, schedule):
    """Bit for bit: committed results must not move."""
    x, y = blobs()
    chosen = {"scaling": scaling, "loss": loss, "schedule": schedule}
    head, used = fitted(x, y, **chosen)
    generator = seeded()
    w, b = loop(x, y, Readout(epochs=3, lr=0.02, **chosen), generator)
    assert torch.equal(head.weights, w)
    assert torch.equal(head.bias, b)
    assert torch.equal(used.get_state(), generator.get_state())


def test_no_scaling_leaves_features_as_they_are():
    x, y = blobs()
    head, _ = fitted(x, y, scaling="none")
    assert not head.offset.any()
    assert torch.equal(head.scale, torch.ones(9))
    assert torch.equal(head.scaled(x), x)
    layer, v = Dense(torch.randn(6, 10, generator=seeded())), torch.rand(5, 10)
    found = readout.features(layer, v, Readout(power=2.0, scaling="none"))
    assert torch.equal(found, layer.features(v, power=2.0))


def test_the_halved_schedule_halves_at_its_percents():
    rates = [share("halved", step, 1000) for step in range(1000)]
    assert rates[49:200] == [1.0] * 151
    for number, percent in enumerate((20, 35, 50, 60, 70, 80, 90), start=1):
        assert rates[10 * percent - 1] == 0.5 ** (number - 1)
        assert rates[10 * percent] == 0.5**number
    assert rates[999] == 0.5 ** len(HALVED_AT) == 0.0078125
    assert rates[:2] == [0.02, 0.04]  # the rise of every schedule


def masks(seed, bits, share, shapes):
    """Return the masks of steps, made from 64-bit numbers by NumPy."""
    generator = seeded(seed)
    for shape in shapes:
        words = torch.empty(-(-math.prod(shape) * bits // 64), dtype=torch.int64)
        words.random_(-(2**63), None, generator=generator)
        numbers = words.numpy().view(f"int{bits}")[: math.prod(shape)].reshape(shape)
        yield torch.from_numpy(numbers.astype(int) >= round(2**bits * share) - 2**bits // 2)


@pytest.mark.parametrize(("share", "bits"), [(0.25, 8), (0.3, 16)])
@pytest.mark.parametrize("scaling", ["set", "unit", "none"])
def test_dropout_is_that_of_a_loop_with_the_same_masks(scaling, share, bits):
    """9 features and a last mini-batch of 50: numbers of 64 bits are used up in part."""
    x, y = blobs()
    settings = Readout(epochs=3, lr=0.02, scaling=scaling, dropout=share)
    head, _ = fitted(x, y, scaling=scaling, dropout=share)
    again, _ = fitted(x, y, scaling=scaling, dropout=share)
    generator = seeded()
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    drawn = masks(seed, bits, share, 3 * [(100, 9), (100, 9), (50, 9)])
    rest = 1 - round(2**bits * share) / 2**bits
    w, b = loop(x, y, settings, generator, lambda rows: rows * next(drawn) / rest)
    torch.testing.assert_close(head.weights, w, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.bias, b, rtol=1e-4, atol=1e-5)
    assert torch.equal(head.weights, again.weights)
    for other in (fitted(x, y, seed=1, scaling=scaling, dropout=share), fitted(x, y)):
        assert not torch.allclose(head.weights, other[0].weights, rtol=1e-2)


@pytest.mark.parametrize("dropped", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(dropped):
    ones = torch.ones(400, 1001)
    found = Dropout(dropped, seeded())(ones.clone())
    kept = found != 0
    assert found[kept].unique().numel() == 1
    assert found.amax().item() == pytest.approx(1 / (1 - dropped), rel=1e-4)
    five_sd = 5 * math.sqrt(dropped * (1 - dropped) / ones.numel())
    assert (~kept).float().mean().item() == pytest.approx(dropped, abs=five_sd)
    assert found.mean().item() == pytest.approx(1, abs=five_sd / (1 - dropped))
    # Not the same features in each image, nor the same images for each feature.
    for dim, number in ((0, 400), (1, 1001)):
        shares = kept.float().mean(dim=dim)
        sd = math.sqrt(dropped * (1 - dropped) / number)
        assert shares.std().item() == pytest.approx(sd, rel=0.2)


def test_shares_near_0_and_1_stay_finite():
    ones = torch.ones(3, 7)
    assert torch.equal(Dropout(1e-9, seeded())(ones.clone()), ones)
    assert Dropout(1 - 1e-9, seeded())(ones.clone()).isfinite().all()


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_a_share_of_1_or_below_0_is_refused(value):
    with pytest.raises(ValueError, match=rf"dropout is {value}: from 0 to below 1 is need"):
        Readout(dropout=value)


class Noting(Held):
    """Features that note which rows are asked for."""

    def __init__(self, tensor):
        super().__init__(tensor)
        self.asked = []

    def __getitem__(self, images):
        if not isinstance(images, slice):
            self.asked += images.tolist()
        return super().__getitem__(images)


def test_each_epoch_shows_each_image_or_its_mirror_image_once():
    x, y = blobs()
    both = Noting(torch.cat([x, x + 1]))
    fitted(Mirrored(both), y, flips=True, epochs=8)
    asked = np.array(both.asked).reshape(8, 250)
    assert all(sorted(epoch % 250) == list(range(250)) for epoch in asked)
    flipped = np.zeros((8, 250), bool)
    for row, epoch in zip(flipped, asked, strict=True):
        row[epoch % 250] = epoch >= 250
    assert flipped.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(flipped.size))
    assert len(np.unique(flipped, axis=0)) == 8
    assert set(flipped.sum(axis=0)) > {2, 3, 4, 5, 6}  # of each image, too
    again = Noting(torch.cat([x, x + 1]))
    fitted(Mirrored(again), y, flips=True, epochs=8)
    assert again.asked == both.asked


@pytest.mark.parametrize("channels", [(), (3,)])
def test_mirror_images_follow_the_images_and_swap_left_and_right(channels):
    x = torch.randint(0, 256, (7, 4, 5, *channels), generator=seeded()).byte()
    layer = Dense(torch.randn(6, x[0].numel(), generator=seeded()))
    preprocess, settings = Preprocess(subtract_mean=True).fit(x), Readout(power=1.0)
    both = Streamed(layer, x, preprocess, settings, mirrored=True)
    mirror = x.numpy()[:, :, ::-1].copy()
    expected = [
        readout.features(layer, preprocess(part), settings)
        for part in (x, torch.from_numpy(mirror))
    ]
    assert len(both) == 14
    torch.testing.assert_close(both[:], torch.cat(expected))
    torch.testing.assert_close(both[5:9], torch.cat(expected)[5:9])
    chosen = torch.tensor([13, 0, 6, 7])
    torch.testing.assert_close(both[chosen], torch.cat(expected)[chosen])
    halves = Mirrored(both)
    assert len(halves) == 7
    torch.testing.assert_close(torch.cat([*halves.blocks()]), expected[0])
    torch.testing.assert_close(halves[-2:], expected[0][-2:])
    some, which = torch.tensor([3, 3, 0]), torch.tensor([0, 1, 1])
    rows = torch.stack([expected[0][3], expected[1][3], expected[1][0]])
    torch.testing.assert_close(halves.either(some, which), rows)


def planted():
    """Images of one pixel left or right: mirror images belong to the other class."""
    y = torch.arange(200) % 2
    x = torch.zeros(200, 3, 4, dtype=torch.uint8)
    x[torch.arange(200), torch.arange(200) % 3, torch.where(y == 0, 0, 3)] = 255
    return experiment.Split(x, y, x[:50], y[:50], "test")


@pytest.mark.parametrize("scaling", ["image", "set", "unit", "none"])
def test_mirror_images_of_the_other_class_confuse_the_head(scaling):
    split, layer = planted(), Dense(torch.eye(12))
    preprocess = Preprocess().fit(split.x_train)
    errors, largest = {}, {}
    for flips in (False, True):
        settings = Readout(epochs=30, power=1.0, scaling=scaling, flips=flips, lr=0.02)
        head, errors[flips] = experiment.read_out(
            layer,
            preprocess,
            split,
            num_classes=2,
            readout=settings,
            generator=seeded(),
            progress=False,
        )
        own = readout.features(layer, preprocess(split.x_train), settings)
        assert errors[flips]["train_error"] == readout.error(head, own, split.y_train)
        own = readout.features(layer, preprocess(split.x_eval), settings)
        assert errors[flips]["test_error"] == readout.error(head, own, split.y_eval)
        largest[flips] = (head.weights[0] - head.weights[1]).abs().amax()
    assert errors[False] == {"test_error": 0, "train_error": 0}
    assert largest[True] < 0.3 * largest[False]  # both sides have both labels


def test_flips_without_mirror_images_are_refused():
    x, y = blobs()
    with pytest.raises(ValueError, match=r"flips is True, but these features .* False"):
        fitted(x, y, flips=True)
    with pytest.raises(ValueError, match=r"features of 5 images: .* as many mirror images"):
        Mirrored(x[:5])


def test_flat_images_are_refused_before_the_layer_is_trained(monkeypatch):
    x, y = torch.randint(0, 256, (20, 12), generator=seeded()).byte(), torch.arange(20) % 2
    monkeypatch.setattr(experiment, "train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"shape \(20, 12\): to be mirrored, .* to False"):
        experiment.learn(
            experiment.Split(x, y, x, y, "test"),
            layer=DenseSettings(num_units=5),
            num_classes=2,
            competition=Ranking(),
            training=Training(epochs=1),
            preprocess=Preprocess(),
            readout=Readout(flips=True),
            generator=seeded(),
        )
