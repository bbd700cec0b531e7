"""Documents, exported: their nodes in reading order, as tars, as Parquet of OBELICS' form, as packed token sequences."""
