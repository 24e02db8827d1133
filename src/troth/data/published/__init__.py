"""Loaders of published data sets: one module per set, each with `read(content_of) -> DataSet`."""
