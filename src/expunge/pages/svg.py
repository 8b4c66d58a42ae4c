"""Charts as inline SVG, drawn in pixels: pure functions from view models to markup, coloured by the style sheet.

Classes carry roles (`unlearned`, `reference`, `original`, `baseline`), never colours. Nothing of class `reference` is
drawn unless the view model has reference values. All drawings are decoration: the table beside each is what is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from expunge.pages.run_view import Interval, Plane, Point, Score, Series, VerdictSlug
from expunge.pages.words import figure

ENOUGH_SEEDS = 5
"""Fewer seeds than this make no region: ticks only."""

NEAR = 0.3
"""The inset reaches from −NEAR to NEAR on both axes."""

CHARACTER = 6.9
"""Width of a character in pixels at 13 px, rounded up for any system font."""


@dataclass(frozen=True)
class Scale:
    """A linear map from data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int) -> list[float]:
        """Return round values inside the scale, about `count` of them."""
        rough = (self.high - self.low) / max(count, 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / rough)))
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def plane(view: Plane, *, inset: bool = False) -> Markup:
    """Draw e_forget across and e_utility up; with `inset`, only the neighbourhood of retraining, enlarged."""
    width, height = 400, 350
    across, up = _plane_scales(view, inset, width, height)
    near = (across.low, across.high, up.low, up.high)
    out: list[Markup] = [_axes(across, up)]
    if not inset and is_crowded(view):
        left, top = across(-NEAR), up(NEAR)
        out.append(
            tag("rect", x=left, y=top, width=across(NEAR) - left, height=up(-NEAR) - top, class_="inset", fill="none")
        )
    if len(view.retrained) >= ENOUGH_SEEDS:
        out.append(_ellipse(view.retrained, across, up))
    hidden = not inset and is_crowded(view)
    labels = Labels(across, up)
    for role, points in _roles(view):
        for point in points:
            if not _inside(point, near):
                continue
            x, y = across(point.e_forget), up(point.e_utility)
            if role == "unlearned":
                out.append(_bars(point, across, up))
            out.append(mark(role, x, y))
            labels.reserve(x, y)
            if role == "unlearned":
                for left, top, right, bottom in _bar_boxes(point, across, up):
                    labels.reserve((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)
            if role != "reference" and not (hidden and _inside(point, (-NEAR, NEAR, -NEAR, NEAR))):
                labels.add(point.label, x, y)
    if hidden:
        labels.add("enlarged in the inset", across(NEAR), up(NEAR), quiet=True)
    return _svg(width, height, *out, *labels.draw())


def is_crowded(view: Plane) -> bool:
    """Return whether several marks crowd round zero while others lie far away."""
    points = [point for _, points in _roles(view) for point in points]
    near = [point for point in points if _inside(point, (-NEAR, NEAR, -NEAR, NEAR))]
    return len(near) >= 2 and len(near) < len(points)


def row(score: Score) -> Markup:
    """Draw a score's interval beside its reference seeds on one axis of its own; a far original lies past a break."""
    width, height, middle = 320, 52, 17
    scale = _row_scale(score, width)
    if scale is None:
        return Markup("")
    quiet = score.state == "not-informative" or score.informative is False
    out: list[Markup] = [_rule(scale.start, middle + 14, scale.end, middle + 14, "axis")]
    for value in scale.ticks(4):
        out.append(_rule(scale(value), middle + 14, scale(value), middle + 18, "axis"))
        out.append(_text(round(value, 10), scale(value), height - 3, edge=(8, scale.end)))
    if len(score.retrained) >= ENOUGH_SEEDS:
        out += _bands(score.retrained, scale, middle)
    for end in (score.margin.low, score.margin.high) if score.margin else ():
        out.append(_rule(scale(end), 1, scale(end), middle + 14, "margin"))
    out += [_rule(scale(v), middle - 8, scale(v), middle + 8, "reference") for v in score.retrained]
    if score.original is not None:
        if is_broken(score):
            out += _broken(score.original, scale, width, middle)
        else:
            if score.original_interval:
                out.append(_bar(score.original_interval, scale, middle, "original"))
            out.append(mark("original", scale(score.original), middle))
    if score.unlearned is not None:
        role = "unlearned quiet" if quiet else "unlearned"
        if score.interval:
            out.append(_bar(score.interval, scale, middle, role))
        out.append(mark(role, scale(score.unlearned), middle))
    return _svg(width, height, *out)


def is_broken(score: Score) -> bool:
    """Return whether the original lies so far out that the axis is broken before it."""
    near = _near(score)
    if score.original is None or not score.retrained or not near:
        return False
    low, high = min(near), max(near)
    return max(low - score.original, score.original - high) > 2 * (high - low) > 0


def curve(series: Series, stop: int | None) -> Markup:
    """Draw one series over the steps, with a rule at the step at which the model was taken."""
    width, height = 400, 200
    points = [(step, value) for step, value in zip(series.steps, series.values, strict=True) if value is not None]
    if not points:
        return Markup("")
    steps, values = [step for step, _ in points], [value for _, value in points]
    ends = [*steps, *([stop] if stop is not None else [])]
    pad = (max(values) - min(values)) * 0.06 or abs(max(values)) * 0.05 or 0.05
    across = Scale(min(ends), max(max(ends), min(ends) + 1), 60, width - 12)
    up = Scale(min(values) - pad, max(values) + pad, height - 28, 12)
    out = [_grid(across, up, whole=True)]
    out += [tag("path", d=path, class_="line unlearned", fill="none") for path in _paths(series, across, up)]
    if len(points) == 1:
        out.append(mark("unlearned", across(steps[0]), up(values[0])))
    if stop is not None:
        x = across(stop)
        out.append(_rule(x, 6, x, height - 28, "stop"))
        out.append(tag("path", d=f"M{_px(x - 5)} 5h10l-5 8z", class_="stop-mark"))
        out.append(_text(f"step {stop:,}", x, 24, edge=(60, width - 12), beside=9))
    return _svg(width, height, *out)


def mark(role: str, x: float, y: float) -> Markup:
    """Draw the one mark of a role."""
    kind = role.split()[0]
    if kind == "reference":
        return tag("path", d=f"M{_px(x - 4.5)} {_px(y - 4.5)}l9 9m-9 0l9 -9", class_=role, fill="none")
    if kind == "original":
        return tag("path", d=f"M{_px(x)} {_px(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5 -6.5z", class_=role, fill="none")
    if kind == "baseline":
        return tag("rect", x=x - 4, y=y - 4, width=8, height=8, class_=role, fill="none")
    return tag("circle", cx=x, cy=y, r=5.5, class_=role)


def key(role: str) -> Markup:
    """Draw a role's mark alone, for the legend."""
    if role == "seed":
        return _svg(18, 18, _rule(9, 1, 9, 17, "reference"))
    if role == "bar":
        return _svg(28, 18, _rule(2, 9, 26, 9, "unlearned bar"), mark("unlearned", 14, 9))
    if role == "break":
        return _svg(18, 18, *[_rule(x, 14, x + 6, 4, "axis") for x in (3, 9)])
    if role == "margin":
        return _svg(18, 18, _rule(4, 1, 4, 17, "margin"), _rule(14, 1, 14, 17, "margin"))
    return _svg(18, 18, mark(role, 9, 9))


def verdict(slug: VerdictSlug) -> Markup:
    """Draw a verdict's mark: a disc is what is still there, a ring what is gone. Position says severity, not colour."""
    ring = tag("circle", cx=28, cy=28, r=22, class_="ring", fill="none")
    inner = {
        "not-forgotten": [ring, tag("circle", cx=28, cy=28, r=15, class_="ink")],
        "destroyed": [ring, tag("path", d="M18 18L38 38M38 18L18 38", class_="stroke", fill="none")],
        "surface": [ring, tag("path", d="M13 28A15 15 0 0 0 43 28Z", class_="ink"), _rule(6, 28, 50, 28, "stroke")],
        "latent": [ring, tag("circle", cx=28, cy=28, r=6, class_="ink")],
        "inconclusive": [
            tag("circle", cx=28, cy=28, r=22, class_="ring", fill="none", stroke_dasharray="8.5 5.3"),
            _rule(19, 28, 37, 28, "stroke"),
        ],
        "removal": [ring],
    }
    return _svg(56, 56, *inner[slug])


def tag(name: str, *children: Markup | str, **attributes: float | str) -> Markup:
    """Return an element; attribute values and text are escaped, numbers are rounded to a tenth of a pixel."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_px(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
    )
    inner = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>" if children else f"<{name}{written}/>")


class Labels:
    """Names beside marks, each put where it covers no mark and no other name; far ones get a leader line."""

    def __init__(self, across: Scale, up: Scale) -> None:
        self._frame = (across.start, up.end, across.end, up.start)
        self._taken: list[tuple[float, float, float, float]] = []
        self._wanted: list[tuple[str, float, float, bool]] = []

    def reserve(self, x: float, y: float, half_width: float = 7.0, half_height: float = 7.0) -> None:
        """Keep a mark's place free of names."""
        self._taken.append((x - half_width, y - half_height, x + half_width, y + half_height))

    def add(self, text: str, x: float, y: float, *, quiet: bool = False) -> None:
        """Ask for a name beside a mark."""
        short = text if len(text) <= 24 else f"{text[:23]}…"
        self._wanted.append((short, x, y, quiet))

    def draw(self) -> list[Markup]:
        """Place the names in the order in which they were asked for."""
        out: list[Markup] = []
        for text, x, y, quiet in self._wanted:
            box, anchor, far = self._place(len(text) * CHARACTER, x, y)
            self._taken.append(box)
            near = {"start": box[0], "end": box[2], "middle": (box[0] + box[2]) / 2}[anchor]
            if far:
                out.append(_rule(x, y, near, (box[1] + box[3]) / 2, "leader"))
            role = "quiet" if quiet else "name"
            out.append(tag("text", text, x=near, y=box[3] - 4, class_=role, text_anchor=anchor))
        return out

    def _place(self, width: float, x: float, y: float) -> tuple[tuple[float, float, float, float], str, bool]:
        """Return the first free box round a mark, how the name is anchored in it, and whether it needs a leader."""
        anchors = {1: "start", -1: "end", 0: "middle"}
        for distance in (10, 24, 40, 60, 84, 110):
            for right, down in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
                left = x + distance if right > 0 else x - distance - width if right < 0 else x - width / 2
                middle = y + down * (distance + 4)
                box = (left, middle - 8, left + width, middle + 9)
                if self._is_free(box):
                    return box, anchors[right], distance > 10
        left = min(max(x + 10, self._frame[0]), self._frame[2] - width)
        return (left, y - 8, left + width, y + 9), "start", False

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = self._frame
        if box[0] < left or box[1] < top or box[2] > right or box[3] > bottom:
            return False
        return not any(box[0] < b[2] and box[2] > b[0] and box[1] < b[3] and box[3] > b[1] for b in self._taken)


def _svg(width: int, height: int, *children: Markup) -> Markup:
    return tag(
        "svg", *children, width=width, height=height, viewBox=f"0 0 {width} {height}", aria_hidden="true",
        focusable="false",
    )  # fmt: skip


def _px(value: float) -> str:
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _rule(x1: float, y1: float, x2: float, y2: float, role: str) -> Markup:
    return tag("path", d=f"M{_px(x1)} {_px(y1)}L{_px(x2)} {_px(y2)}", class_=role)


def _bar(interval: Interval, scale: Scale, middle: float, role: str) -> Markup:
    return _rule(scale(interval.low), middle, scale(interval.high), middle, f"{role} bar")


def _text(value: float | str, x: float, y: float, *, edge: tuple[float, float], beside: float = 0) -> Markup:
    """Write a label centred on x, or beside it, and inside the two edges."""
    text = value if isinstance(value, str) else _tick(value)
    half = len(text) * CHARACTER / 2
    centre = x if not beside else x + beside + half if x + beside + 2 * half <= edge[1] else x - beside - half
    return tag("text", text, x=min(max(centre, edge[0] + half), edge[1] - half), y=y, text_anchor="middle")


def _tick(value: float) -> str:
    far = value != 0 and not 0.0005 <= abs(value) < 1e7
    return (f"{value:.4g}" if far else f"{value:,.10g}").replace("e+0", "e").replace("-", "−")


def _near(score: Score) -> list[float]:
    """Return the values of a score without the original's."""
    ends = [end for interval in (score.interval, score.margin) if interval for end in (interval.low, interval.high)]
    return [*score.retrained, *ends, *([] if score.unlearned is None else [score.unlearned])]


def _row_scale(score: Score, width: int) -> Scale | None:
    known, start, end = _near(score), 8.0, width - 8.0
    if score.original is not None:
        if is_broken(score):
            start, end = (8.0, width - 52.0) if score.original > max(known) else (52.0, width - 8.0)
        else:
            interval = score.original_interval
            known += [score.original, *([interval.low, interval.high] if interval else [])]
    if not known:
        return None
    low, high = min(known), max(known)
    pad = (high - low) * 0.06 or abs(high) * 0.05 or 0.05
    return Scale(low - pad, high + pad, start, end)


def _broken(original: float, scale: Scale, width: int, middle: float) -> list[Markup]:
    right = original > scale.high
    edge, x = (scale.end, width - 22.0) if right else (scale.start, 22.0)
    gaps = (2, 7) if right else (-2, -7)
    slash = [_rule(edge + gap - 3, middle + 19, edge + gap + 3, middle + 9, "axis") for gap in gaps]
    return [*slash, mark("original", x, middle), _text(figure(original), x, middle + 32, edge=(0, width))]


def _roles(view: Plane) -> list[tuple[str, Sequence[Point]]]:
    original = [view.original] if view.original else []
    return [
        ("reference", view.retrained),
        ("original", original),
        ("baseline", view.baselines),
        ("unlearned", view.unlearned),
    ]


def _inside(point: Point, box: tuple[float, float, float, float]) -> bool:
    return box[0] <= point.e_forget <= box[1] and box[2] <= point.e_utility <= box[3]


def _plane_scales(view: Plane, inset: bool, width: int, height: int) -> tuple[Scale, Scale]:
    start, end, bottom, top = 52, width - 14, height - 34, 10
    if inset:
        return Scale(-NEAR, NEAR, start, end), Scale(-NEAR, NEAR, bottom, top)
    points = [point for _, points in _roles(view) for point in points]
    forget = [0.0, *(value for p in points for value in _reach(p.e_forget, p.e_forget_interval))]
    utility = [0.0, *(value for p in points for value in _reach(p.e_utility, p.e_utility_interval))]
    return _padded(forget, start, end), _padded(utility, bottom, top)


def _reach(value: float, interval: Interval | None) -> list[float]:
    return [value, interval.low, interval.high] if interval else [value]


def _padded(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min([*values, -NEAR]), max([*values, NEAR])
    pad = (high - low) * 0.06
    return Scale(low - pad, high + pad, start, end)


def _axes(across: Scale, up: Scale) -> Markup:
    lines = [_grid(across, up)]
    if across.low < 0 < across.high:
        lines.append(_rule(across(0), up.start, across(0), up.end, "zero"))
    if up.low < 0 < up.high:
        lines.append(_rule(across.start, up(0), across.end, up(0), "zero"))
    return Markup("").join(lines)


def _grid(across: Scale, up: Scale, *, whole: bool = False) -> Markup:
    out = [_rule(across.start, up.start, across.end, up.start, "axis")]
    for value in across.ticks(5):
        if whole and value != int(value):
            continue
        out.append(_rule(across(value), up.start, across(value), up.start + 4, "axis"))
        out.append(_text(round(value, 10), across(value), up.start + 19, edge=(0, across.end + 12)))
    for value in up.ticks(4):
        out.append(_rule(across.start, up(value), across.end, up(value), "grid"))
        out.append(tag("text", _tick(round(value, 10)), x=across.start - 8, y=up(value) + 4.5, text_anchor="end"))
    return Markup("").join(out)


def _bars(point: Point, across: Scale, up: Scale) -> Markup:
    boxes = _bar_boxes(point, across, up)
    return Markup("").join(_rule(left, bottom, right, top, "unlearned bar") for left, top, right, bottom in boxes)


def _bar_boxes(point: Point, across: Scale, up: Scale) -> list[tuple[float, float, float, float]]:
    """Return left, top, right, bottom of a point's interval bars, without their thickness."""
    x, y = across(point.e_forget), up(point.e_utility)
    out = []
    if point.e_forget_interval:
        low, high = _clip(point.e_forget_interval, across)
        out.append((low, y, high, y))
    if point.e_utility_interval:
        low, high = _clip(point.e_utility_interval, up)
        out.append((x, high, x, low))
    return out


def _clip(interval: Interval, scale: Scale) -> tuple[float, float]:
    return scale(max(interval.low, scale.low)), scale(min(interval.high, scale.high))


def _ellipse(points: Sequence[Point], across: Scale, up: Scale) -> Markup:
    """Draw the two-standard-deviation ellipse of the points' covariance, in pixels."""
    x, y = [across(p.e_forget) for p in points], [up(p.e_utility) for p in points]
    n = len(points)
    centre_x, centre_y = sum(x) / n, sum(y) / n
    xx = sum((a - centre_x) ** 2 for a in x) / (n - 1)
    yy = sum((b - centre_y) ** 2 for b in y) / (n - 1)
    xy = sum((a - centre_x) * (b - centre_y) for a, b in zip(x, y, strict=True)) / (n - 1)
    half, root = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    turn = math.degrees(0.5 * math.atan2(2 * xy, xx - yy))
    return tag(
        "ellipse", cx=centre_x, cy=centre_y, rx=2 * math.sqrt(half + root), ry=2 * math.sqrt(max(half - root, 0.0)),
        transform=f"rotate({_px(turn)} {_px(centre_x)} {_px(centre_y)})", class_="reference region",
    )  # fmt: skip


def _bands(values: Sequence[float], scale: Scale, middle: float) -> Iterable[Markup]:
    """Draw one, two and three standard deviations round the mean, one over the other."""
    centre = sum(values) / len(values)
    deviation = math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))
    for times in (3, 2, 1):
        left = max(scale(centre - times * deviation), scale.start)
        right = min(scale(centre + times * deviation), scale.end)
        yield tag("rect", x=left, y=middle - 10, width=right - left, height=20, class_="reference region")


def _paths(series: Series, across: Scale, up: Scale) -> list[str]:
    """Return one path a stretch without gaps; where steps are denser than pixels, each pixel's extremes are kept."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(series.steps, series.values, strict=True):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((across(step), up(value)))
    return ["M" + "L".join(f"{_px(x)} {_px(y)}" for x, y in _thin(points)) for points in stretches if len(points) > 1]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        columns.setdefault(int(point[0]), []).append(point)
    out: list[tuple[float, float]] = []
    for column in columns.values():
        heights = [y for _, y in column]
        kept = {0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1}
        out += [column[i] for i in sorted(kept)]
    return out
