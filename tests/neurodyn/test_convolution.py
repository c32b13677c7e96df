"""Windows, the filters behind them, and inhibition that falls with distance."""

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import neurodyn
from neurodyn import equilibrium
from neurodyn.convolution import Windows, local_inhibition

RNG = np.random.default_rng(4)
FILTERS = RNG.normal(size=(3, 12))
WINDOWS = Windows(
    image_shape=(4, 6, 3), kernel_size=2, stride=2, padding=1, padding_mode="reflect"
)
IMAGES = RNG.random((2, 4, 6, 3))


def pixel(image, row, column, mode):
    """One pixel beyond the border as well, by its definition."""
    height, width, channels = image.shape
    if 0 <= row < height and 0 <= column < width:
        return image[row, column]
    if mode == "zeros":
        return np.zeros(channels)
    row = abs(row) if row < height else 2 * (height - 1) - row
    column = abs(column) if column < width else 2 * (width - 1) - column
    return image[row, column]


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 0), (2, 2, 1), (4, 3, 3)])
def test_patches_are_what_loops_find(size, stride, padding, mode):
    windows = Windows(
        image_shape=(4, 6, 3),
        kernel_size=size,
        stride=stride,
        padding=padding,
        padding_mode=mode,
    )
    rows = range(-padding, 4 + padding - size + 1, stride)
    columns = range(-padding, 6 + padding - size + 1, stride)
    assert windows.grid == (len(rows), len(columns))
    expected = [
        [
            pixel(image, row + i, column + j, mode)
            for i, j in itertools.product(range(size), repeat=2)
        ]
        for image, row, column in itertools.product(IMAGES, rows, columns)
    ]
    expected = np.reshape(expected, (-1, windows.num_inputs))
    np.testing.assert_array_equal(windows.patches(IMAGES), expected)
    flat = IMAGES.reshape(2, -1)
    np.testing.assert_array_equal(windows.patches(flat), expected)
    filters = RNG.normal(size=(3, windows.num_inputs))
    drive = windows.padded(IMAGES) @ windows.weights(filters).toarray().T
    np.testing.assert_allclose(
        drive.reshape(len(expected), -1), expected @ filters.T, rtol=0, atol=1e-12
    )


def test_shared_filters_add_up_what_all_positions_learned():
    weights = WINDOWS.weights(FILTERS)
    changes = RNG.normal(size=(np.prod(WINDOWS.grid), *FILTERS.shape))
    # Positions one by one: what a filter learned there stands in its window.
    learned = sum(
        np.where(
            np.repeat(np.arange(len(changes)) == position, len(FILTERS))[:, None],
            WINDOWS.weights(FILTERS + change).toarray(),
            0,
        )
        for position, change in enumerate(changes)
    )
    np.testing.assert_allclose(
        WINDOWS.shared(learned, FILTERS), FILTERS + changes.sum(axis=0), atol=1e-12
    )
    np.testing.assert_array_equal(WINDOWS.shared(weights, FILTERS), FILTERS)


def test_inhibition_is_the_formula_for_every_pair():
    found = local_inhibition((2, 3), FILTERS, w_inh=0.8, space_sigma=1.3, feature_sigma=0.7)
    units = list(itertools.product(range(2), range(3), FILTERS))
    for a, b in itertools.product(range(18), repeat=2):
        (row, column, one), (other_row, other_column, other) = units[a], units[b]
        square = (row - other_row) ** 2 + (column - other_column) ** 2
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        f = 2 * np.sin(np.arccos(np.clip(cosine, -1, 1)) / 2)
        expected = 0.8 * np.exp(-square / 2 / 1.3**2) * np.exp(-(f**2) / 2 / 0.7**2)
        assert found[a, b] == pytest.approx(expected * (a != b), abs=1e-12)


@pytest.mark.parametrize("space_sigma", [None, 0, 0.0])
def test_without_a_surround_each_position_is_alone(space_sigma):
    found = local_inhibition((2, 2), FILTERS, w_inh=0.8, space_sigma=space_sigma)
    np.testing.assert_array_equal(found, np.kron(np.eye(4), 0.8 * (1 - np.eye(3))))


def test_reach_cuts_the_surround():
    whole, cut = (
        local_inhibition((1, 5), FILTERS, w_inh=0.8, space_sigma=2.0, reach=reach)
        for reach in (None, 2)
    )
    column = np.arange(15) // 3
    within = abs(column[:, None] - column) <= 2
    np.testing.assert_array_equal(cut, whole * within)
    assert (whole[~within] > 0).all()


SURROUNDS = [
    {"space_sigma": 1.2},
    {"space_sigma": 1.4, "feature_sigma": 0.6},
    {"feature_sigma": 0.6},
    {"space_sigma": 30.0},  # nearly the same at all distances
]


@pytest.mark.parametrize("w_inh", [0.5, 0.9])
@pytest.mark.parametrize("surround", SURROUNDS)
def test_the_equilibrium_is_where_a_stiff_solver_ends(surround, w_inh):
    matrix = local_inhibition((3, 4), FILTERS, w_inh=w_inh, **surround)
    assert np.linalg.eigvalsh(np.eye(36) + matrix)[0] > 0.999 * (1 - w_inh)
    drive, start = RNG.normal(1.0, 1.0, size=(2, 36))
    h = equilibrium.settle(drive, w_inh=matrix)
    assert abs(equilibrium.residual(h, drive, w_inh=matrix)).max() < 1e-12
    solution = solve_ivp(
        lambda _, h: drive - matrix @ np.maximum(h, 0) - h,
        (0, 40 / (1 - w_inh)),  # in units of τ; from other initial values
        3 * start,
        method="LSODA",
        rtol=1e-11,
        atol=1e-13,
    )
    # Measured: 4e-14. Both end within exp(-40) = 4e-18 of rest.
    np.testing.assert_allclose(solution.y[:, -1], h, rtol=0, atol=1e-9)
    assert 0 < (h > 0).sum() < 36


@pytest.mark.parametrize("w_inh", [0.0, 0.3, 0.9, 0.999])
def test_the_equilibrium_of_equal_inhibition_is_the_closed_form(w_inh):
    drive = RNG.standard_t(2, size=(20, 30))
    drive[:, ::7] = drive[:, :1]  # ties
    drive[3] = 0.0
    found = equilibrium.settle(drive, w_inh=w_inh * (1 - np.eye(30)))
    expected = equilibrium.settle(drive, w_inh=w_inh)
    # Measured: 7e-13 at 0.999, where 1 / (1 − w) amplifies rounding.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * abs(drive).max())


def test_weight_sharing_does_not_depend_on_where_the_image_is():
    """A pattern that is shown at another position teaches the filters the same."""
    windows = Windows(image_shape=(6, 6, 1), kernel_size=2)
    filters = np.random.default_rng(6).normal(size=(3, 4))
    images = np.zeros((2, 6, 6, 1))
    images[0, 1:3, 1:3], images[1, 2:4, 3:5] = (RNG.random((2, 2, 1)),) * 2
    learned = [
        windows.shared(
            neurodyn.simulate(
                neurodyn.LateralInhibition(
                    w_inh=local_inhibition(windows.grid, filters, w_inh=0.5)
                ),
                windows.padded(images),
                windows.weights(filters),
                plasticity=neurodyn.KrotovHopfield(tau_l_ms=5e3),
                stimulus=neurodyn.Presentation(image_ms=300.0),
                recording=neurodyn.Recording(activity_ms=None),
                order=[image],
                backend="numpy",
            )["weights"],
            filters,
        )
        for image in (0, 1)
    ]
    np.testing.assert_allclose(*learned, rtol=0, atol=1e-12)
    assert abs(learned[0] - filters).max() > 1e-3


GOOD = {"image_shape": (4, 6, 3), "kernel_size": 2}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_shape": (4, 6)}, r"image_shape is \(4, 6\): \(height, width, channel\)"),
        ({"image_shape": (4, 0, 3)}, r"image_shape is \(4, 0, 3\)"),
        ({"kernel_size": 0}, "kernel_size is 0: at least 1 pixel is needed"),
        ({"kernel_size": 2.5}, "kernel_size is 2.5: a whole number is needed"),
        ({"kernel_size": 5}, "kernel_size is 5, but the padded image is only 4 pixels"),
        ({"stride": 0}, "stride is 0: at least 1 pixel is needed"),
        ({"padding": -1}, "padding is -1: the number of added pixels must be 0 or more"),
        ({"padding_mode": "edge"}, "padding_mode is 'edge': give one of zeros, reflect"),
        (
            {"padding_mode": "reflect", "padding": 4},
            "padding is 4: to reflect images of 4 x 6, it must be below 4",
        ),
    ],
)
def test_windows_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Windows(**GOOD | settings)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda w: w.patches(IMAGES[:, :3]), r"images have shape \(2, 3, 6, 3\), but imag"),
        (lambda w: w.padded(IMAGES[..., 0]), r"images have shape \(2, 4, 6\), but image_s"),
        (
            lambda w: w.weights(FILTERS[:, 1:]),
            r"filters have shape \(3, 11\): \(filter, 1",
        ),
        (lambda w: w.shared(FILTERS, FILTERS), r"weights have shape \(3, 12\), but 3 filt"),
    ],
)
def test_what_does_not_fit_the_windows_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(WINDOWS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grid": (2,)}, r"grid is \(2,\): \(rows, columns\) is needed"),
        ({"grid": (2, 0)}, r"grid is \(2, 0\)"),
        ({"filters": FILTERS[0]}, r"filters have shape \(12,\): \(filter, input\)"),
        ({"w_inh": -1.0}, "w_inh is -1.0: the strength of inhibition must be 0 or more"),
        ({"space_sigma": -1.0}, "space_sigma is -1.0: a width must be 0 or more"),
        ({"feature_sigma": 0.0}, "feature_sigma is 0.0: it must be positive"),
        ({"reach": -1}, "reach is -1: a distance must be 0 or more"),
        (
            {"filters": 0 * FILTERS, "feature_sigma": 1.0},
            "3 filters are 0 and have no direction: leave them out, or give feature",
        ),
    ],
)
def test_inhibition_that_cannot_be_is_refused(settings, said):
    good = {"grid": (2, 2), "filters": FILTERS, "w_inh": 0.5}
    with pytest.raises(ValueError, match=said):
        local_inhibition(**good | settings)


@pytest.mark.parametrize(
    ("w_inh", "said"),
    [
        (np.zeros((2, 2)), r"w_inh has shape \(2, 2\), but the drive has 3 units"),
        (np.eye(3), "w_inh has a diagonal that is not 0"),
        (np.triu(np.ones((3, 3)), 1), r"several states may be stable \(it is not symmetri"),
        (1.5 * (1 - np.eye(3)), r"several states .* \(1 \+ w_inh is not positive definite"),
        (np.full((3, 3), -0.1), "w_inh is an array with -0.1"),
    ],
)
def test_a_matrix_whose_equilibrium_may_not_be_unique_is_refused(w_inh, said):
    with pytest.raises(ValueError, match=said):
        equilibrium.settle(np.ones((1, 3)), w_inh=w_inh)
