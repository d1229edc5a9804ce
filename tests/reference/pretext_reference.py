"""Slow NumPy twins of the losses, the momentum update and the queue, written from the formulas."""

from __future__ import annotations

import math

import numpy as np


def info_nce(query: np.ndarray, positive: np.ndarray, negatives: np.ndarray, temperature: float) -> float:
    total = 0.0
    for q, p in zip(query, positive, strict=True):
        right = math.exp(float(np.dot(q, p)) / temperature)
        wrong = sum(math.exp(float(np.dot(q, n)) / temperature) for n in negatives)
        total -= math.log(right / (right + wrong))
    return total / len(query)


def negatives_before_positive(query: np.ndarray, positive: np.ndarray, negatives: np.ndarray) -> list[int]:
    return [
        sum(float(np.dot(q, n)) >= float(np.dot(q, p)) for n in negatives) for q, p in zip(query, positive, strict=True)
    ]


def margin_ranking(q: np.ndarray, same: np.ndarray, other: np.ndarray, margin: float, temperature: float) -> float:
    total = 0.0
    for a, s, o in zip(q, same, other, strict=True):
        total += max(0.0, margin - (float(np.dot(a, s)) - float(np.dot(a, o))) / temperature)
    return total / len(q)


class Queue:
    """First in, first out memory, one key at a time."""

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = keys.copy()
        self.position = 0

    def enqueue(self, keys: np.ndarray) -> None:
        for key in keys:
            self.keys[self.position] = key
            self.position += 1
            if self.position == len(self.keys):
                self.position = 0


def momentum_update(key: np.ndarray, query: np.ndarray, momentum: float) -> np.ndarray:
    return momentum * key + (1 - momentum) * query


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for row, label in zip(scores, labels, strict=True):
        total += math.log(sum(math.exp(float(score) - float(row[label])) for score in row))
    return total / len(labels)
