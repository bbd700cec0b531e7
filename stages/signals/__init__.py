"""Facts about one sample, by what they look at: `image`, `hashes`, `text`, `similarity`."""
