"""Perturbed images of the deep study, and the errors that they cause."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpath.readout import LinearHead
from scenarios.deep import robust
from scenarios.deep.plan import LEARNED
from scenarios.support import settings
from tests.test_scenarios_deep import only, restored


@pytest.fixture(scope="module")
def learned():
    """The filters of the quick study, and what they learned."""
    filters = only("layers", LEARNED).filters
    return filters, filters.compute()


X = torch.rand(50, 8, 9, 2, generator=torch.Generator().manual_seed(3))


def seeded():
    return torch.Generator().manual_seed(0)


def test_noise_has_its_standard_deviation_and_stays_in_range():
    found = robust.noise(torch.full((200, 8, 8, 1), 0.5), 0.05, seeded())
    assert float((found - 0.5).std()) == pytest.approx(0.05, rel=0.05)
    strong = robust.noise(X, 2.0, seeded())
    assert strong.min() == 0
    assert strong.max() == 1


def test_an_occlusion_is_one_gray_square():
    found = robust.occlusion(X, 0.5, seeded()).numpy()
    places = set()
    for image, original in zip(found, X.numpy(), strict=True):
        rows, columns = np.nonzero((image != original).any(axis=-1))
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left) == (3, 3)
        assert (image[top : top + 4, left : left + 4] == 0.5).all()
        assert len(rows) == 16
        places.add((int(top), int(left)))
    assert {place[0] for place in places} == set(range(5))
    assert {place[1] for place in places} == set(range(6))


def test_a_shift_repeats_the_edge():
    found, x = robust.shift(X, 2, seeded()).numpy(), X.numpy()
    moved = {
        "up": np.concatenate([x[:, 2:], x[:, -1:], x[:, -1:]], axis=1),
        "down": np.concatenate([x[:, :1], x[:, :1], x[:, :-2]], axis=1),
        "left": np.concatenate([x[:, :, 2:], x[:, :, -1:], x[:, :, -1:]], axis=2),
        "right": np.concatenate([x[:, :, :1], x[:, :, :1], x[:, :, :-2]], axis=2),
    }
    how = [
        [name for name, images in moved.items() if np.array_equal(images[i], image)]
        for i, image in enumerate(found)
    ]
    assert {name for [name] in how} == moved.keys()


def test_an_attack_moves_each_pixel_against_the_answer(learned):
    stack, _, split = restored(learned)
    generator = torch.Generator().manual_seed(1)
    num_features = stack.settings.num_features((8, 8, 1))
    head = LinearHead(
        torch.randn(10, num_features, generator=generator) / 100,
        torch.zeros(10),
        torch.rand(num_features, generator=generator),
        torch.ones(num_features),
    )
    for mean in (False, True):
        path = robust.Path(stack, head, slice(None), mean=mean).double()
        double = replace(head, **{k: v.double() for k, v in vars(head).items()})
        path.head = double
        x, y = split.x_eval[:20].double() / 255, split.y_eval[:20]
        x = x.clamp(0.1, 0.9)  # so that no pixel is held back
        moved = robust.attack(x, 1e-6, path, y)
        assert set(((moved - x) * 1e6).round().unique().tolist()) <= {-1, 0, 1}

        def loss(x, path=path, y=y):
            return torch.nn.functional.cross_entropy(path(x), y, reduction="none")

        gained = loss(moved) - loss(x)
        assert (gained > 0).all()
        # No other signs gain more, to first order: one pixel turned round loses.
        for pixel in range(0, 64, 7):
            turned = moved.flatten(1).clone()
            before = x.flatten(1)
            turned[:, pixel] = 2 * before[:, pixel] - turned[:, pixel]
            assert (loss(turned.view_as(x)) <= loss(moved) + 1e-13).all()


def test_a_perturbed_error_is_that_of_the_path(learned):
    trial = only("layers", LEARNED)
    found = trial.compute(learned[1])
    names = {f"{name}_error" for name in robust.STRENGTHS}
    assert names <= set(found)
    clean = float(found["error"].sel(view=trial.views[-1].name))
    assert float(found["shift_error"][-1]) > clean
    assert (found["attack_error"].diff("attack") >= 0).all()
    path_error, epsilons = [], []

    def same(x, strength, generator):
        path_error.append(len(x))
        return x

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(robust.PERTURBATIONS, "noise", same)
        attack = robust.attack

        def noted(x, epsilon, answers, labels):
            epsilons.append(epsilon)
            return attack(x, epsilon, answers, labels)

        patch.setattr(robust, "attack", noted)
        unchanged = trial.compute(learned[1])["noise_error"]
    assert path_error
    assert set(epsilons) == {1 / 255, 2 / 255, 4 / 255}
    np.testing.assert_allclose(unchanged, clean, atol=0.35)  # a tie of float16 features


def test_other_strengths_have_another_key():
    """Those on record are left out of it, so that their results are found."""
    trial = only("layers", LEARNED)
    assert "strengths" not in settings.canonical(trial)
    changed = replace(trial, strengths=robust.STRENGTHS | {"noise": (0.05, 0.1, 0.3)})
    assert settings.key(changed) != settings.key(trial)
