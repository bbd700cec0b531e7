"""The engine: executes a plan chunk by chunk, decides fates, exports what is kept."""
