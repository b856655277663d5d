#!/usr/bin/env python3
"""Writes deepfm.txt: DeepFM, its losses, gradients and optimizers as PyTorch computes them.

    python3 tests/golden/deepfm.py > tests/golden/deepfm.txt        (made with torch 2.15.0, CPU)

The model is written here from the papers (Guo et al. 2017, eq. 1; Rendle 2010, eq. 1 as the sum
over pairs), not from the C code; only the order of the weights is that of common/model_parts.h.
Inputs are float32 values; everything is computed in float64. One line each: name, count, values.
"""
import torch

F, K, HIDDEN, B = 3, 5, [7, 4], 6
torch.manual_seed(20240607)


def draw(*shape, sd=0.6):
    return (torch.randn(*shape, dtype=torch.float64) * sd).float().double().requires_grad_()


def emit(name, tensors):
    values = [v for t in tensors for v in t.detach().reshape(-1).tolist()]
    print(name, len(values), *(f"{v:.17g}" for v in values))


embedding, linear = draw(B, F, K), draw(B, F, 1)
label = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.25], dtype=torch.float64)
widths = [F * K] + HIDDEN
layers = [(draw(i, o), draw(o, sd=0.2)) for i, o in zip(widths, widths[1:])]
head, bias = draw(widths[-1], 1), draw(1, sd=0.2)
weights = [t for layer in layers for t in layer] + [head, bias]


def logit():
    h = embedding.reshape(B, F * K)
    for w, b in layers:
        h = torch.nn.functional.linear(h, w.t(), b).relu()
    pairs = sum((embedding[:, i] * embedding[:, j]).sum(1) for i in range(F) for j in range(i + 1, F))
    return pairs + linear.sum((1, 2)) + (h @ head).squeeze(1) + bias


def rows(e, l):  # (B,F,K+1) as the C code has them
    return [torch.cat([e, l], dim=2)]


z = logit()
emit("shape", [torch.tensor([F, K, B, len(HIDDEN)] + HIDDEN)])
emit("x", rows(embedding, linear))
emit("w", weights)
emit("label", [label])
emit("logit", [z])
losses = {
    "logloss": torch.nn.functional.binary_cross_entropy_with_logits(z, label, reduction="none"),
    "mse": (torch.sigmoid(z) - label) ** 2,
}
for name, loss in losses.items():
    grads = torch.autograd.grad(loss.sum(), [embedding, linear] + weights, retain_graph=True)
    emit(name, [loss])
    emit(name + "_dx", rows(grads[0], grads[1]))
    emit(name + "_dw", grads[2:])

# Three steps of each optimizer from the same gradients, which change from step to step.
start = torch.cat([t.detach().reshape(-1) for t in weights])
gradient = torch.cat([t.reshape(-1) for t in grads[2:]]).float().double()
for name, make in {
    "adam": lambda p: torch.optim.Adam([p], lr=1e-3),
    "adagrad": lambda p: torch.optim.Adagrad([p], lr=0.2, initial_accumulator_value=0.1, eps=0),
}.items():
    p = start.clone().requires_grad_()
    optimizer = make(p)
    for t in range(3):
        p.grad = gradient * (1 - t)
        optimizer.step()
    emit(name, [p])
emit("gradient", [gradient])
