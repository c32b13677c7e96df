"""Search for the settings with the smallest error on held-out training images.

A search is a study of Optuna in a storage: a journal file or a database. Each worker opens
the storage, asks for settings, trains and scores them, and writes the error there. Nothing
else is shared, so workers may be processes, machines or tasks of a dask cluster.
"""
