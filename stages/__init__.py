"""What the DAG runs over shards: ingest, signals, balance, selection, export."""
