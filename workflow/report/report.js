// What the page can do beyond reading: tables sort by a column, and curves show their values under the pointer.
"use strict";

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const UNITS = { s: 1, min: 60, h: 3600, MiB: 1, GiB: 1024 };

// The number that a cell begins with, such as 0.9717 of "0.9717 ± 0.0007" or 1.5e65 of "1.5 × 10⁶⁵"; NaN without one.
function numberIn(cell) {
  const tex = cell.querySelector("annotation");
  const text = (tex ? tex.textContent.replace(/ *\\times 10\^\{?(-?\d+)\}?/, "e$1") : cell.textContent)
    .trim()
    .replaceAll("−", "-")
    .replace(/ × 10(⁻?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, (_, minus, digits) =>
      `e${minus && "-"}${[...digits].map((digit) => SUPERSCRIPTS.indexOf(digit)).join("")}`);
  const found = text.match(/^(?:ρ = )?([+-]?\d[\d.]*(?:e[+-]?\d+)?)(?: (s|min|h|MiB|GiB)\b)?/);
  return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : NaN;
}

function compare(one, other) {
  const [a, b] = [numberIn(one), numberIn(other)];
  if (Number.isNaN(a) && Number.isNaN(b)) return one.textContent.localeCompare(other.textContent);
  return Number.isNaN(a) - Number.isNaN(b) || a - b; // what is no number comes last
}

function makeSortable(table) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (!header.textContent.trim()) return;
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].sort((one, other) => compare(one.cells[column], other.cells[column]));
      body.append(...(falling ? rows.reverse() : rows));
    });
  });
}

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

// `panels` are those of hover.py: boxes, stops and series, in fractions of the image's width and height.
function showValues(image, panels) {
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", `${image.alt} Arrow keys move through the values.`);
  image.replaceWith(plot);
  plot.append(image);
  const overlay = element("div", "overlay", plot);
  plot.hiddenCurves = new Set();
  let panel = panels[0];
  let stop = -1;

  // From fractions of the image to pixels of the plot: the image has a padding.
  function place(x, y) {
    const padding = parseFloat(getComputedStyle(image).paddingLeft);
    return [padding + x * (image.clientWidth - 2 * padding), padding + y * (image.clientHeight - 2 * padding)];
  }

  function draw() {
    overlay.replaceChildren();
    if (stop < 0) return;
    const [left, top] = place(panel.x[stop], panel.box[1]);
    const [, bottom] = place(0, panel.box[3]);
    const line = element("div", "line", overlay);
    Object.assign(line.style, { left: `${left}px`, top: `${top}px`, height: `${bottom - top}px` });
    const values = element("div", "values", overlay);
    values.setAttribute("role", "status");
    element("strong", "", values).textContent = panel.titles[stop];
    for (const series of panel.series) {
      if (series.y[stop] === null || plot.hiddenCurves.has(series.label)) continue;
      const dot = element("div", "dot", overlay);
      const [x, y] = place(panel.x[stop], series.y[stop]);
      Object.assign(dot.style, { left: `${x}px`, top: `${y}px`, background: series.colour });
      const row = element("div", "", values);
      element("i", "", row).style.background = series.colour;
      element("span", "", row).textContent = `${series.label}: ${series.text[stop]}`;
    }
    const room = plot.clientWidth - values.offsetWidth;
    values.style.left = `${Math.max(0, Math.min(left + 12, room))}px`;
    values.style.top = `${bottom + 12}px`;
  }

  function show(nextPanel, nextStop) {
    if (nextPanel === panel && nextStop === stop) return;
    [panel, stop] = [nextPanel, nextStop];
    draw();
  }

  function follow(event) {
    const frame = plot.getBoundingClientRect();
    const [left, top] = [event.clientX - frame.left, event.clientY - frame.top];
    const under = panels.find(({ box }) => {
      const [[x0, y0], [x1, y1]] = [place(box[0], box[1]), place(box[2], box[3])];
      return x0 - 8 <= left && left <= x1 + 8 && y0 <= top && top <= y1;
    });
    if (!under) return show(panel, -1);
    const distances = under.x.map((x, at) => {
      if (!under.scatter) return Math.abs(place(x, 0)[0] - left);
      const point = under.series.find(({ y }) => y[at] !== null);
      const [across, down] = place(x, point.y[at]);
      return plot.hiddenCurves.has(point.label) ? Infinity : Math.hypot(across - left, down - top);
    });
    show(under, distances.indexOf(Math.min(...distances)));
  }

  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") show(panel, -1); // a finger that is lifted leaves the values to be read
  });
  plot.addEventListener("blur", () => show(panel, -1));
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (move) show(panel, Math.max(0, Math.min(panel.x.length - 1, stop + move)));
    if (turn) {
      const next = panels[Math.max(0, Math.min(panels.length - 1, panels.indexOf(panel) + turn))];
      show(next, Math.max(0, Math.min(next.x.length - 1, stop)));
    }
    if (move || turn) event.preventDefault();
  });
}

document.querySelectorAll("main table").forEach(makeSortable);
document.querySelectorAll("script.hover").forEach((script) => {
  const image = document.querySelector(`#${script.dataset.figure} img`);
  if (image.getAttribute("aria-label")) image.alt ||= image.getAttribute("aria-label");
  showValues(image, JSON.parse(script.textContent));
});
