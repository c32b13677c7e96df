"""Classes of images, read out from spike counts by the votes of labelled cells.

Each cell gets the class of images to which it responds most, from training images:
`class_responses`, then `assign_labels`. For test images, the cells of each class vote:
`vote`, or `weighted_vote`. Classes are numbered from 0; −1 stands for none.
"""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from neurodyn.analysis.checks import (
    counted,
    floating,
    named,
    need_aligned,
    need_dims,
    need_finite,
    need_labels,
)
from neurodyn.checks import at_least_one, whole

MOST_CLASSES = 10_000  # more would be numbers of another kind


def class_responses(
    counts: xr.DataArray,
    labels: xr.DataArray | ArrayLike,
    *,
    num_classes: int | None = None,
) -> xr.DataArray:
    """Return the mean spike count of each cell for the images of each class.

    Parameters
    ----------
    counts
        Spikes of each cell in each presentation (image, unit).
    labels
        Class of each image (image), an integer from 0; a plain array is in their order.
    num_classes
        Number of classes, by default the largest label + 1.

    Returns
    -------
    DataArray
        (unit, class), NaN for classes without images.

    Raises
    ------
    ValueError
        If a dim is missing, a count is no whole number from 0, or the labels are not
        integers from 0 below `num_classes`, or are of other images.
    """
    counts = _counts(counts)
    labels = _of_images(labels, counts)
    num_classes = None if num_classes is None else _number(num_classes)
    _need_classes(labels, "labels", "image", smallest=0, num_classes=num_classes)
    need_aligned(counts, labels, "image")
    member = labels == _classes(num_classes or int(labels.max()) + 1)
    number = member.sum("image")
    total = xr.dot(counts, member.astype(float), dim="image")
    responses = total / number.where(number > 0)
    return named(
        responses.transpose(..., "unit", "class"),
        "class_responses",
        "1",
        "mean spike count of the cell for the images of a class",
    )


def assign_labels(responses: xr.DataArray) -> xr.DataArray:
    """Return the class to which each cell responds most (Diehl & Cook 2015).

    The first of classes that tie; −1 for a cell that never fires.

    Parameters
    ----------
    responses
        Mean spike counts (unit, class) of `class_responses`.

    Raises
    ------
    ValueError
        If a dim is missing, or a response is negative or infinite.
    """
    responses = _responses(responses)
    best = responses["class"][responses.argmax("class")]
    best = best.drop_vars("class", errors="ignore")
    assigned = best.where(responses.max("class") > 0, -1)
    long_name = "class of the largest response, −1 if the cell never fires"
    return named(assigned, "assigned_labels", "1", long_name)


def vote(counts: xr.DataArray, assigned: xr.DataArray) -> xr.DataArray:
    """Return the class that the cells vote for: that with the largest mean spike count.

    The mean is over the cells assigned to the class, so that large groups have no
    advantage (Diehl & Cook 2015, Front. Comput. Neurosci. 9:99).

    Parameters
    ----------
    counts
        Spikes of each cell in each presentation (image, unit).
    assigned
        Class of each cell (unit), −1 for cells without a vote, of `assign_labels`.

    Returns
    -------
    DataArray
        (image): the first of classes that tie; −1 if no cell with a vote fires.

    Raises
    ------
    ValueError
        If a dim is missing, a count is no whole number from 0, or the classes are not
        integers from −1, or are of other cells.
    """
    counts = _counts(counts)
    _need_classes(assigned, "assigned", "unit", smallest=-1)
    need_aligned(counts, assigned, "unit")
    return _elect(counts, assigned)


def weighted_vote(counts: xr.DataArray, responses: xr.DataArray) -> xr.DataArray:
    """Return the class that the cells vote for, selective cells with more weight.

    As `vote`, but each count is multiplied by the share of the cell's responses that its
    assigned class has: 1 for a cell that responds to this class only (the "proportion
    weighting" of BindsNET, Hazan et al. 2018, Front. Neuroinform. 12:89).

    Parameters
    ----------
    counts
        Spikes of each cell in each presentation (image, unit).
    responses
        Mean spike counts (unit, class) of `class_responses`.

    Returns
    -------
    DataArray
        (image), as `vote`.

    Raises
    ------
    ValueError
        As `vote` and `assign_labels`.
    """
    counts, responses = _counts(counts), _responses(responses)
    need_aligned(counts, responses, "unit")
    total = responses.sum("class")
    share = responses.max("class") / total.where(total > 0, 1)
    return _elect(counts * share, assign_labels(responses))


def confusion_matrix(
    labels: xr.DataArray | ArrayLike, predicted: xr.DataArray, *, num_classes: int
) -> xr.DataArray:
    """Return how many images of each class were predicted to be of each class.

    Unlike that of scikit-learn, it has a column for images without a prediction, −1.

    Parameters
    ----------
    labels
        Class of each image (image), an integer from 0; a plain array is in their order.
    predicted
        Predicted class (image), −1 for none, of `vote` or `weighted_vote`.

    Returns
    -------
    DataArray
        (label, predicted), integers; the columns are the classes from 0, then −1.

    Raises
    ------
    ValueError
        If there are other dims, or the classes are not integers below `num_classes`, from 0
        (labels) or −1 (predicted).
    """
    num_classes = _number(num_classes)
    need_dims(predicted, "image")
    labels = _of_images(labels, predicted)
    for values, name, smallest in ((labels, "labels", 0), (predicted, "predicted", -1)):
        _need_classes(values, name, "image", smallest=smallest, num_classes=num_classes)
    need_aligned(labels, predicted, "image")
    matrix = np.zeros((num_classes, num_classes + 1), int)
    np.add.at(matrix, (labels.values, predicted.values), 1)  # -1 is the last column
    coords = {
        "label": np.arange(num_classes),
        "predicted": [*range(num_classes), -1],
    }
    result = xr.DataArray(matrix, dims=("label", "predicted"), coords=coords)
    return named(result, "confusion_matrix", "1", "number of images")


def _elect(counts: xr.DataArray, assigned: xr.DataArray) -> xr.DataArray:
    """Return the class (image) of the cells with the largest mean count."""
    member = assigned == _classes(max(int(assigned.max()), 0) + 1)
    total = xr.dot(counts, member.astype(float), dim="unit")
    votes = total / member.sum("unit").clip(min=1)
    winner = votes.argmax("class").where(votes.max("class") > 0, -1)
    return named(winner, "vote", "1", "predicted class, −1 if no cell with a vote fires")


def _of_images(labels: xr.DataArray | ArrayLike, other: xr.DataArray) -> xr.DataArray:
    """Return labels (image), those of a plain array with the images of another array."""
    if isinstance(labels, xr.DataArray):
        return labels
    values = np.asarray(labels)
    if values.shape != (other.sizes["image"],):
        raise ValueError(
            f"labels have shape {values.shape}: ({other.sizes['image']},) is needed, the "
            "class of each image"
        )
    return xr.DataArray(values, dims="image").assign_coords(
        {"image": other["image"]} if "image" in other.coords else {}
    )


def _number(num_classes: int) -> int:
    """Return the number of classes; ValueError if there are none, or too many."""
    num_classes = whole("num_classes", num_classes)
    at_least_one("num_classes", num_classes, "class is needed")
    if num_classes > MOST_CLASSES:
        raise ValueError(f"num_classes is {num_classes}: up to {MOST_CLASSES} are possible")
    return num_classes


def _classes(number: int) -> xr.DataArray:
    return xr.DataArray(np.arange(number), dims="class", coords={"class": range(number)})


def _counts(counts: xr.DataArray) -> xr.DataArray:
    """Return counts (image, unit) as floats; none may be missing."""
    counts = counted(counts, "image", "unit")
    need_finite(counts, "counts")
    return counts


def _responses(responses: xr.DataArray) -> xr.DataArray:
    """Return responses (unit, class), 0 for classes without images."""
    need_dims(responses, "unit", "class")
    responses = floating(responses)
    smallest = float(responses.min())
    if smallest < 0 or np.isinf(responses).any():
        raise ValueError(
            f"responses go from {smallest:g} to {float(responses.max()):g}: mean spike "
            "counts are 0 or more, and finite, so give the result of class_responses"
        )
    return responses.fillna(0)


def _need_classes(
    values: xr.DataArray,
    name: str,
    dim: str,
    *,
    smallest: int,
    num_classes: int | None = None,
) -> None:
    """Refuse classes that are not integers (dim) from `smallest`, below `num_classes`."""
    need_labels(values, dim)
    if values.dims != (dim,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"{name} have dims {values.dims} and type {values.dtype}: give an integer for "
            f"each {dim}, with the dim {dim}"
        )
    need_dims(values, dim)
    low, high = int(values.min()), int(values.max())
    largest = (MOST_CLASSES if num_classes is None else num_classes) - 1
    if low < smallest or high > largest:
        raise ValueError(
            f"{name} go from {low} to {high}: classes are numbered from {smallest} "
            f"to {largest} here, so number them anew or give another num_classes"
        )
