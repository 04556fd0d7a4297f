"""Models of real sizes with random weights.

`shapes` names them and lists their parameters; `mlx_checkpoint` and `gguf_file` write those in the two formats.
"""
