"""The engine of simulations: from settings to a Brian2 network to labelled traces.

`spec` validates, `network` builds, `execute` runs, `to_xarray` labels.
Users need not import it.
"""
