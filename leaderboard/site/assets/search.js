/* Search over methods, papers, data sets, boards and runs: "/" or the link "Search" opens it. The index is loaded then.
   The page of search has the field itself and takes words from its address: search.html?q=avca. */
"use strict";

(function () {
  const { element, load, root } = avbench;
  const MOST = 30;
  let index = null;
  avbench.index = (_, entries) => {
    index = entries.map(([kind, title, href, more]) => ({
      kind, title, href, words: `${title} ${more} ${kind}`.toLowerCase(), identity: href.match(/^runs\/([0-9a-f]+)/)?.[1] ?? "",
    }));
  };

  const input = element("input", { type: "search", id: "search-words", autocomplete: "off", role: "combobox", "aria-controls": "search-found", "aria-expanded": "false", "aria-autocomplete": "list" });
  const found = element("div", { class: "found",  id: "search-found", role: "listbox", "aria-label": "Found" });
  const said = element("output", { for: "search-words", "aria-live": "polite" });
  const close = element("button", { type: "button", class: "plain-button" }, "Close");
  const line = element("div", { class: "search-line" }, element("label", { for: "search-words" }, "Search"), input);
  const here = document.getElementById("search-here");
  const dialog = here ? null : element("dialog", { class: "search", "aria-label": "Search" }, line, said, found);
  if (here) here.append(line, said, found);
  else line.append(close);
  let active = -1;

  /* An identity counts from its beginning only, and from four characters on: any digit is somewhere in most. */
  function has(entry, word) {
    return entry.words.includes(word) || (word.length >= 4 && entry.identity && entry.identity.startsWith(word.slice(0, entry.identity.length)));
  }

  /* Every word must be there; what begins a title counts more than what stands somewhere. */
  function look(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length || !index) return [];
    const score = (entry) => words.reduce((sum, word) => {
      const title = entry.title.toLowerCase();
      return sum + (title === word ? 4 : title.startsWith(word) ? 3 : title.includes(word) ? 1 : 0);
    }, 0);
    const all = index.filter((entry) => words.every((word) => has(entry, word)));
    return all.map((entry, place) => ({ entry, place, score: score(entry) }))
      .sort((a, b) => b.score - a.score || a.place - b.place).map((each) => each.entry);
  }

  function show() {
    const all = look(input.value);
    const shown = all.slice(0, MOST).map((entry, place) => {
      const option = { role: "option", id: `search-${place}`, "aria-selected": "false", tabindex: "-1", href: new URL(entry.href, root).href };
      return element("a", option, entry.title, element("span", { class: "tag" }, entry.kind));
    });
    found.replaceChildren(...shown);
    input.setAttribute("aria-expanded", String(shown.length > 0));
    const many = all.length > MOST ? `the first ${MOST} of ${all.length}` : `${all.length}`;
    said.textContent = input.value.trim() ? `${many} found` : "Methods, papers, data sets, boards and runs";
    pick(shown.length ? 0 : -1);
  }

  function pick(place) {
    const items = found.children;
    if (items[active]) items[active].setAttribute("aria-selected", "false");
    active = items.length ? (place + items.length) % items.length : -1;
    if (active < 0) { input.removeAttribute("aria-activedescendant"); return; }
    items[active].setAttribute("aria-selected", "true");
    items[active].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", items[active].id);
  }

  async function ready() {
    try {
      await load("search-index.js");
      show();
    } catch (error) {
      said.textContent = `${error.message}: the index is missing beside this page`;
    }
  }

  function open() {
    if (dialog && !dialog.isConnected) document.body.append(dialog);
    if (dialog && !dialog.open) dialog.showModal();
    input.focus();
    input.select();
    ready();
  }

  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") pick(active + 1);
    else if (event.key === "ArrowUp") pick(active - 1);
    else if (event.key === "Escape" && dialog) dialog.close(); /* browsers only empty the field */
    else if (event.key === "Enter") {
      const link = found.children[active];
      if (link) { dialog?.close(); location.assign(link.href); }
    } else return;
    event.preventDefault();
  });
  found.addEventListener("click", (event) => { if (event.target.closest("a")) dialog?.close(); });
  close.addEventListener("click", () => dialog?.close());
  document.querySelectorAll("a.to-search").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    open();
  }));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    open();
  });
  if (here) {
    input.value = new URLSearchParams(location.search).get("q") ?? "";
    ready();
  }
})();
