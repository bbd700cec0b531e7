"""Export: one deterministic global shuffle, then the same shards in every format."""
