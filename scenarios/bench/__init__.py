"""How far is each step from its floor?

A learning step beside the forward matrix product alone, the published NumPy form and a
dense PyTorch form; each competition beside the ranking; one thread beside two; a time step
of the circuit beside the time that its bytes would take; on CUDA a whole epoch beside its
products, its bytes and its launches.
"""
