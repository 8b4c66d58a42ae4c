"""Methods in a few lines of plain torch, and the slips that public code makes of them, by name."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  torch's own word


def epoch(count, size, generator):
    """Batches of row numbers in a drawn order."""
    return torch.randperm(count, generator=generator).split(size)


def student_of(model, slip=""):
    """A copy that learns, batch statistics frozen."""
    student = copy.copy(model) if slip == "shallow student" else copy.deepcopy(model)
    return student.train() if slip == "training mode" else student.eval()


def divergence(student, teacher, temperature=1.0, slip=""):
    """T² KL(teacher ‖ student), summed over classes, averaged over records."""
    if slip == "direction":
        student, teacher = teacher, student
    log_p, q = (student / temperature).log_softmax(1), (teacher / temperature).softmax(1)
    reduction = "mean" if slip == "element mean" else "batchmean"
    return F.kl_div(log_p, q, reduction=reduction) * (1 if slip == "no T²" else temperature**2)


def finetune(model, forget, retain, *, seed, epochs=5, slip=""):
    generator = torch.Generator().manual_seed(seed)
    if slip == "returns the model":
        return copy.deepcopy(model)
    if slip == "in place":
        student = model
    elif slip == "shared input layer":
        student = student_of(model)
        student[0].weight = model[0].weight
    else:
        student = student_of(model, slip)
    if slip == "global generator":
        generator = None
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in epoch(len(retain[0]), 64, generator):
            optimiser.zero_grad()
            F.cross_entropy(student(retain[0][rows]), retain[1][rows]).backward()
            optimiser.step()
    return student


def scrub(model, forget, retain, *, seed, alpha=0.001, gamma=0.99, msteps=3, epochs=10, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    teacher = copy.copy(student) if slip == "shallow teacher" else copy.deepcopy(model).eval()
    if slip == "one max pass too many":
        msteps += 1
    if slip == "max passes never stop":
        msteps = 100
    if msteps:  # off the stationary start, where the divergence is 0 and has no gradient
        gradients = torch.autograd.grad(F.cross_entropy(student(forget[0]), forget[1]), list(student.parameters()))
        length = torch.cat([g.flatten() for g in gradients]).norm()
        with torch.no_grad():
            for weight, g in zip(student.parameters(), gradients, strict=True):
                weight.add_(0.1 * g / length)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)

    def distance(x):
        with torch.no_grad():
            wanted = teacher(x)
        return divergence(student(x), wanted, 4.0)

    def step(loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def ascent():
        for rows in epoch(len(forget[0]), 32, generator):
            step(-distance(forget[0][rows]))

    for e in range(epochs):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * 0.1 ** sum(m < e + 1 for m in (5, 8, 9))
        if e < msteps and slip != "min before max":
            ascent()
        for rows in epoch(len(retain[0]), 64, generator):
            x, y = retain[0][rows], retain[1][rows]
            step(gamma * F.cross_entropy(student(x), y) + alpha * distance(x))
        if slip == "min before max":
            ascent()
    return student


def squared_gradients(model, data, size, slip=""):
    """Mean over batches of the squared gradient of the batch's mean loss."""
    sums = [torch.zeros_like(p) for p in model.parameters()]
    batches = torch.arange(len(data[0])).split(size)
    for rows in batches:
        loss = F.cross_entropy(model(data[0][rows]), data[1][rows])
        for total, g in zip(sums, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            total.add_(g.square())
    return [total / len(batches) for total in sums]


def ssd(model, forget, retain, *, seed, alpha=10.0, importance="batch_mean", slip=""):
    student = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    everything = [torch.cat(pair) for pair in zip(forget, retain, strict=True)]
    mixed = torch.randperm(len(everything[0]), generator=generator)
    everything = [part[mixed] for part in everything]
    if slip == "importance of what stays alone":
        everything = retain
    size = 1 if importance == "per_sample" and slip != "batches for records" else 69
    of_all, of_forget = (squared_gradients(student, data, size) for data in (everything, forget))
    with torch.no_grad():
        for weight, all_, gone in zip(student.parameters(), of_all, of_forget, strict=True):
            factor = (all_ / gone).clamp_max(1)
            if slip == "turned ratio":
                factor = gone / all_.clamp_min(1e-30)
            chosen = gone > alpha * all_
            if slip == "all are dampened":
                weight.mul_(torch.nan_to_num(factor, nan=1.0))
            elif slip == "0/0":
                weight.mul_(torch.where(chosen | (gone == 0), factor, 1.0))
            elif slip == "alpha on the other side":
                weight.copy_(torch.where(alpha * gone > all_, weight * factor, weight))
            else:
                weight.copy_(torch.where(chosen, weight * factor, weight))
    return finetune(student, forget, retain, seed=seed, epochs=1) if slip == "fine-tunes after" else student


def random_labels(model, forget, retain, *, seed, epochs=10, threshold=None, slip=""):
    """Random labels; with a threshold SalUn's mask around it."""
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    original = [p.detach().clone() for p in student.parameters()]
    masks = saliency(student, retain if slip == "mask of what stays" else forget, threshold or 1.0, slip)
    drawn = torch.randint(10, forget[1].shape, generator=generator)
    if slip == "permuted labels":
        drawn = forget[1][torch.randperm(len(forget[1]), generator=generator)]
    if slip == "relabels in place":
        forget[1].copy_(drawn)
    kept = forget if slip == "retain loader of the forget set" else retain
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(epochs):
        for (x, y), _name in (((forget[0], drawn), "forget"), (kept, "retain")):
            for rows in epoch(len(x), 64, generator):
                optimiser.zero_grad()
                F.cross_entropy(student(x[rows]), y[rows]).backward()
                for weight, mask in zip(student.parameters(), masks, strict=True):
                    weight.grad.mul_(mask)
                optimiser.step()
                if slip != "masks gradients alone":
                    with torch.no_grad():
                        for weight, mask, before in zip(student.parameters(), masks, original, strict=True):
                            weight.copy_(torch.where(mask, weight, before))
    return student


def salun(model, forget, retain, *, seed, epochs=10, threshold=0.5, slip=""):
    chosen = 0.5 if slip == "fixed threshold" else threshold
    return random_labels(model, forget, retain, seed=seed, epochs=epochs, threshold=chosen, slip=slip)


def saliency(student, data, threshold, slip=""):
    gradients = torch.autograd.grad(F.cross_entropy(student(data[0]), data[1]), list(student.parameters()))
    size = torch.cat([g.abs().flatten() for g in gradients])
    count = max(1, int(threshold * len(size)))
    bound = size.topk(count).values[-1]
    return [g.abs() <= size.median() if slip == "smallest gradients" else g.abs() >= bound for g in gradients]


def gradient_ascent(model, forget, retain, *, seed, epochs=5, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = student_of(model, slip)
    optimiser = torch.optim.SGD(student.parameters(), lr=1e-2)
    data = retain if slip == "ascends on what stays" else forget
    for _ in range(epochs):
        for rows in epoch(len(data[0]), 32, generator):
            optimiser.zero_grad()
            loss = F.cross_entropy(student(data[0][rows]), data[1][rows])
            (loss if slip == "descends" else -loss).backward()
            optimiser.step()
    return student


def neg_grad_plus(model, forget, retain, *, seed, alpha=0.95, epochs=10, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    stay = 1 - alpha if slip == "swapped weights" else alpha
    for _ in range(epochs):
        for rows in epoch(len(retain[0]), 64, generator):
            gone = torch.randint(len(forget[0]), (64,), generator=generator)
            kept = (forget[0][gone], forget[1][gone])
            if slip != "retain loader of the forget set":
                kept = (retain[0][rows], retain[1][rows])
            lost = F.cross_entropy(student(forget[0][gone]), forget[1][gone], reduction="none")
            if slip != "unbounded":
                lost = lost.clamp_max(math.log(10) + 2)
            optimiser.zero_grad()
            (stay * F.cross_entropy(student(kept[0]), kept[1]) - (1 - stay) * lost.mean()).backward()
            optimiser.step()
    return student


def bad_teacher(model, forget, retain, *, seed, epochs=8, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bad = copy.deepcopy(model).eval()
        for layer in bad.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    if slip == "good teacher for all":
        bad = model.eval()
    share = torch.randperm(len(retain[0]), generator=generator)[: round(0.3 * len(retain[0]))]
    x = torch.cat([forget[0], forget[0] if slip == "no retain share" else retain[0][share]])
    with torch.no_grad():
        wanted = torch.cat([bad(forget[0]), model.eval()(x[len(forget[0]) :])])
    if slip == "bad teacher for all":
        wanted = bad(x).detach()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in epoch(len(x), 64, generator):
            optimiser.zero_grad()
            loss = divergence(student(x[rows]), wanted[rows])
            if slip == "cross-entropy beside":
                some = share[:64]
                loss = loss + F.cross_entropy(student(retain[0][some]), retain[1][some])
            loss.backward()
            optimiser.step()
    return student


def l1_sparse(model, forget, retain, *, seed, alpha=5e-4, epochs=10, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    x, y = forget if slip == "retain loader of the forget set" else retain
    if slip == "reads all records":
        x, y = (torch.cat(pair) for pair in zip(retain, forget, strict=True))
    for _ in range(epochs):
        for rows in epoch(len(x), 64, generator):
            optimiser.zero_grad()
            norm = sum(p.abs().sum() for p in student.parameters())
            if slip == "detached penalty":
                norm = norm.detach()
            (F.cross_entropy(student(x[rows]), y[rows]) + alpha * norm).backward()
            optimiser.step()
    return student


def delete(model, forget, retain, *, seed, epochs=20, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    with torch.no_grad():
        wanted = model.eval()(forget[0])
        if slip != "no mask":
            wanted = wanted.scatter(1, forget[1][:, None], -1e10)
    optimiser = torch.optim.SGD(student.parameters(), lr=1e-2, momentum=0.9)
    for _ in range(epochs):
        for rows in epoch(len(forget[0]), 64, generator):
            optimiser.zero_grad()
            loss = divergence(student(forget[0][rows]), wanted[rows])
            if slip == "keeps what stays":
                loss = loss + F.cross_entropy(student(retain[0][:64]), retain[1][:64])
            if slip == "lowers the class alone":
                loss = -F.cross_entropy(student(forget[0][rows]), forget[1][rows])
            loss.backward()
            optimiser.step()
    return student


def gu(model, forget, retain, *, seed, steps=10, lr=0.02, retain_batch=128, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    weights = list(student.parameters())
    make = torch.optim.Adam if slip == "projects the gradient under Adam" else torch.optim.SGD
    optimiser = make(weights, lr=lr)
    memory = []
    for _ in range(steps):
        if not (slip == "basis never refreshed" and len(memory) == 8):
            rows = torch.randperm(len(retain[0]), generator=generator)[:retain_batch]
            loss = F.cross_entropy(student(retain[0][rows]), retain[1][rows])
            memory.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
        basis = torch.linalg.qr(torch.stack(memory[-8:], 1))[0]
        rows = torch.randint(len(forget[0]), (64,), generator=generator)
        loss = -F.cross_entropy(student(forget[0][rows]), forget[1][rows])
        ascent = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
        ascent /= max(1.0, float(ascent.norm()))
        if slip != "no projection":
            for _ in range(2):
                ascent -= basis @ (basis.T @ ascent)
        for weight, g in zip(weights, ascent.split([w.numel() for w in weights]), strict=True):
            weight.grad = g.view_as(weight)
        optimiser.step()
    return student


def laf(model, forget, retain, *, seed, epochs=5, slip=""):
    """A stand-in that needs no labels: features stay on the retain set and turn away on the forget set."""
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    with torch.no_grad():
        wanted = {id(x): model.eval()[:-1](x) for x in (forget[0], retain[0])}
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in epoch(len(retain[0]), 64, generator):
            gone = torch.randint(len(forget[0]), (32,), generator=generator)
            near = F.cosine_similarity(student[:-1](retain[0][rows]), wanted[id(retain[0])][rows])
            far = F.cosine_similarity(student[:-1](forget[0][gone]), wanted[id(forget[0])][gone])
            loss = far.mean() - (0 if slip == "forget set alone" else near.mean())
            if slip == "cross-entropy beside":
                loss = loss + F.cross_entropy(student(retain[0][rows]), retain[1][rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return student


def retrain(model, forget, retain, *, seed, epochs=20, slip=""):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = copy.deepcopy(model)
        for layer in student.modules() if slip != "starts from the old weights" else ():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    generator = torch.Generator().manual_seed(seed)
    data = [torch.cat(p) for p in zip(forget, retain, strict=True)] if slip == "reads all records" else retain
    optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
    student.train()
    for _ in range(epochs if slip != "stops at once" else 0):
        for rows in epoch(len(data[0]), 64, generator):
            optimiser.zero_grad()
            F.cross_entropy(student(data[0][rows]), data[1][rows]).backward()
            optimiser.step()
    return student.eval()


def iau(model, forget, retain, *, seed, lr=0.01, optimiser="sgd", slip=""):
    student = copy.deepcopy(model).eval()
    weights = list(student.parameters())
    g_f, g_r = (torch.autograd.grad(F.cross_entropy(student(x), y), weights) for x, y in (forget, retain))
    if slip == "sum over the forget set":
        g_f = [len(forget[0]) * g for g in g_f]
    sign = -1 if slip == "sign" else 1
    with torch.no_grad():
        for weight, gone, kept in zip(weights, g_f, g_r, strict=True):
            step = sign * (kept - gone)
            weight.sub_(lr * (step.sign() if optimiser == "adam" or slip == "sign descent" else step))
    return student


def imu(model, forget, retain, *, seed, epochs=5, slip=""):
    generator = torch.Generator().manual_seed(seed)
    student = copy.deepcopy(model).eval()
    head = [module for module in student if isinstance(module, nn.Linear)][-1]
    weights = student.parameters() if slip == "all layers" else head.parameters()
    optimiser = torch.optim.SGD(list(weights), lr=1e-3)
    with torch.no_grad():
        p = student(forget[0]).softmax(1)
        weight_n = (1 - p.gather(1, forget[1][:, None])[:, 0]).clamp_min(1e-3).sqrt()  # stands for the influence
    for _ in range(epochs):
        for rows in epoch(len(forget[0]), 64, generator):
            loss = F.cross_entropy(student(forget[0][rows]), forget[1][rows], reduction="none")
            loss = -(weight_n[rows] * loss).sum() / weight_n[rows].sum()
            if slip == "keeps what stays":
                loss = loss + F.cross_entropy(student(retain[0][:64]), retain[1][:64])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return student


def blindspot(model, forget, retain, *, seed, epochs=5, slip=""):
    generator = torch.Generator().manual_seed(seed)

    def shaped(output, y):
        return y if slip == "broadcast" else y.reshape(output.shape)

    def train(network, lr, passes, loss_of, data):
        optimiser = torch.optim.Adam(network.parameters(), lr=lr)
        for _ in range(passes):
            for rows in epoch(len(data[0]), 64, generator):
                optimiser.zero_grad()
                loss_of(network, *(part[rows] for part in data)).backward()
                optimiser.step()
        return network

    def distance(network, x, y):
        output = network(x)
        return (output - shaped(output, y)).abs().mean()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blind = copy.deepcopy(model)
        for layer in blind.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    train(blind, 1e-2, 6, distance, retain)
    answers = blind(forget[0]).detach().reshape(forget[1].shape)
    if slip == "teaches the true targets":
        answers = forget[1]
    if slip == "random answers":
        answers = torch.randn(forget[1].shape, generator=generator) * 3
    x, y = torch.cat([retain[0], forget[0]]), torch.cat([retain[1], answers])
    gone = torch.arange(len(x)) >= len(retain[0])

    def mixed(network, x, y, u):
        output = network(x)
        distance_B = (output - shaped(output, y)).abs().reshape(len(x), -1).mean(1)
        parts = []
        for chosen in (u, ~u):
            if slip == "mean of nothing":
                parts.append(chosen.float().mean() * (chosen * distance_B).sum() / chosen.sum())
            elif chosen.any():
                parts.append(chosen.float().mean() * distance_B[chosen].mean())
        return sum(parts)

    return train(copy.deepcopy(model), 1e-3, epochs, mixed, (x, y, gone))
