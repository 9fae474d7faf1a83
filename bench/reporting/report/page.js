"use strict";
// Charts, sorting, filtering, highlighting, and a record's details. Texts of records are set as text, never as markup.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = (id) => JSON.parse(document.getElementById(id).textContent);

  // Light and dark: as the system has it, until the reader chooses.
  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => {
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
    toggle.setAttribute("aria-pressed", String(isDark()));
  };
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();

  // Charts are drawn when they come near, then one by one while nothing else happens, so that printing has them all.
  const specs = data("chart-data");
  const views = new Map();
  const ink = "var(--ink)", quiet = "var(--quiet)", faint = "var(--faint)";
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    background: "transparent",
    font,
    view: { stroke: null },
    axis: {
      labelColor: quiet, titleColor: quiet, gridColor: faint, domain: false, tickColor: faint, ticks: false,
      labelFontSize: 11.5, titleFontSize: 11.5, titleFontWeight: "normal", labelPadding: 6, gridOpacity: 0.8,
    },
    axisY: { labelColor: ink },
    axisBand: { grid: false },
    text: { font },
  };
  const focusOf = (element) => element.closest(".comparison").dataset.focus;
  const draw = async (element) => {
    if (views.has(element.id)) return;
    views.set(element.id, null);
    // Into an element of its own, as the outer one says what the chart shows. ast: expressions are interpreted, so that the page's policy can forbid evaluating text as code.
    const options = { ast: true, actions: false, renderer: "svg", config, tooltip: { theme: "custom" } };
    const drawn = await vegaEmbed(element.firstElementChild, specs[element.id], options);
    views.set(element.id, drawn.view);
    await highlight(drawn.view, focusOf(element));
  };
  const highlight = async (view, strategy) => {
    if (view && view.getState().signals.focus !== undefined) await view.signal("focus", strategy).runAsync();
  };
  const failed = (error) => console.error(error);
  const charts = all(".chart");
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target).catch(failed)),
    { rootMargin: "300px" },
  );
  charts.forEach((chart) => near.observe(chart));
  const idle = window.requestIdleCallback || ((run) => setTimeout(run, 30));
  const rest = (place) => {
    if (place < charts.length) idle(() => draw(charts[place]).catch(failed).then(() => rest(place + 1)));
    else root.dataset.drawn = String(charts.length);
  };
  rest(0);
  addEventListener("beforeprint", () => all("details.samples, details.kept-in-mind").forEach((part) => { part.open = true; }));

  // One strategy of a comparison is highlighted in all its charts.
  const focus = (section, strategy) => {
    section.dataset.focus = strategy;
    section.querySelector('select[name="focus"]').value = strategy;
    for (const button of all("button.name", section)) {
      button.setAttribute("aria-pressed", String(button.textContent === strategy));
    }
    for (const chart of all(".chart", section)) highlight(views.get(chart.id), strategy).catch(failed);
  };

  // A table is sorted by the button in a head: numbers the largest first, texts from A; what is missing stays last.
  const sort = (button) => {
    const head = button.closest("th"), table = button.closest("table"), body = table.tBodies[0];
    const numeric = button.dataset.type === "number";
    const was = head.getAttribute("aria-sort");
    const now = was === "none" ? (numeric ? "descending" : "ascending") : was === "ascending" ? "descending" : "ascending";
    all("th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", now);
    const turn = now === "ascending" ? 1 : -1;
    const valueOf = (row) => row.cells[head.cellIndex].dataset.value ?? "";
    const compare = (one, other) => {
      const a = valueOf(one), b = valueOf(other);
      if (a === "" || b === "") return (a === "") - (b === "");
      return turn * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    };
    body.append(...[...body.rows].sort(compare));
  };

  // The filter holds for every table and panel of its comparison.
  const filter = (form) => {
    const section = document.getElementById(form.dataset.for);
    const words = form.elements.filter.value.trim().toLowerCase(), kind = form.elements.verdict.value;
    const board = all(".board tbody tr", section);
    const kinds = new Map(board.map((row) => [row.dataset.strategy, row.dataset.kind]));
    const fits = (name) => name.toLowerCase().includes(words) && (kind === "" || kinds.get(name) === kind);
    for (const element of all("[data-strategy]", section)) element.hidden = !fits(element.dataset.strategy);
    const count = board.filter((row) => !row.hidden).length;
    section.querySelector(".shown").textContent = `${count} of ${board.length} rows`;
  };

  for (const form of all("form.tools")) {
    const section = document.getElementById(form.dataset.for);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.filter.addEventListener("input", () => filter(form));
    form.elements.verdict.addEventListener("change", () => filter(form));
    form.elements.focus.addEventListener("change", (event) => focus(section, event.target.value));
    form.elements.more.addEventListener("change", (event) => {
      section.querySelector(".board").classList.toggle("all", event.target.checked);
    });
  }

  // A record's details, from what the records have in common and each one's own.
  const shelf = data("record-data");
  const dialog = document.getElementById("dialog"), body = document.getElementById("dialog-body");
  const make = (tag, text, ...children) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    element.append(...children);
    return element;
  };
  const words = (pairs) => {
    const list = make("dl");
    list.className = "words";
    for (const [key, value] of pairs) list.append(make("div", undefined, make("dt", key), make("dd", value)));
    return list;
  };
  const record = (place, open) => {
    const found = shelf.records[place];
    const parts = shelf.keys.map((key, n) => [key, shelf.pool[found[n] ?? -1]]).filter(([, value]) => value !== undefined);
    const plain = parts.filter(([, value]) => typeof value === "string");
    const sections = parts.filter(([, value]) => typeof value !== "string");
    const own = Object.fromEntries(plain);
    const details = make("details", undefined, make("summary", `seed ${own.seed} · ${own.status} · ${own.id}`), words(plain));
    for (const [key, value] of sections) {
      const part = make("details", undefined, make("summary", key), words(Object.entries(value)));
      part.open = key === "provenance" || key === "main";
      details.append(part);
    }
    details.open = open;
    return details;
  };
  const show = (title, places) => {
    document.getElementById("dialog-title").textContent = title;
    body.replaceChildren(...places.map((place, n) => record(place, n === 0)));
    if (places.length === 0) body.append(make("p", "These records are left out of the page, to keep it small."));
    dialog.showModal();
    dialog.scrollTop = 0;
  };
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const section = button.closest(".comparison");
    if (button.matches(".sort")) sort(button);
    else if (button.matches("button.name")) {
      focus(section, button.getAttribute("aria-pressed") === "true" ? "" : button.textContent);
    } else if (button.matches(".cell")) {
      const of = all("button.record", section).filter((other) => other.dataset.key === button.dataset.key);
      show(button.dataset.key.replace("\n", " on "), of.map((other) => Number(other.dataset.place)));
    } else if (button.matches(".record")) {
      show(button.dataset.key.replace("\n", " on "), [Number(button.dataset.place)]);
    }
  });
})();
