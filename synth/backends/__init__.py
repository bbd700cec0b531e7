"""What stands behind `synth.caption` and `synth.ground`: one file per model family."""
