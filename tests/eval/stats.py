"""The arithmetic of the comparison: spreads, the paired t-test, values read off a line."""
import math


def mean(values):
    return math.fsum(values) / len(values) if values else float("nan")


def spread(values):
    """Sample standard deviation; NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan")
    m = mean(values)
    return math.sqrt(math.fsum((v - m) ** 2 for v in values) / (len(values) - 1))


def incomplete_beta(a, b, x):
    """Regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # converges fast on the other side only
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    tiny = 1e-300
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
                     + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 500):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                     -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * fraction


def t_two_sided(t, degrees):
    """P(|T| >= |t|) of Student's t."""
    return incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))


def paired(ours, theirs):
    """Paired t-test of ours - theirs: {n, mean, sd, t, p}; p is None below two pairs."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    n, m, sd = len(differences), mean(differences), spread(differences)
    out = {"n": n, "mean": m, "sd": sd, "t": None, "p": None}
    if n >= 2 and sd > 0.0:
        out["t"] = m / (sd / math.sqrt(n))
        out["p"] = t_two_sided(out["t"], n - 1)
    elif n >= 2:  # the same difference every time
        out["p"] = 1.0 if m == 0.0 else 0.0
    return out


def on_line(x, x0, y0, x1, y1):
    """y at x on the line through two points; outside of them, the nearer point's y."""
    if x0 == x1:
        return y0
    share = min(max((x - x0) / (x1 - x0), 0.0), 1.0)
    return y0 + share * (y1 - y0)


def bracket(points, x):
    """Of points {key: x position}, the keys of the two on either side of x, nearest first below;
    both the same when x is outside of them."""
    below = [k for k in points if points[k] <= x]
    above = [k for k in points if points[k] >= x]
    low = max(below, key=lambda k: points[k]) if below else min(points, key=lambda k: points[k])
    high = min(above, key=lambda k: points[k]) if above else max(points, key=lambda k: points[k])
    return low, high


def calibration_error(events, prediction, label):
    """Expected calibration error: mean over events of |mean prediction - mean label| of their bin."""
    total = math.fsum(events)
    return math.fsum(n * abs(p - y) for n, p, y in zip(events, prediction, label) if n) / total
