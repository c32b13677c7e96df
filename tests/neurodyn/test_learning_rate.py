"""Learning that overshoots in one step is refused, whatever the sign of the drive."""

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Oja,
    Presentation,
    Recording,
)

IMAGE_MS = 100.0
ONE = np.array([[0.6, 0.8]])


def run(weights, rule, *, circuit=None, image_ms=IMAGE_MS, reset=True, shown=1):
    return neurodyn.simulate(
        circuit or LateralInhibition(w_inh=0.5),
        ONE,
        np.asarray(weights),
        plasticity=rule,
        stimulus=Presentation(image_ms=image_ms, reset=reset),
        order=[0] * shown,
        recording=Recording(activity_ms=None),
        backend="numpy",
        dt_ms=0.5,
    )


def overshoots(start, rate, num):
    """Drives under Oja's rule for one unit and one image, h = I."""
    w = np.array(start)
    drives = []
    for _ in range(num):
        drive = w @ ONE[0]
        drives.append(drive)
        w = w + rate * drive * (ONE[0] - drive * w)
    return np.array(drives)


@pytest.mark.parametrize("sign", [1, -1])
def test_oja_overshoots_alike_with_both_signs(sign):
    """|g I| = I² = 25: a step of 100 ms needs τ_L of 2500 ms."""
    weights = sign * 5 * ONE
    drives = overshoots(weights[0], 100 / 1200, 2)
    assert drives[0] * drives[1] < 0  # from 5 to −5 and back: it did overshoot
    with pytest.raises(ValueError, match=r"overshoots; give at least 2\.5e\+03"):
        run(weights, Oja(tau_l_ms=1200.0))
    drives = overshoots(weights[0], 100 / 2600, 3)
    assert (drives * sign > 0).all()
    learned = run(weights, Oja(tau_l_ms=2600.0), shown=3, image_ms=IMAGE_MS)
    np.testing.assert_allclose(learned["drive"].values[:, 0], drives, rtol=1e-3)


def test_the_message_names_negative_drives():
    with pytest.raises(ValueError, match="with drives from -5 to -5 the weights move"):
        run(-5 * ONE, Oja(tau_l_ms=100.0))


def test_oja_of_an_inhibited_unit_is_faster():
    """Drives 4 and −4, w_inh 0.5: h = −4 − 0.5·4, and |h I| = 24 for a unit of I = −4."""
    weights = np.concatenate([4 * ONE, -4 * ONE])
    with pytest.raises(ValueError, match=r"give at least 2\.4e\+03"):
        run(weights, Oja(tau_l_ms=2390.0))
    learned = run(weights, Oja(tau_l_ms=2410.0))
    h = learned["final_activity"].values[0]
    np.testing.assert_allclose(h, [4, -6], rtol=1e-3)


def test_oja_without_inhibition_has_no_more_than_its_drive():
    """Centred data drive units both ways: 25 for drives of 5 and −5."""
    weights = np.concatenate([5 * ONE, -5 * ONE])
    learned = run(weights, Oja(tau_l_ms=2510.0), circuit=LateralInhibition(w_inh=0.0))
    np.testing.assert_allclose(learned["final_activity"][0], [5, -5], rtol=1e-3)
    with pytest.raises(ValueError, match=r"give at least 2\.5e\+03"):
        run(weights, Oja(tau_l_ms=2490.0), circuit=LateralInhibition(w_inh=0.0))


def test_units_below_threshold_do_not_learn_by_krotov_hopfield():
    """g = 0 for h < 0: at rest a negative drive moves nothing, and is not refused."""
    weights = np.concatenate([0.5 * ONE, -50 * ONE])
    learned = run(weights, KrotovHopfield(tau_l_ms=200.0))
    np.testing.assert_array_equal(learned["weights"][1], weights[1])


@pytest.mark.parametrize(
    ("rule", "reset"),
    [
        (KrotovHopfield(tau_l_ms=200.0), False),  # may still be active from before
        (KrotovHopfield(tau_l_ms=2.0, delta=1.0, timing=Continuous()), True),  # h = 0 first
    ],
)
def test_negative_drives_count_where_a_unit_may_be_above_threshold(rule, reset):
    with pytest.raises(ValueError, match=r"drives from -50 to -50 .* overshoots"):
        run(-50 * ONE, rule, reset=reset)


def test_homeostatic_learning_relaxes_with_the_square_of_the_inhibitory_rate():
    """r_E = (I − W r_I): one step changes it by −dt/τ_L r_I² (r_E − ρ)."""
    circuit = DaleInhibition(w_ie=0.01, w_self=0.0, w_ei=10.0)
    images = np.ones((1, 1))
    settings = {
        "stimulus": Presentation(image_ms=50.0),
        "recording": Recording(activity_ms=None),
        "backend": "numpy",
        "dt_ms": 0.05,
    }
    rate = circuit.largest_sending_rate(4 * images, "inh_to_exc", reset=True)
    # At rest r_I = 10 r_E and r_E = 4 − 0.01 r_I; on its way there r_E is above by a little
    assert rate == pytest.approx(10 * 4 / 1.1, rel=0.02)
    bound = 0.05 * rate**2
    for tau_l_ms in (0.9 * bound, 0.5 * bound):
        with pytest.raises(
            ValueError, match=r"cells of inh_to_exc up to 3\d\.\d .* overshoots"
        ):
            neurodyn.simulate(
                circuit,
                images,
                4 * images,
                plasticity={"inh_to_exc": Homeostatic(tau_l_ms=tau_l_ms)},
                **settings,
            )
    with pytest.warns(UserWarning, match="times as fast as the activity"):
        neurodyn.simulate(
            circuit,
            images,
            4 * images,
            plasticity={"inh_to_exc": Homeostatic(tau_l_ms=1.1 * bound)},
            **settings,
        )


def test_silent_inhibition_never_overshoots():
    matrix = 0.5 * (1 - np.eye(2))
    learned = run(
        np.concatenate([-50 * ONE, -60 * ONE]),
        {"lateral": Homeostatic(tau_l_ms=1.0)},
        circuit=LateralInhibition(w_inh=matrix),
    )
    np.testing.assert_array_equal(learned["weights_lateral"], matrix)
