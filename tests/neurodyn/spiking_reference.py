"""A spiking network in plain loops, from the docstrings, given the spikes of its input.

Potentials and θ in mV, times in steps. In each step: potentials from the conductances
before, then conductances and θ, spikes, their effects, and resets.
"""

from dataclasses import dataclass, field

import numpy as np

from neurodyn import DiehlCook, PairSTDP, SpikeRecording, TripletSTDP


@dataclass(kw_only=True)
class Fading:
    """A rule of one's own that has no hash: weights shrink at each spike of the sender."""

    pre_traces: str = ""
    post_traces: str = ""
    at_pre: str = ""
    at_post: str = ""
    on_pre: str = "W = clip(W - loss, 0, w_max)"
    on_post: str = ""
    w_max: float = 9.0
    total: float | None = None
    parameters: dict = field(default_factory=lambda: {"loss": 0.01})


FADING = Fading()
EVERYTHING = SpikeRecording(spikes=("input", "exc", "inh"), samples_ms=0.5)


def trains(traces, population):
    """Return the spikes of a population, in order: pairs (step, cell)."""
    chosen = traces["spike_population"].values == population
    steps = np.rint(traces["spikes"].values[chosen] / traces.attrs["dt_ms"]).astype(int)
    return sorted(zip(steps, traces["spike_unit"].values[chosen], strict=True))


def trace(times, now, tau, *, nearest=False):
    """Return the sum of what earlier spikes have left, or what the last one has."""
    earlier = [time for time in times if time < now]
    return sum(np.exp((time - now) / tau) for time in earlier[-1 if nearest else 0 :])


class Rule:
    """Weights (unit, pixel), and all spikes that still count."""

    def __init__(self, rule, weights, dt_ms):
        self.rule, self.dt_ms, self.w = rule, dt_ms, weights.copy()
        self.forget()

    def forget(self):
        units, pixels = self.w.shape
        self.pre, self.post = [[] for _ in range(pixels)], [[] for _ in range(units)]

    def scale(self):
        if self.rule is not None and self.rule.total is not None:
            for row in self.w:
                row *= self.rule.total / sum(row)

    def bound(self, unit, pixel, change):
        new = self.w[unit, pixel] + change
        self.w[unit, pixel] = min(max(new, 0.0), self.rule.w_max)

    def sent(self, pixel, now):
        if self.rule is not None:
            for unit in range(len(self.w)):
                self.bound(unit, pixel, -self.depression(unit, pixel, now))

    def received(self, unit, now):
        if self.rule is not None:
            for pixel in range(self.w.shape[1]):
                self.bound(unit, pixel, self.potentiation(unit, pixel, now))

    def of_pre(self, pixel, now, tau_ms, **how):
        return trace(self.pre[pixel], now, tau_ms / self.dt_ms, **how)

    def of_post(self, unit, now, tau_ms, **how):
        return trace(self.post[unit], now, tau_ms / self.dt_ms, **how)


class DiehlCookByHand(Rule):
    def depression(self, unit, pixel, now):
        rule = self.rule
        return rule.eta_pre * self.of_post(unit, now, rule.tau_post_1_ms, nearest=True)

    def potentiation(self, unit, pixel, now):
        rule = self.rule
        x = self.of_pre(pixel, now, rule.tau_pre_ms, nearest=True)
        return rule.eta_post * x * self.of_post(unit, now, rule.tau_post_2_ms, nearest=True)


class PairByHand(Rule):
    def depression(self, unit, pixel, now):
        rule = self.rule
        y = self.of_post(unit, now, rule.tau_minus_ms, nearest=rule.nearest)
        return rule.a_minus * self.w[unit, pixel] ** rule.mu * y

    def potentiation(self, unit, pixel, now):
        rule = self.rule
        x = self.of_pre(pixel, now, rule.tau_plus_ms, nearest=rule.nearest)
        return rule.a_plus * (rule.w_max - self.w[unit, pixel]) ** rule.mu * x


class TripletByHand(Rule):
    def depression(self, unit, pixel, now):
        rule = self.rule
        slow = self.of_pre(pixel, now, rule.tau_x_ms)
        y = self.of_post(unit, now, rule.tau_minus_ms)
        return y * (rule.a_minus_2 + rule.a_minus_3 * slow)

    def potentiation(self, unit, pixel, now):
        rule = self.rule
        slow = self.of_post(unit, now, rule.tau_y_ms)
        x = self.of_pre(pixel, now, rule.tau_plus_ms)
        return x * (rule.a_plus_2 + rule.a_plus_3 * slow)


BY_HAND = {
    DiehlCook: DiehlCookByHand,
    PairSTDP: PairByHand,
    TripletSTDP: TripletByHand,
    type(None): Rule,
}


class Cells:
    """Leaky integrate-and-fire cells with conductances."""

    def __init__(self, circuit, kind, number, dt_ms):
        def of_kind(name):
            return getattr(circuit, name.format(kind))

        self.rest, self.low = of_kind("rest_{}_mv"), of_kind("threshold_{}_mv")
        self.reset, self.tau = of_kind("reset_{}_mv"), of_kind("tau_{}_ms")
        self.pause = round(of_kind("refractory_{}_ms") / dt_ms)
        self.e_exc, self.e_inh = circuit.reversal_exc_mv, of_kind("reversal_inh_of_{}_mv")
        self.decay_exc = np.exp(-dt_ms / circuit.tau_g_exc_ms)
        self.decay_inh = np.exp(-dt_ms / circuit.tau_g_inh_ms)
        self.number, self.dt_ms = number, dt_ms
        self.to_rest()

    def to_rest(self):
        self.v = np.full(self.number, self.rest)
        self.g_exc, self.g_inh = np.zeros((2, self.number))
        self.free_from = np.zeros(self.number, int)

    def step(self, now, theta):
        """Integrate a step; return the cells that fire at its end."""
        for cell in range(self.number):
            if now >= self.free_from[cell]:
                g_e, g_i = self.g_exc[cell], self.g_inh[cell]
                speed = 1 + g_e + g_i
                end = (self.rest + g_e * self.e_exc + g_i * self.e_inh) / speed
                left = np.exp(-speed * self.dt_ms / self.tau)
                self.v[cell] = end + (self.v[cell] - end) * left
        self.g_exc *= self.decay_exc
        self.g_inh *= self.decay_inh
        over = (self.v > self.low + theta) & (now >= self.free_from)
        return np.flatnonzero(over)

    def fire(self, cells, now):
        self.v[cells], self.free_from[cells] = self.reset, now + self.pause


@dataclass
class Reference:
    """What a network does for the spikes of its input."""

    exc: list = field(default_factory=list)
    inh: list = field(default_factory=list)
    potential: list = field(default_factory=list)
    excitation: list = field(default_factory=list)
    inhibition: list = field(default_factory=list)


def synapses(circuit, num_units):
    """Return the weights E→I (inh, exc) and I→E (exc, inh), from the docstring."""
    if circuit.num_inh is None:
        own = np.array([[a == b for a in range(num_units)] for b in range(num_units)])
        return circuit.w_ei * own, circuit.w_ie * ~own
    shape = (circuit.num_inh, num_units)
    w_ie = circuit.w_ie if np.ndim(circuit.w_ie) else circuit.w_ie / circuit.num_inh
    return np.broadcast_to(circuit.w_ei, shape), np.broadcast_to(w_ie, shape[::-1])


def follow(
    spikes, num_steps, circuit, weights, stimulus, *, rule=None, theta_mv=None, adapts=True
):
    """Integrate a network for steps of 0.5 ms; `spikes` are pairs (step, pixel)."""
    dt_ms, found, by_step = 0.5, Reference(), {}
    for step, pixel in spikes:
        by_step.setdefault(step, []).append(pixel)
    learner = BY_HAND[type(rule)](rule, weights, dt_ms)
    w_ei, w_ie = synapses(circuit, len(weights))
    exc = Cells(circuit, "exc", len(weights), dt_ms)
    inh = Cells(circuit, "inh", len(w_ei), dt_ms)
    start = circuit.theta_start_mv if theta_mv is None else theta_mv
    theta = np.full(len(weights), start)
    period = round(stimulus.period_ms / dt_ms)
    for now in range(num_steps):
        sample(found, exc)
        if now % period == 0:
            learner.scale()
            if stimulus.reset:
                learner.forget(), exc.to_rest(), inh.to_rest()
        if adapts:
            theta = theta * np.exp(-dt_ms / circuit.tau_theta_ms)
        fired, inhibits = exc.step(now, theta), inh.step(now, 0.0)
        transmit(by_step.get(now, []), fired, inhibits, exc, inh, learner, w_ei, w_ie, now)
        exc.fire(fired, now)
        inh.fire(inhibits, now)
        theta[fired] += circuit.theta_plus_mv * adapts
        found.exc += [(now, unit) for unit in fired]
        found.inh += [(now, cell) for cell in inhibits]
    found.weights, found.theta, found.v = learner.w, theta, exc.v
    return found


def sample(found, exc):
    found.potential.append(exc.v.copy())
    found.excitation.append(exc.g_exc * (exc.e_exc - exc.v))
    found.inhibition.append(exc.g_inh * (exc.v - exc.e_inh))


def transmit(sent, fired, inhibits, exc, inh, learner, w_ei, w_ie, now):
    """Spikes reach the other cells, then weights change: senders' changes first."""
    for pixel in sent:
        exc.g_exc += learner.w[:, pixel]
    for unit in fired:
        inh.g_exc += w_ei[:, unit]
    for cell in inhibits:
        exc.g_inh += w_ie[:, cell]
    for pixel in sent:
        learner.sent(pixel, now)
    for unit in fired:
        learner.received(unit, now)
    for pixel in sent:
        learner.pre[pixel].append(now)
    for unit in fired:
        learner.post[unit].append(now)
