"""Controls for the local rule: back-propagation, k-means, a classifier of the pixels.

A fourth control, random weights, is a run of 0 epochs. Its readout has its own power n
(`data.defaults`), since n = 1 gives the lowest error on a validation split: 500 units, one
seed, n = 1, 2, 3, 4.5: 5.8, 6.1, 6.9, 9.2 % on MNIST, 14.4, 14.8, 16.1, 17.7 % on
Fashion-MNIST.
"""

from fastpath.baselines.clusters import KMeans as KMeans
from fastpath.baselines.clusters import kmeans as kmeans
from fastpath.baselines.end_to_end import Backprop as Backprop
from fastpath.baselines.end_to_end import TrainedNetwork as TrainedNetwork
from fastpath.baselines.end_to_end import backprop as backprop
from fastpath.baselines.pixels import linear as linear
