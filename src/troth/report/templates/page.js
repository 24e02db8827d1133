"use strict";
// Tooltips and sorting. The page reads well without either.
(() => {
  const tip = document.getElementById("tip");
  const data = key => JSON.parse(document.querySelector(`script[data-for="${CSS.escape(key)}"]`).textContent);
  const size = v => {
    for (const [unit, scale] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
      if (v >= scale) return `${(v / scale).toPrecision(3)} ${unit}`;
    return `${v} B`;
  };
  const text = (kind, v) => v === null ? "not finite"
    : kind === "share" ? `${(100 * v).toFixed(2)} %` : kind === "bytes" ? size(v) : `${+v.toPrecision(4)}`;
  const show = (event, head, rows) => {
    // Text nodes only: names come from the run.
    tip.replaceChildren();
    tip.append(Object.assign(document.createElement("strong"), { textContent: head }));
    for (const [name, value] of rows) {
      const row = document.createElement("div");
      for (const part of [name, value]) row.append(Object.assign(document.createElement("span"), { textContent: part }));
      tip.append(row);
    }
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 16, innerWidth - box.width - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - box.height - 8))}px`;
  };
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
  };

  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = data(svg.dataset.chart), cross = svg.querySelector(".cross");
    const first = +svg.querySelector(".grid line").getAttribute("x1");
    const last = +svg.querySelector(".grid line").getAttribute("x2");
    svg.addEventListener("pointermove", event => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      const [low, high] = chart.x;
      const x = low + (at - first) / (last - first) * (high - low);
      const found = chart.lines.map(line => [line, nearest(line.x, x)]);
      const round = found.map(([line, i]) => line.x[i]).reduce((a, b) => Math.abs(a - x) <= Math.abs(b - x) ? a : b);
      const here = first + (round - low) / (high - low) * (last - first);
      cross.setAttribute("x1", here);
      cross.setAttribute("x2", here);
      cross.setAttribute("visibility", "visible");
      show(event, `round ${round}`, found
        .filter(([line]) => round >= line.x[0] && round <= line.x[line.x.length - 1])
        .map(([line, i]) => [line.name, text(chart.kind, line.y[i])]));
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; cross.setAttribute("visibility", "hidden"); });
  }

  for (const svg of document.querySelectorAll("svg[data-map]")) {
    const map = data(svg.dataset.map);
    svg.addEventListener("pointermove", event => {
      const box = svg.getBoundingClientRect();
      const row = Math.min(map.rows.length - 1, Math.floor((event.clientY - box.top) / box.height * map.rows.length));
      const column = Math.min(map.columns - 1, Math.floor((event.clientX - box.left) / box.width * map.columns));
      const from = map.first + column * map.per, to = Math.min(map.last, from + map.per - 1);
      const name = map.rows[row] + (map.attackers[row] ? ` (${map.attackers[row]})` : "");
      show(event, name, [[from === to ? `round ${from}` : `rounds ${from}–${to}`, ""]]);
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        // Numbers show the largest first, names the first.
        const down = head.ariaSort ? head.ariaSort === "ascending" : numeric;
        for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = row => row.cells[column].dataset.v;
        const rows = [...body.rows].sort((a, b) => {
          if (!numeric) return a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true }) * (down ? -1 : 1);
          const [x, y] = [value(a), value(b)].map(v => v === "inf" ? null : +v);
          // What has no number stays at the end either way.
          return x === null || y === null ? (x === null) - (y === null) : (x - y) * (down ? -1 : 1);
        });
        body.append(...rows);
      });
    });
  }
})();
