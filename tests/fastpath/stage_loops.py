"""What stages compute, by plain loops over images, positions and units, in NumPy."""

import numpy as np
import torch
from scipy.linalg import sqrtm

from fastpath.layers import StackSettings

PAD_MODES = {"zeros": "constant", "reflect": "reflect"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def started(stages, input_shape, *, seed=0, kernels=None, **settings):
    """Return a stack in float64."""
    stack = StackSettings(stages=stages, **settings).start(
        input_shape, generator=seeded(seed), kernels=kernels
    )
    for part in stack.parts:
        part.double()
    return stack


def images_of(number, height, width, channels, seed=0):
    """Return some uint8 images."""
    x = torch.randint(0, 256, (number, height, width, channels), generator=seeded(seed))
    return x.to(torch.uint8)


def patches(x, *, size, stride=1, padding=0, mode="zeros"):
    """Return each patch as a row, in the order of image, row, column; and these dims.

    The numbers of a patch are in C-order of (row, column, channel).
    """
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x, sides, mode=PAD_MODES[mode])
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    found = [
        image[r : r + size, c : c + size].ravel()
        for image in x
        for r in rows
        for c in columns
    ]
    return np.stack(found), (len(x), len(rows), len(columns))


def pooled(x, how, *, size, stride, padding=0, fill=0.0):
    """Return the windows of images (image, height, width, channel), each as how(window)."""
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x, sides, constant_values=fill)
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    out = np.zeros((len(x), len(rows), len(columns), x.shape[3]))
    for b in range(len(x)):
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                for k in range(x.shape[3]):
                    out[b, i, j, k] = how(x[b, r : r + size, c : c + size, k])
    return out


def normalized(x, mean, variance, epsilon=1e-5):
    """Return channels of mean 0 and variance 1."""
    return (x - mean) / np.sqrt(variance + epsilon)


def decorrelation(rows, ridge):
    """Return (C/c + ε)^(−1/2), C the covariance of the columns, c their mean variance."""
    covariance = np.cov(np.asarray(rows, np.float64).T, bias=True)
    scale = covariance.trace() / len(covariance)
    return np.linalg.inv(sqrtm(covariance / scale + ridge * np.eye(len(covariance))))


def triangle(u, power):
    return np.maximum(u - u.mean(axis=-1, keepdims=True), 0) ** power


def soft_hebb(weights, rows, *, inverse_temperature, lr, rate_power=0.5):
    """Return outputs u and new weights of one mini-batch: SoftHebb's published rule.

    y = softmax of the outputs u = W x, the winner keeps +y and all others get −y,
    ΔW = Σ (y x − y u W), divided by max|ΔW|, and the step of a unit is lr |‖w‖ − 1|^½.
    """
    change, outputs = np.zeros_like(weights), []
    for x in rows:
        u = np.array([sum(w * x) for w in weights])
        y = np.exp(inverse_temperature * u - max(inverse_temperature * u))
        y = y / y.sum()
        for k in range(len(weights)):
            signed = y[k] if k == np.argmax(u) else -y[k]
            change[k] += signed * x - signed * u[k] * weights[k]
        outputs.append(u)
    change = change / np.abs(change).max()
    rates = [lr * abs(np.sqrt(sum(w * w)) - 1) ** rate_power for w in weights]
    return np.array(outputs), weights + np.array(rates)[:, None] * change
