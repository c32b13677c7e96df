"""How far is each step from its floor?

The floor of a step is the time of the work that cannot be avoided.

- Learning step: compared with its forward matrix product alone, with the published NumPy
  form and with a dense PyTorch form.
- Convolution: a learning step, compared with the forward convolution alone, and with the
  form that computes ΔW by a second convolution.
- Augmentation: the time per image, compared with that of the learning step.
- Competitions: each is compared with the ranking.
- Threads: two are compared with one.
- Time step of the circuit, and of spiking networks: compared with the time to move its
  bytes.
- All: ratios to the floors are compared with those of an earlier run (`baseline.json`).
- CUDA: an epoch is compared with its products, its bytes and its launches.
"""
