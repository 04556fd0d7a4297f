"""How small bytes get, and how fast one core gives them back: entropies, Huffman's mean length, LZ4, ZSTD."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

import lz4.block
import numpy as np
import zstandard

BLOCK = 1 << 20  # what one read brings; each block is compressed by itself, so that it can be decoded when it has landed
BLOCKS, ROUNDS = 16, 9


@dataclass
class Coded:
    ratio: float  # compressed size / size
    decode_gbs: float  # GB/s of the original's bytes on one core


def entropy(counts: np.ndarray) -> float:
    """Bits a symbol of histograms [n_contexts, n_symbols], each context coded with its own; without the bias of few samples, by
    Miller's correction (1955), and so nan where there are fewer than 16 samples for each count."""
    if counts.sum() < 16 * counts.size:
        return float("nan")
    counts = counts.astype(np.float64)
    total = counts.sum(axis=1, keepdims=True)
    logs = np.log2(np.divide(total, counts, out=np.ones_like(counts), where=counts > 0))
    free = np.count_nonzero(counts) - np.count_nonzero(total)
    return float(((counts * logs).sum() + free / 2 / np.log(2)) / counts.sum())


def adaptive_bits(codes: np.ndarray, n_symbols: int) -> float:
    """Bits a symbol if each row of [n_groups, group_size] had a histogram of its own, learnt as it is decoded: the code length of
    Krichevsky and Trofimov 1981. (The rows' empirical entropy leaves out what their histograms cost.)"""
    seen = np.zeros((len(codes), n_symbols))
    rows, bits = np.arange(len(codes)), 0.0
    for i, code in enumerate(codes.T):
        bits += np.log2((i + n_symbols / 2) / (seen[rows, code] + 0.5)).sum()
        seen[rows, code] += 1
    return float(bits / codes.size)


def huffman_bits(counts: np.ndarray) -> float:
    """Mean length of Huffman's code for a histogram [n_symbols]: the sum of all inner nodes over that of the leaves."""
    heap = [int(c) for c in counts if c]
    heapq.heapify(heap)
    inner, total = 0, sum(heap)
    while len(heap) > 1:
        node = heapq.heappop(heap) + heapq.heappop(heap)
        inner += node
        heapq.heappush(heap, node)
    return inner / total


def lz4_coded(stream: np.ndarray) -> Coded:
    return _coded(stream, lz4.block.compress, lz4.block.decompress)


def zstd_coded(stream: np.ndarray, level: int) -> Coded:
    """Where bytes do not repeat, as in weights, ZSTD is a Huffman coder of bytes."""
    return _coded(stream, zstandard.ZstdCompressor(level=level).compress, zstandard.ZstdDecompressor().decompress)


def _coded(stream: np.ndarray, compress: Callable[[bytes], bytes], decompress: Callable[[bytes], bytes]) -> Coded:
    """Over up to BLOCKS blocks, spread evenly over a stream of bytes. The speed is by processor time, in which other processes'
    turns do not count: the best of ROUNDS."""
    blocks = [stream[i : i + BLOCK].tobytes() for i in range(0, max(1, len(stream) - BLOCK + 1), BLOCK)]
    blocks = blocks[:: -(-len(blocks) // BLOCKS)]
    packed, size, best = [compress(b) for b in blocks], sum(map(len, blocks)), float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for piece in packed:
            decompress(piece)
        best = min(best, time.process_time() - start)
    return Coded(sum(map(len, packed)) / size, size / best / 1e9)
