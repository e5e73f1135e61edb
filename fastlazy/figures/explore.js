"use strict";
// The page of `fastlazy explore`: state of the controls in, two charts and a table out. The numbers are Python's
// (fastlazy/figures/explore_tables.py); here two formulas are applied to them, in `ratio` and `captured`.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const LINES = {
  RF: { label: "RF: random features", ...data.lines.RF },
  NT: { label: "NT: neural tangent", ...data.lines.NT },
  NN: { label: "NN: all weights trained", ...data.lines.NN },
  lazy: { label: "NN trained as α(f − f₀)", color: "#767676", dash: "none" },
};
const narrow = data.widths.filter((N) => N < data.d).length; // widths at which the scale matters
const packed = Uint8Array.from(atob(data.lazy_shares), (letter) => letter.charCodeAt(0));
const lazyShares = new DataView(packed.buffer);
for (const spectrum of data.spectra) {
  spectrum.trace = sum(spectrum.eigenvalues);
  spectrum.norm = sum(spectrum.eigenvalues.map((value) => value ** 2));
}

function state() {
  const checked = (name) => Number(document.querySelector(`input[name=${name}]:checked`).value);
  const s = checked("spectrum");
  return {
    k: Number(byId("width").value), j: Number(byId("scale").value), s,
    spectrum: data.spectra[s], sigma: data.sigmas[checked("sigma")],
  };
}

// The risk of a line at the k-th width, over the null risk; null where it is not known.
function ratio(line, k, { j, spectrum, sigma }) {
  const N = data.widths[k];
  if (line === "NN") return sigma.NN ? sum(spectrum.eigenvalues.slice(N).map((value) => value ** 2)) / spectrum.norm : null;
  if (line === "lazy") return !sigma.NN ? null : N < data.d ? spectrum.lazy_risk[k][j] : 0;
  if (!sigma[line]) return null;
  const [ofRest, ofTrace] = sigma[line][k];
  const m = spectrum.trace ** 2 / (data.d * spectrum.norm);
  return (1 - m) * ofRest + m * ofTrace;
}

// The shares that a line captures of all eigendirections at the chosen width; null where they are not known.
function captured(line, { k, j, s, spectrum, sigma }) {
  const N = data.widths[k], d = data.d;
  if (line === "NN" || line === "lazy") {
    if (!sigma.NN) return null;
    if (line === "NN" || N >= d) return spectrum.eigenvalues.map((_, i) => (i < N ? 1 : 0));
    const first = ((s * narrow + k) * data.scales.length + j) * d;
    return spectrum.eigenvalues.map((_, i) => data.share_unit * lazyShares.getInt16(2 * (first + i), true));
  }
  if (!sigma[line]) return null;
  const [ofRest, ofTrace] = sigma[line][k];
  return spectrum.eigenvalues.map((value) => 1 - ofRest + ((ofRest - ofTrace) * spectrum.trace) / (d * value));
}

function draw(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// Axes in an svg, and the functions x and y from values to places in it. A tick is [value, text].
function axes(svg, { left, right, top, bottom, x, y, xTicks, yTicks, xLabel }) {
  for (const [value, text] of yTicks) {
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) });
    draw(svg, "text", { class: "y tick", x: left - 9, y: y(value) + 6, "text-anchor": "end" }, text);
  }
  for (const [value, text] of xTicks) {
    draw(svg, "line", { class: "axis", x1: x(value), x2: x(value), y1: bottom, y2: bottom + 6 });
    draw(svg, "text", { class: "x tick", x: x(value), y: bottom + 26, "text-anchor": "middle" }, text);
  }
  draw(svg, "path", { class: "axis", fill: "none", d: `M${left} ${top}V${bottom}H${right}` });
  draw(svg, "text", { x: (left + right) / 2, y: bottom + 52, "text-anchor": "middle" }, xLabel);
  const clip = draw(draw(svg, "clipPath", { id: `${svg.id}-inside` }), "rect", {});
  for (const [key, value] of Object.entries({ x: left, y: top - 4, width: right - left + 8, height: bottom - top + 8 })) {
    clip.setAttribute(key, value);
  }
  return draw(svg, "g", { "clip-path": `url(#${svg.id}-inside)` });
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
const stroke = (line) => ({ class: "line", id: "", stroke: LINES[line].color, "stroke-dasharray": LINES[line].dash });
const ORDER = ["lazy", "RF", "NT", "NN"]; // the last is on top

const risks = (() => {
  const svg = byId("risks"), area = { left: 58, right: 622, top: 14, bottom: 316 };
  const [low, high] = [data.widths[0], data.widths.at(-1)].map((N) => Math.log10(N / data.d));
  const x = (rho) => area.left + ((Math.log10(rho) - low) / (high - low)) * (area.right - area.left);
  const y = (value) => area.bottom - (value / 1.04) * (area.bottom - area.top);
  const ticks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10].filter((rho) => Math.log10(rho) >= low - 1e-9);
  const inside = axes(svg, {
    ...area, x, y, xTicks: ticks.map((rho) => [rho, String(rho)]), xLabel: "neurons / dimension, N / d",
    yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => [value, String(value)]),
  });
  const here = draw(inside, "line", { class: "here", y1: area.top, y2: area.bottom });
  const parts = Object.fromEntries(ORDER.map((line) => [line, {
    curve: draw(inside, "path", { ...stroke(line), id: `risk-${line}` }),
    dot: draw(inside, "circle", { id: `dot-${line}`, r: 7, fill: "#fff", stroke: LINES[line].color, "stroke-width": 3.5 }),
  }]));
  return (now) => {
    const place = x(data.widths[now.k] / data.d);
    for (const end of ["x1", "x2"]) here.setAttribute(end, place);
    for (const [line, { curve, dot }] of Object.entries(parts)) {
      const values = data.widths.map((_, k) => ratio(line, k, now));
      const known = values[now.k] !== null;
      curve.setAttribute("d", known ? path(values.map((value, k) => [x(data.widths[k] / data.d), y(value)])) : "");
      dot.setAttribute("visibility", known ? "visible" : "hidden");
      dot.setAttribute("cx", place);
      dot.setAttribute("cy", y(known ? values[now.k] : 0).toFixed(2));
    }
  };
})();

const shares = (() => {
  const svg = byId("shares"), area = { left: 58, right: 622, top: 14, bottom: 316 }, floor = 255, d = data.d;
  const x = (rank) => area.left + 6 + ((rank - 1) / Math.max(d - 1, 1)) * (area.right - area.left - 12);
  const y = (value) => floor - ((value + 0.4) / 1.6) * (floor - area.top);
  const step = [1, 2, 5, 10, 20, 50].find((size) => d / size <= 6) ?? 100;
  const ranks = [1, ...Array.from({ length: Math.floor(d / step) }, (_, i) => (i + 1) * step).filter((rank) => rank > 1)];
  const inside = axes(svg, {
    ...area, x, y, xTicks: ranks.map((rank) => [rank, String(rank)]), xLabel: "eigendirection, largest eigenvalue first",
    yTicks: [0, 0.5, 1].map((value) => [value, String(value)]),
  });
  draw(svg, "text", { x: area.left - 9, y: 303, "text-anchor": "end" }, "λ");
  const bars = Array.from({ length: d }, (_, i) => draw(svg, "rect", {
    class: "bar", x: x(i + 1) - 0.4 * (500 / d), width: 0.8 * (500 / d), "data-rank": i + 1,
  }));
  const above = draw(inside, "svg", { x: 0, y: 0, width: 640, height: floor, overflow: "hidden" });
  const dots = Array.from({ length: d }, (_, i) => draw(above, "circle", {
    class: "lazy", r: Math.min(5, 2 + 120 / d), fill: LINES.lazy.color, cx: x(i + 1),
  }));
  const curves = Object.fromEntries(ORDER.slice(1).map((line) => [
    line, draw(above, "path", { ...stroke(line), id: `share-curve-${line}` }),
  ]));
  return (now) => {
    const top = now.spectrum.eigenvalues[0];
    byId("law").textContent = now.spectrum.law;
    bars.forEach((bar, i) => {
      const height = (area.bottom - floor - 8) * (now.spectrum.eigenvalues[i] / top);
      bar.setAttribute("y", area.bottom - height);
      bar.setAttribute("height", height);
    });
    for (const [line, curve] of Object.entries(curves)) {
      const values = captured(line, now);
      const points = (values ?? []).map((value, i) => [x(i + 1), y(Math.max(-99, Math.min(99, value)))]);
      curve.setAttribute("d", path(points));
    }
    const values = captured("lazy", now);
    dots.forEach((dot, i) => {
      dot.setAttribute("visibility", values ? "visible" : "hidden");
      dot.setAttribute("cy", y(values ? values[i] : 0).toFixed(2));
    });
  };
})();

const rows = Object.fromEntries(Object.keys(LINES).map((line) => {
  const row = byId("lines").insertRow(), head = document.createElement("th");
  head.scope = "row";
  const swatch = draw(head, "svg", { viewBox: "0 0 68 14", "aria-hidden": "true" });
  if (line === "lazy") for (const cx of [12, 34, 56]) draw(swatch, "circle", { cx, cy: 7, r: 5, fill: LINES.lazy.color });
  draw(swatch, "path", { ...stroke(line), id: `swatch-${line}`, d: "M0 7H68" });
  head.append(LINES[line].label);
  row.append(head);
  const cells = ["value", "share", "note"].map((name) => Object.assign(row.insertCell(), {
    id: `${name}-${line}`, className: name === "note" ? "" : "number",
  }));
  return [line, cells];
}));

function table(now) {
  for (const [line, [value, share, note]] of Object.entries(rows)) {
    const risk = ratio(line, now.k, now);
    value.textContent = risk === null ? "–" : risk.toFixed(4);
    share.textContent = risk === null ? "–" : captured(line, now)[0].toFixed(3);
    note.textContent = now.sigma.notes[line];
  }
}

function show() {
  const now = state(), N = data.widths[now.k], alpha = data.scales[now.j];
  byId("width-is").textContent = `N = ${N}, N / d = ${Number((N / data.d).toPrecision(3))}`;
  byId("width").setAttribute("aria-valuetext", `N = ${N}`);
  byId("scale-is").textContent = now.sigma.NN ? `α = ${alpha}` : "α: for x² only";
  byId("scale").setAttribute("aria-valuetext", `alpha = ${alpha}`);
  byId("scale").disabled = !now.sigma.NN;
  risks(now);
  shares(now);
  table(now);
  const said = Object.keys(LINES).map((line) => `${line} ${byId(`value-${line}`).textContent}`).join(", ");
  byId("risks").setAttribute("aria-label", `Risk against N / d. At N = ${N}: ${said}`);
  const firsts = Object.keys(LINES).map((line) => `${line} ${byId(`share-${line}`)?.textContent ?? ""}`).join(", ");
  byId("shares").setAttribute("aria-label", `Share captured of eigendirections 1 to ${data.d}. Of the first: ${firsts}`);
}

function choices(id, options, chosen) {
  options.forEach(({ name, label }, i) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: id, value: i, id: `${id}-${name}` });
    input.checked = i === chosen;
    const box = document.createElement("label");
    box.append(input, label);
    byId(id).append(box);
  });
}

choices("spectrum", data.spectra, 0);
choices("sigma", data.sigmas, 0);
byId("width").max = data.widths.length - 1;
byId("width").value = data.widths.filter((N) => N <= 0.3 * data.d).length;
byId("scale").max = data.scales.length - 1;
byId("scale").value = data.scales.indexOf(1);
byId("setting").textContent =
  `Target y = ⟨x, Bx⟩ + b₀ with x ~ N(0, I), d = ${data.d}. Infinitely many samples. Risk is the mean squared error.`;
byId("source").textContent =
  `fastlazy ${data.version}. Theorems: arXiv:1906.08899. Exponential spectrum and W₀: seed ${data.seed}. ` +
  "Shares of small eigenvalues may lie outside of the chart. Keys: Tab, arrows.";
byId("controls").addEventListener("input", show);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
show();
