"""Tiny random checkpoints of every supported family, and what mlx-lm says about them.

`families` names the shapes, `cases` what is written for each, `weights` draws the tensors, `layouts` turns mlx-lm's
names back into each family's original layout, `golden` runs mlx-lm for the reference values, `gguf_*` write GGUF.
"""
