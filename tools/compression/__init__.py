"""What tools/measure_compression.py and tools/measure_levers.py are made of."""
