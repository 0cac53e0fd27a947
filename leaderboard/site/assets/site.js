/* Sorting, filtering and column choice for tables that are complete without it. State lives in the URL's fragment:
   #<table>.sort=HM&<table>.dir=desc&<table>.filter=avca&<table>.hide=time,seeds */
"use strict";

(function () {
  const root = document.documentElement;
  const { element } = avbench;

  /* ---- theme ---- */

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function addThemeButton() {
    const button = element("button", { type: "button", class: "theme" });
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("avbench-theme", root.dataset.theme); } catch (error) { /* storage is off: this page only */ }
      label();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();
    document.querySelector("header.top").append(button);
  }

  /* ---- state in the URL ---- */

  function readState() {
    const text = location.hash.slice(1);
    return new URLSearchParams(text.includes("=") ? text : "");
  }

  function writeState(table, change) {
    const state = readState();
    for (const [name, value] of Object.entries(change)) {
      if (value) state.set(`${table.id}.${name}`, value);
      else state.delete(`${table.id}.${name}`);
    }
    const text = state.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname.split("/").pop() + location.search);
  }

  /* ---- tables ---- */

  function sortValue(cell) {
    const text = "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
    if (text === "" || text === "\u2013") return null;
    const number = Number(text.replace(/[, %]/g, "").replace("\u2212", "-"));
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  class Table {
    constructor(table) {
      this.table = table;
      this.id = table.id;
      this.cards = table.classList.contains("board"); /* their sources name papers of other methods */
      this.heads = Array.from(table.tHead.rows[0].cells);
      this.columns = this.heads.filter((head) => head.dataset.key);
      this.read();
      const tools = (table.dataset.tools || "").split(" ");
      for (const head of this.columns) this.addSortButton(head);
      const bar = element("div", { class: "tools" });
      if (tools.includes("filter")) this.addFilter(bar);
      if (tools.includes("columns")) this.addColumnChoice(bar);
      if (bar.childElementCount) (table.closest(".scroll") || table).before(bar);
      this.restore();
      addEventListener("hashchange", () => this.restore());
      table.addEventListener("rowschange", () => { this.read(); this.restore(); }); /* another script put other rows */
    }

    /* Groups (re-run, claimed) are sorted each by itself: their rows never mix. */
    read() {
      this.groups = Array.from(this.table.tBodies, (body) => ({
        body,
        rows: Array.from(body.rows).filter((row) => !row.classList.contains("group")),
      }));
      this.original = this.groups.map((group) => group.rows.slice());
    }

    addSortButton(head) {
      const button = element("button", { type: "button", class: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const first = head.classList.contains("n") && head.dataset.key !== "rank" ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const next = now === first ? other : now === other ? "" : first;
        this.sort(next ? head.dataset.key : "", next);
        writeState(this, { sort: next && head.dataset.key, dir: next === "descending" ? "desc" : "" });
      });
    }

    sort(key, direction) {
      const head = this.columns.find((each) => each.dataset.key === key);
      if (!head && !this.sorted) return; /* rows that are moved lose the mark of a link's target */
      this.sorted = head;
      for (const each of this.columns) each.removeAttribute("aria-sort");
      if (head) head.setAttribute("aria-sort", direction);
      const index = this.heads.indexOf(head);
      this.groups.forEach((group, number) => {
        let rows = this.original[number];
        if (head) {
          const sign = direction === "descending" ? -1 : 1;
          const keyed = rows.map((row, place) => ({ row, place, value: sortValue(row.cells[index]) }));
          keyed.sort((a, b) => {
            if (a.value === null || b.value === null) {
              return (a.value === null) - (b.value === null) || a.place - b.place;
            }
            return sign * compare(a.value, b.value) || a.place - b.place;
          });
          rows = keyed.map((each) => each.row);
        }
        group.body.append(...rows);
      });
    }

    addFilter(bar) {
      this.filterInput = element("input", { type: "search", id: `${this.id}-filter`, autocomplete: "off" });
      this.countText = element("output", { for: `${this.id}-filter`, "aria-live": "polite" });
      bar.append(element("label", { for: `${this.id}-filter` }, "Filter"), this.filterInput, this.countText);
      this.filterInput.addEventListener("input", () => {
        this.filter(this.filterInput.value);
        writeState(this, { filter: this.filterInput.value });
      });
    }

    filter(text) {
      if (!this.filterInput) return;
      /* "not reproduced" is one word, which "reproduced" does not find */
      const words = text.toLowerCase().match(/\bnot\s+\S+|\S+/g) || [];
      let shown = 0, total = 0;
      for (const group of this.groups) {
        for (const row of group.rows) {
          const cells = Array.from(row.cells).filter((cell) => !cell.classList.contains("source") || !this.cards);
          const content = cells.map((cell) => cell.textContent).join(" ").toLowerCase();
          const affirmed = content.replaceAll("not reproduced", "not");
          row.hidden = !words.every((word) => (word.startsWith("not ") ? content : affirmed).includes(word));
          shown += !row.hidden;
          total += 1;
        }
        const headings = Array.from(group.body.rows).filter((row) => row.classList.contains("group"));
        for (const heading of headings) heading.hidden = group.rows.every((row) => row.hidden);
      }
      this.countText.textContent = words.length ? `${shown} of ${total} rows` : "";
    }

    addColumnChoice(bar) {
      const list = element("fieldset", {}, element("legend", {}, "Columns"));
      this.boxes = new Map();
      for (const head of this.columns) {
        if (head.dataset.key === "method") continue;
        const box = element("input", { type: "checkbox" });
        box.checked = true;
        box.addEventListener("change", () => {
          const hidden = Array.from(this.boxes).filter(([, each]) => !each.checked).map(([key]) => key);
          this.hide(hidden);
          writeState(this, { hide: hidden.join(",") });
        });
        this.boxes.set(head.dataset.key, box);
        list.append(element("label", {}, box, ` ${head.textContent}`));
      }
      bar.append(element("details", { class: "columns-choice" }, element("summary", {}, "Columns"), list));
    }

    hide(keys) {
      if (!this.boxes) return;
      for (const [key, box] of this.boxes) box.checked = !keys.includes(key);
      const hidden = this.heads.map((head) => keys.includes(head.dataset.key));
      for (const row of [this.table.tHead.rows[0], ...this.groups.flatMap((group) => group.rows)]) {
        Array.from(row.cells).forEach((cell, index) => { cell.hidden = hidden[index]; });
      }
    }

    restore() {
      const state = readState();
      const get = (name) => state.get(`${this.id}.${name}`) || "";
      this.sort(get("sort"), get("dir") === "desc" ? "descending" : "ascending");
      if (this.filterInput) this.filterInput.value = get("filter");
      this.filter(get("filter"));
      this.hide(get("hide").split(",").filter((key) => key && key !== "method"));
    }
  }

  /* ---- keyboard: "f" goes to the filter ("/" searches the site) ---- */

  function onKey(event) {
    if (event.key !== "f" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    const first = document.querySelector('.tools input[type="search"]');
    if (first) { event.preventDefault(); first.focus(); }
  }

  /* ---- tabs keep sort, filter and columns: the boards behind them have the same ---- */

  function carryState(event) {
    const here = document.querySelector('.tabs a[aria-current="page"]');
    const link = event.currentTarget;
    if (!here || !link.dataset.table) return;
    const carried = new URLSearchParams();
    for (const [name, value] of readState()) {
      if (name.startsWith(`${here.dataset.table}.`)) carried.set(link.dataset.table + name.slice(here.dataset.table.length), value);
    }
    link.hash = carried.toString();
  }

  document.querySelectorAll(".tabs a").forEach((link) => link.addEventListener("click", carryState));
  addThemeButton();
  document.querySelectorAll("table.data[id]").forEach((table) => { if (table.tHead) new Table(table); });
  document.addEventListener("keydown", onKey);
  root.classList.add("ready");
})();
