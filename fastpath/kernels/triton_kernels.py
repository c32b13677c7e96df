"""The Triton kernels of `triton`: one program an image, or one a changed row of W.

A program holds the whole row that it works on, an image or the drives of an image, in
registers: a block of the next power of two, 16,384 for 16,000 units. So each kernel reads
its input once and writes its result once.

- Every offset into a matrix is an int64: x may have more than 2^31 pixels.
- Settings are compile-time constants. As arguments they would arrive as float32, and 0.9
  would be off by 2e-8 in a float64 training; so would their product with an integer.
- No float is added by atomics, and sums run in a fixed order: results repeat bit for bit.
- `no_type_check`: Triton compiles the source of a function, and must be given the function
  itself, not what a type checker wraps around it.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def prepare(
    x,
    index,
    mean,
    out,
    num_all,
    num_pixels,
    subtract_mean: tl.constexpr,
    center_images: tl.constexpr,
    unit_norm: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Write image x[index[b]], as the layer sees it, to out[b]; NaN if there is none."""
    b = tl.program_id(0).to(tl.int64)
    source = tl.load(index + b).to(tl.int64)
    exists = (source >= 0) & (source < num_all)
    pixel = tl.arange(0, PIXELS)
    here = pixel < num_pixels
    num_readable = tl.where(exists, num_pixels, 0)
    raw = tl.load(x + source * num_pixels + pixel, mask=pixel < num_readable, other=0)
    v = raw.to(out.dtype.element_ty) / 255
    if subtract_mean:
        v -= tl.load(mean + pixel, mask=here, other=0.0)
    if center_images:
        lowest = tl.min(tl.where(here, v, float("inf")))
        highest = tl.max(tl.where(here, v, float("-inf")))
        level = tl.minimum(tl.maximum(tl.sum(v) / num_pixels, lowest), highest)
        v = tl.where(here, v - level, 0.0)
    if unit_norm:
        v /= tl.maximum(tl.sqrt(tl.sum(v * v)), 1e-12)
    v = tl.where(exists, v, float("nan"))
    tl.store(out + b * num_pixels + pixel, v, mask=here)


@triton.jit
@no_type_check
def rank(
    drive,
    image,
    unit,
    g,
    current,
    num_units,
    k,
    delta: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Eq. 10: entry 2b is the largest drive of image b, entry 2b + 1 the k-th largest.

    k maxima rather than a sort: k is 2 to 10, and each maximum is a reduction over
    registers. Of equal drives the first stays ahead. NaN counts as the largest drive.
    """
    b = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, UNITS)
    row = drive + b * num_units
    # What is out of the race is -inf; it stands behind every unit, so none of the padding
    # is ever found, whatever the drives.
    x = tl.load(row + at, mask=at < num_units, other=-float("inf"))
    x = tl.where(x != x, float("inf"), x)
    first = tl.argmax(x, axis=0)
    kth = first
    for _ in range(k - 1):
        x = tl.where(at == kth, -float("inf"), x)
        kth = tl.argmax(x, axis=0)
    side = tl.arange(0, 2)
    found = tl.where(side == 0, first, kth)
    entry = 2 * b + side
    tl.store(image + entry, b + 0 * side)
    tl.store(unit + entry, found)
    tl.store(g + entry, tl.where(side == 0, 1.0, tl.full([2], -delta, x.dtype)))
    tl.store(current + entry, tl.load(row + found))


@triton.jit
@no_type_check
def equilibrium(
    drive,
    g,
    num_units,
    w_inh: tl.constexpr,
    h_star: tl.constexpr,
    delta: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Eq. 9 on the exact equilibrium of eq. 8, without a sort.

    The summed activity S of the fixed point is the largest of the S_m of all prefixes of
    the sorted drives, so the S of any set that holds the active one is too small, and a
    unit with I <= w S of such a set is not active. Drop those, until none is left.
    """
    b = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, UNITS)
    here = at < num_units
    x = tl.load(drive + b * num_units + at, mask=here, other=-float("inf"))
    most = tl.max(x, axis=0)
    if w_inh < 1:
        held = here & (x > w_inh * most)  # none where no drive is positive: then S = 0
        count = tl.sum(held.to(x.dtype), axis=0)
        s = tl.sum(tl.where(held, x, 0.0), axis=0) / (1 + (count - 1) * w_inh)
        dropped = count > 0
        while dropped:
            held = held & (x > w_inh * s)
            left = tl.sum(held.to(x.dtype), axis=0)
            dropped = left < count
            count = left
            s = tl.sum(tl.where(held, x, 0.0), axis=0) / (1 + (count - 1) * w_inh)
        excess = x - w_inh * s
        h = tl.where(excess > 0, excess / (1 - w_inh), excess)
    else:  # the largest drive wins alone; exact ties share
        winner = here & (x == most) & (x > 0)
        count = tl.sum(winner.to(x.dtype), axis=0)
        won = tl.where(winner, most / (1 + (tl.maximum(count, 1.0) - 1) * w_inh), 0.0)
        h = tl.where(winner, won, x - w_inh * tl.sum(won, axis=0))
    anti = -delta * (h >= 0).to(x.dtype)
    learned = tl.where(h >= h_star, 1.0, anti)
    tl.store(g + b * num_units + at, learned, mask=here)


@triton.jit
@no_type_check
def soft(
    drive,
    g,
    num_units,
    temperature: tl.constexpr,
    anti: tl.constexpr,
    delta: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Softmax of drive / temperature; with `anti`, −delta times it but for the largest."""
    b = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, UNITS)
    here = at < num_units
    x = tl.load(drive + b * num_units + at, mask=here, other=-float("inf"))
    share = tl.exp((x - tl.max(x, axis=0)) / temperature)
    share /= tl.sum(share, axis=0)
    if anti:
        share = tl.where(at == tl.argmax(x, axis=0), share, -delta * share)
    tl.store(g + b * num_units + at, share, mask=here)


@triton.jit
@no_type_check
def has_earlier(units, entry, mine, ENTRIES: tl.constexpr):
    """Return whether an entry before `entry` is of the unit `mine`."""
    at = tl.arange(0, ENTRIES)
    earlier = entry < 0
    for start in range(0, entry, ENTRIES):
        other = tl.load(units + start + at, mask=start + at < entry, other=-1)
        earlier = earlier | (tl.max((other == mine).to(tl.int32), axis=0) > 0)
    return earlier


@triton.jit
@no_type_check
def largest(x):
    """Return max|x|, NaN if there is one: without a sign, bits are ordered as floats."""
    if x.dtype == tl.float32:
        bits = tl.max(tl.abs(x).to(tl.int32, bitcast=True), axis=0)
        return bits.to(tl.float32, bitcast=True)
    else:
        bits = tl.max(tl.abs(x).to(tl.int64, bitcast=True), axis=0)
        return bits.to(tl.float64, bitcast=True)


@triton.jit
@no_type_check
def changes(
    image,
    unit,
    g,
    drive,
    images,
    weights,
    change,
    maxima,
    num_entries,
    num_pixels,
    ENTRIES: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Eq. 3 for the unit of one entry, one block of pixels: Σ g v − (Σ g I) W_u.

    The first entry of a unit adds up all of them, in their order; the others leave their
    row of `change` as it is, and their maximum is 0.

    A program finds its unit's entries by comparing all L units, held in registers, with
    its own: L × L × 8 bytes a block of pixels, from the second-level cache (0.3 MB for
    100 images, under the 1.9 MB of rows of W and of ΔW; 32 MB for 1000 images, 10 us on
    an H100). Only images that its unit learns from are read: one row each. A list of the
    entries, made by a kernel before this one, would save the comparing and cost a launch.
    """
    entry = tl.program_id(0)
    mine = tl.load(unit + entry)
    at = tl.arange(0, ENTRIES)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    here = pixel < num_pixels
    most = tl.zeros([], weights.dtype.element_ty)
    if not has_earlier(unit, entry, mine, ENTRIES):
        w = tl.load(weights + mine * num_pixels + pixel, mask=here, other=0.0)
        total = tl.zeros([PIXELS], w.dtype)
        decay = tl.zeros([], w.dtype)
        for start in range(entry // ENTRIES * ENTRIES, num_entries, ENTRIES):
            other = tl.load(unit + start + at, mask=start + at < num_entries, other=-1)
            place = tl.where(other == mine, start + at, num_entries)
            found = tl.min(place, axis=0)
            while found < num_entries:
                v = images + tl.load(image + found) * num_pixels + pixel
                share = tl.load(g + found)
                total += share * tl.load(v, mask=here, other=0.0)
                decay += share * tl.load(drive + found)
                place = tl.where(place > found, place, num_entries)
                found = tl.min(place, axis=0)
        total -= decay * w
        tl.store(change + entry.to(tl.int64) * num_pixels + pixel, total, mask=here)
        most = largest(total)
    tl.store(maxima + entry * tl.num_programs(1) + tl.program_id(1), most)


@triton.jit
@no_type_check
def signed_power(w, p: tl.constexpr):
    """Return sign(w)|w|^(p−1)."""
    size = tl.abs(w)
    if p == 2.5:
        return w * tl.sqrt(size)
    elif p == 3:
        return w * size
    elif p == 4:
        return w * w * w
    else:
        # In float64: the error of a float32 logarithm would grow with the exponent.
        log = tl.log2(tl.where(size == 0, 1.0, size).to(tl.float64))
        power = tl.where(size == 0, 0.0, tl.exp2((p - 1) * log)).to(w.dtype)
        return tl.where(w < 0, -power, power)


@triton.jit
@no_type_check
def apply(
    rows,
    change,
    maxima,
    lr,
    weights,
    signed_powers,
    num_maxima,
    num_pixels,
    p: tl.constexpr,
    some_rows: tl.constexpr,
    normalize: tl.constexpr,
    ENTRIES: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Add ε ΔW, or ε ΔW / max|ΔW|, to one row and renew its signed_power.

    A unit that stands in `rows` more than once is changed by its first entry alone.
    """
    entry = tl.program_id(0)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    here = pixel < num_pixels
    unit = entry.to(tl.int64)
    done = entry < 0
    if some_rows:
        unit = tl.load(rows + entry)
        done = has_earlier(rows, entry, unit, ENTRIES)
    if not done:
        factor = tl.load(lr).to(weights.dtype.element_ty)
        if normalize:
            at = tl.arange(0, ENTRIES)
            most = tl.zeros([ENTRIES], weights.dtype.element_ty)
            for start in range(0, num_maxima, ENTRIES):
                part = tl.load(maxima + start + at, mask=start + at < num_maxima, other=0.0)
                most = tl.where((part > most) | (part != part), part, most)
            top = largest(most)
            factor /= tl.where(top < 1e-30, 1e-30, top)
        d = tl.load(change + entry.to(tl.int64) * num_pixels + pixel, mask=here, other=0.0)
        w = tl.load(weights + unit * num_pixels + pixel, mask=here, other=0.0) + factor * d
        tl.store(weights + unit * num_pixels + pixel, w, mask=here)
        if p != 2:
            tl.store(
                signed_powers + unit * num_pixels + pixel, signed_power(w, p), mask=here
            )


@triton.jit
@no_type_check
def corner(image, row, column, channel, height, width, channels, here):
    """Return the pixels of an image at rows and columns, 0 beyond its edges."""
    inside = here & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    at = (row * width + column) * channels + channel
    return tl.load(image + at, mask=inside, other=0).to(tl.int32)


@triton.jit
@no_type_check
def augment(x, draws, out, height, width, channels, PIXELS: tl.constexpr):
    """Change image b as draws[b] says: see `data.augment.Augment.draw`.

    The integers are those of `augment.cpp`, so both give the same bits.
    """
    b = tl.program_id(0).to(tl.int64)
    size = height * width * channels
    image, drawn = x + b * size, draws + 12 * b
    at = tl.arange(0, PIXELS)
    here = at < size
    channel, pixel = at % channels, at // channels
    row, column = pixel // width, pixel % width
    y = tl.load(drawn) * row + tl.load(drawn + 1) * column + tl.load(drawn + 2)
    x_ = tl.load(drawn + 3) * row + tl.load(drawn + 4) * column + tl.load(drawn + 5)
    top, left, fy, fx = y >> 16, x_ >> 16, (y >> 8) & 255, (x_ >> 8) & 255
    p = corner(image, top, left, channel, height, width, channels, here)
    q = corner(image, top, left + 1, channel, height, width, channels, here)
    r = corner(image, top + 1, left, channel, height, width, channels, here)
    s = corner(image, top + 1, left + 1, channel, height, width, channels, here)
    upper, lower = (256 - fx) * p + fx * q, (256 - fx) * r + fx * s
    value = ((256 - fy) * upper + fy * lower + 32768) >> 16
    mean = tl.sum(tl.where(here, value, 0)) // size
    gain, offset = tl.load(drawn + 10), tl.load(drawn + 11)
    value = (((value - mean) * gain + 128) >> 8) + mean + offset
    value = tl.minimum(tl.maximum(value, 0), 255)
    erased = (row >= tl.load(drawn + 6)) & (row < tl.load(drawn + 7))
    erased &= (column >= tl.load(drawn + 8)) & (column < tl.load(drawn + 9))
    tl.store(out + b * size + at, tl.where(erased, 0, value).to(tl.uint8), mask=here)
