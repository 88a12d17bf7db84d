// The page: one state (hidden searchers, axis, split, bands), and every figure drawn from it again when it changes.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
// Bands of many searchers only hide each other: they begin switched off there.
const state = { hidden: new Set(), axis: "evaluations", split: "test", bands: data.searchers.length <= 5, rankAxis: "evaluations" };
const shown = () => data.searchers.map((name, index) => ({ name, index })).filter((s) => !state.hidden.has(s.name));
const percent = (v) => plain(100 * v);
const points = (v) => `${plain(100 * v)}`;
const hosts = (kind) => [...document.querySelectorAll(`[data-chart="${kind}"]`)];

function drawAnytime() {
  for (const host of hosts("anytime")) {
    const task = data.anytime[Number(host.dataset.task)], curves = task.curves[state.axis]?.[state.split] || {};
    const series = shown().filter((s) => curves[s.name]).map((s) => ({ ...s, ...curves[s.name] }));
    const xs = series.flatMap((s) => s.x), ys = series.flatMap((s) => (state.bands ? [...s.lower, ...s.upper] : s.median));
    host.toggleAttribute("data-empty", !xs.length);
    if (!xs.length) { host.querySelector(":scope > svg")?.remove(); continue; }
    const time = state.axis === "seconds", unit = time ? "seconds on the simulated clock" : "evaluations";
    lineChart(host, series, {
      x: logScale(Math.min(...xs), Math.max(...xs)), y: regretScale(ys), writeY: points, writeTip: (v) => `${points(v)}`, bands: state.bands,
      xLabel: time ? data.clock.replace("Sim", "sim") : "evaluations (full trainings)",
      yLabel: `${state.split === "test" ? "test" : "validation"} ${task.measure} (points)`,
      tipHead: (v) => `${plain(v)} ${time ? "simulated seconds" : "evaluations"}`,
      label: `${task.measure} of the incumbent on ${task.task} against ${unit}, one line a searcher; the numbers are in the table below`,
    });
  }
}

function rankScale(count) {
  const ticks = Array.from({ length: count }, (_, k) => k + 1).filter((rank) => count < 8 || rank % 2 === 1);
  return { to: (v) => (v - 1) / Math.max(1, count - 1), ticks, low: 1, high: count };
}

function drawRanks() {
  for (const host of hosts("ranks")) {
    const over = (state.rankAxis === "time" && data.ranking.over_time) || data.ranking.over_evaluations;
    const time = over === data.ranking.over_time;
    const series = shown().map((s) => ({ ...s, x: over.x, median: over.mean_ranks[s.index] }));
    lineChart(host, series, {
      x: logScale(over.x[0], over.x[over.x.length - 1]), y: rankScale(data.searchers.length), flip: true,
      writeX: time ? (v) => `${percent(v)} %` : plain, xLabel: time ? "simulated time (share of a run's)" : "evaluations (full trainings)",
      yLabel: "mean rank (1 is best)", tipHead: (v) => (time ? `${percent(v)} % of the time` : `${plain(v)} evaluations`),
      label: "Mean rank of each searcher over the search; the numbers are in the table below",
    });
  }
}

// Critical-difference diagram: elbows where there is room, else one row a searcher with the bars beside it.
function drawCritical() {
  for (const host of hosts("critical")) {
    const { mean_ranks: ranks, cliques } = data.ranking, count = ranks.length, width = Math.max(host.clientWidth, 240);
    const order = ranks.map((rank, index) => ({ rank, index, name: data.searchers[index] })).sort((a, b) => a.rank - b.rank);
    host.querySelector(":scope > svg")?.remove();
    const longest = 7.2 * Math.max(...data.searchers.map((name) => name.length)) + 46;
    const label = `Critical-difference diagram. Mean ranks: ${order.map((s) => `${s.name} ${s.rank.toFixed(2)}`).join(", ")}`;
    (width > 2 * longest + 220 ? elbows : rows)(host, order, cliques || [], { width, count, longest, label });
  }
}

function rankAxis(root, from, to, y, count) {
  const x = (rank) => from + ((rank - 1) / Math.max(1, count - 1)) * (to - from);
  draw("line", { class: "axis", x1: from, x2: to, y1: y, y2: y }, root);
  for (let rank = 1; rank <= count; rank += 1) {
    draw("line", { class: "axis", x1: x(rank), x2: x(rank), y1: y - 5, y2: y }, root);
    if (rank % 2 === 1 || (to - from) / count > 24) draw("text", { x: x(rank), y: y - 10, "text-anchor": "middle" }, root, rank);
  }
  return x;
}

function elbows(host, order, cliques, { width, count, longest, label }) {
  const half = Math.ceil(count / 2), top = 34, bars = top + 14, below = bars + 11 * cliques.length + 8, height = below + 24 * half;
  const root = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  host.prepend(root);
  const x = rankAxis(root, longest, width - longest, top, count);
  order.forEach((s, place) => {
    const left = place < half, y = below + 24 * (left ? place : count - 1 - place) + 8, end = left ? longest - 12 : width - longest + 12;
    draw("path", { d: `M${x(s.rank)} ${top}V${y}H${end}`, fill: "none", stroke: color(s.index), "stroke-width": 1.8 }, root);
    draw("circle", { cx: x(s.rank), cy: top, r: 3.5, fill: color(s.index) }, root);
    draw("text", { class: "name", x: end + (left ? -6 : 6), y: y + 4, "text-anchor": left ? "end" : "start" }, root, `${s.name}  ${s.rank.toFixed(2)}`);
  });
  cliques.forEach((bar, level) => {
    const found = bar.map((index) => order.find((s) => s.index === index).rank);
    draw("line", { x1: x(Math.min(...found)) - 5, x2: x(Math.max(...found)) + 5, y1: bars + 11 * level, y2: bars + 11 * level, stroke: "var(--ink)", "stroke-width": 5, "stroke-linecap": "round" }, root);
  });
}

function rows(host, order, cliques, { width, count, longest, label }) {
  // On a phone a name stands above its line, so that the axis keeps the width.
  const above = width < 480, row = above ? 38 : 26, left = above ? 8 : longest, gutter = 12 * cliques.length + 10, height = (above ? 52 : 44) + row * count;
  const root = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  host.prepend(root);
  const y = (place) => (above ? 62 : 50) + row * place, x = rankAxis(root, left, width - gutter - 8, 26, count);
  order.forEach((s, place) => {
    draw("line", { class: "gridline", x1: left, x2: width - gutter - 8, y1: y(place), y2: y(place) }, root);
    draw("circle", { cx: x(s.rank), cy: y(place), r: 5, fill: color(s.index) }, root);
    const text = `${s.name}  ${s.rank.toFixed(2)}`;
    if (above) draw("text", { class: "name", x: 2, y: y(place) - 9 }, root, text);
    else draw("text", { class: "name", x: longest - 12, y: y(place) + 4, "text-anchor": "end" }, root, text);
  });
  cliques.forEach((bar, level) => {
    const places = bar.map((index) => order.findIndex((s) => s.index === index)), at = width - gutter + 12 * level + 8;
    draw("line", { x1: at, x2: at, y1: y(Math.min(...places)) - 4, y2: y(Math.max(...places)) + 4, stroke: "var(--ink)", "stroke-width": 5, "stroke-linecap": "round" }, root);
  });
}

function drawMeans() {
  for (const host of hosts("means")) {
    const found = shown().map((s) => ({ ...s, ...data.summary.interquartile_means[s.index] })).filter((s) => s.value !== null);
    host.querySelector(":scope > svg")?.remove();
    if (!found.length) continue;
    found.sort((a, b) => a.value - b.value);
    const width = Math.max(host.clientWidth, 240), longest = 7.2 * Math.max(...found.map((s) => s.name.length)) + 10, height = 30 + 26 * found.length + 22;
    const root = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Interquartile mean and its interval for each searcher; the numbers are in the table below" });
    host.prepend(root);
    const ends = found.flatMap((s) => [s.value, s.lower ?? s.value, s.upper ?? s.value]);
    const scale = linearScale(0, Math.max(...ends) * 1.04 || 1, 4), x = (v) => longest + scale.to(v) * (width - 14 - longest), bottom = 14 + 26 * found.length;
    for (const tick of scale.ticks) {
      draw("line", { class: "gridline", x1: x(tick), x2: x(tick), y1: 4, y2: bottom }, root);
      draw("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, root, data.summary.scaled ? plain(tick) : percent(tick));
    }
    draw("text", { x: (longest + width) / 2, y: bottom + 34, "text-anchor": "middle" }, root, unitOfMeans());
    found.forEach((s, place) => {
      const y = 18 + 26 * place;
      draw("text", { class: "name", x: longest - 10, y: y + 4, "text-anchor": "end" }, root, s.name);
      if (s.lower !== null) draw("line", { x1: x(s.lower), x2: x(s.upper), y1: y, y2: y, stroke: color(s.index), "stroke-width": 7, "stroke-opacity": 0.35, "stroke-linecap": "round" }, root);
      draw("circle", { cx: x(s.value), cy: y, r: 4.5, fill: color(s.index) }, root);
    });
  }
}

const unitOfMeans = () => (data.summary.scaled ? `scaled test ${data.summary.measure}` : `test ${data.summary.measure} (points)`);

function drawProfile() {
  for (const host of hosts("profile")) {
    const { thresholds, profiles } = data.summary, positive = thresholds.slice(1);
    if (!positive.length) continue;
    const series = shown().map((s) => ({ ...s, x: thresholds, median: profiles[s.index].share, lower: profiles[s.index].lower, upper: profiles[s.index].upper }));
    lineChart(host, series, {
      x: symlogScale(positive[0], positive[positive.length - 1], 4), y: linearScale(0, 1, 4), writeY: (v) => percent(v), bands: state.bands, higher: true,
      writeX: data.summary.scaled ? plain : percent, writeTip: (v) => `${percent(v)} %`, xLabel: unitOfMeans(), yLabel: "runs at or below it (%)",
      tipHead: (v) => `${data.summary.measure} ≤ ${data.summary.scaled ? plain(v) : percent(v)}`,
      label: `Performance profile: share of runs with at most a given ${data.summary.measure}; the numbers are in the table below`,
    });
  }
}

const COSTS = { nfe_forward: "function evaluations, forward", activation_bytes: "activation memory (bytes a sample)", params: "parameters" };

function drawFronts() {
  for (const host of hosts("front")) {
    if (!host.clientWidth) continue;
    const panel = data.tradeoff[Number(host.dataset.task)].panels[Number(host.dataset.panel)];
    const costs = panel.cloud.map((p) => p[0]), scores = panel.cloud.map((p) => p[1]).concat(panel.front.map((p) => p.score));
    const low = Math.min(...costs), high = Math.max(...costs), top = Math.max(...scores);
    // The worst few would squeeze the rest into a line; they are counted in the corner, and the front's are in the table.
    const bottom = [...scores].sort((a, b) => a - b)[Math.floor(0.03 * scores.length)];
    frontChart(host, panel, shown().map((s) => ({ ...s, points: panel.searchers[s.index].incumbents })), {
      x: low > 0 && high / low > 5 ? logScale(low / 1.1, high * 1.1) : linearScale(low - 0.03 * (high - low), high + 0.03 * (high - low)),
      y: linearScale(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)), writeTip: (v) => v.toFixed(4),
      xLabel: COSTS[panel.cost] || panel.cost, yLabel: "test score", height: 270,
      label: `Test score against ${COSTS[panel.cost] || panel.cost}: all architectures, their front, and where searches ended; numbers in the table below`,
    });
  }
}

function drawAll() {
  drawAnytime(); drawRanks(); drawCritical(); drawMeans(); drawProfile(); drawFronts();
}

function makeLegends() {
  for (const host of document.querySelectorAll("[data-legend]")) {
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", "Show or hide searchers in the figures");
    data.searchers.forEach((name, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.searcher = name;
      button.append(keyMark(index, host.dataset.legend === "shapes"), name);
      button.querySelector("svg").style.margin = "0";
      button.addEventListener("click", () => {
        if (!state.hidden.delete(name)) state.hidden.add(name);
        markLegends(); drawAll();
      });
      host.append(button);
    });
  }
  markLegends();
}

function markLegends() {
  for (const button of document.querySelectorAll("[data-legend] button")) button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.searcher)));
}

function makeChoices() {
  for (const group of document.querySelectorAll("[data-choice]")) {
    const key = group.dataset.choice;
    for (const button of group.querySelectorAll("button"))
      button.addEventListener("click", () => {
        state[key] = key === "bands" ? !state.bands : button.value;
        for (const one of group.querySelectorAll("button")) one.setAttribute("aria-pressed", String(key === "bands" ? state.bands : one.value === state[key]));
        for (const table of document.querySelectorAll("[data-axis-table]")) table.hidden = table.dataset.axisTable !== state.axis;
        drawAll();
      });
  }
}

function makeTables() {
  for (const table of document.querySelectorAll("table[data-sortable]"))
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.classList.add("sortable");
      button.addEventListener("click", () => sortTable(table, column, head));
    });
  for (const filter of document.querySelectorAll("[data-filter]"))
    filter.addEventListener("change", () => {
      for (const row of document.getElementById(filter.dataset.filter).tBodies[0].rows) row.hidden = filter.value !== "" && row.dataset.task !== filter.value;
    });
}

// One task's trade-offs at a time; a hidden chart has no width, so it is drawn when it is shown.
function makePicks() {
  for (const pick of document.querySelectorAll("[data-pick]"))
    pick.addEventListener("change", () => {
      for (const part of document.querySelectorAll(`[data-${pick.dataset.pick}]`)) part.hidden = part.getAttribute(`data-${pick.dataset.pick}`) !== pick.value;
      drawFronts();
    });
}

// On paper all tasks are shown.
function printAll() {
  const parts = [...document.querySelectorAll("[data-front-task][hidden]")];
  for (const part of parts) part.hidden = false;
  drawAll();
  addEventListener("afterprint", () => { for (const part of parts) part.hidden = true; }, { once: true });
}

// Rows without a number stay at the end whichever way the others go.
function sortTable(table, column, head) {
  const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const body = table.tBodies[0];
  const compare = (a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const difference = Number(x) - Number(y);
    return direction * (Number.isNaN(difference) ? x.localeCompare(y) : difference);
  };
  body.append(...[...body.rows].sort(compare));
}

function makeTheme() {
  const button = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const write = () => { button.textContent = now() === "dark" ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${now() === "dark" ? "light" : "dark"} theme`); };
  const asked = new URLSearchParams(location.search).get("theme");
  if (asked === "dark" || asked === "light") document.documentElement.dataset.theme = asked;
  button.addEventListener("click", () => { document.documentElement.dataset.theme = now() === "dark" ? "light" : "dark"; write(); });
  dark.addEventListener("change", write);
  write();
}

function paintKeys() {
  for (const key of document.querySelectorAll("span[data-key]")) key.replaceWith(keyMark(Number(key.dataset.key)));
}

for (const button of document.querySelectorAll('[data-choice="bands"] button')) button.setAttribute("aria-pressed", String(state.bands));
makeTheme(); makeLegends(); makeChoices(); makeTables(); makePicks(); paintKeys(); drawAll();
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
addEventListener("beforeprint", printAll);
document.documentElement.dataset.ready = "true";
