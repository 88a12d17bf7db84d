// Small charts in SVG: scales, axes, step lines with bands, points. No library, no state but what is passed in.
"use strict";
const NS = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 3", "2 2.5", "7 3 2 3"]; // repeat the difference of colours for grey print, as the paper figures do
const color = (i) => `var(--c${i % 7})`;

function draw(tag, attributes, parent, text) {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
}

function plain(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(digits))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(digits))}k`;
  if (size < 1e-3) return value.toExponential(0);
  return String(Number(value.toPrecision(digits)));
}

// A scale maps data to [0, 1] and knows its ticks.
function linearScale(low, high, count = 5) {
  if (low === high) { low -= 0.5; high += 0.5; }
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(Number((k * step).toPrecision(10)));
  return { to: (v) => (v - low) / (high - low), ticks, low, high };
}

function logTicks(low, high, count) {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1)
    for (const m of [1, 2, 5]) found.push(Number((m * 10 ** e).toPrecision(3)));
  const inside = found.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  if (inside.length <= count) return inside;
  const decades = inside.filter((v) => Number.isInteger(Math.round(Math.log10(v) * 1e6) / 1e6));
  return decades.length >= 2 ? decades : inside.filter((_, k) => k % Math.ceil(inside.length / count) === 0);
}

function logScale(low, high, count = 6) {
  if (low === high) { low /= 1.5; high *= 1.5; }
  const a = Math.log10(low), b = Math.log10(high);
  return { to: (v) => (Math.log10(v) - a) / (b - a), ticks: logTicks(low, high, count), low, high };
}

// Logarithmic above `threshold`, linear below it, so that a regret of exactly 0 has a place.
function symlogScale(threshold, high, count = 5) {
  const place = (v) => (v <= threshold ? (0.35 * v) / threshold : 0.35 + Math.log10(v / threshold));
  const top = place(high) || 1, bottom = -0.04 * top;
  return { to: (v) => (place(v) - bottom) / (top - bottom), ticks: [0, ...logTicks(threshold, high, count)], low: 0, high };
}

function regretScale(values) {
  const positive = values.filter((v) => v > 1e-12);
  const high = positive.length ? Math.max(...positive) : 1;
  const low = positive.length ? Math.max(Math.min(...positive), high * 1e-3) : 0.1;
  if (values.some((v) => v <= low * 0.999)) return symlogScale(low, high * 1.1);
  return high / low > 4 ? logScale(low / 1.15, high * 1.1) : linearScale(low - 0.08 * (high - low), high + 0.08 * (high - low));
}

function frame(host, options) {
  const width = Math.max(host.clientWidth, 240), height = options.height || Math.round(Math.min(330, Math.max(230, width * 0.62)));
  const margin = { left: 52, right: 12, top: 10, bottom: 44, ...(options.margin || {}) };
  host.querySelector(":scope > svg")?.remove();
  const root = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": options.label });
  host.prepend(root);
  const inner = { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
  const x = (v) => inner.left + options.x.to(v) * (inner.right - inner.left);
  const y = options.flip ? (v) => inner.top + options.y.to(v) * (inner.bottom - inner.top) : (v) => inner.bottom - options.y.to(v) * (inner.bottom - inner.top);
  const write = options.write || plain;
  for (const tick of options.y.ticks) {
    draw("line", { class: "gridline", x1: inner.left, x2: inner.right, y1: y(tick), y2: y(tick) }, root);
    draw("text", { x: inner.left - 7, y: y(tick) + 4, "text-anchor": "end" }, root, (options.writeY || write)(tick));
  }
  let free = -Infinity;
  for (const tick of options.x.ticks) {
    draw("line", { class: "gridline", x1: x(tick), x2: x(tick), y1: inner.top, y2: inner.bottom }, root);
    const text = (options.writeX || write)(tick), half = 3.6 * text.length + 3;
    if (x(tick) - half < free) continue;
    free = x(tick) + half;
    draw("text", { x: x(tick), y: inner.bottom + 17, "text-anchor": "middle" }, root, text);
  }
  draw("line", { class: "axis", x1: inner.left, x2: inner.right, y1: inner.bottom, y2: inner.bottom }, root);
  draw("text", { x: (inner.left + inner.right) / 2, y: height - 6, "text-anchor": "middle" }, root, options.xLabel);
  draw("text", { transform: `translate(12 ${(inner.top + inner.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, root, options.yLabel);
  const clip = `clip-${(frame.count = (frame.count || 0) + 1)}`;
  const box = { x: inner.left, y: inner.top - 3, width: inner.right - inner.left, height: inner.bottom - inner.top + 6 };
  draw("rect", box, draw("clipPath", { id: clip }, draw("defs", {}, root)));
  return { root, x, y, inner, width, height, body: draw("g", { "clip-path": `url(#${clip})` }, root) };
}

function stepPath(xs, ys, x, y, step) {
  let path = "";
  xs.forEach((value, k) => {
    if (k && step) path += `H${x(value).toFixed(1)}`;
    path += `${k ? "L" : "M"}${x(value).toFixed(1)} ${y(ys[k]).toFixed(1)}`;
  });
  return path;
}

function bandPath(xs, lower, upper, x, y, step) {
  const back = [];
  for (let k = xs.length - 1; k >= 0; k -= 1) {
    back.push(`L${x(xs[k]).toFixed(1)} ${y(lower[k]).toFixed(1)}`);
    if (k && step) back.push(`L${x(xs[k]).toFixed(1)} ${y(lower[k - 1]).toFixed(1)}`);
  }
  return `${stepPath(xs, upper, x, y, step)}${back.join("")}Z`;
}

function valueAt(xs, ys, at, step) {
  let k = -1;
  while (k + 1 < xs.length && xs[k + 1] <= at * (1 + 1e-9)) k += 1;
  return k < 0 || (k === xs.length - 1 && at > xs[k] * 1.0001 && !step) ? null : ys[k];
}

// series: {index, name, x, median, lower?, upper?}
function lineChart(host, series, options) {
  const all = series.flatMap((s) => s.x);
  if (!all.length) { host.querySelector(":scope > svg")?.remove(); return; }
  const chart = frame(host, options), step = options.step !== false;
  for (const s of series) {
    const group = draw("g", { "data-searcher": s.name }, chart.body);
    if (s.lower && options.bands !== false)
      draw("path", { d: bandPath(s.x, s.lower, s.upper, chart.x, chart.y, step), fill: color(s.index), "fill-opacity": 0.13 }, group);
    draw("path", {
      d: stepPath(s.x, s.median, chart.x, chart.y, step), fill: "none", stroke: color(s.index), "stroke-width": 2,
      "stroke-dasharray": DASHES[s.index % 4], "stroke-linejoin": "round", class: "curve",
    }, group);
    if (s.x.length === 1) draw("circle", { cx: chart.x(s.x[0]), cy: chart.y(s.median[0]), r: 3.5, fill: color(s.index) }, group);
  }
  follow(host, chart, series, options, step);
}

function keyMark(index, shape = false) {
  const mark = draw("svg", { width: 22, height: 10, "aria-hidden": "true", class: "key" });
  draw("line", { x1: 0, x2: 22, y1: 5, y2: 5, stroke: color(index), "stroke-width": 3, "stroke-dasharray": DASHES[index % 4] }, mark);
  if (shape) draw("path", { d: SHAPES[index % 4](4.2), transform: "translate(11 5)", fill: color(index), stroke: "var(--card)" }, mark);
  return mark;
}

function tipOf(host) {
  let tip = host.querySelector(".tip");
  if (!tip) {
    tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("aria-hidden", "true"); // the table behind the figure says the same to a screen reader
    host.appendChild(tip);
  }
  return tip;
}

function placeTip(tip, host, left, top) {
  tip.style.display = "block";
  const room = host.clientWidth - tip.offsetWidth - 4;
  tip.style.left = `${Math.max(0, Math.min(left + 14 > room ? left - tip.offsetWidth - 14 : left + 14, room))}px`;
  tip.style.top = `${Math.max(0, top)}px`;
}

function follow(host, chart, series, options, step) {
  const tip = tipOf(host), cross = draw("line", { class: "cross", y1: chart.inner.top, y2: chart.inner.bottom, visibility: "hidden" }, chart.root);
  const hide = () => { tip.style.display = "none"; cross.setAttribute("visibility", "hidden"); };
  hide();
  const grid = [...new Set(series.flatMap((s) => s.x))].sort((a, b) => a - b);
  chart.root.addEventListener("pointermove", (event) => {
    const box = chart.root.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * chart.width;
    if (at < chart.inner.left - 4 || at > chart.inner.right + 4) return hide();
    const near = grid.reduce((best, v) => (Math.abs(chart.x(v) - at) < Math.abs(chart.x(best) - at) ? v : best), grid[0]);
    cross.setAttribute("x1", chart.x(near)); cross.setAttribute("x2", chart.x(near)); cross.setAttribute("visibility", "visible");
    const rows = series.map((s) => [valueAt(s.x, s.median, near, step), s]).filter(([v]) => v !== null).sort((a, b) => (options.higher ? b[0] - a[0] : a[0] - b[0]));
    tip.replaceChildren();
    const head = document.createElement("b");
    head.textContent = options.tipHead(near);
    tip.append(head);
    for (const [value, s] of rows) {
      const row = document.createElement("div");
      row.append(keyMark(s.index), `${s.name}  ${(options.writeTip || plain)(value)}`);
      tip.append(row);
    }
    placeTip(tip, host, chart.x(near), chart.inner.top);
  });
  chart.root.addEventListener("pointerleave", hide);
}

const SHAPES = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (r) => `M${-r * 0.88} ${-r * 0.88}h${r * 1.76}v${r * 1.76}h${-r * 1.76}Z`,
  (r) => `M0 ${-r * 1.15}L${r * 1.1} ${r * 0.85}H${-r * 1.1}Z`,
  (r) => `M0 ${-r * 1.25}L${r * 1.25} 0L0 ${r * 1.25}L${-r * 1.25} 0Z`,
];

function frontChart(host, panel, series, options) {
  const chart = frame(host, options), tip = tipOf(host), inside = (p) => p.score >= options.y.low;
  tip.style.display = "none";
  const below = panel.cloud.filter((p) => p[1] < options.y.low).length;
  if (below) draw("text", { x: chart.inner.right - 4, y: chart.inner.bottom - 6, "text-anchor": "end" }, chart.root, `${below} lower`);
  for (const [cost, value] of panel.cloud)
    draw("circle", { cx: chart.x(cost).toFixed(1), cy: chart.y(value).toFixed(1), r: 2, fill: "var(--cloud)", "fill-opacity": 0.5 }, chart.body);
  const xs = [...panel.front.map((p) => p.cost), panel.reference.cost], last = panel.front[panel.front.length - 1];
  draw("path", {
    d: stepPath(xs, [...panel.front.map((p) => p.score), last.score], chart.x, chart.y, true), fill: "none", stroke: "var(--ink)", "stroke-width": 1.6,
  }, chart.body);
  const point = (p, parent, attributes, path, text) => {
    const mark = draw("path", { d: path, transform: `translate(${chart.x(p.cost).toFixed(1)} ${chart.y(p.score).toFixed(1)})`, ...attributes }, parent);
    mark.addEventListener("pointerenter", () => { tip.textContent = text; placeTip(tip, host, chart.x(p.cost), chart.y(p.score) - 40); });
    mark.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  };
  for (const p of panel.front.filter(inside))
    point(p, chart.root, { fill: "var(--ink)" }, SHAPES[0](3.2), `${p.name}: ${options.writeTip(p.score)} at ${plain(p.cost)} (on the front)`);
  for (const s of series) {
    const group = draw("g", { "data-searcher": s.name }, chart.root);
    for (const p of s.points.filter(inside))
      point(p, group, { fill: color(s.index), "fill-opacity": 0.85, stroke: "var(--card)" }, SHAPES[s.index % 4](4 + Math.min(4, Math.sqrt(p.runs) - 1)),
        `${s.name}: ${p.name}, ${options.writeTip(p.score)} at ${plain(p.cost)}; ${p.runs} run${p.runs > 1 ? "s" : ""} ended here`);
  }
}
